package oracle

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// exam holds a token against what a rule requires.
type exam struct {
	*claim
	q        *question
	captured map[string]string
}

func (x *exam) requirements(r *v1alpha1.Requirements) string {
	if reason := x.term(&r.RequirementTerm); reason != "" {
		return reason
	}
	if len(r.AnyOf) > 0 && !slices.ContainsFunc(r.AnyOf, func(t v1alpha1.RequirementTerm) bool { return x.term(&t) == "" }) {
		return "InsufficientClaims"
	}
	return ""
}

func (x *exam) term(t *v1alpha1.RequirementTerm) string {
	has := func(have []string, want string) bool { return slices.Contains(have, want) }
	for _, s := range t.Scopes {
		if !has(x.scopes(), s) {
			return "InsufficientScope"
		}
	}
	for _, s := range t.Roles {
		if !has(texts(x.q.claims["roles"]), s) {
			return "InsufficientClaims"
		}
	}
	for _, s := range t.Groups {
		if !has(texts(x.q.claims["groups"]), s) {
			return "InsufficientClaims"
		}
	}
	for i := range t.Claims {
		if !x.compare(&t.Claims[i]) {
			return "InsufficientClaims"
		}
	}
	for _, e := range t.Expressions {
		if !x.expression(e.Expression) {
			return "ExpressionFailed"
		}
	}
	return ""
}

// scopes are split at spaces where they are one text.
func (x *exam) scopes() []string {
	if s, ok := x.q.claims["scope"].(string); ok {
		return strings.Split(s, " ")
	}
	return texts(x.q.claims["scope"])
}

// compare holds one claim against what is required of it.
func (x *exam) compare(r *v1alpha1.ClaimRequirement) bool {
	v, there := x.lookup(r.Claim)
	switch r.Operator {
	case v1alpha1.ClaimExists:
		return there
	case v1alpha1.ClaimDoesNotExist:
		return !there
	}
	if !there {
		return false
	}
	elements, isList := v.([]any)
	if !isList {
		elements = []any{v}
	}
	some := func(is func(string) bool) bool {
		return slices.ContainsFunc(elements, func(e any) bool {
			s, ok := text(e)
			return ok && is(s)
		})
	}
	listed := func(s string) bool {
		return slices.ContainsFunc(r.Values, func(v string) bool { return x.fill(v) == s })
	}
	switch r.Operator {
	case v1alpha1.ClaimIn:
		return some(listed)
	case v1alpha1.ClaimNotIn:
		return !some(listed) && !slices.ContainsFunc(elements, func(e any) bool { _, ok := text(e); return !ok })
	case v1alpha1.ClaimHasAll:
		return !slices.ContainsFunc(r.Values, func(v string) bool {
			return !some(func(s string) bool { return s == x.fill(v) })
		})
	case v1alpha1.ClaimMatches:
		return some(func(s string) bool {
			return slices.ContainsFunc(r.Values, func(v string) bool { return whole(v).MatchString(s) })
		})
	}
	return false
}

// lookup finds a claim: one of exactly that name first, then by steps. Null is not there.
func (x *exam) lookup(name string) (any, bool) {
	if v, ok := x.q.claims[name]; ok {
		return v, v != nil
	}
	var v any = map[string]any(x.q.claims)
	for step := range strings.SplitSeq(name, ".") {
		object, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		v = object[step]
	}
	return v, v != nil
}

// text of a claim: strings and integers have one.
func text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return string(v), whole(`-?[0-9]+`).MatchString(string(v))
	}
	return "", false
}

var placeholder = regexp.MustCompile(`\{\{|\}\}|\{[a-z]+\}`)

// fill puts what was captured into a value.
func (x *exam) fill(v string) string {
	return placeholder.ReplaceAllStringFunc(v, func(s string) string {
		if s == "{{" || s == "}}" {
			return s[:1]
		}
		return x.captured[strings.Trim(s, "{}")]
	})
}

// expressions are those that are drawn, in the words of Go. What fails is false.
var expressions = map[string]func(x *exam) bool{
	`claims.sub == 'a'`:       func(x *exam) bool { return x.q.claims["sub"] == "a" },
	`params.x == 'a'`:         func(x *exam) bool { return x.captured["x"] == "a" },
	`request.method == 'GET'`: func(x *exam) bool { return x.q.method == "GET" },
	`'s1' in identity.scopes`: func(x *exam) bool { return slices.Contains(x.scopes(), "s1") },
	`claims.n > 5`: func(x *exam) bool {
		n, ok := x.q.claims["n"].(json.Number)
		f, err := strconv.ParseFloat(string(n), 64)
		return ok && err == nil && f > 5
	},
	`!has(claims.n) || claims.n != 7`: func(x *exam) bool { return x.q.claims["n"] != json.Number("7") },
	`has(claims.obj) && claims.obj.k == 'a'`: func(x *exam) bool {
		o, _ := x.q.claims["obj"].(map[string]any)
		return o["k"] == "a"
	},
	`request.path.startsWith('/a')`: func(x *exam) bool {
		return len(x.path.segs) > 0 && strings.HasPrefix(x.path.segs[0], "a")
	},
	`source.namespace == 'mon'`: func(x *exam) bool {
		return whole(`spiffe://mesh/ns/mon/sa/[^/]+`).MatchString(x.q.principal)
	},
	`request.headers['x-one'] == '1'`: func(x *exam) bool { return x.q.headers["x-one"] == "1" },
	`request.query == ''`: func(x *exam) bool {
		_, query, _ := strings.Cut(x.q.path, "?")
		return query == ""
	},
}

