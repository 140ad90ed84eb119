package envoy

import (
	"testing"

	"github.com/sallyport/sallyport/cmd/demo"
)

// TestClientAddress shows whose address rules with cidrs judge, and that a client cannot say it itself. The rule far is
// for 10.0.0.0/8, near for this machine.
func TestClientAddress(t *testing.T) {
	for _, mode := range []struct {
		name  string
		args  []string
		envoy demo.EnvoyConfig
		cases map[string]string // X-Forwarded-For, which Envoy adds the connection's address to => the rule that lets in
	}{
		{
			name: "of the connection", args: []string{"--client-address=peer"}, envoy: demo.EnvoyConfig{UseRemoteAddress: true, TrustedHops: 1},
			cases: map[string]string{"": "near", "10.1.2.3": "near", "10.1.2.3, 10.1.2.4": "near", "x": "near"},
		},
		{
			name: "that a balancer in front wrote", args: []string{"--client-address=xff", "--xff-trusted-hops=1"},
			envoy: demo.EnvoyConfig{UseRemoteAddress: true, TrustedHops: 1},
			cases: map[string]string{
				"": "", "10.1.2.3": "far", "10.1.2.3, 192.0.2.1": "", "192.0.2.1, 10.1.2.3": "far", "127.0.0.1": "near", "10.1.2.3\r\nX-Forwarded-For: 192.0.2.1": "",
				"192.0.2.1\r\nX-Forwarded-For: 10.1.2.3": "far", "x": "", "10.1.2.3, x": "", "10.1.2.3, ": "", "10.1.2.3:80": "", "[::ffff:10.1.2.3]": "", "::ffff:10.1.2.3": "far",
				"10.1.2.03": "", "10.1.2": "", "unknown": "", "10.1.2.3, unknown": "",
			},
		},
	} {
		t.Run(mode.name, func(t *testing.T) {
			w := newWorld(t, []string{"reasons.yaml"}, mode.args...)
			for _, raw := range []bool{false, true} {
				mode.envoy.Authz.EncodeRawHeaders = raw
				e := w.edge(t, mode.envoy)
				for forwarded, want := range mode.cases {
					var lines []string
					if forwarded != "" {
						lines = []string{"X-Forwarded-For: " + forwarded}
					}
					for _, rule := range []string{"near", "far"} {
						a := do(t, e.Address(), call{host: "shop.test", target: "/" + rule, header: lines})
						if a.passed() != (rule == want) || !a.passed() && a.reason() != "SourceNotAllowed" {
							t.Errorf("%q, headers raw %t: %s says %d, %s; want %q to let in", forwarded, raw, rule, a.status, a.reason(), want)
						}
					}
				}
			}
		})
	}
}

// TestClientAddressThatEnvoyWrote has Envoy as the only proxy: whatever a client writes makes no difference. For a
// caller on loopback Envoy writes an address of this machine, whichever that is.
func TestClientAddressThatEnvoyWrote(t *testing.T) {
	w := newWorld(t, []string{"reasons.yaml"}, "--client-address=xff")
	e := w.edge(t, demo.EnvoyConfig{UseRemoteAddress: true})
	for _, target := range []string{"/near", "/far"} {
		want := do(t, e.Address(), call{host: "shop.test", target: target}).reason()
		for _, forwarded := range []string{"10.1.2.3", "127.0.0.1", "10.1.2.3,", "x", "\xff", "", "10.1.2.3\r\nX-Forwarded-For: 127.0.0.1"} {
			a := do(t, e.Address(), call{host: "shop.test", target: target, header: []string{"X-Forwarded-For: " + forwarded}})
			if a.reason() != want {
				t.Errorf("%s with X-Forwarded-For: %q: %s, without: %s", target, forwarded, a.reason(), want)
			}
		}
	}
}
