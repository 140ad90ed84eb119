package kube_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/controller"
)

const manyPolicies = 10_000

// BenchmarkPropagation edits one of many policies at a time, and measures from the API server's answer to the changed
// verdict. It prints the percentiles; one operation is one edit. Beside them stands when a watch of the benchmark's own
// had the event: what the machine and the API server take, whatever Sallyport does.
//
//	SALLYPORT_KUBE_ASSETS=$PWD/bin go test ./test/kube -run - -bench Propagation -benchtime 500x -timeout 30m
func BenchmarkPropagation(b *testing.B) {
	assets := os.Getenv(assetsVariable)
	if assets == "" {
		b.Skip(assetsVariable + " does not name the folder of kube-apiserver and etcd")
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
	p := newPropagation(b, c, manyPolicies)
	for _, writing := range []bool{true, false} {
		if !writing { // until the first status of each is written, which takes a while
			waitQuiet(b, p.replica)
		}
		b.Run(fmt.Sprintf("statusBacklog=%t", writing), func(b *testing.B) {
			for b.Loop() {
				p.edit(b)
			}
			for name, value := range p.figures(b) {
				b.ReportMetric(value, name)
			}
		})
	}
	fmt.Println(p)
}

// TestPropagationIsMeasured runs what the benchmark does, with few policies, so that it is known to measure; and prints.
func TestPropagationIsMeasured(t *testing.T) {
	c := startCluster(t)
	p := newPropagation(t, c, 200)
	const edits = 20
	for range edits {
		p.edit(t)
	}
	if len(p.took) != edits || len(p.came) != edits {
		t.Errorf("%d edits, of which %d were in force and %d were seen", edits, len(p.took), len(p.came))
	}
	t.Log(p, p.figures(t))
}

// propagation is a replica with many policies, of which one is edited at a time.
type propagation struct {
	*replica
	cluster  *cluster
	policies []*v1alpha1.AuthPolicy
	begun    time.Duration // from the start to the first snapshot with all of them
	edits    int
	events   <-chan event
	// took is how long after the answer edits were in force, came how long after it the benchmark's own watch saw them.
	took, came []time.Duration
	cpu        time.Duration // of this process until the first of these
}

// event is when a version of a policy came to a watch.
type event struct {
	version string
	at      time.Time
}

// newPropagation creates n policies, in a namespace that was granted their hosts, and starts a replica.
func newPropagation(t testing.TB, c *cluster, n int) *propagation {
	t.Helper()
	fast := rest.CopyConfig(c.config)
	fast.QPS = -1
	watching, err := client.NewWithWatch(fast, client.Options{Scheme: c.client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	c.client = watching
	grant := `[{"op":"add","path":"/metadata/annotations","value":{"` + v1alpha1.HostsAnnotation + `":"*.example.com"}}]`
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if err := c.client.Patch(context.Background(), ns, client.RawPatch(types.JSONPatchType, []byte(grant))); err != nil {
		t.Fatal(err)
	}
	p := &propagation{cluster: c, policies: createMany(t, c, n), events: watchPolicies(t, watching)}
	started := time.Now()
	p.replica = startReplica(t, c, "default", func(config *controller.ClusterConfig) {
		config.LookInterval, config.Options.HostGrants = 0, true
	})
	c.waitUntil(t, "the first snapshot", func(context.Context) error {
		s := p.snapshot.Load()
		if s == nil {
			return fmt.Errorf("it is not there")
		}
		if got := s.Stats().Policies; got != n {
			t.Errorf("the first snapshot has %d of %d policies", got, n)
		}
		return nil
	})
	p.begun = time.Since(started)
	return p
}

// watchPolicies sends when each event comes, from a moment before it returns.
func watchPolicies(t testing.TB, c client.WithWatch) <-chan event {
	t.Helper()
	now := &v1alpha1.AuthPolicyList{}
	if err := c.List(context.Background(), now, client.Limit(1)); err != nil {
		t.Fatal(err)
	}
	w, err := c.Watch(context.Background(), &v1alpha1.AuthPolicyList{}, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: now.ResourceVersion}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	out := make(chan event, 4*manyPolicies) // statuses are events too
	go func() {
		defer close(out)
		for e := range w.ResultChan() {
			if p, ok := e.Object.(*v1alpha1.AuthPolicy); ok {
				out <- event{p.ResourceVersion, time.Now()}
			}
		}
	}()
	return out
}

// edit edits one policy, and waits until that is in force.
func (p *propagation) edit(t testing.TB) {
	t.Helper()
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	o := p.policies[(p.edits*7919)%len(p.policies)]
	p.edits++
	access := v1alpha1.AccessDenied
	if *o.Spec.Rules[0].Access == access {
		access = v1alpha1.AccessPublic
	}
	if len(p.took) == 0 {
		p.cpu = cpuTime(t)
	}
	patch := fmt.Sprintf(`[{"op":"replace","path":"/spec/rules/0/access","value":%q}]`, access)
	if err := p.cluster.client.Patch(context.Background(), o, client.RawPatch(types.JSONPatchType, []byte(patch))); err != nil {
		t.Fatal(err)
	}
	answered := time.Now()
	for p.ask("https://"+o.Spec.Hosts[0]+"/") != string(access) {
		if time.Since(answered) > 20*time.Second {
			t.Fatalf("%s is not in force", o.Name)
		}
		<-tick.C
	}
	p.took = append(p.took, time.Since(answered))
	for e := range p.events {
		if e.version == o.ResourceVersion {
			p.came = append(p.came, max(0, e.at.Sub(answered)))
			return
		}
	}
	t.Fatal("the watch of the benchmark has ended")
}

// figures are those of the edits since they were last asked for, in milliseconds. cpu-ms is what this process took for
// each, the replica with its status and its garbage and the benchmark itself: no machine makes that less, and a busy one
// little more.
func (p *propagation) figures(t testing.TB) map[string]float64 {
	t.Helper()
	out := map[string]float64{"cpu-ms": (cpuTime(t) - p.cpu).Seconds() * 1000 / float64(len(p.took))}
	for name, list := range map[string][]time.Duration{"": p.took, "event-": p.came} {
		slices.Sort(list)
		for share, of := range map[float64]string{0.5: "p50", 0.9: "p90", 0.99: "p99", 1: "max"} {
			out[name+of+"-ms"] = float64(list[int(share*float64(len(list)-1))].Microseconds()) / 1000
		}
	}
	p.took, p.came = nil, nil
	return out
}

// cpuTime is that of this process so far.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// String is what there is to say beside the edits.
func (p *propagation) String() string {
	compiles, seconds := p.compiles()
	return fmt.Sprintf("%d policies in force %s after the start; heap %d MiB; %d compiles, %.1f ms each",
		len(p.policies), p.begun.Round(time.Millisecond), heapMiB(), compiles, 1000*seconds/float64(compiles))
}

// compiles are those of the replica so far, and how long they took in all.
func (p *propagation) compiles() (n uint64, seconds float64) {
	families, err := p.registry.Gather()
	if err != nil {
		return 0, 0
	}
	for _, f := range families {
		if f.GetName() == "sallyport_compile_duration_seconds" {
			h := f.GetMetric()[0].GetHistogram()
			n, seconds = h.GetSampleCount(), h.GetSampleSum()
		}
	}
	return n, seconds
}

func createMany(t testing.TB, c *cluster, n int) []*v1alpha1.AuthPolicy {
	t.Helper()
	out := make([]*v1alpha1.AuthPolicy, n)
	var group sync.WaitGroup
	const workers = 16
	for w := range workers {
		group.Go(func() {
			for i := w; i < len(out); i += workers {
				out[i] = newPolicy("default", fmt.Sprintf("p%05d", i))
				if err := c.client.Create(context.Background(), out[i]); err != nil {
					t.Error(err)
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
