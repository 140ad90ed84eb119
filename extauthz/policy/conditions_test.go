package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

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
	var rules []string
	for i := range 60 {
		rules = append(rules, fmt.Sprintf(`{name: r%d, matches: [{path: {value: /r%d}}], require: {expressions: [{expression: "claims.x +"}]}}`, i, i))
	}
	_, r := new(Compiler).Compile(parse(t, "kind: AuthPolicy\nmetadata: {name: p}\nspec: {hosts: [a.com], rules: ["+strings.Join(rules, ", ")+"]}\n"), Options{})
	accepted := meta.FindStatusCondition(r.Objects[0].Conditions, v1alpha1.ConditionAccepted)
	if lines := strings.Split(accepted.Message, "\n"); !strings.Contains(slices.MaxFunc(lines, strings.Compare), "spec.rules") || !strings.Contains(accepted.Message, "and 52 more") {
		t.Errorf("%q", accepted.Message)
	}
	if programmed := meta.FindStatusCondition(r.Objects[0].Conditions, v1alpha1.ConditionProgrammed); !strings.HasSuffix(programmed.Message, "and 52 more, which sallyport validate prints") {
		t.Errorf("%q", programmed.Message)
	}
}
