package extauthz

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// LogoutPath is where ClusterIdentityProviders post logout tokens; LogoutPath + "/NAMESPACE" is where the IdentityProviders of
// a namespace do. So a logout token is shown to no key of another namespace.
const LogoutPath = "/backchannel-logout"

// Bounds of the logout endpoint.
const (
	// maxLogoutBody is room for a form with the longest token, and for what else a provider may put beside it.
	maxLogoutBody = 32 << 10
	// maxLogoutProviders bounds the providers of one path and issuer whose keys are tried.
	maxLogoutProviders = 8
	// logoutsInFlight bounds the requests that are worked on.
	logoutsInFlight = 64
	// logoutsPerSecond and logoutBurst bound the logout tokens of one path that are verified.
	logoutsPerSecond, logoutBurst = 500, 1000
	// MaxLogouts bounds the revocations of an issuer that hold at a time.
	MaxLogouts = 1_000_000
	// MaxNamespaceLogouts bounds those of an issuer in one namespace, whose keys a tenant may have made.
	MaxNamespaceLogouts = 20_000
)

// LogoutConfig is what a Logout needs. Snapshot, Verify, Keep and Count are required.
type LogoutConfig struct {
	// Snapshot has the providers.
	Snapshot *atomic.Pointer[policy.Snapshot]
	// Verify checks a logout token with the keys of a provider; token.Verifier.VerifyLogout is one.
	Verify func(ctx context.Context, raw string, p *token.Provider) (*token.LogoutToken, error)
	// Keep returns once a revocation is where every replica and a restart find it.
	Keep func(ctx context.Context, r token.Revocation) error
	// Count says how many revocations of a scope there are.
	Count func(token.RevocationScope) int
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Log gets what became of logouts. The zero Logger drops it.
	Log logr.Logger
	// Registerer of the metrics; nil registers none.
	Registerer prometheus.Registerer
}

// Logout is the endpoint to which providers post logout tokens (OpenID Connect Back-Channel Logout 1.0). It is an
// http.Handler, safe for concurrent use.
type Logout struct {
	cfg      LogoutConfig
	slots    chan struct{}
	results  *prometheus.CounterVec
	refusals *rate.Limiter // of log lines
	used     usedOnce

	mu     sync.Mutex
	limits map[string]*rate.Limiter // by namespace
}

// NewLogout checks c.
func NewLogout(c LogoutConfig) (*Logout, error) {
	if c.Snapshot == nil || c.Verify == nil || c.Keep == nil || c.Count == nil {
		return nil, errors.New("the logout endpoint needs Snapshot, Verify, Keep and Count")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	l := &Logout{
		cfg: c, slots: make(chan struct{}, logoutsInFlight), refusals: rate.NewLimiter(1, 10), limits: map[string]*rate.Limiter{},
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_logouts_total", Help: "Logout tokens that were posted, by what became of them.",
		}, []string{"result"}),
	}
	for _, r := range LogoutResults() {
		l.results.WithLabelValues(r)
	}
	if c.Registerer != nil {
		if err := c.Registerer.Register(l.results); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return l, nil
}

// What becomes of a logout token.
const (
	logoutRevoked  = "Revoked"     // its tokens are refused from now on
	logoutRepeated = "Repeated"    // it was shown before
	logoutInvalid  = "Invalid"     // it is none that a provider of the path sent
	logoutLimited  = "RateLimited" // there are too many
	logoutFailed   = "Failed"      // it could not be written down, or the keys of its provider could not be had
)

// LogoutResults lists what can become of a logout token. The caller owns the slice.
func LogoutResults() []string {
	return []string{logoutRevoked, logoutRepeated, logoutInvalid, logoutLimited, logoutFailed}
}

// ServeHTTP implements http.Handler. A logout is answered with 200 once it is written down, everything else with 400 (§2.8);
// other paths and methods with 404 and 405.
func (l *Logout) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	namespace, ok := logoutNamespace(r.URL.EscapedPath())
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	result, why := logoutLimited, error(nil)
	select {
	case l.slots <- struct{}{}:
		result, why = l.logout(w, r, namespace)
		<-l.slots
	default:
	}
	l.results.WithLabelValues(result).Inc()
	if result == logoutRevoked {
		w.WriteHeader(http.StatusOK)
		return
	}
	if l.refusals.AllowN(l.cfg.Now(), 1) {
		reason := ""
		if why != nil {
			reason = why.Error()
		}
		l.cfg.Log.Info("A logout was refused", "result", result, "reason", reason, "namespace", namespace)
	}
	refuseLogout(w, result)
}

