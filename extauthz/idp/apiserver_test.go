package idp

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/token"
)

const clusterIssuer = "https://kubernetes.default.svc.cluster.local" // where nobody could be reached

// accountsOf is the provider of a cluster's ServiceAccounts.
func accountsOf(issuer string) *token.Provider {
	return &token.Provider{Name: "p", Issuer: issuer, ServiceAccounts: true, Remote: &token.Remote{
		Kubernetes: true, Issuer: issuer, Interval: time.Hour, MinInterval: time.Minute, StaleFor: time.Hour,
	}}
}

// credentialed sends with a credential, as the client of a cluster does.
type credentialed struct{ next http.RoundTripper }

func (c credentialed) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+secret)
	return c.next.RoundTrip(req)
}

func TestKeysOfTheCluster(t *testing.T) {
	keys := jwks(t, "a")
	metadata := discovery(clusterIssuer, "https://10.0.0.1:6443/openid/v1/jwks")
	for _, tt := range []struct {
		name     string
		metadata http.HandlerFunc
		keys     http.HandlerFunc
		want     Reason // empty: keys
	}{
		{name: "as an API server answers", metadata: write(200, "application/json", metadata), keys: write(200, "application/jwk-set+json", keys)},
		{name: "compressed", metadata: encoded("gzip", compressed(t, metadata)), keys: encoded("gzip", compressed(t, keys))},
		{name: "another issuer", metadata: write(200, "application/json", discovery(clusterIssuer+"/", "")), keys: write(200, "", keys), want: IssuerMismatch},
		{name: "no issuer", metadata: write(200, "application/json", []byte(`{"note":"`+secret+`"}`)), want: InvalidDocument},
		{name: "no document", metadata: write(200, "text/html", []byte("<html>"+secret)), want: InvalidDocument},
		{name: "no right", metadata: write(403, "application/json", []byte(secret)), want: Forbidden},
		{name: "no right to the keys", metadata: write(200, "application/json", metadata), keys: write(403, "", []byte(secret)), want: Forbidden},
		{name: "no credentials", metadata: write(401, "application/json", []byte(secret)), want: Forbidden},
		{name: "broken", metadata: write(500, "application/json", []byte(secret)), want: BadStatus},
		{name: "a redirect to the same host", metadata: redirectTo(302, "/elsewhere"), want: RedirectRefused},
		{name: "a redirect of the keys", metadata: write(200, "application/json", metadata), keys: redirectTo(307, "https://evil.example.com/"), want: RedirectRefused},
		{name: "too large", metadata: pour(maxDiscovery + 1), want: TooLarge},
		{name: "no key", metadata: write(200, "application/json", metadata), keys: write(200, "", []byte(`{"keys":[]}`)), want: NoUsableKeys},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var mu sync.Mutex
			var asked []string
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				asked = append(asked, r.URL.Path)
				mu.Unlock()
				if r.Header.Get("Authorization") != "Bearer "+secret {
					t.Error("asked without the credential")
				}
				handler := map[string]http.HandlerFunc{
					"/behind/a/path/.well-known/openid-configuration": tt.metadata, "/behind/a/path/openid/v1/jwks": tt.keys,
				}[r.URL.Path]
				if handler == nil {
					t.Errorf("asked for %s", r.URL.Path)
					return
				}
				handler(w, r)
			}))
			defer server.Close()
			at, err := url.Parse(server.URL + "/behind/a/path")
			if err != nil {
				t.Fatal(err)
			}
			// Loopback is not allowed: that is about the servers that providers name.
			set, status, logged := outcome(t, accountsOf(clusterIssuer), Config{APIServer: &APIServer{at, credentialed{server.Client().Transport}}})
			if tt.want != "" {
				checkFailure(t, tt.want, status, logged)
				return
			}
			if status.Err != nil {
				t.Fatal(status.Err)
			}
			wantKeyIDs(t, set, "a")
			mu.Lock()
			defer mu.Unlock()
			if diff := cmp.Diff([]string{"/behind/a/path/.well-known/openid-configuration", "/behind/a/path/openid/v1/jwks"}, asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestKeysOfAClusterThatIsNotThere(t *testing.T) {
	_, status, logged := outcome(t, accountsOf(clusterIssuer), Config{AllowLoopback: true})
	checkFailure(t, InvalidURL, status, logged)
	server := httptest.NewTLSServer(http.NotFoundHandler())
	at, _ := url.Parse(server.URL)
	server.Close()
	_, status, logged = outcome(t, accountsOf(clusterIssuer), Config{APIServer: &APIServer{at, credentialed{server.Client().Transport}}})
	checkFailure(t, ConnectionFailed, status, logged)
}

// TestAPIServerSendsNowhereElse: whatever is asked of it, the credential stays with one host.
func TestAPIServerSendsNowhereElse(t *testing.T) {
	at, _ := url.Parse("https://10.0.0.1:6443")
	sent := 0
	a := &APIServer{at, roundTripper(func(*http.Request) (*http.Response, error) {
		sent++
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})}
	goes := func(req *http.Request) bool {
		resp, err := a.RoundTrip(req)
		return err == nil && resp.Body.Close() == nil
	}
	for _, target := range []string{
		"http://10.0.0.1:6443/", "https://10.0.0.1/", "https://10.0.0.1:6444/", "https://10.0.0.2:6443/", "https://10.0.0.1.evil.example.com:6443/",
	} {
		if goes(httptest.NewRequestWithContext(t.Context(), "GET", target, nil)) {
			t.Errorf("sent to %s", target)
		}
	}
	req := httptest.NewRequestWithContext(t.Context(), "GET", "https://10.0.0.1:6443/", nil)
	req.Host = "evil.example.com"
	if goes(req) || sent != 0 {
		t.Errorf("sent under another name; %d requests", sent)
	}
	if req.Host = ""; !goes(req) || sent != 1 {
		t.Errorf("not sent to its own; %d requests", sent)
	}
}

// TestRemoteOfTheClusterIsItsOwn: what was fetched from elsewhere is never taken for the cluster's keys, nor the other way
// round.
func TestRemoteOfTheClusterIsItsOwn(t *testing.T) {
	cluster := accountsOf(clusterIssuer).Remote
	elsewhere := *cluster
	elsewhere.Kubernetes, elsewhere.Discovery = false, true
	if samePlace(cluster, &elsewhere) || cluster.ID() == elsewhere.ID() {
		t.Error("discovery at the issuer counts as the cluster")
	}
	if strings.Contains(string(Forbidden), " ") || meanings[Forbidden] == "" {
		t.Error("Forbidden has no meaning")
	}
}
