package policy

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// estate is n policies, each with a host and five rules of its own, behind one provider.
func estate(t testing.TB, n int) Objects {
	t.Helper()
	objs := parse(t, orders)
	template := objs.AuthPolicies[0]
	objs.AuthPolicies = objs.AuthPolicies[:0]
	for i := range n {
		p := template.DeepCopy()
		p.Name = fmt.Sprintf("orders-%d", i)
		p.Namespace = fmt.Sprintf("shop-%d", i%100)
		p.Spec.Hosts = []string{fmt.Sprintf("orders-%d.example.com", i)}
		objs.AuthPolicies = append(objs.AuthPolicies, p)
	}
	return objs
}

// BenchmarkLookup is Lookup and Decide, with a scope and a capture, among as many policies as its name says.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10, 1_000, 100_000} {
		b.Run(fmt.Sprintf("policies=%d", n), func(b *testing.B) {
			s, _ := new(Compiler).Compile(estate(b, n), Options{})
			c := get(fmt.Sprintf("https://orders-%d.example.com/v1/users/alice/cart", n/2)).with(`{"sub":"alice","scope":"a b c"}`)
			req, _ := NewRequest(c.Input)
			l := s.Lookup(req)
			f := c.facts(b, l.Enforced.Trusted())
			b.ReportAllocs()
			for b.Loop() {
				l := s.Lookup(req)
				_ = l.Enforced.Trusted()
				if d := l.Decide(f, Facts{}); !d.Allow {
					b.Fatal(d.Verdict)
				}
			}
		})
	}
}

// BenchmarkDecide is Decide alone, by what the rule asks for.
func BenchmarkDecide(b *testing.B) {
	s := compile(b, orders, Options{})
	for _, tt := range []struct {
		name string
		call call
	}{
		{"public", get("https://orders.example.com/healthz")},
		{"scope", get("https://orders.example.com/v1/orders").with(`{"sub":"alice","scope":"a b orders.read"}`)},
		{"capture", get("https://orders.example.com/v1/users/alice").with(`{"sub":"alice"}`)},
		{"expression", get("https://orders.example.com/admin").with(`{"sub":"a","roles":["admin"],"groups":["sre"],"email_verified":true}`)},
		{"refused", get("https://orders.example.com/v1/users/alice").with(`{"sub":"bob"}`)},
	} {
		b.Run(tt.name, func(b *testing.B) {
			req, _ := NewRequest(tt.call.Input)
			l := s.Lookup(req)
			f := tt.call.facts(b, l.Enforced.Trusted())
			b.ReportAllocs()
			for b.Loop() {
				_ = l.Decide(f, Facts{})
			}
		})
	}
}

// granted are the objects with Namespaces that grant each policy its hosts, half of them by name, half by a wildcard.
func granted(objs Objects) Objects {
	hosts := map[string][]string{}
	for i, p := range objs.AuthPolicies {
		if i%2 == 0 {
			p.Spec.Hosts[0] = fmt.Sprintf("orders-%d.%s.example.com", i, p.Namespace)
			continue
		}
		hosts[p.Namespace] = append(hosts[p.Namespace], p.Spec.Hosts[0])
	}
	for i := range 100 {
		n := new(corev1.Namespace)
		n.Name = fmt.Sprintf("shop-%d", i)
		n.Annotations = map[string]string{v1alpha1.HostsAnnotation: strings.Join(append(hosts[n.Name], "*."+n.Name+".example.com"), ",")}
		objs.Namespaces = append(objs.Namespaces, n)
	}
	return objs
}

// onServices are the objects with the policies attached to a Service each, in place of a host.
func onServices(objs Objects) Objects {
	for _, p := range objs.AuthPolicies {
		s := new(corev1.Service)
		s.Namespace, s.Name = p.Namespace, p.Name
		objs.Services = append(objs.Services, s)
		p.Spec.Hosts, p.Spec.TargetRefs = nil, []v1alpha1.TargetReference{{Kind: "Service", Name: s.Name}}
	}
	return objs
}

// BenchmarkCompile is a whole compile: fresh, and again with one policy edited. The objects come in another order each
// time, and every policy has another age. A fresh compile reports what it keeps in memory for a rule.
func BenchmarkCompile(b *testing.B) {
	const n = 10_000
	for _, tt := range []struct {
		name string
		objs Objects
		opts Options
	}{
		{"hosts", estate(b, n), Options{}},
		{"granted", granted(estate(b, n)), Options{HostGrants: true}},
		{"services", onServices(estate(b, n)), Options{}},
	} {
		for i, p := range tt.objs.AuthPolicies {
			p.CreationTimestamp = metav1.Unix(int64(i*7919%n), 0)
		}
		b.Run(fmt.Sprintf("policies=%d/%s/fresh", n, tt.name), func(b *testing.B) {
			b.ReportAllocs()
			before := heap()
			var c *Compiler
			var s *Snapshot
			for b.Loop() {
				c = new(Compiler)
				s, _ = c.Compile(tt.objs, tt.opts)
			}
			b.ReportMetric(float64(heap()-before)/float64(s.Stats().Rules), "heap-B/rule")
			runtime.KeepAlive(c)
		})
		b.Run(fmt.Sprintf("policies=%d/%s/one-edited", n, tt.name), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			rng.Shuffle(n, func(i, j int) {
				tt.objs.AuthPolicies[i], tt.objs.AuthPolicies[j] = tt.objs.AuthPolicies[j], tt.objs.AuthPolicies[i]
			})
			c := new(Compiler)
			c.Compile(tt.objs, tt.opts)
			b.ReportAllocs()
			for b.Loop() {
				i, j := rng.IntN(n), rng.IntN(n)
				tt.objs.AuthPolicies[i], tt.objs.AuthPolicies[j] = tt.objs.AuthPolicies[j].DeepCopy(), tt.objs.AuthPolicies[i]
				c.Compile(tt.objs, tt.opts)
			}
		})
	}
}

// heap is how many bytes are alive.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestLookupAllocatesNothing holds the promise that a request of usual size, with scopes and a capture, costs no
// allocation between Lookup and Decide.
func TestLookupAllocatesNothing(t *testing.T) {
	s := compile(t, orders, Options{})
	for _, c := range []call{
		get("https://orders.example.com/healthz"),
		get("https://orders.example.com/v1/orders/7").with(`{"sub":"a","scope":"orders.read"}`),
		get("https://orders.example.com/v1/users/alice/").with(`{"sub":"alice"}`),
		get("https://orders.example.com/nowhere").with(`{"sub":"alice"}`),
	} {
		req, _ := NewRequest(c.Input)
		l := s.Lookup(req)
		f := c.facts(t, l.Enforced.Trusted())
		if n := testing.AllocsPerRun(100, func() {
			l := s.Lookup(req)
			_ = l.Enforced.Trusted()
			_ = l.Decide(f, Facts{})
		}); n > 0 {
			t.Errorf("%s: %v allocations", c.Path, n)
		}
	}
}
