package envoy

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sallyport/sallyport/cmd/demo"
)

// TestOverload has more requests under way than Sallyport takes, which is one. The others are refused at once, and by an
// answer: with failure_mode_allow an error would let them in.
func TestOverload(t *testing.T) {
	w := newWorld(t, []string{"reasons.yaml"}, "--max-in-flight=1")
	e := w.edge(t, demo.EnvoyConfig{Concurrency: 2, Authz: demo.AuthzConfig{FailureModeAllow: true}})
	// A token of an unknown key waits for a fetch of keys that does not end.
	w.issuer.SetFault(demo.Fault{Hang: true})
	slow := call{host: "shop.test", target: "/any", token: w.token(t, nil, demo.WithHeader("kid", "nobody"))}.String()
	var waited, refused atomic.Int64
	var walkers sync.WaitGroup
	for range 4 {
		walkers.Go(func() {
			for !t.Failed() && (waited.Load() == 0 || refused.Load() < 20) {
				a, err := send(e.Address(), slow)
				switch {
				case err != nil:
					t.Errorf("no answer: %v", err)
				case a.reason() == "UnknownKey" && a.status == http.StatusUnauthorized:
					waited.Add(1)
				case a.reason() == "Overloaded" && a.status == http.StatusServiceUnavailable && a.header.Get("X-Sallyport-Decision-Id") != "":
					refused.Add(1)
				default:
					t.Errorf("status %d, reason %q, headers %v", a.status, a.reason(), a.header)
				}
			}
		})
	}
	walkers.Wait()
	t.Logf("%d waited, %d were refused", waited.Load(), refused.Load())
	if n := authzCounter(t, e, "error"); n != 0 {
		t.Errorf("Envoy counts %d errors", n)
	}
	if a := do(t, e.Address(), call{host: "shop.test", target: "/any", token: w.token(t, nil)}); a.reason() != "Allowed" {
		t.Errorf("afterwards: status %d, reason %s", a.status, a.reason())
	}
}

// TestCircuitBreaker has more Checks under way than the cluster's circuit breaker lets through, which is one. Envoy does
// not ask about the others, and takes that for an error: it lets them in where failure_mode_allow says so.
func TestCircuitBreaker(t *testing.T) {
	w := newWorld(t, []string{"guarded.yaml"})
	for name, tt := range map[string]struct {
		allow bool
		want  int
	}{
		"failure mode allow off": {allow: false, want: http.StatusServiceUnavailable},
		"failure mode allow on":  {allow: true, want: http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			config := demo.EnvoyConfig{Upstream: w.upstream.Address(), Authz: demo.AuthzConfig{
				Address: w.sallyport.GRPCAddress(), Timeout: authzTimeout, FailureModeAllow: tt.allow,
			}}
			e := startEditedEnvoy(t, config, narrow)
			request := call{host: "guarded.test", target: "/"}.String()
			var asked, unasked atomic.Int64
			var walkers sync.WaitGroup
			for range 8 {
				walkers.Go(func() {
					for !t.Failed() && (asked.Load() == 0 || unasked.Load() < 5) {
						a, err := send(e.address, request)
						switch decided := a.header.Get("X-Sallyport-Decision-Id") != ""; {
						case err != nil:
							t.Errorf("no answer: %v", err)
						case decided && a.status != http.StatusOK:
							asked.Add(1)
						case !decided && a.status == tt.want:
							unasked.Add(1)
						default:
							t.Errorf("status %d, headers %v", a.status, a.header)
						}
					}
				})
			}
			walkers.Wait()
			if n := e.counter(t, "cluster.sallyport.upstream_rq_active_overflow"); n != int(unasked.Load()) {
				t.Errorf("Envoy counts %d of %d that it did not ask about", n, unasked.Load())
			}
		})
	}
}

// narrow gives Envoy's cluster for Sallyport a circuit breaker of one request, and an error the status that docs/envoy.md
// recommends.
func narrow(node map[string]any) {
	if _, ok := node["failure_mode_allow"]; ok {
		node["status_on_error"] = map[string]any{"code": "ServiceUnavailable"}
	}
	if node["name"] == "sallyport" && node["load_assignment"] != nil {
		node["circuit_breakers"] = map[string]any{"thresholds": []any{map[string]any{"max_requests": 1}}}
	}
}
