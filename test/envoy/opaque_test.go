package envoy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/cmd/demo"
)

// register is what a provider knows of its opaque tokens.
type register struct {
	mu     sync.Mutex
	active map[string]string // token to scope
	broken bool
}

func (r *register) revoke(token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.active, token)
}

func (r *register) set(broken bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = broken
}

// ServeHTTP answers about one token (RFC 7662).
func (r *register) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	user, password, _ := req.BasicAuth()
	scope, active := r.active[req.FormValue("token")]
	switch {
	case r.broken:
		w.WriteHeader(http.StatusInternalServerError)
	case user != "sallyport" || password != "s3cret":
		w.WriteHeader(http.StatusUnauthorized)
	case !active:
		_, _ = fmt.Fprint(w, `{"active": false}`) // the error is that of a client that is gone
	default:
		_, _ = fmt.Fprintf(w, `{"active": true, "sub": "alice", "aud": "shop", "scope": %q, "exp": %d}`, scope, time.Now().Add(time.Hour).Unix())
	}
}

// TestOpaqueTokens shows tokens that only their provider can read: good, not enough, unknown, revoked, and such that
// nobody can be asked about. None of it is an error to Envoy, which here lets pass what errs.
func TestOpaqueTokens(t *testing.T) {
	binary(t, "SALLYPORT_ENVOY")
	binary(t, "SALLYPORT_BIN")
	known := &register{active: map[string]string{"good": "orders.read", "poor": "profile"}}
	provider := httptest.NewServer(known)
	t.Cleanup(provider.Close)
	w := &world{issuer: startIssuer(t), upstream: startUpstream(t), folder: t.TempDir()}
	w.write(t, "opaque.yaml", strings.ReplaceAll(testdata(t, "opaque.yaml"), "${INTROSPECT}", provider.URL))
	w.sallyport = startSallyport(t, demo.SallyportConfig{From: []string{w.folder}})
	e := w.edge(t, demo.EnvoyConfig{Authz: demo.AuthzConfig{FailureModeAllow: true}})
	ask := func(token string) answer {
		return do(t, e.Address(), call{host: "shop.test", target: "/orders", token: token})
	}
	check := func(token, reason string, status int) answer {
		t.Helper()
		a := ask(token)
		if a.reason() != reason || a.status != status {
			t.Errorf("token %s: %d %s, want %d %s", token, a.status, a.reason(), status, reason)
		}
		return a
	}
	echo := check("good", "Allowed", 200).echo(t)
	if user := echo.Headers["x-user"]; len(user) != 1 || user[0] != "alice" || echo.Headers["authorization"] != nil {
		t.Errorf("the application received %v", echo.Headers)
	}
	check("poor", "InsufficientScope", 403)
	if a := check("made-up", "TokenInactive", 401); !strings.Contains(a.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
		t.Errorf("challenge %q", a.header.Get("WWW-Authenticate"))
	}
	check(w.token(t, map[string]any{"scope": "orders.read"}), "Allowed", 200) // a JWT of the same provider

	known.revoke("good")
	eventually(t, "the revoked token is refused", func() bool { return ask("good").reason() == "TokenInactive" })
	known.set(true)
	check("unheard-of", "IntrospectionUnavailable", 503)
	known.set(false)
	check("unheard-of-too", "TokenInactive", 401)
	for _, counter := range []string{"error", "failure_mode_allowed", "timeout"} {
		if n := authzCounter(t, e, counter); n != 0 {
			t.Errorf("Envoy counts %d of ext_authz's %s", n, counter)
		}
	}
}
