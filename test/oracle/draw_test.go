package oracle

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/token"
)

// drawer draws from small sets, so that requests hit rules, or miss them by little.
type drawer struct{ *rand.Rand }

func newDrawer(seed uint64) drawer { return drawer{rand.New(rand.NewPCG(seed, 7))} }

func one[T any](d drawer, of ...T) T { return of[d.IntN(len(of))] }

// rarely is true once in n times.
func (d drawer) rarely(n int) bool { return d.IntN(n) == 0 }

// some draws n of a set at most, each once.
func some[T any](d drawer, n int, of ...T) (out []T) {
	for _, i := range d.Perm(len(of))[:1+d.IntN(n)] {
		out = append(out, of[i])
	}
	return out
}

func ptr[T any](v T) *T { return &v }

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func (d drawer) world() *world {
	w := &world{trust: "mesh", dryRun: d.rarely(40)}
	for _, ns := range []string{"shop", "alpha"} {
		for _, name := range []string{"corp", "web", "twin"} {
			p := &v1alpha1.IdentityProvider{}
			p.Namespace, p.Name = ns, name
			p.Spec.Issuer = "https://" + strings.Replace(name, "twin", "corp", 1)
			p.Spec.Audiences = []string{"api"}
			if name == "web" {
				p.Spec.Audiences = []string{"api", "site"}
				p.Spec.ClaimValidationRules = []v1alpha1.Expression{{Expression: `!has(claims.n) || claims.n != 7`}}
			}
			w.providers = append(w.providers, p)
		}
	}
	for i := range 2 + d.IntN(4) {
		w.policies = append(w.policies, d.policy(i))
	}
	return w
}

func (d drawer) policy(i int) *v1alpha1.AuthPolicy {
	p := &v1alpha1.AuthPolicy{}
	p.Name, p.Namespace = fmt.Sprintf("p%d", i), one(d, "shop", "shop", "shop", "shop", "alpha")
	p.CreationTimestamp = metav1.NewTime(start.Add(time.Duration(d.IntN(3)) * time.Hour))
	p.Spec.Hosts = []string{"a.com"}
	if i > 0 && d.rarely(2) {
		p.Spec.Hosts = some(d, 2, "a.com", "x.a.com", "*.a.com", "*.com", "*")
	}
	if d.rarely(4) {
		p.Spec.Mode = ptr(v1alpha1.ModeDryRun)
	}
	if d.rarely(3) {
		p.Spec.Preflight = ptr(v1alpha1.PreflightAllow)
	}
	if d.rarely(3) {
		p.Spec.Paths = &v1alpha1.PathOptions{EncodedSlash: ptr(v1alpha1.EncodedSlashKeep), Semicolon: ptr(one(d, v1alpha1.SemicolonRefuse, v1alpha1.SemicolonStrip))}
	}
	for _, name := range []string{"corp", "web", "twin", "gone"} {
		if name == "corp" && !d.rarely(30) || name == "web" && !d.rarely(3) || d.rarely(12) {
			ref := v1alpha1.IdentityProviderReference{Name: name}
			if name == "web" && !d.rarely(10) {
				ref.Audiences = some(d, 2, "api", "site")
			}
			p.Spec.IdentityProviders = append(p.Spec.IdentityProviders, ref)
		}
	}
	if d.rarely(4) {
		p.Spec.Require = d.requirements(false)
	}
	for j := range 2 + d.IntN(5) {
		p.Spec.Rules = append(p.Spec.Rules, d.rule(j))
	}
	return p
}

func (d drawer) rule(i int) v1alpha1.Rule {
	r := v1alpha1.Rule{Name: fmt.Sprintf("r%d", i)}
	captured := false
	if !d.rarely(5) {
		captured = true
		for range 1 + d.IntN(2) {
			m := d.match()
			captured = captured && m.Path != nil && strings.Contains(*m.Path.Value, "{x")
			r.Matches = append(r.Matches, m)
		}
	}
	switch d.IntN(8) {
	case 0, 1, 2, 3:
		r.Require = d.requirements(captured)
	case 4:
		r.Access = ptr(one(d, v1alpha1.AccessDenied, v1alpha1.AccessAuthenticated, v1alpha1.AccessOptional, "Publik"))
	default:
		r.Access = ptr(one(d, v1alpha1.AccessPublic, v1alpha1.AccessPublic, v1alpha1.AccessOptional, v1alpha1.AccessAuthenticated))
	}
	if d.rarely(40) {
		r.Access, r.Require = nil, nil
	}
	if d.rarely(5) {
		r.Mode = ptr(one(d, v1alpha1.ModeDryRun, v1alpha1.ModeEnforce))
	}
	if d.rarely(6) {
		r.From = d.from()
	}
	if d.rarely(5) && (r.Access == nil || *r.Access != v1alpha1.AccessPublic) {
		r.IdentityProviders = some(d, 2, "corp", "corp", "web", "twin")
	}
	return r
}

