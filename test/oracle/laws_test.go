package oracle

import (
	"slices"
	"testing"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

// TestDryRunChangesNoVerdict takes every DryRun rule and policy away, and compares with what was said while they were
// there. Only a host that nobody names any more differs: it was open, and is refused.
func TestDryRunChangesNoVerdict(t *testing.T) {
	n := pairs(t) / 3
	tried := 0
	for seed := uint64(1); tried < n; seed++ {
		d := newDrawer(seed)
		with, draw := d.any()
		with.dryRun = false
		without := with.keep(func(v view, c *claim) bool { return v.counts(c.p, c.rule) })
		a, b := compile(with), compile(without)
		for range each {
			q := draw()
			got, want := a.ask(q).Verdict, b.ask(q).Verdict
			// Where several places could be meant, one without a policy refuses beside the others.
			same := got == want || got.Reason == policy.ReasonDryRun && want.Reason == policy.ReasonNoPolicy
			if len(with.gateways) > 0 {
				same = got.Allow == want.Allow || want.Reason == policy.ReasonNoPolicy
			}
			if !same {
				t.Fatalf("seed %d: %+v with DryRun policies, %+v without\n%s", seed, got, want, describe(t, with, q))
			}
			tried++
		}
	}
}

// TestFaultyRulesOnlyClose takes every rule away that does not compile: what was allowed beside it is allowed without it.
func TestFaultyRulesOnlyClose(t *testing.T) {
	n := pairs(t) / 3
	tried, closed := 0, 0
	for seed := uint64(1); tried < n; seed++ {
		d := newDrawer(seed)
		with := d.world()
		for i, p := range with.policies {
			p.Namespace = "shop" // between namespaces, a rule has a say in who keeps a host
			p.Spec.Rules = slices.Concat(p.Spec.Rules, []v1alpha1.Rule{d.rule(9)})
			with.policies[i] = p
		}
		without := with.keep(func(v view, c *claim) bool { return c.parse() && !v.broken(c) })
		a, b := compile(with), compile(without)
		for range each {
			q := d.question()
			delete(q.headers, "origin") // a preflight lands in two ways, and a rule has a say in which
			got, want := a.ask(q).Verdict, b.ask(q).Verdict
			if got.Allow && !want.Allow && want.Reason != policy.ReasonNoPolicy {
				t.Fatalf("seed %d: %+v beside rules that do not compile, %+v without\n%s", seed, got, want, describe(t, with, q))
			}
			if !got.Allow && want.Allow {
				closed++
			}
			tried++
		}
	}
	if closed == 0 {
		t.Error("no rule that does not compile closed anything")
	}
}

// keep is w with the rules of which every match is to be kept. A policy that is left without any goes, unless it is
// enforced as a whole.
func (w *world) keep(is func(view, *claim) bool) *world {
	v := view{w, false}
	out := *w
	out.policies = nil
	for _, p := range w.policies {
		left := p.DeepCopy()
		left.Spec.Rules = nil
		for i := range p.Spec.Rules {
			r := &p.Spec.Rules[i]
			of := v.siblings(&claim{p: p, rule: r})
			if !slices.ContainsFunc(of, func(c *claim) bool { return !is(v, c) }) {
				left.Spec.Rules = append(left.Spec.Rules, *r)
			}
		}
		if len(left.Spec.Rules) > 0 || !w.tried(p) {
			out.policies = append(out.policies, left)
		}
	}
	return &out
}

// TestNothingIsRemembered compiles the worlds one after the other with one compiler, each twice, in another order, and
// compares with a compiler of its own: a snapshot is a function of the objects.
func TestNothingIsRemembered(t *testing.T) {
	n := pairs(t) / 4
	var kept policy.Compiler
	tried := 0
	for seed := uint64(1); tried < n; seed++ {
		d := newDrawer(seed)
		w := d.world()
		fresh := compile(w)
		first, _ := kept.Compile(w.objects(), w.options())
		slices.Reverse(w.policies)
		slices.Reverse(w.providers)
		second, _ := kept.Compile(w.objects(), w.options())
		for range each {
			q := d.question()
			want := fresh.ask(q).Verdict
			for _, s := range []*policy.Snapshot{first, second} {
				if got := (engine{s}).ask(q).Verdict; got != want {
					t.Fatalf("seed %d: %+v, and by a compiler of its own %+v\n%s", seed, got, want, describe(t, w, q))
				}
			}
			tried++
		}
	}
}
