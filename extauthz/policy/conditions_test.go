package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// TestConditionsTellEveryProblem: whoever has three mistakes in a policy need not find them one by one.
func TestConditionsTellEveryProblem(t *testing.T) {
	_, r := new(Compiler).Compile(parse(t, `
kind: AuthPolicy
metadata: {name: p, namespace: shop}
spec:
  hosts: [a.com]
  identityProviders: [{name: gone}, {name: lost}]
  rules:
  - {name: fine, matches: [{path: {value: /fine}}], access: Public}
  - {name: one, matches: [{path: {value: /one}}], require: {expressions: [{expression: "claims.x +"}]}}
  - {name: two, matches: [{path: {value: /two}}], require: {claims: [{claim: x, operator: Matches, values: ["("]}]}}
`), Options{})
	for _, tt := range []struct {
		kind, reason string
		want         []string
	}{
		{v1alpha1.ConditionAccepted, v1alpha1.ReasonInvalid, []string{"spec.rules[1].require.expressions[0]", "spec.rules[2].require.claims[0].values[0]"}},
		{v1alpha1.ConditionResolvedRefs, v1alpha1.ReasonRefNotFound, []string{"spec.identityProviders[0]", "spec.identityProviders[1]"}},
		{v1alpha1.ConditionProgrammed, v1alpha1.ReasonRulesClosed, []string{"2 of 3 rules", "one (spec.rules[1])", "two (spec.rules[2])"}},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			c := meta.FindStatusCondition(r.Objects[0].Conditions, tt.kind)
			if c.Reason != tt.reason {
				t.Errorf("reason %q, want %q", c.Reason, tt.reason)
			}
			for _, want := range tt.want {
				if !strings.Contains(c.Message, want) {
					t.Errorf("%q does not tell %q", c.Message, want)
				}
			}
		})
	}
}

// TestConditionsAreBounded: a policy of a hundred mistakes does not fill the API server.
func TestConditionsAreBounded(t *testing.T) {
	faulty := func(n int) Report {
		var rules []string
		for i := range n {
			rules = append(rules, fmt.Sprintf(`{name: r%d, matches: [{path: {value: /r%d}}], require: {expressions: [{expression: "claims.x +"}]}}`, i, i))
		}
		_, r := new(Compiler).Compile(parse(t, "kind: AuthPolicy\nmetadata: {name: p}\nspec: {hosts: [a.com], rules: ["+strings.Join(rules, ", ")+"]}\n"), Options{})
		return r
	}
	for n, want := range map[int]string{maxTold: "", maxTold + 1: "and 1 more"} {
		r := faulty(n)
		for _, kind := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionProgrammed} {
			c := meta.FindStatusCondition(r.Objects[0].Conditions, kind)
			if got := strings.Contains(c.Message, "more"); got != (want != "") || !strings.Contains(c.Message, want) {
				t.Errorf("%d problems, %s: %q", n, kind, c.Message)
			}
		}
	}
	r := faulty(60)
	accepted := meta.FindStatusCondition(r.Objects[0].Conditions, v1alpha1.ConditionAccepted)
	if lines := strings.Split(accepted.Message, "\n"); !strings.Contains(slices.MaxFunc(lines, strings.Compare), "spec.rules") || !strings.Contains(accepted.Message, "and 52 more") {
		t.Errorf("%q", accepted.Message)
	}
	if programmed := meta.FindStatusCondition(r.Objects[0].Conditions, v1alpha1.ConditionProgrammed); !strings.HasSuffix(programmed.Message, "and 52 more, which sallyport validate prints") {
		t.Errorf("%q", programmed.Message)
	}
}

// TestProgrammed tells of each part of a policy that is not in force how much is.
func TestProgrammed(t *testing.T) {
	const services = "kind: Service\nmetadata: {name: one, namespace: shop}\n---\nkind: Service\nmetadata: {name: two, namespace: shop}\n---\n"
	older := strings.Replace(attached("older", "other", "hosts: [b.com]"), "namespace: other", "namespace: other, creationTimestamp: \"2020-01-01T00:00:00Z\"", 1)
	younger := func(spec string) string {
		return strings.Replace(attached("p", "shop", spec), "namespace: shop", "namespace: shop, creationTimestamp: \"2026-01-01T00:00:00Z\"", 1)
	}
	service := func(names ...string) string {
		return "targetRefs: [{kind: Service, name: " + strings.Join(names, "}, {kind: Service, name: ") + "}]"
	}
	for _, tt := range []struct{ name, policy, reason, message string }{
		{"one host", younger("hosts: [a.com]"), v1alpha1.ReasonProgrammed, "Every rule is in force"},
		{"a host that is another's", younger("hosts: [a.com, b.com, c.com]"), v1alpha1.ReasonNotAccepted, "In force on 2 of 3 hosts"},
		{"no host of its own", younger("hosts: [b.com]"), v1alpha1.ReasonNotAccepted, "In force on 0 of 1 hosts"},
		{"two Services", younger(service("one", "two")), v1alpha1.ReasonProgrammed, "Every rule is in force"},
		{"a Service that is not there", younger(service("one", "none")), v1alpha1.ReasonNotAccepted, "In force on 1 of 2 targets"},
		{"no Service that is there", younger(service("none")), v1alpha1.ReasonNotAccepted, "In force on 0 of 1 targets"},
		{"no host and no target", younger("hosts: []"), v1alpha1.ReasonNotAccepted, "In force on 0 of 0 targets"},
		{"a rule that does not compile", "kind: AuthPolicy\nmetadata: {name: p, namespace: shop}\nspec: {hosts: [a.com], rules: [{name: fine, access: Public}, {name: broken, access: Publik}]}\n", v1alpha1.ReasonRulesClosed, "1 of 2 rules do not compile and refuse their routes: broken (spec.rules[1])"},
		{"a rule whose path cannot be read", "kind: AuthPolicy\nmetadata: {name: p, namespace: shop}\nspec: {hosts: [a.com], rules: [{name: fine, access: Public}, {name: unread, matches: [{path: {value: x}}], access: Public}]}\n", v1alpha1.ReasonRulesClosed, "1 of 2 rules do not compile and refuse their routes: unread (spec.rules[1])"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, r := new(Compiler).Compile(parse(t, services+older+tt.policy), Options{})
			i := slices.IndexFunc(r.Objects, func(o *ObjectReport) bool { return o.Name == "p" })
			c := meta.FindStatusCondition(r.Objects[i].Conditions, v1alpha1.ConditionProgrammed)
			if c.Reason != tt.reason || c.Message != tt.message {
				t.Errorf("%s: %q", c.Reason, c.Message)
			}
			if fine := c.Status == metav1.ConditionTrue; fine != (tt.reason == v1alpha1.ReasonProgrammed) {
				t.Errorf("status %s", c.Status)
			}
			for _, c := range r.Objects[i].Conditions {
				if c.Type == v1alpha1.ConditionOverlap {
					t.Errorf("overlaps: %s", c.Message)
				}
			}
		})
	}
}