func (x *exam) expression(source string) bool { return expressions[source](x) }

// unsound are expressions that do not compile: no CEL, no bool, and no such variable.
var unsound = []string{`claims.`, `claims.sub`, `request.methd == 'GET'`}

// broken tells whether something in the rule does not compile, so that it refuses what it claims.
func (v view) broken(c *claim) bool {
	r := c.rule
	if (r.Access == nil) == (r.Require == nil) || r.Access != nil && !slices.Contains([]string{"Public", "Optional", "Authenticated", "Denied"}, string(*r.Access)) {
		return true
	}
	if c.stepUpsApart() || slices.ContainsFunc(v.siblings(c), func(o *claim) bool { return o.unfit }) {
		return true
	}
	for _, name := range r.IdentityProviders {
		if !slices.ContainsFunc(c.p.Spec.IdentityProviders, func(ref v1alpha1.IdentityProviderReference) bool { return ref.Name == name }) {
			return true
		}
	}
	if len(r.IdentityProviders) > 0 && r.Access != nil && *r.Access == v1alpha1.AccessPublic {
		return true
	}
	if r.Require != nil && v.requireBroken(r.Require, v.captures(c)) {
		return true
	}
	if !c.looks() {
		return false
	}
	return v.providersBroken(c) || c.p.Spec.Require != nil && !c.optional() && v.requireBroken(c.p.Spec.Require, nil)
}

// providersBroken tells whether a rule that looks at tokens has nobody to believe, or two of one issuer. Where the only
// ones are missing, Optional lets pass who shows none.
func (v view) providersBroken(c *claim) bool {
	list, missing := v.believes(c)
	for i, p := range list {
		if slices.ContainsFunc(list[:i], func(o believed) bool { return o.Spec.Issuer == p.Spec.Issuer }) {
			return true
		}
	}
	return len(list) == 0 && (!missing || !c.optional())
}

// siblings are all the claims of the rule of c.
func (v view) siblings(c *claim) []*claim {
	all, _ := view{v.world, true}.claims([]*v1alpha1.AuthPolicy{c.p})
	out, _ := split(all, func(o *claim) bool { return o.rule == c.rule })
	return out
}

// captures are the names that every match of the rule captures.
func (v view) captures(c *claim) []string {
	var out []string
	for _, name := range []string{"x", "y", "z"} {
		if !slices.ContainsFunc(v.siblings(c), func(o *claim) bool {
			return !slices.ContainsFunc(o.segs, func(p piece) bool { return p.capture == name })
		}) {
			out = append(out, name)
		}
	}
	return out
}

// requireBroken tells whether a requirement does not compile, where paths capture these names.
func (v view) requireBroken(r *v1alpha1.Requirements, captures []string) bool {
	if r.StepUp != nil && stepUpBroken(r.StepUp) {
		return true
	}
	if isEmpty(r.RequirementTerm) && len(r.AnyOf) == 0 && r.StepUp == nil || slices.ContainsFunc(r.AnyOf, isEmpty) {
		return true
	}
	for _, t := range append([]v1alpha1.RequirementTerm{r.RequirementTerm}, r.AnyOf...) {
		if slices.ContainsFunc(t.Expressions, func(e v1alpha1.Expression) bool { return expressions[e.Expression] == nil }) ||
			slices.ContainsFunc(t.Claims, func(c v1alpha1.ClaimRequirement) bool { return claimBroken(&c, captures) }) {
			return true
		}
	}
	return false
}

func isEmpty(t v1alpha1.RequirementTerm) bool {
	return len(t.Scopes)+len(t.Roles)+len(t.Groups)+len(t.Claims)+len(t.Expressions) == 0
}

func claimBroken(c *v1alpha1.ClaimRequirement, captures []string) bool {
	compares := slices.Contains([]v1alpha1.ClaimOperator{"In", "NotIn", "HasAll", "Matches"}, c.Operator)
	if compares != (len(c.Values) > 0) || !compares && c.Operator != v1alpha1.ClaimExists && c.Operator != v1alpha1.ClaimDoesNotExist {
		return true
	}
	return slices.ContainsFunc(c.Values, func(value string) bool {
		if c.Operator == v1alpha1.ClaimMatches {
			return whole(value) == nil
		}
		return slices.ContainsFunc(placeholder.FindAllString(value, -1), func(s string) bool {
			return s != "{{" && s != "}}" && !slices.Contains(captures, strings.Trim(s, "{}"))
		})
	})
}

// conditionsBroken tells whether methods, headers or query of the match do not compile.
func (c *claim) conditionsBroken() bool {
	bad := func(m v1alpha1.ValueMatch) bool {
		return m.Type != nil && whole(m.Value) == nil
	}
	return slices.ContainsFunc(c.match.Methods, func(m string) bool { return m != strings.ToUpper(m) }) ||
		slices.ContainsFunc(c.match.Headers, bad) || slices.ContainsFunc(c.match.QueryParams, bad)
}
