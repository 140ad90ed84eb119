package controller

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

// TestFaultOfTheCompilerLeavesWhatIsInForce: no policy ends the process, one alone or one among so many that other
// goroutines compile them; the last snapshot stays, and what comes next is compiled as ever.
func TestFaultOfTheCompilerLeavesWhatIsInForce(t *testing.T) {
	for _, among := range []int{0, 300} {
		t.Run(fmt.Sprintf("among %d", among), func(t *testing.T) {
			var good []*v1alpha1.AuthPolicy
			for i := range among {
				p := &v1alpha1.AuthPolicy{}
				p.Namespace, p.Name = "default", fmt.Sprintf("p%d", i)
				good = append(good, p)
			}
			objects := good
			var snapshot atomic.Pointer[policy.Snapshot]
			registry := prometheus.NewRegistry()
			p, err := NewPublisher(PublisherConfig{
				List: func(context.Context) (*Listing, error) {
					return &Listing{Objects: policy.Objects{AuthPolicies: objects}}, nil
				},
				Snapshot: &snapshot, Metrics: registry,
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Publish(t.Context()); err != nil {
				t.Fatal(err)
			}
			before := snapshot.Load()
			objects = nil
			for _, o := range good {
				objects = append(objects, o.DeepCopy()) // which is compiled anew
			}
			objects = append(objects, nil) // as no listing has, so that the compiler panics
			if err := p.Publish(t.Context()); err == nil || !strings.Contains(err.Error(), "fault of Sallyport's") {
				t.Errorf("got %v", err)
			}
			if snapshot.Load() != before {
				t.Error("another snapshot is in force")
			}
			if n := testutil.ToFloat64(p.metrics.failures); n != 1 {
				t.Errorf("%v failures are counted", n)
			}
			objects = good
			if err := p.Publish(t.Context()); err != nil || snapshot.Load() == before || snapshot.Load() == nil {
				t.Errorf("after it: %v", err)
			}
		})
	}
}