func (d drawer) from() *v1alpha1.From {
	f := &v1alpha1.From{}
	switch d.IntN(3) {
	case 0:
		f.Principals = []string{one(d, "spiffe://mesh/ns/mon/sa/*", "spiffe://mesh/ns/*/sa/a")}
	case 1:
		f.ServiceAccounts = some(d, 2, "mon/a", "a", "shop/b")
	default:
		f.CIDRs = some(d, 2, "10.0.0.0/8", "2001:db8::/32", "0.0.0.0/0")
	}
	return f
}

func (d drawer) match() v1alpha1.RouteMatch {
	if d.rarely(12) {
		g := v1alpha1.GRPCMatch{Service: one(d, "a", "b"), Method: one(d, "", "a", "b")}
		if d.rarely(50) {
			g.Service = "/a"
		}
		return v1alpha1.RouteMatch{GRPC: &g}
	}
	typ := one(d, v1alpha1.PathMatchExact, v1alpha1.PathMatchPathPrefix, v1alpha1.PathMatchTemplate)
	text := ""
	names := []string{"x", "y", "z"}
	for i := range max(d.IntN(4), d.IntN(2)) {
		s := one(d, "a", "a", "b", "b", "c", "%61")
		if typ == v1alpha1.PathMatchTemplate && d.IntN(2) == 0 {
			s = one(d, "{"+names[i]+"}", "{"+names[i]+":[ab]}", "{"+names[i]+":[bc]}")
		}
		if d.rarely(600) {
			s = one(d, "{x:(}", "a%2Fb", "a;b", "..", "{x}")
		}
		text += "/" + s
	}
	switch {
	case typ == v1alpha1.PathMatchTemplate && d.rarely(3):
		text += "/**"
	case text == "" || d.rarely(4):
		text += "/"
	}
	m := v1alpha1.RouteMatch{Path: &v1alpha1.PathMatch{Type: &typ, Value: &text}}
	if d.rarely(3) {
		m.Methods = some(d, 2, "GET", "PUT", "OPTIONS")
	}
	for _, name := range []string{"x-one", "X-Two"} {
		if d.rarely(5) {
			m.Headers = append(m.Headers, d.value(name))
		}
	}
	if d.rarely(5) {
		m.QueryParams = append(m.QueryParams, d.value("q"))
	}
	if d.rarely(60) {
		m.Methods = []string{"get"}
	}
	return m
}

func (d drawer) value(name string) v1alpha1.ValueMatch {
	switch d.IntN(8) {
	case 0, 1:
		return v1alpha1.ValueMatch{Name: name, Value: "[12]", Type: ptr(v1alpha1.ValueMatchRegularExpression)}
	case 2:
		return v1alpha1.ValueMatch{Name: name, Value: one(d, "(", "1|2"), Type: ptr(v1alpha1.ValueMatchRegularExpression)}
	}
	return v1alpha1.ValueMatch{Name: name, Value: "1"}
}

// requirements of a rule; captured tells whether its paths capture {x}.
func (d drawer) requirements(captured bool) *v1alpha1.Requirements {
	r := &v1alpha1.Requirements{RequirementTerm: d.term(captured)}
	if d.rarely(2) {
		for range 1 + d.IntN(2) {
			r.AnyOf = append(r.AnyOf, d.term(captured))
		}
	}
	if d.rarely(5) {
		r.StepUp = d.stepUp()
		if d.rarely(2) {
			r.RequirementTerm, r.AnyOf = v1alpha1.RequirementTerm{}, nil
		}
	}
	if d.rarely(60) {
		r = &v1alpha1.Requirements{}
	}
	return r
}

func (d drawer) term(captured bool) (t v1alpha1.RequirementTerm) {
	switch d.IntN(7) {
	case 0:
		t.Scopes = some(d, 2, "s1", "s1", "s2")
	case 1:
		t.Roles = some(d, 2, "admin", "a")
	case 2:
		t.Groups = some(d, 2, "ops", "a")
	case 3:
		t.Expressions = []v1alpha1.Expression{{Expression: d.expression()}}
	default:
		for range 1 + d.IntN(2) {
			t.Claims = append(t.Claims, d.claim(captured))
		}
	}
	return t
}

func (d drawer) expression() string {
	if d.rarely(30) {
		return one(d, unsound...)
	}
	return one(d, `claims.sub == 'a'`, `params.x == 'a'`, `request.method == 'GET'`, `'s1' in identity.scopes`, `claims.n > 5`,
		`has(claims.obj) && claims.obj.k == 'a'`, `request.path.startsWith('/a')`, `source.namespace == 'mon'`,
		`request.headers['x-one'] == '1'`, `request.query == ''`)
}

