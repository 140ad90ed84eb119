package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/token"
)

// requirements are what a token must prove; the zero value asks for nothing.
type requirements struct {
	term
	anyOf []term
	// stepUp is not among what check looks at: it is asked last, of the rule and its policy together.
	stepUp *StepUp
	// broken: something here does not compile, and nothing satisfies it.
	broken bool
}

// term is a set of requirements that must all hold.
type term struct {
	scopes, roles, groups []string
	claims                []claimRequirement
	expressions           []*expression
}

// unmet is a requirement that does not hold.
type unmet struct {
	reason  Reason
	message string
}

// check returns what does not hold first; a zero unmet where everything does.
func (r *requirements) check(vars *variables) unmet {
	if r.broken {
		return unmet{reason: ReasonNotCompiled}
	}
	if u := r.term.check(vars); u.reason != "" {
		return u
	}
	if len(r.anyOf) == 0 {
		return unmet{}
	}
	for i := range r.anyOf {
		if u := r.anyOf[i].check(vars); u.reason == "" {
			return unmet{}
		}
	}
	return unmet{reason: ReasonInsufficientClaims}
}

func (t *term) check(vars *variables) unmet {
	id := vars.identity
	if !hasAll(id.Scopes, t.scopes) {
		return unmet{reason: ReasonInsufficientScope}
	}
	if !hasAll(id.Roles, t.roles) || !hasAll(id.Groups, t.groups) {
		return unmet{reason: ReasonInsufficientClaims}
	}
	for i := range t.claims {
		if !t.claims[i].holds(vars) {
			return unmet{reason: ReasonInsufficientClaims}
		}
	}
	for _, e := range t.expressions {
		if !e.holds(vars) {
			return unmet{reason: ReasonExpressionFailed, message: e.message}
		}
	}
	return unmet{}
}

func hasAll(have, want []string) bool {
	for _, w := range want {
		if !slices.Contains(have, w) {
			return false
		}
	}
	return true
}

// claimRequirement compares one claim.
type claimRequirement struct {
	claim    token.ClaimPath
	operator v1alpha1.ClaimOperator
	values   []valueTemplate
	res      []*regexp.Regexp
}

// valueTemplate is a value with captures in it: literal, capture, literal, capture, … A value without captures is its
// first literal.
type valueTemplate []string

// text of the value for a request; ok is false where a capture is missing.
func (t valueTemplate) text(vars *variables) (string, bool) {
	if len(t) == 1 {
		return t[0], true
	}
	if len(t) == 2 && t[0] == "" {
		return vars.match.capture(vars.path, t[1])
	}
	var b strings.Builder
	for i, part := range t {
		if i%2 == 1 {
			s, ok := vars.match.capture(vars.path, part)
			if !ok {
				return "", false
			}
			part = s
		}
		b.WriteString(part)
	}
	return b.String(), true
}

func (c *claimRequirement) holds(vars *variables) bool {
	v, ok := claimOf(vars.identity, c.claim)
	switch c.operator {
	case v1alpha1.ClaimExists:
		return ok
	case v1alpha1.ClaimDoesNotExist:
		return !ok
	}
	if !ok {
		return false
	}
	switch c.operator {
	case v1alpha1.ClaimIn:
		return v.any(func(s string) bool { return c.lists(s, vars) })
	case v1alpha1.ClaimNotIn:
		return c.excludes(&v, vars)
	case v1alpha1.ClaimHasAll:
		return c.contained(&v, vars)
	case v1alpha1.ClaimMatches:
		return v.any(func(s string) bool {
			return slices.ContainsFunc(c.res, func(re *regexp.Regexp) bool { return re.MatchString(s) })
		})
	}
	return false
}

// lists tells whether s is one of the values.
func (c *claimRequirement) lists(s string, vars *variables) bool {
	for _, t := range c.values {
		if want, ok := t.text(vars); ok && want == s {
			return true
		}
	}
	return false
}

// excludes tells whether v, which is there, is none of the values, nor has one among its elements. What has no text, and
// a value whose capture is missing, proves nothing.
func (c *claimRequirement) excludes(v *claimValue, vars *variables) bool {
	for _, t := range c.values {
		if _, ok := t.text(vars); !ok {
			return false
		}
	}
	if !v.isList {
		return v.isText && !c.lists(v.text, vars)
	}
	for _, e := range v.list {
		if s, ok := token.Text(e); !ok || c.lists(s, vars) {
			return false
		}
	}
	return true
}

// contained tells whether every value is v or an element of it.
func (c *claimRequirement) contained(v *claimValue, vars *variables) bool {
	for _, t := range c.values {
		want, ok := t.text(vars)
		if !ok || !v.any(func(s string) bool { return s == want }) {
			return false
		}
	}
	return true
}

// requirementCompiler compiles the requirements of one rule. captures are the names that every match of it captures.
type requirementCompiler struct {
	env      *vocabulary
	captures []string
	problems *problems
}

func (c *requirementCompiler) compile(in *v1alpha1.Requirements, at *field.Path) *requirements {
	out := &requirements{term: c.term(&in.RequirementTerm, at)}
	if in.AnyOf != nil && len(in.AnyOf) == 0 {
		c.problems.required(at.Child("anyOf"), "an empty list holds for nobody; give alternatives or leave anyOf out")
	}
	for i := range in.AnyOf {
		if isEmptyTerm(&in.AnyOf[i]) {
			c.problems.required(at.Child("anyOf").Index(i), "an alternative that asks for nothing makes anyOf hold for everybody")
		}
		out.anyOf = append(out.anyOf, c.term(&in.AnyOf[i], at.Child("anyOf").Index(i)))
	}
	if in.StepUp != nil {
		out.stepUp = compileStepUp(in.StepUp, at.Child("stepUp"), c.problems)
	}
	if isEmptyTerm(&in.RequirementTerm) && len(in.AnyOf) == 0 && in.StepUp == nil {
		c.problems.required(at, "say what is required, or access: Authenticated for any valid token")
	}
	return out
}

