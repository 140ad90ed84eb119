package envoy

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/cmd/demo"
)

// TestResourceMetadata goes the way of an MCP client: it is refused, finds the metadata where the challenge says, and
// learns there whom to ask for a token. Envoy serves what ext_authz answers with 200, and the application sees none of it.
func TestResourceMetadata(t *testing.T) {
	w := newWorld(t, []string{"mcp.yaml"})
	e := w.edge(t, demo.EnvoyConfig{})
	a := do(t, e.Address(), call{host: "mcp.test", target: "/mcp"})
	const metadata = "https://mcp.test/.well-known/oauth-protected-resource/mcp"
	want := map[string]string{"realm": "shop", "resource_metadata": metadata}
	if diff := cmp.Diff(want, challenge(t, a.header.Values("WWW-Authenticate"))); diff != "" || a.status != 401 {
		t.Fatalf("status %d, challenge (-want +got):\n%s", a.status, diff)
	}
	target := "/.well-known/oauth-protected-resource/mcp"
	for _, test := range []struct {
		name string
		call call
		body bool
	}{
		{"GET", call{target: target}, true},
		{"HEAD", call{method: "HEAD", target: target}, false},
		{"with a token that nobody looks at", call{target: target, token: "x"}, true},
		{"with a query", call{target: target + "?a=<b>"}, true},
		{"on a port", call{host: "mcp.test:8443", target: target}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.call.host == "" {
				test.call.host = "mcp.test"
			}
			a := do(t, e.Address(), test.call)
			h := a.header
			got := []string{h.Get("Content-Type"), h.Get("Cache-Control"), h.Get("Access-Control-Allow-Origin"), h.Get("X-Sallyport-Decision-Id"), h.Get("X-Help"), a.reason()}
			if diff := cmp.Diff([]string{"application/json", "public, max-age=300", "*", "", "", "ResourceMetadata"}, got); diff != "" || a.status != 200 {
				t.Errorf("status %d, headers (-want +got):\n%s", a.status, diff)
			}
			if !test.body {
				if a.body != "" {
					t.Errorf("HEAD got the body %q", a.body)
				}
				return
			}
			var document map[string]any
			if err := json.Unmarshal([]byte(a.body), &document); err != nil {
				t.Fatalf("%v: %s", err, a.body)
			}
			want := map[string]any{
				"resource": "https://mcp.test/mcp", "authorization_servers": []any{w.issuer.URL()}, "scopes_supported": []any{"tools"},
				"bearer_methods_supported": []any{"header"}, "resource_name": "Tools & <more>",
			}
			if diff := cmp.Diff(want, document); diff != "" {
				t.Errorf("document (-want +got):\n%s", diff)
			}
		})
	}
	for _, c := range []call{{method: "POST", target: target}, {target: "/.well-known/oauth-protected-resource"}, {target: target + "/x"}} {
		c.host = "mcp.test"
		if a := do(t, e.Address(), c); a.status != 403 || a.reason() != "NoRule" {
			t.Errorf("%s %s: status %d, reason %s", c.method, c.target, a.status, a.reason())
		}
	}
}

// TestStepUp shows the challenge that a client gets whose user must sign in better, and that a better login passes.
func TestStepUp(t *testing.T) {
	w := newWorld(t, []string{"mcp.yaml"})
	e := w.edge(t, demo.EnvoyConfig{})
	good := map[string]any{"acr": "phr", "amr": []string{"pin", "hwk"}, "auth_time": time.Now().Add(-time.Minute).Unix()}
	ask := func(change string, to any) answer {
		claims := map[string]any{}
		for name, value := range good {
			claims[name] = value
		}
		if change != "" {
			claims[change] = to
		}
		return do(t, e.Address(), call{host: "mcp.test", target: "/mcp/delete", token: w.token(t, claims)})
	}
	if a := ask("", nil); !a.passed() {
		t.Errorf("a good login: status %d, reason %s", a.status, a.reason())
	}
	for _, test := range []struct {
		name, claim string
		to          any
	}{
		{"another class", "acr", "pwd"},
		{"no class", "acr", nil},
		{"no key", "amr", []string{"pin"}},
		{"an old login", "auth_time", time.Now().Add(-time.Hour).Unix()},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := ask(test.claim, test.to)
			want := map[string]string{
				"realm": "shop", "error": "insufficient_user_authentication", "acr_values": "urn:example:mfa phr", "max_age": "900",
				"resource_metadata": "https://mcp.test/.well-known/oauth-protected-resource/mcp",
			}
			if diff := cmp.Diff(want, challenge(t, a.header.Values("WWW-Authenticate"))); diff != "" || a.status != 401 || a.reason() != "InsufficientUserAuthentication" {
				t.Errorf("status %d, reason %s, challenge (-want +got):\n%s", a.status, a.reason(), diff)
			}
		})
	}
}