func (d drawer) claim(captured bool) v1alpha1.ClaimRequirement {
	r := v1alpha1.ClaimRequirement{
		Claim:    one(d, "sub", "sub", "n", "list", "obj.k", "a.b", "obj"),
		Operator: one(d, v1alpha1.ClaimIn, v1alpha1.ClaimIn, v1alpha1.ClaimNotIn, v1alpha1.ClaimHasAll, v1alpha1.ClaimMatches, v1alpha1.ClaimExists, v1alpha1.ClaimDoesNotExist),
	}
	switch r.Operator {
	case v1alpha1.ClaimMatches:
		r.Values = some(d, 2, "[ab]", "7|1e2", ".+")
	case v1alpha1.ClaimExists, v1alpha1.ClaimDoesNotExist:
	default:
		r.Values = some(d, 2, "a", "b", "7", "1e2", "true", "", "a")
		switch {
		case captured && !d.rarely(6):
			r.Values = append(r.Values[:0], one(d, "{x}", "{x}", "u-{x}", "{{x}}"))
		case d.rarely(30):
			r.Values = append(r.Values, "{y}")
		}
	}
	if d.rarely(60) {
		r.Operator = "Is"
	}
	return r
}

func (d drawer) question() *question {
	q := &question{
		method:  one(d, "GET", "GET", "PUT", "OPTIONS", "POST"),
		host:    one(d, "a.com", "a.com", "a.com", "a.com", "a.com", "a.com", "A.com", "x.a.com", "y.x.A.com", "c.org"),
		headers: map[string]string{}, now: start, principal: one(d, "", "spiffe://mesh/ns/mon/sa/a", "spiffe://mesh/ns/shop/sa/b", "spiffe://other/ns/mon/sa/a", "spiffe://mesh/ns/mon/sa/"),
	}
	for range d.IntN(4) {
		s := one(d, "a", "a", "b", "b", "c", "d")
		if d.rarely(25) {
			s = one(d, "%61", "a%2Fb", "a;v=1", "..", "", "%zz", "%2e", "a%2F..")
		}
		q.path += "/" + s
	}
	if q.path == "" || d.rarely(4) {
		q.path += "/"
	}
	if d.rarely(3) {
		q.path += "?" + one(d, "q=1", "q=1", "q=2&a", "q=1&q=2", "%71=1", "r=1;q=1", "q=1#x", "q=%zz", "")
	}
	for _, name := range []string{"x-one", "x-two"} {
		if d.rarely(2) {
			q.headers[name] = one(d, "1", "1", "2", "1,1", "")
		}
	}
	if q.method == "OPTIONS" && !d.rarely(3) {
		q.headers["origin"] = "https://b"
		q.headers["access-control-request-method"] = one(d, "GET", "PUT", "POST")
	}
	if d.rarely(15) {
		q.scope = one(d, "namespace/shop", "namespace/alpha", "namespace/gone")
	}
	q.address = one(d, netip.Addr{}, netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("::ffff:10.1.2.3"), netip.MustParseAddr("2001:db8::1"))
	if !d.rarely(5) {
		d.token(q)
	}
	return q
}

// token gives q a token, mostly of a provider that is believed.
func (d drawer) token(q *question) {
	odd := func() any {
		return one[any](d, "a", "b", "", json.Number("7"), json.Number("1e2"), json.Number("1.0"), true, nil,
			[]any{"a", json.Number("7")}, []any{}, []any{true, "a"}, []any{[]any{"a"}}, map[string]any{"k": "a"})
	}
	q.claims = token.Claims{
		"iss": one(d, "https://corp", "https://corp", "https://corp", "https://web", "https://evil"), "exp": json.Number("1900000000"),
		"sub": one(d, "a", "a", "b", "u-a", "{x}"), "aud": one[any](d, "api", "api", []any{"site", "other"}, "api", "api", []any{"api", "site"}, "other"),
		"scope": one[any](d, "s1", "s1 s2", "s1 s2", "s2", []any{"s1 s2"}, []any{"s1", "s2"}, json.Number("1")),
		"roles": one[any](d, []any{"admin", "a"}, "a", []any{"admin", true}), "groups": one[any](d, []any{"ops", "a"}, "ops", nil),
	}
	for _, name := range []string{"n", "list", "obj", "a.b"} {
		if d.rarely(2) {
			q.claims[name] = odd()
		}
	}
	if !d.rarely(4) {
		d.login(q)
	}
	if d.rarely(20) {
		q.claims["exp"] = json.Number("1000000000")
	}
	q.forged = d.rarely(20)
}
