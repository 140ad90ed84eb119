package policy

import (
	"fmt"
	"testing"
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

// BenchmarkCompile is a whole compile: fresh, and again with one policy changed.
func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		objs := estate(b, n)
		b.Run(fmt.Sprintf("policies=%d/fresh", n), func(b *testing.B) {
			for b.Loop() {
				new(Compiler).Compile(objs, Options{})
			}
		})
		b.Run(fmt.Sprintf("policies=%d/one-changed", n), func(b *testing.B) {
			c := new(Compiler)
			c.Compile(objs, Options{})
			for b.Loop() {
				objs.AuthPolicies[0] = objs.AuthPolicies[0].DeepCopy()
				c.Compile(objs, Options{})
			}
		})
	}
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
