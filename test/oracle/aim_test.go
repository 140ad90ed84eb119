package oracle

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// aim makes q one that a rule of the world takes, and allows, or nearly: path, method, headers and token are as the rule
// wants them, and each claim misses by little now and then. What is drawn blindly seldom comes to a comparison of claims.
func (d drawer) aim(w *world, q *question) {
	p := one(d, w.policies...)
	r := &p.Spec.Rules[d.IntN(len(p.Spec.Rules))]
	captured := map[string]string{}
	if len(p.Spec.Hosts) > 0 {
		q.host = strings.Replace(one(d, p.Spec.Hosts...), "*", "x", 1)
	}
	if len(r.Matches) > 0 {
		m := one(d, r.Matches...)
		captured = d.aimPath(q, &m)
		if len(m.Methods) > 0 {
			q.method = strings.ToUpper(one(d, m.Methods...))
		}
		for _, h := range m.Headers {
			q.headers[strings.ToLower(h.Name)] = "1"
		}
		for range m.QueryParams {
			q.path += "?" + one(d, "q=1", "q=1", "q=1&q=2")
			break
		}
	}
	q.principal, q.address = "spiffe://mesh/ns/mon/sa/a", one(d, netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("::ffff:10.1.2.3"))
	d.token(q)
	q.claims["iss"], q.claims["exp"], q.claims["aud"] = "https://corp", json.Number("1900000000"), "api"
	if len(r.IdentityProviders) > 0 && !slices.Contains(r.IdentityProviders, "corp") {
		q.claims["iss"], q.claims["aud"] = "https://web", one[any](d, []any{"api", "site"}, "api", "site")
	}
	q.forged = d.rarely(30)
	miss := d.rarely(2)
	for _, need := range []*v1alpha1.Requirements{p.Spec.Require, r.Require} {
		if need == nil {
			continue
		}
		d.aimTerm(q, need.RequirementTerm, captured, miss)
		if len(need.AnyOf) > 0 {
			d.aimTerm(q, one(d, need.AnyOf...), captured, miss)
		}
	}
}

// aimPath gives q a path that a match takes, and says what is captured of it.
func (d drawer) aimPath(q *question, m *v1alpha1.RouteMatch) map[string]string {
	captured := map[string]string{}
	if m.GRPC != nil {
		q.method, q.path = "POST", "/"+m.GRPC.Service+"/"+one(d, m.GRPC.Method, "a")
		return captured
	}
	var segs []string
	for part := range strings.SplitSeq(strings.Trim(value(value(m.Path, v1alpha1.PathMatch{}).Value, "/"), "/"), "/") {
		inner, isCapture := strings.CutPrefix(part, "{")
		switch {
		case isCapture:
			part = one(d, "a", "b")
			name, _, _ := strings.Cut(strings.TrimSuffix(inner, "}"), ":")
			captured[name] = part
		case part == "**":
			part = one(d, "a", "c")
		}
		segs = append(segs, part)
	}
	if d.rarely(8) {
		segs = slices.Insert(segs, d.IntN(len(segs)+1), "a", "..")
	}
	q.path = strings.ReplaceAll("/"+strings.Join(segs, "/"), "//", "/")
	if d.rarely(6) && q.path != "/" {
		q.path += "/"
	}
	return captured
}

// aimTerm gives the token of q what a term wants, or nearly.
func (d drawer) aimTerm(q *question, t v1alpha1.RequirementTerm, captured map[string]string, miss bool) {
	nearly := func(list []string) (out []any) {
		for i, s := range list {
			if i == 0 || !miss || d.rarely(2) {
				out = append(out, s)
			}
		}
		return out
	}
	if t.Scopes != nil {
		q.claims["scope"] = nearly(t.Scopes)
	}
	if t.Roles != nil {
		q.claims["roles"] = nearly(t.Roles)
	}
	if t.Groups != nil {
		q.claims["groups"] = nearly(t.Groups)
	}
	for _, c := range t.Claims {
		d.aimClaim(q, c, captured, miss)
	}
	for range t.Expressions {
		q.claims["sub"], q.claims["n"], q.claims["obj"] = one(d, "a", "b"), json.Number("8"), map[string]any{"k": "a"}
	}
}