// logoutNamespace is that of the providers that post to a path; "" for those of the cluster.
func logoutNamespace(path string) (namespace string, ok bool) {
	if path == LogoutPath {
		return "", true
	}
	namespace, ok = strings.CutPrefix(path, LogoutPath+"/")
	return namespace, ok && namespace != "" && len(namespace) <= 63 && !strings.ContainsAny(namespace, "/%")
}

func refuseLogout(w http.ResponseWriter, result string) {
	code, text := "invalid_request", "the logout token is not valid, or was used before"
	if result == logoutLimited || result == logoutFailed {
		code, text = "logout_failed", "the logout could not be written down; try again"
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	// The error of writing is that of a caller who is gone.
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": text})
}

// logout takes one logout token, and says what became of it.
func (l *Logout) logout(w http.ResponseWriter, r *http.Request, namespace string) (result string, why error) {
	providers := l.providers(namespace)
	switch {
	case len(providers) == 0:
		return logoutInvalid, errors.New("no provider here tells of logouts")
	case !l.limit(namespace).AllowN(l.cfg.Now(), 1):
		return logoutLimited, nil
	}
	raw, err := readLogoutForm(w, r)
	if err != nil {
		return logoutInvalid, err
	}
	t, err := l.verify(r.Context(), raw, providers)
	switch {
	case errors.Is(err, token.ErrKeysUnavailable):
		return logoutFailed, err
	case err != nil:
		return logoutInvalid, err
	}
	return l.keep(r.Context(), t)
}

// keep writes down what a logout token revokes.
func (l *Logout) keep(ctx context.Context, t *token.LogoutToken) (result string, why error) {
	now := l.cfg.Now()
	key := usedKey{t.Provider.Name, t.ID}
	switch used, full := l.used.use(key, now); {
	case used:
		return logoutRepeated, nil
	case full:
		return logoutLimited, nil
	}
	revocation, most := t.Revocation(now), MaxLogouts
	if revocation.Scope.Namespace != "" {
		most = MaxNamespaceLogouts
	}
	if l.cfg.Count(revocation.Scope) >= most {
		l.used.forget(key)
		return logoutLimited, fmt.Errorf("%d revocations hold for %s", most, t.Provider.Name)
	}
	if err := l.cfg.Keep(ctx, revocation); err != nil {
		l.used.forget(key) // the provider may try again
		return logoutFailed, err
	}
	l.cfg.Log.V(1).Info("A logout is in force", "provider", t.Provider.Name)
	return logoutRevoked, nil
}

// providers are those that may post to the path of a namespace.
func (l *Logout) providers(namespace string) (out []*token.Provider) {
	snapshot := l.cfg.Snapshot.Load()
	if snapshot == nil {
		return nil
	}
	for _, p := range snapshot.Providers() {
		if p.Logout != nil && p.Namespace == namespace {
			out = append(out, p)
		}
	}
	return out
}

// verify tries the providers, of which several may have one issuer, until one has sent the token. The error is that of the
// one which got furthest: one that knows the issuer.
func (l *Logout) verify(ctx context.Context, raw string, providers []*token.Provider) (*token.LogoutToken, error) {
	err, tried := token.ErrUntrustedIssuer, 0
	for _, p := range providers {
		t, e := l.cfg.Verify(ctx, raw, p)
		switch {
		case e == nil:
			return t, nil
		case errors.Is(e, token.ErrUntrustedIssuer):
			continue
		case !errors.Is(err, token.ErrKeysUnavailable):
			err = e
		}
		if tried++; tried == maxLogoutProviders {
			break
		}
	}
	return nil, err
}

// limit is the rate of one path. There are as many as namespaces whose providers tell of logouts.
func (l *Logout) limit(namespace string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := l.limits[namespace]
	if limit == nil {
		limit = rate.NewLimiter(logoutsPerSecond, logoutBurst)
		l.limits[namespace] = limit
	}
	return limit
}

// readLogoutForm reads the one logout_token of a form (§2.5).
func readLogoutForm(w http.ResponseWriter, r *http.Request) (string, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return "", errors.New("it is no form: Content-Type must be application/x-www-form-urlencoded")
	}
	var body strings.Builder
	if _, err := io.Copy(&body, http.MaxBytesReader(w, r.Body, maxLogoutBody)); err != nil {
		return "", errors.New("the form cannot be read, or is longer than 32 KiB")
	}
	form, err := url.ParseQuery(body.String())
	if err != nil {
		return "", errors.New("the form cannot be read")
	}
	if values := form["logout_token"]; len(values) == 1 && values[0] != "" {
		return values[0], nil
	}
	return "", errors.New("the form does not have one logout_token")
}
