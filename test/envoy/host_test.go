package envoy

import (
	"net/http"
	"testing"

	"github.com/sallyport/sallyport/cmd/demo"
)

// TestHostWithPortAndDot shows what docs/envoy.md says of Envoy's two settings for such hosts: without them Envoy has no
// route for what Sallyport reads as the same host; with them it has, and the application is told the host alone.
func TestHostWithPortAndDot(t *testing.T) {
	w := newWorld(t, []string{"reasons.yaml"})
	for name, tt := range map[string]struct {
		strip bool
		host  string // that the client names
		want  int
	}{
		"plain":                   {false, "shop.test", http.StatusOK},
		"final dot and port":      {false, "shop.test.:8443", http.StatusNotFound},
		"final dot":               {false, "shop.test.", http.StatusNotFound},
		"port":                    {false, "shop.test:8443", http.StatusNotFound},
		"both are taken off":      {true, "shop.test.:8443", http.StatusOK},
		"the dot is taken off":    {true, "shop.test.", http.StatusOK},
		"the port is taken off":   {true, "shop.test:8443", http.StatusOK},
		"nothing to be taken off": {true, "shop.test", http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			config := demo.EnvoyConfig{Upstream: w.upstream.Address(), ShowDecision: true, Authz: demo.AuthzConfig{
				Address: w.sallyport.GRPCAddress(), Timeout: authzTimeout,
			}}
			e := startEditedEnvoy(t, config, func(node map[string]any) {
				if node["domains"] != nil {
					node["domains"] = []any{"shop.test"}
				}
				if node["stat_prefix"] == "edge" && tt.strip {
					node["strip_any_host_port"], node["strip_trailing_host_dot"] = true, true
				}
			})
			a := do(t, e.address, call{host: tt.host, target: "/any", token: w.token(t, nil)})
			if a.status != tt.want {
				t.Errorf("status %d, want %d; headers %v", a.status, tt.want, a.header)
			}
			if got := w.upstream.Last().Host; a.status == http.StatusOK && got != "shop.test" {
				t.Errorf("the application was told %q", got)
			}
		})
	}
}
