package extauthz

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/revocation"
	"github.com/sallyport/sallyport/extauthz/token"
)

// leavingPolicies are those of providers that tell of logouts: one of the cluster, one of a namespace with the same issuer
// and keys, and one whose keys cannot be had.
const leavingPolicies = `
kind: ClusterIdentityProvider
metadata: {name: corp}
spec:
  issuer: https://id.example.com
  audiences: [orders-api]
  algorithms: [ES256]
  maxTokenAge: 1h
  keys: {inline: '%[1]s'}
  backChannelLogout: {clientIDs: [orders-client]}
---
kind: IdentityProvider
metadata: {name: own, namespace: shop}
spec:
  issuer: https://id.example.com
  audiences: [orders-api]
  algorithms: [ES256]
  keys: {inline: '%[1]s'}
  backChannelLogout: {clientIDs: [shop-client], tokenTypes: [logout+jwt], holdFor: 2h}
---
kind: IdentityProvider
metadata: {name: far, namespace: far}
spec: {issuer: https://id.example.com, audiences: [orders-api], backChannelLogout: {clientIDs: [orders-client], holdFor: 1h}}
---
kind: AuthPolicy
metadata: {name: corp, namespace: shop}
spec: {hosts: [corp.example.com], identityProviders: [{kind: ClusterIdentityProvider, name: corp}], rules: [{name: r, access: Authenticated}]}
---
kind: AuthPolicy
metadata: {name: own, namespace: shop}
spec: {hosts: [own.example.com], identityProviders: [{name: own}], rules: [{name: r, access: Authenticated}]}
`

// leaving is a server with its logout endpoint.
type leaving struct {
	*world
	*Logout
	set    *revocation.Set
	kept   []token.Revocation
	fail   error // of keeping
	now    time.Time
	metric *prometheus.Registry
}

