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
