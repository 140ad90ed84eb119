package idp

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/token"
)

func TestDiscovery(t *testing.T) {
	const openID, oauth = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"
	keys := jwks(t, "a")
	type answer struct {
		status int
		body   string // ISSUER stands for the issuer, HOST for the server's host and port
	}
	good := answer{200, `{"issuer":"ISSUER","jwks_uri":"https://HOST/keys","note":"` + secret + `"}`}
	elsewhere := answer{200, `{"issuer":"ISSUER/","jwks_uri":"https://HOST/keys","note":"` + secret + `"}`}
	tests := []struct {
		name    string
		path    string // of the issuer
		answers map[string]answer
		asked   []string
		want    Reason // empty: keys
	}{
		{name: "OpenID Connect", answers: map[string]answer{openID: good}, asked: []string{openID, "/keys"}},
		{name: "OpenID Connect with a path", path: "/realms/corp", answers: map[string]answer{"/realms/corp" + openID: good}, asked: []string{"/realms/corp" + openID, "/keys"}},
		{name: "issuer with a final slash", path: "/", answers: map[string]answer{openID: good}, asked: []string{openID, "/keys"}},
		{name: "RFC 8414 after 404", answers: map[string]answer{oauth: good}, asked: []string{openID, oauth, "/keys"}},
		{name: "RFC 8414 with a path", path: "/t", answers: map[string]answer{oauth + "/t": good}, asked: []string{"/t" + openID, oauth + "/t", "/keys"}},
		{name: "RFC 8414 after HTML", answers: map[string]answer{openID: {200, "<html>" + secret}, oauth: good}, asked: []string{openID, oauth, "/keys"}},
		{name: "neither", asked: []string{openID, oauth}, want: BadStatus},
		{name: "HTML, then 404", answers: map[string]answer{openID: {200, "<html>" + secret}}, asked: []string{openID, oauth}, want: InvalidDocument},
		{name: "500 ends it", answers: map[string]answer{openID: {500, secret}, oauth: good}, asked: []string{openID}, want: BadStatus},
		{name: "another issuer ends it", answers: map[string]answer{openID: elsewhere, oauth: good}, asked: []string{openID}, want: IssuerMismatch},
		{name: "another issuer in RFC 8414", answers: map[string]answer{oauth: elsewhere}, asked: []string{openID, oauth}, want: IssuerMismatch},
		{name: "too large", answers: map[string]answer{openID: {200, strings.Repeat(" ", maxDiscovery) + "{}"}, oauth: good}, asked: []string{openID}, want: TooLarge},
		{name: "keys over http", answers: map[string]answer{openID: {200, `{"issuer":"ISSUER","jwks_uri":"http://HOST/keys"}`}}, asked: []string{openID, oauth}, want: InvalidDocument},
		{name: "no keys there", answers: map[string]answer{openID: {200, `{"issuer":"ISSUER","jwks_uri":"https://HOST/none"}`}}, asked: []string{openID, "/none"}, want: BadStatus},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var mu sync.Mutex
			var asked []string
			server, p := identityProvider(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				asked = append(asked, r.URL.Path)
				mu.Unlock()
				if r.URL.Path == "/keys" {
					_, _ = w.Write(keys)
					return
				}
				a, ok := tt.answers[r.URL.Path]
				if !ok {
					http.NotFound(w, r)
					return
				}
				w.WriteHeader(a.status)
				_, _ = w.Write([]byte(strings.NewReplacer("ISSUER", "https://"+r.Host+tt.path, "HOST", r.Host).Replace(a.body)))
			}))
			p.Remote.Discovery, p.Remote.URL, p.Remote.Issuer = true, "", server.URL+tt.path
			_, status, logged := outcome(t, p, Config{AllowLoopback: true})
			mu.Lock()
			defer mu.Unlock()
			if diff := cmp.Diff(tt.asked, asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			if tt.want != "" {
				checkFailure(t, tt.want, status, logged)
			} else if status.Err != nil || !status.Ready {
				t.Errorf("status %+v, want keys", status)
			}
		})
	}
}

func TestDiscoveryNeedsAnIssuerThatIsAURL(t *testing.T) {
	for _, issuer := range []string{"", "accounts.example.com", "https://id.example.com?a=b", "https://id.example.com?", "https://id.example.com#a", "http://127.0.0.1"} {
		t.Run(issuer, func(t *testing.T) {
			p := &token.Provider{Name: "p", Remote: &token.Remote{Discovery: true, Issuer: issuer}}
			_, status, logged := outcome(t, p, Config{})
			checkFailure(t, InvalidURL, status, logged)
		})
	}
}

// The keys are rotated and taken back on a real server, and a thousand callers learn of it with one request.
func TestRotationOverHTTP(t *testing.T) {
	first, second := jwks(t, "a"), jwks(t, "a", "b")
	var body atomic.Pointer[[]byte]
	var requests atomic.Int32
	body.Store(&first)
	_, p := identityProvider(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		_, _ = w.Write(*body.Load())
	}))
	var now atomic.Int64
	k, err := New(Config{AllowLoopback: true, Now: func() time.Time { return time.Unix(now.Load(), 0) }})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	k.Sync([]*token.Provider{p})
	if err := k.WaitTried(t.Context()); err != nil {
		t.Fatal(err)
	}
	set := mustKeys(t, k, p, nil)
	for i, next := range []*[]byte{&second, &first} {
		body.Store(next)
		now.Add(60) // the cool-down
		var callers sync.WaitGroup
		for range 1000 {
			callers.Go(func() {
				if _, err := k.Keys(t.Context(), p, set); err != nil {
					t.Errorf("Keys: %v", err)
				}
			})
		}
		callers.Wait()
		rotated := awaitKeys(t, k, p, set)
		if got := requests.Load(); got != int32(2+i) {
			t.Fatalf("%d requests after rotation %d, want %d", got, i+1, 2+i)
		}
		set = rotated
	}
	wantKeyIDs(t, set, "a")
}

// awaitKeys returns a set other than after, for which one call waits at most 100 ms: too short on a busy machine.
func awaitKeys(t *testing.T, k *Keeper, p *token.Provider, after *token.KeySet) *token.KeySet {
	t.Helper()
	for t.Context().Err() == nil {
		if set := mustKeys(t, k, p, after); set != after {
			return set
		}
	}
	t.Fatal("no other keys came")
	return nil
}

func TestNoConnectionOutlivesItsFetch(t *testing.T) {
	var opened atomic.Int32
	closed := make(chan struct{}, 100)
	body := jwks(t, "a")
	certificate, bundle := certify(t, "localhost", time.Now().Add(time.Hour))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, ".well-known") {
			_, _ = w.Write(discovery("https://"+r.Host, "https://"+r.Host+"/keys"))
			return
		}
		_, _ = w.Write(body)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			opened.Add(1)
		case http.StateClosed:
			closed <- struct{}{}
		}
	}
	server.StartTLS()
	defer server.Close()
	k, err := New(Config{AllowLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	p := &token.Provider{Name: "p", Remote: &token.Remote{Discovery: true, Issuer: server.URL, RootCAs: bundle}}
	k.Sync([]*token.Provider{p})
	if err := k.WaitTried(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustKeys(t, k, p, nil)
	<-closed // the Keeper still runs, and the server is not the one who closes
	if got := opened.Load(); got != 1 {
		t.Errorf("%d connections for discovery and key set, want 1", got)
	}
}
