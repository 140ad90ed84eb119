package docs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

const expressions = "docs/expressions.md"

// TestExpressionsOfThePage compiles each line of each cel block, where its block says that it stands.
func TestExpressionsOfThePage(t *testing.T) {
	counted := map[string]int{}
	for _, b := range blocksOf(t, expressions) {
		kind, ok := strings.CutPrefix(b.info, "cel")
		if !ok {
			continue
		}
		kind = strings.TrimSpace(kind)
		for _, line := range strings.Split(strings.TrimSpace(b.text), "\n") {
			counted[kind]++
			t.Run(line, func(t *testing.T) {
				problems := compileExpression(kind, line)
				if kind != "refused" && len(problems) > 0 {
					t.Errorf("does not compile: %q", problems)
				}
				if kind == "refused" && !strings.Contains(strings.Join(problems, "\n"), "at most 10000000") {
					t.Errorf("is not refused for its cost: %q", problems)
				}
			})
		}
	}
	for _, kind := range []string{"", "value", "provider", "refused"} {
		if counted[kind] == 0 {
			t.Errorf("the page has no expression in a block of kind %q", kind)
		}
	}
}

// TestVariablesOfThePage uses each variable as what the page says that it is.
func TestVariablesOfThePage(t *testing.T) {
	uses := map[string]string{
		"string":              "%s.startsWith('a')",
		"int":                 "%s > 0",
		"timestamp":           "%s > timestamp(0)",
		"list(string)":        "%s.exists(e, e.startsWith('a'))",
		"map(string, string)": "%s['a'].startsWith('a')",
		"map(string, dyn)":    "%s['a'] == 1 || %[1]s['a'] == 'a'",
	}
	for _, row := range rowsUnder(t, expressions, "variable") {
		name, use := code(row[0]), uses[row[1]]
		if name == "lookups" {
			use = "%s.rights.a == 1" // by the name of one only
		}
		if use == "" {
			t.Errorf("%s: nobody knows how to use a %q", name, row[1])
			continue
		}
		if problems := compileExpression("", fmt.Sprintf(use, name)); len(problems) > 0 {
			t.Errorf("%s is not as the page says: %q", name, problems)
		}
	}
	if len(compileExpression("", "nothing.such == 1")) == 0 {
		t.Error("a variable that is not there compiles")
	}
}

// compileExpression compiles an expression of a rule, of a header (value) or of a provider, and returns the problems.
func compileExpression(kind, source string) []string {
	provider := &v1alpha1.IdentityProvider{Spec: v1alpha1.IdentityProviderSpec{Issuer: "https://id.example.com", Audiences: []string{"api"}}}
	provider.Name, provider.Namespace = "id", "default"
	authenticated := v1alpha1.AccessAuthenticated
	rule := v1alpha1.Rule{Name: "rule", Access: &authenticated}
	p := &v1alpha1.AuthPolicy{Spec: v1alpha1.AuthPolicySpec{
		Hosts:             []string{"example.com"},
		IdentityProviders: []v1alpha1.IdentityProviderReference{{Kind: "IdentityProvider", Name: "id"}},
		Lookups:           []v1alpha1.Lookup{{Name: "rights", UserInfo: &v1alpha1.UserInfoLookup{}}},
	}}
	p.Name, p.Namespace = "page", "default"
	list := []v1alpha1.Expression{{Expression: source}}
	switch kind {
	case "value":
		p.Spec.Upstream = &v1alpha1.Upstream{Headers: []v1alpha1.UpstreamHeader{{Name: "x-value", Expression: source}}}
	case "provider":
		provider.Spec.ClaimValidationRules = list
	default:
		rule.Access, rule.Require = nil, &v1alpha1.Requirements{RequirementTerm: v1alpha1.RequirementTerm{Expressions: list}}
	}
	p.Spec.Rules = []v1alpha1.Rule{rule}
	_, report := new(policy.Compiler).Compile(policy.Objects{
		AuthPolicies: []*v1alpha1.AuthPolicy{p}, IdentityProviders: []*v1alpha1.IdentityProvider{provider},
	}, options)
	var out []string
	for _, o := range report.Objects {
		for _, problem := range o.Problems {
			out = append(out, problem.Message)
		}
	}
	return out
}
