package kube_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/controller"
)

const manyPolicies = 10_000

// BenchmarkPropagation edits one of many policies at a time, and measures from the API server's answer to the changed
// verdict. It prints the percentiles; one operation is one edit.
//
//	SALLYPORT_KUBE_ASSETS=$PWD/bin go test ./test/kube -run - -bench Propagation -benchtime 500x -timeout 30m
func BenchmarkPropagation(b *testing.B) {
	assets := os.Getenv("SALLYPORT_KUBE_ASSETS")
	if assets == "" {
		b.Skip("SALLYPORT_KUBE_ASSETS does not name the folder of kube-apiserver and etcd")
	}
	c, err := newCluster(assets)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := c.stop(); err != nil {
			b.Error(err)
		}
	})
	fast := rest.CopyConfig(c.config)
	fast.QPS = -1
	if c.client, err = client.New(fast, client.Options{Scheme: c.client.Scheme()}); err != nil {
		b.Fatal(err)
	}
	policies := createMany(b, c)
	started := time.Now()
	r := startReplica(b, c, "default", func(config *controller.ClusterConfig) { config.LookInterval = 0 })
	c.waitUntil(b, "the first snapshot", func(context.Context) error {
		if s := r.snapshot.Load(); s == nil || s.Stats().Policies != manyPolicies {
			return fmt.Errorf("it is not there")
		}
		return nil
	})
	begun := time.Since(started)
	for _, writing := range []bool{true, false} {
		if !writing { // until the first status of each is written, which takes a while
			waitQuiet(b, r)
		}
		b.Run(fmt.Sprintf("statusBacklog=%t", writing), func(b *testing.B) { measure(b, c, r, policies) })
	}
	fmt.Printf("%d policies in force %s after the start; heap %d MiB\n", manyPolicies, begun.Round(time.Millisecond), heapMiB())
}

// measure edits policies one after the other.
func measure(b *testing.B, c *cluster, r *replica, policies []*v1alpha1.AuthPolicy) {
	took := make([]time.Duration, 0, b.N)
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for i := 0; b.Loop(); i++ {
		p := policies[(i*7919)%len(policies)]
		access := v1alpha1.AccessDenied
		if *p.Spec.Rules[0].Access == access {
			access = v1alpha1.AccessPublic
		}
		patch := fmt.Sprintf(`[{"op":"replace","path":"/spec/rules/0/access","value":%q}]`, access)
		if err := c.client.Patch(context.Background(), p, client.RawPatch("application/json-patch+json", []byte(patch))); err != nil {
			b.Fatal(err)
		}
		answered := time.Now()
		for r.ask("https://"+p.Spec.Hosts[0]+"/") != string(access) {
			if time.Since(answered) > 20*time.Second {
				b.Fatalf("%s is not in force", p.Name)
			}
			<-tick.C
		}
		took = append(took, time.Since(answered))
	}
	slices.Sort(took)
	at := func(share float64) float64 {
		return float64(took[int(share*float64(len(took)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.9), "p90-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(at(1), "max-ms")
}

func createMany(b *testing.B, c *cluster) []*v1alpha1.AuthPolicy {
	b.Helper()
	out := make([]*v1alpha1.AuthPolicy, manyPolicies)
	var group sync.WaitGroup
	const workers = 16
	for w := range workers {
		group.Go(func() {
			for i := w; i < len(out); i += workers {
				out[i] = newPolicy("default", fmt.Sprintf("p%05d", i))
				out[i].Spec.Hosts = []string{strings.ToLower(out[i].Name) + ".example.com"}
				access := v1alpha1.AccessPublic
				out[i].Spec.Rules = []v1alpha1.Rule{{Name: "all", Access: &access}}
				if err := c.client.Create(context.Background(), out[i]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	return out
}

// waitQuiet waits until no status was written for a while.
func waitQuiet(b *testing.B, r *replica) {
	b.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last, since := -1.0, time.Now()
	for time.Since(since) < 2*time.Second {
		<-tick.C
		if now := r.metric(b, "sallyport_status_writes_total"); now != last {
			last, since = now, time.Now()
		}
	}
}

func heapMiB() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc >> 20
}