func newLeaving(t testing.TB) *leaving {
	t.Helper()
	l := &leaving{set: revocation.NewSet(), now: worldNow, metric: prometheus.NewRegistry()}
	l.world = newWorld(t, func(c *Config) { c.Revocations = l.set })
	l.snapshot.Store(compileSound(t, fmt.Sprintf(leavingPolicies, worldJWKS(t)), policy.Options{}))
	verifier, err := token.NewVerifier(token.Config{Keys: noKeys{}, Now: func() time.Time { return l.now }})
	if err != nil {
		t.Fatal(err)
	}
	l.Logout, err = NewLogout(LogoutConfig{
		Snapshot: l.snapshot, Verify: verifier.VerifyLogout, Count: l.set.Count, Registerer: l.metric,
		Now: func() time.Time { return l.now }, Log: funcr.New(l.write, funcr.Options{Verbosity: 1}),
		Keep: func(_ context.Context, r token.Revocation) error {
			if l.fail != nil {
				return l.fail
			}
			l.kept = append(l.kept, r)
			l.set.Put(revocation.FromLogout, fmt.Sprint(len(l.kept)), l.set.Digest([]token.Revocation{r}), l.now)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// logoutToken signs a logout token; claims are laid over those of a good one.
func logoutToken(t testing.TB, typ string, claims jwt.MapClaims) string {
	t.Helper()
	all := jwt.MapClaims{
		"iss": "https://id.example.com", "aud": "orders-client", "sub": "alice", "sid": "s1", "jti": "l1",
		"iat": worldNow.Unix(), "exp": worldNow.Unix() + 120,
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	for k, v := range claims {
		if all[k] = v; v == nil {
			delete(all, k)
		}
	}
	tok := jwt.NewWithClaims(jwt.SigningMethodES256, all)
	tok.Header["kid"], tok.Header["typ"] = "k1", typ
	raw, err := tok.SignedString(worldKey())
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func form(raw string) string { return url.Values{"logout_token": {raw}}.Encode() }

const formType = "application/x-www-form-urlencoded"

// post posts a body, and returns the status; every answer must forbid to store it.
func (l *leaving) post(t testing.TB, path, contentType, body string) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	l.ServeHTTP(w, r)
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: %q", got)
	}
	if w.Code == http.StatusBadRequest {
		var answer struct {
			Error string `json:"error"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Error == "" {
			t.Errorf("a refusal says %q", w.Body)
		}
	}
	return w.Code
}

func (l *leaving) reason(t testing.TB, host string, claims jwt.MapClaims) string {
	t.Helper()
	return meta(l.check(t, ask("GET", "https://"+host+"/", "authorization: Bearer "+mint(t, claims))), "reason")
}

func TestLogoutRevokes(t *testing.T) {
	l := newLeaving(t)
	session, older := jwt.MapClaims{"sid": "s1"}, jwt.MapClaims{"sid": "s2"}
	if got := l.reason(t, "corp.example.com", session); got != "Allowed" {
		t.Fatal(got)
	}
	if got := l.post(t, LogoutPath, formType+"; charset=utf-8", form(logoutToken(t, "logout+jwt", nil))); got != http.StatusOK {
		t.Fatalf("status %d", got)
	}
	for _, tt := range []struct {
		host   string
		claims jwt.MapClaims
		want   string
	}{
		{"corp.example.com", session, "TokenRevoked"}, // from the cache of verified tokens, too
		{"corp.example.com", older, "Allowed"},
		{"own.example.com", session, "TokenRevoked"}, // the cluster's provider speaks for its issuer everywhere
		{"own.example.com", older, "Allowed"},
	} {
		if got := l.reason(t, tt.host, tt.claims); got != tt.want {
			t.Errorf("%s %v: %s, want %s", tt.host, tt.claims, got, tt.want)
		}
	}
	if want := worldNow.Add(time.Hour + 2*time.Minute); !l.kept[0].Expires.Equal(want) {
		t.Errorf("it ends at %s, want %s", l.kept[0].Expires, want)
	}
}

// TestLogoutOfANamespace: the provider of a namespace says nothing of the tokens of others.
func TestLogoutOfANamespace(t *testing.T) {
	l := newLeaving(t)
	raw := logoutToken(t, "logout+jwt", jwt.MapClaims{"aud": "shop-client", "sid": nil})
	if got := l.post(t, LogoutPath, formType, form(raw)); got != http.StatusBadRequest {
		t.Errorf("the path of the cluster's providers takes it: %d", got)
	}
	if got := l.post(t, LogoutPath+"/shop", formType, form(raw)); got != http.StatusOK {
		t.Fatalf("status %d", got)
	}
	for host, want := range map[string]string{"own.example.com": "TokenRevoked", "corp.example.com": "Allowed"} {
		if got := l.reason(t, host, nil); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
	later := jwt.MapClaims{"iat": worldNow.Unix() + 1}
	if got := l.reason(t, "own.example.com", later); got != "Allowed" {
		t.Errorf("signed in again: %s", got)
	}
}

func TestLogoutRefuses(t *testing.T) {
	l := newLeaving(t)
	good := func(jti string) string { return logoutToken(t, "logout+jwt", jwt.MapClaims{"jti": jti}) }
	for _, tt := range []struct {
		name, path, contentType, body string
		want                          int
		result                        string // of the metric; "": it is not counted
	}{
		{"no token", LogoutPath, formType, "", 400, logoutInvalid},
		{"an empty token", LogoutPath, formType, "logout_token=", 400, logoutInvalid},
		{"two tokens", LogoutPath, formType, form(good("a")) + "&" + form(good("b")), 400, logoutInvalid},
		{"another field", LogoutPath, formType, "token=" + good("a"), 400, logoutInvalid},
		{"a form that cannot be read", LogoutPath, formType, "logout_token=%zz", 400, logoutInvalid},
		{"no form", LogoutPath, "application/json", `{"logout_token":"x"}`, 400, logoutInvalid},
		{"no content type", LogoutPath, "", form(good("a")), 400, logoutInvalid},
		{"a token in the query", LogoutPath + "?" + form(good("a")), formType, "", 400, logoutInvalid},
		{"too long", LogoutPath, formType, form(strings.Repeat("a", 40<<10)), 400, logoutInvalid},
		{"a token of access", LogoutPath, formType, form(mint(t, nil)), 400, logoutInvalid},
		{"of another issuer", LogoutPath, formType, form(logoutToken(t, "JWT", jwt.MapClaims{"iss": "https://far.example.com"})), 400, logoutInvalid},
		{"for another client", LogoutPath, formType, form(logoutToken(t, "JWT", jwt.MapClaims{"aud": "x"})), 400, logoutInvalid},
		{"a typ that this provider does not use", LogoutPath + "/shop", formType, form(logoutToken(t, "JWT", jwt.MapClaims{"aud": "shop-client"})), 400, logoutInvalid},
		{"a namespace without such a provider", LogoutPath + "/bank", formType, form(good("a")), 400, logoutInvalid},
		{"no keys", LogoutPath + "/far", formType, form(good("a")), 400, logoutFailed},
		{"another path", "/", formType, form(good("a")), 404, ""},
		{"a path below", LogoutPath + "/shop/own", formType, form(good("a")), 404, ""},
		{"an escaped path", LogoutPath + "/shop%2Fx", formType, form(good("a")), 404, ""},
		{"no namespace", LogoutPath + "/", formType, form(good("a")), 404, ""},
		{"as it should be, typ JWT", LogoutPath, formType, form(logoutToken(t, "JWT", jwt.MapClaims{"jti": "typ"})), 200, logoutRevoked},
		{"as it should be", LogoutPath, formType, form(good("once")), 200, logoutRevoked},
		{"the same once more", LogoutPath, formType, form(good("once")), 400, logoutRepeated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before, kept := l.count(tt.result), len(l.kept)
			if got := l.post(t, tt.path, tt.contentType, tt.body); got != tt.want {
				t.Errorf("status %d, want %d", got, tt.want)
			}
			if after := l.count(tt.result); tt.result != "" && after != before+1 {
				t.Errorf("%s is counted %v times", tt.result, after-before)
			}
			if (len(l.kept) > kept) != (tt.want == 200) {
				t.Errorf("%d are kept", len(l.kept)-kept)
			}
		})
	}
	if strings.Contains(l.logged(), good("once")) || strings.Contains(l.logged(), "alice") {
		t.Error("the log holds a token, or what it says")
	}
}

func (l *leaving) count(result string) float64 {
	return testutil.ToFloat64(l.results.WithLabelValues(result))
}

func TestLogoutTakesPostOnly(t *testing.T) {
	l := newLeaving(t)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodOptions} {
		r := httptest.NewRequestWithContext(t.Context(), method, LogoutPath, nil)
		w := httptest.NewRecorder()
		l.ServeHTTP(w, r)
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodPost {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}

// TestLogoutThatCannotBeKept is refused, and may be tried again with the same token.
func TestLogoutThatCannotBeKept(t *testing.T) {
	l := newLeaving(t)
	body := form(logoutToken(t, "logout+jwt", nil))
	l.fail = errors.New("no room")
	if got := l.post(t, LogoutPath, formType, body); got != http.StatusBadRequest || l.count(logoutFailed) != 1 {
		t.Fatalf("status %d", got)
	}
	l.fail = nil
	if got := l.post(t, LogoutPath, formType, body); got != http.StatusOK {
		t.Fatalf("status %d once it can be kept", got)
	}
}

// TestUsedLogoutTokensAreForgottenInTime: long after nobody believes them any more, and not before.
func TestUsedLogoutTokensAreForgottenInTime(t *testing.T) {
	var u usedOnce
	key := usedKey{"corp", "l1"}
	for _, step := range []struct {
		after time.Duration
		used  bool
	}{{0, false}, {0, true}, {usedFor - time.Second, true}, {usedFor, true}, {2*usedFor - time.Second, true}, {5 * usedFor, false}} {
		if used, full := u.use(key, worldNow.Add(step.after)); used != step.used || full {
			t.Errorf("after %s: used %v, want %v", step.after, used, step.used)
		}
	}
	if usedFor < token.MaxLogoutAge+2*time.Minute {
		t.Error("it may be believed for longer than it is remembered")
	}
}

// TestLogoutsOfANamespaceAreBounded: whose keys a tenant may have made, and so any number of logout tokens.
func TestLogoutsOfANamespaceAreBounded(t *testing.T) {
	l := newLeaving(t)
	var many []token.Revocation
	for i := range MaxNamespaceLogouts {
		many = append(many, token.Revocation{Scope: token.RevocationScope{Issuer: "https://id.example.com", Namespace: "shop"}, Value: fmt.Sprint(i), Expires: worldNow.Add(time.Hour)})
	}
	l.set.Put(revocation.FromLogout, "many", l.set.Digest(many), worldNow)
	body := form(logoutToken(t, "logout+jwt", jwt.MapClaims{"aud": "shop-client"}))
	if got := l.post(t, LogoutPath+"/shop", formType, body); got != http.StatusBadRequest || l.count(logoutLimited) != 1 {
		t.Errorf("status %d over the bound", got)
	}
	if got := l.post(t, LogoutPath, formType, form(logoutToken(t, "logout+jwt", nil))); got != http.StatusOK {
		t.Errorf("status %d of the cluster's provider", got)
	}
	l.set.Prune(worldNow.Add(2 * time.Hour))
	if got := l.post(t, LogoutPath+"/shop", formType, body); got != http.StatusOK {
		t.Errorf("status %d when those have ended", got)
	}
}

// TestLogoutsAreLimited: of a flood only so many are verified, and what is over is refused at once.
func TestLogoutsAreLimited(t *testing.T) {
	l := newLeaving(t)
	for i := range logoutBurst + 5 {
		want := http.StatusBadRequest
		if got := l.post(t, LogoutPath, formType, "logout_token=x"); got != want {
			t.Fatalf("%d: status %d", i, got)
		}
	}
	if got := l.count(logoutLimited); got != 5 {
		t.Errorf("%v are over the rate, want 5", got)
	}
	if got := l.post(t, LogoutPath+"/shop", formType, form(logoutToken(t, "logout+jwt", jwt.MapClaims{"aud": "shop-client"}))); got != http.StatusOK {
		t.Errorf("another path suffers: %d", got)
	}
	for range logoutsInFlight {
		l.slots <- struct{}{}
	}
	if got := l.post(t, LogoutPath+"/shop", formType, "logout_token=x"); got != http.StatusBadRequest || l.count(logoutLimited) != 6 {
		t.Errorf("status %d with all slots taken", got)
	}
}

// TestLogoutNeedsASnapshot: before there is one nobody is believed.
func TestLogoutNeedsASnapshot(t *testing.T) {
	l := newLeaving(t)
	l.snapshot.Store(nil)
	if got := l.post(t, LogoutPath, formType, form(logoutToken(t, "logout+jwt", nil))); got != http.StatusBadRequest {
		t.Errorf("status %d", got)
	}
	if _, err := NewLogout(LogoutConfig{Snapshot: new(atomic.Pointer[policy.Snapshot])}); err == nil {
		t.Error("an endpoint that keeps nothing")
	}
}

// TestStaleRevocationsRefuse: while nobody knows who has left, tokens of providers that tell are refused, and no others.
func TestStaleRevocationsRefuse(t *testing.T) {
	l := newLeaving(t)
	l.set.Fresh(worldNow)
	if got := l.reason(t, "corp.example.com", nil); got != "RevocationsUnavailable" {
		t.Errorf("it is %s", got)
	}
	l.set.Fresh(worldNow.Add(time.Second))
	if got := l.reason(t, "corp.example.com", nil); got != "Allowed" {
		t.Errorf("known again, it is %s", got)
	}
	plain := newWorld(t, func(c *Config) { c.Revocations = l.set })
	l.set.Fresh(time.Time{})
	if got := meta(plain.check(t, ask("GET", "https://orders.example.com/optional", "authorization: Bearer "+mint(t, nil))), "reason"); got != "Allowed" {
		t.Errorf("a provider that tells of no logouts: %s", got)
	}
}

// FuzzLogoutForm's law: whatever is posted, the answer is 400 and nothing is kept, unless it holds the one good token.
func FuzzLogoutForm(f *testing.F) {
	l := newLeaving(f)
	good := logoutToken(f, "logout+jwt", nil)
	for _, body := range []string{form(good), "logout_token=x&logout_token=y", "a=b;logout_token=" + good, "%", "logout_token=" + good + "&a=%gg", ""} {
		f.Add(formType, body)
	}
	f.Add("multipart/form-data; boundary=x", "--x\r\n")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		l.used, l.kept = usedOnce{}, nil
		clear(l.limits)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, LogoutPath, io.NopCloser(strings.NewReader(body)))
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		l.ServeHTTP(w, r)
		form, err := url.ParseQuery(body)
		whole := err == nil && len(form["logout_token"]) == 1 && form.Get("logout_token") == good
		if (w.Code == http.StatusOK) != (len(l.kept) == 1) || w.Code == http.StatusOK && !whole || w.Code != http.StatusOK && w.Code != http.StatusBadRequest {
			t.Fatalf("status %d, kept %d", w.Code, len(l.kept))
		}
	})
}
