package policy

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInParallelCallsForEachOnce(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 65, 128, 1000} {
		calls := make([]atomic.Int32, n)
		inParallel(n, func(i int) { calls[i].Add(1) })
		for i := range calls {
			if got := calls[i].Load(); got != 1 {
				t.Errorf("of %d: %d calls for %d", n, got, i)
			}
		}
	}
}

// TestInParallelPanicsWhereItWasCalled: the publisher and the webhook recover, which they cannot where another goroutine
// panics.
func TestInParallelPanicsWhereItWasCalled(t *testing.T) {
	for _, n := range []int{10, 1000} {
		func() {
			defer func() {
				if fault := recover(); fault == nil || !strings.Contains(fmt.Sprint(fault), "policy 7") {
					t.Errorf("of %d: recovered %v", n, fault)
				}
			}()
			inParallel(n, func(i int) {
				if i == 7 {
					panic("policy 7")
				}
			})
		}()
	}
}

// TestCompileOnSeveralProcessors compiles many policies, which share hosts, on one processor and on several: report and
// answers are the same. The race detector sees whether one policy writes what is another's.
func TestCompileOnSeveralProcessors(t *testing.T) {
	objs := estate(t, 300)
	for i, p := range objs.AuthPolicies {
		p.Namespace = "default"
		p.Spec.Hosts = []string{fmt.Sprintf("orders-%d.example.com", i), fmt.Sprintf("shared-%d.example.com", i%7), fmt.Sprintf("also-%d.example.com", i/2)}
		if i%5 == 0 {
			p.Spec.Rules[1].Require.Scopes = []string{""} // does not compile
		}
	}
	compileOn := func(processors int) (*Snapshot, Report) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
		var c Compiler
		c.Compile(objs, Options{})
		slices.Reverse(objs.AuthPolicies)
		objs.AuthPolicies[0] = objs.AuthPolicies[0].DeepCopy()
		return c.Compile(objs, Options{})
	}
	alone, want := compileOn(1)
	beside, got := compileOn(4)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-one processor +four)\n%s", diff)
	}
	for i := range 300 {
		for _, host := range []string{"orders", "shared", "also"} {
			call := get(fmt.Sprintf("https://%s-%d.example.com/v1/orders", host, i)).with(`{"sub":"a","scope":"orders.read"}`)
			if a, b := call.decide(t, alone), call.decide(t, beside); said(a.Verdict) != said(b.Verdict) || a.Policy != b.Policy {
				t.Errorf("%s-%d: %q of %s on one processor, %q of %s on four", host, i, said(a.Verdict), a.Policy, said(b.Verdict), b.Policy)
			}
		}
	}
}