func isEmptyTerm(t *v1alpha1.RequirementTerm) bool {
	return len(t.Scopes)+len(t.Roles)+len(t.Groups)+len(t.Claims)+len(t.Expressions) == 0
}

func (c *requirementCompiler) term(in *v1alpha1.RequirementTerm, at *field.Path) term {
	for _, l := range []struct {
		name   string
		values []string
		split  bool
	}{{"scopes", in.Scopes, true}, {"roles", in.Roles, false}, {"groups", in.Groups, false}} {
		c.notEmpty(l.values == nil, len(l.values), at.Child(l.name))
		for i, v := range l.values {
			if v == "" || l.split && strings.Contains(v, " ") {
				c.problems.invalid(at.Child(l.name).Index(i), v, "no token can have it; write one name in each entry, without spaces in a scope")
			}
		}
	}
	c.notEmpty(in.Claims == nil, len(in.Claims), at.Child("claims"))
	c.notEmpty(in.Expressions == nil, len(in.Expressions), at.Child("expressions"))
	t := term{
		scopes:      slices.Clone(in.Scopes),
		roles:       slices.Clone(in.Roles),
		groups:      slices.Clone(in.Groups),
		expressions: compileExpressions(c.env, in.Expressions, at.Child("expressions"), c.problems),
	}
	for i := range in.Claims {
		t.claims = append(t.claims, c.claim(&in.Claims[i], at.Child("claims").Index(i)))
	}
	return t
}

// notEmpty reports a list that is there, but asks for nothing.
func (c *requirementCompiler) notEmpty(absent bool, n int, at *field.Path) {
	if !absent && n == 0 {
		c.problems.required(at, "an empty list asks for nothing; leave it out, or say what is required")
	}
}

func (c *requirementCompiler) claim(in *v1alpha1.ClaimRequirement, at *field.Path) claimRequirement {
	out := claimRequirement{operator: in.Operator}
	var err error
	if out.claim, err = token.ParseClaimPath(in.Claim); err != nil {
		c.problems.invalid(at.Child("claim"), in.Claim, err.Error())
	}
	switch in.Operator {
	case v1alpha1.ClaimExists, v1alpha1.ClaimDoesNotExist:
		if len(in.Values) > 0 {
			c.problems.invalid(at.Child("values"), "", fmt.Sprintf("%s compares with no values; leave them out, or write operator: In", in.Operator))
		}
		return out
	case v1alpha1.ClaimIn, v1alpha1.ClaimNotIn, v1alpha1.ClaimHasAll, v1alpha1.ClaimMatches:
		if len(in.Values) == 0 {
			c.problems.required(at.Child("values"), fmt.Sprintf("%s needs at least one value to compare with", in.Operator))
		}
	default:
		c.problems.invalid(at.Child("operator"), string(in.Operator), "is not known: must be In, NotIn, HasAll, Exists, DoesNotExist or Matches")
		return out
	}
	for i, v := range in.Values {
		c.value(&out, v, at.Child("values").Index(i))
	}
	return out
}

func (c *requirementCompiler) value(out *claimRequirement, v string, at *field.Path) {
	if out.operator == v1alpha1.ClaimMatches {
		re, err := compileAnchored(v)
		if err != nil {
			c.problems.invalid(at, v, err.Error())
			return
		}
		if name := captureInExpression(v, c.captures); name != "" {
			c.problems.invalid(at, v, fmt.Sprintf("{%s} is no capture in a Matches, but part of the expression; compare captures with operator: In", name))
		}
		out.res = append(out.res, re)
		return
	}
	t, err := parseValueTemplate(v)
	if err != nil {
		c.problems.invalid(at, v, err.Error())
		return
	}
	for i := 1; i < len(t); i += 2 {
		if !slices.Contains(c.captures, t[i]) {
			c.problems.invalid(at, v, fmt.Sprintf("no path of this rule captures {%s}, or not every one does; capture it in the Template of each match", t[i]))
		}
	}
	out.values = append(out.values, t)
}

// captureInExpression finds the name of a capture, in braces, that somebody put into an RE2 expression.
func captureInExpression(expr string, captures []string) string {
	for _, name := range captures {
		if strings.Contains(expr, "{"+name+"}") {
			return name
		}
	}
	return ""
}

// parseValueTemplate reads a value: {name} is a capture, {{ and }} are braces.
func parseValueTemplate(s string) (valueTemplate, error) {
	var out valueTemplate
	var literal strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '{' && s[i] != '}':
			literal.WriteByte(s[i])
		case i+1 < len(s) && s[i+1] == s[i]:
			literal.WriteByte(s[i])
			i++
		default:
			end := strings.IndexByte(s[i:], '}')
			if s[i] == '}' || end < 0 || !isIdentifier(s[i+1:i+end]) {
				return nil, fmt.Errorf("a brace stands for a capture such as {user}; write {{ and }} for braces themselves")
			}
			out = append(out, literal.String(), s[i+1:i+end])
			literal.Reset()
			i += end
		}
	}
	if literal.Len() > 0 || len(out) == 0 {
		out = append(out, literal.String())
	}
	return out, nil
}
