package policy

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// answer is everything that a snapshot says of one request.
type answer struct {
	Decision
	trusted []string // the providers that would be believed, for the answer and for DryRun
}

func answers(t testing.TB, s *Snapshot, calls []call) []answer {
	t.Helper()
	out := make([]answer, len(calls))
	for i, c := range calls {
		req, reason := NewRequest(c.Input)
		if reason != "" {
			t.Fatalf("%+v: %s", c.Input, reason)
		}
		l := s.Lookup(req)
		for _, candidate := range []*Candidate{&l.Enforced, &l.DryRun} {
			for _, p := range candidate.Trusted() {
				out[i].trusted = append(out[i].trusted, fmt.Sprintf("%s %x", p.Name, p.Fingerprint))
			}
		}
		out[i].Decision = c.decide(t, s)
		slices.Sort(out[i].Remove) // some of it comes from a map of headers
	}
	return out
}

// TestCompileStepByStep is the law of what a Compiler keeps: any sequence of edits, compiled step by step, gives what a
// fresh compile of the same objects gives, in the report and in every answer; and what was published before stays as it
// was.
func TestCompileStepByStep(t *testing.T) {
	seeds, steps := 4, 100
	if testing.Short() {
		seeds, steps = 1, 20
	}
	env := newEnvironment()
	var said sync.Map
	var ran atomic.Int32
	t.Cleanup(func() {
		if ran.Load() < 4 {
			return // -run or -short chose among them
		}
		for _, r := range []Reason{ReasonAllowed, ReasonPublic, ReasonDenied, ReasonNoPolicy, ReasonNoRule, ReasonMissingToken, ReasonInsufficientScope, ReasonNotCompiled, ReasonDryRun} {
			if _, ok := said.Load(r); !ok {
				t.Errorf("no request was answered with %s: the world is too small", r)
			}
		}
	})
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			ran.Add(1)
			w := newWorld(t, seed)
			calls := w.calls()
			kept := Compiler{env: env}
			var before *Snapshot
			var beforeReport Report
			var beforeAnswers []answer
			var beforeText string
			for step := range steps {
				var edits []string
				for range 1 + w.rng.IntN(2) {
					edits = append(edits, w.edit())
				}
				objs := w.objects()
				got, gotReport := kept.Compile(objs, w.opts)
				want, wantReport := (&Compiler{env: env}).Compile(objs, w.opts)
				fail := func(what string, args ...any) {
					t.Helper()
					t.Fatalf("step %d, after\n%s\n%s", step, strings.Join(edits, "\n"), fmt.Sprintf(what, args...))
				}
				if diff := cmp.Diff(wantReport, gotReport); diff != "" {
					fail("the report differs (-fresh +kept):\n%s", diff)
				}
				if want.Stats() != got.Stats() || !slices.Equal(want.IdentityHeaders(), got.IdentityHeaders()) {
					fail("stats %+v and headers %q, fresh %+v and %q", got.Stats(), got.IdentityHeaders(), want.Stats(), want.IdentityHeaders())
				}
				wantAnswers, gotAnswers := answers(t, want, calls), answers(t, got, calls)
				for i, a := range wantAnswers {
					if !reflect.DeepEqual(a, gotAnswers[i]) {
						fail("%+v:\nkept  %+v\nfresh %+v", calls[i].Input, gotAnswers[i], a)
					}
					said.Store(a.Reason, true)
				}
				if before != nil && (!reflect.DeepEqual(beforeAnswers, answers(t, before, calls)) || beforeText != cmp.Diff(Report{}, beforeReport)) {
					fail("what was published before is no longer what it was")
				}
				before, beforeReport, beforeAnswers, beforeText = got, gotReport, gotAnswers, cmp.Diff(Report{}, gotReport)
			}
		})
	}
}

// TestCompileTakesOver shows that a compile after one edit builds what the edit is about, and takes over all else.
func TestCompileTakesOver(t *testing.T) {
	objs := estate(t, 20)
	shared := objs.AuthPolicies[3].DeepCopy()
	shared.Name = "shared"
	objs.AuthPolicies = append(objs.AuthPolicies, shared) // on the host of another policy
	c := new(Compiler)
	before, beforeReport := c.Compile(objs, Options{})
	edited := shared.DeepCopy()
	denied := v1alpha1.AccessDenied
	edited.Spec.Rules[0].Access = &denied
	objs.AuthPolicies[len(objs.AuthPolicies)-1] = edited
	after, afterReport := c.Compile(objs, Options{})
	for host, is := range after.hosts.exact {
		if same, touched := is.all == before.hosts.exact[host].all, slices.Contains(shared.Spec.Hosts, host); same == touched {
			t.Errorf("host %s: the table is the same: %t", host, same)
		}
	}
	for i, r := range afterReport.Objects {
		if same := r == beforeReport.Objects[i]; same == (r.Name == shared.Name || r.Kind != v1alpha1.KindAuthPolicy) {
			t.Errorf("%s: the report is the same: %t", r.ObjectRef, same)
		}
	}
	objs.AuthPolicies = objs.AuthPolicies[:1]
	c.Compile(objs, Options{})
	if len(c.policies) != 1 || len(c.order) != 1 {
		t.Errorf("%d policies, and %d in order, are kept of one", len(c.policies), len(c.order))
	}
}