func (d drawer) aimClaim(q *question, c v1alpha1.ClaimRequirement, captured map[string]string, miss bool) {
	texts := slices.Clone(c.Values)
	for i, v := range texts {
		for name, part := range captured {
			v = strings.ReplaceAll(v, "{"+name+"}", part)
		}
		if c.Operator == v1alpha1.ClaimMatches {
			v = map[string]string{"[ab]": one(d, "a", "b", "ab"), "7|1e2": one(d, "7", "77", "a7"), ".+": one(d, "a", "")}[v]
		}
		texts[i] = v
	}
	var v any
	switch {
	case c.Operator == v1alpha1.ClaimDoesNotExist:
	case len(texts) == 0, c.Operator == v1alpha1.ClaimNotIn, miss && !d.rarely(3):
		v = one[any](d, "b", "b", "a", "c", true)
	case c.Operator == v1alpha1.ClaimHasAll:
		list := []any{}
		for i, s := range texts {
			if i == 0 || !miss || d.rarely(2) {
				list = append(list, s)
			}
		}
		v = list
	default:
		v = one(d, texts...)
	}
	if slices.Contains(texts, "7") && c.Operator == v1alpha1.ClaimIn && d.rarely(2) {
		v = one[any](d, json.Number("7"), json.Number("1e2"), json.Number("1.0"))
	}
	switch {
	case c.Claim == "obj.k":
		q.claims["obj"] = map[string]any{"k": v}
	case c.Claim == "sub" && v == nil: // a token must have one
	default:
		q.claims[c.Claim] = v
	}
}

// plain draws a world of one rule that asks for something of a token, so that this decides.
func (d drawer) plain() *world {
	w := d.world()
	w.dryRun, w.policies = false, w.policies[:1]
	p := w.policies[0]
	r := &p.Spec.Rules[0]
	r.Matches, r.Access, r.Mode, r.IdentityProviders = r.Matches[:min(1, len(r.Matches))], nil, nil, nil
	captured := d.rarely(2)
	if captured {
		typ, text := v1alpha1.PathMatchTemplate, one(d, "/{x}", "/{x}/**", "/a/{x}", "/{x:[ab]}")
		r.Matches = []v1alpha1.RouteMatch{{Path: &v1alpha1.PathMatch{Type: &typ, Value: &text}}}
	}
	if p.Spec.Mode, p.Spec.Rules = nil, p.Spec.Rules[:1]; d.rarely(4) {
		r.Require = d.requirements(captured)
		return w
	}
	r.Require, p.Spec.Require, r.From = &v1alpha1.Requirements{}, nil, nil
	if d.rarely(6) {
		r.Require.Scopes = []string{"s1", "s2"}
	} else {
		c := d.claim(captured)
		switch c.Operator {
		case v1alpha1.ClaimHasAll:
			c.Values = []string{"a", "7"}
		case v1alpha1.ClaimExists:
			c.Operator, c.Values = v1alpha1.ClaimHasAll, []string{"a", "b"}
		case v1alpha1.ClaimDoesNotExist:
			c.Claim, c.Operator, c.Values = "n", v1alpha1.ClaimIn, []string{"7"}
		}
		r.Require.Claims = []v1alpha1.ClaimRequirement{c}
	}
	return w
}

// aimRoute makes q one that a match of a route takes, or nearly.
func (d drawer) aimRoute(w *world, q *question) {
	r := one(d, w.httpRoutes...)
	if len(r.Spec.Hostnames) > 0 {
		q.host = strings.Replace(string(one(d, r.Spec.Hostnames...)), "*", "x", 1)
	}
	rule := one(d, r.Spec.Rules...)
	if len(rule.Matches) == 0 {
		return
	}
	m := one(d, rule.Matches...)
	if m.Path != nil && value(m.Path.Type, "") != gatewayv1.PathMatchRegularExpression {
		q.path = *m.Path.Value
	}
	if m.Method != nil && !d.rarely(3) {
		q.method = string(*m.Method)
	}
	for _, h := range m.Headers {
		q.headers[strings.ToLower(string(h.Name))] = one(d, "1", "1", "2")
	}
}
