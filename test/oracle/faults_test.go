package oracle

import (
	"encoding/json"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// fault is planted: what the engine gets to see is changed, as a fault of the engine would make it see it.
type fault struct {
	name     string
	policy   func(*v1alpha1.AuthPolicy)
	question func(*question)
	world    func(*world)
}

// rules makes a fault of policies out of one of rules.
func rules(change func(*v1alpha1.Rule)) func(*v1alpha1.AuthPolicy) {
	return func(p *v1alpha1.AuthPolicy) {
		for i := range p.Spec.Rules {
			change(&p.Spec.Rules[i])
		}
	}
}

// matches makes one out of a fault of matches.
func matches(change func(*v1alpha1.RouteMatch)) func(*v1alpha1.AuthPolicy) {
	return rules(func(r *v1alpha1.Rule) {
		for i := range r.Matches {
			change(&r.Matches[i])
		}
	})
}

// requires makes one out of a fault of what rules require.
func requires(change func(*v1alpha1.Requirements)) func(*v1alpha1.AuthPolicy) {
	return rules(func(r *v1alpha1.Rule) {
		if r.Require != nil {
			change(r.Require)
		}
	})
}

// compares makes one out of a fault of comparisons of claims.
func compares(change func(*v1alpha1.ClaimRequirement)) func(*v1alpha1.AuthPolicy) {
	return requires(func(r *v1alpha1.Requirements) {
		for i := range r.Claims {
			change(&r.Claims[i])
		}
	})
}

func operator(from, to v1alpha1.ClaimOperator, values ...string) func(*v1alpha1.AuthPolicy) {
	return compares(func(c *v1alpha1.ClaimRequirement) {
		if c.Operator == from {
			c.Operator, c.Values = to, append(c.Values, values...)
		}
	})
}

// faults of every part that a verdict depends on.
var faults = []fault{
	{name: "methods are not looked at", policy: matches(func(m *v1alpha1.RouteMatch) { m.Methods = nil })},
	{name: "headers are not looked at", policy: matches(func(m *v1alpha1.RouteMatch) { m.Headers = nil })},
	{name: "query is not looked at", policy: matches(func(m *v1alpha1.RouteMatch) { m.QueryParams = nil })},
	{name: "regular expressions are texts", policy: matches(func(m *v1alpha1.RouteMatch) {
		for i := range m.Headers {
			m.Headers[i].Type = nil
		}
	})},
	{name: "a template is a prefix", policy: matches(func(m *v1alpha1.RouteMatch) {
		if m.Path != nil && !strings.HasSuffix(*m.Path.Value, "/") && *m.Path.Type == v1alpha1.PathMatchTemplate {
			m.Path.Value = ptr(strings.TrimSuffix(*m.Path.Value, "/**") + "/**")
		}
	})},
	{name: "an expression is a capture", policy: matches(func(m *v1alpha1.RouteMatch) {
		if m.Path != nil {
			m.Path.Value = ptr(strings.NewReplacer(":[ab]", "", ":[bc]", "").Replace(*m.Path.Value))
		}
	})},
	{name: "exact is a prefix", policy: matches(func(m *v1alpha1.RouteMatch) {
		if m.Path != nil && *m.Path.Type == v1alpha1.PathMatchExact {
			m.Path.Type = nil
		}
	})},
	{name: "the final slash of a pattern is lost", policy: matches(func(m *v1alpha1.RouteMatch) {
		if m.Path != nil && len(*m.Path.Value) > 1 {
			m.Path.Value = ptr(strings.TrimSuffix(*m.Path.Value, "/"))
		}
	})},
	{name: "the last rule wins", policy: func(p *v1alpha1.AuthPolicy) {
		for i, j := 0, len(p.Spec.Rules)-1; i < j; i, j = i+1, j-1 {
			p.Spec.Rules[i], p.Spec.Rules[j] = p.Spec.Rules[j], p.Spec.Rules[i]
		}
	}},
	{name: "from is not looked at", policy: rules(func(r *v1alpha1.Rule) { r.From = nil })},
	{name: "providers are not narrowed", policy: rules(func(r *v1alpha1.Rule) { r.IdentityProviders = nil })},
	{name: "audiences are not narrowed", policy: func(p *v1alpha1.AuthPolicy) {
		for i := range p.Spec.IdentityProviders {
			if p.Spec.IdentityProviders[i].Audiences != nil {
				p.Spec.IdentityProviders[i].Audiences = []string{"api", "site"}
			}
		}
	}},
	{name: "the policy requires nothing", policy: func(p *v1alpha1.AuthPolicy) { p.Spec.Require = nil }},
	{name: "one scope is enough", policy: requires(func(r *v1alpha1.Requirements) { r.Scopes = r.Scopes[:min(1, len(r.Scopes))] })},
	{name: "anyOf is its first entry", policy: requires(func(r *v1alpha1.Requirements) { r.AnyOf = r.AnyOf[:min(1, len(r.AnyOf))] })},
	{name: "anyOf is not looked at", policy: requires(func(r *v1alpha1.Requirements) { r.AnyOf = nil })},
	{name: "expressions hold", policy: requires(func(r *v1alpha1.Requirements) {
		for i := range r.Expressions {
			r.Expressions[i].Expression = "true"
		}
	})},
	{name: "HasAll is In", policy: operator(v1alpha1.ClaimHasAll, v1alpha1.ClaimIn)},
	{name: "In takes one value more", policy: operator(v1alpha1.ClaimIn, v1alpha1.ClaimIn, "b")},
	{name: "NotIn is DoesNotExist", policy: compares(func(c *v1alpha1.ClaimRequirement) {
		if c.Operator == v1alpha1.ClaimNotIn {
			c.Operator, c.Values = v1alpha1.ClaimDoesNotExist, nil
		}
	})},
	{name: "NotIn takes what has no text", policy: compares(func(c *v1alpha1.ClaimRequirement) {
		if c.Operator == v1alpha1.ClaimNotIn {
			c.Operator, c.Values = v1alpha1.ClaimExists, nil
		}
	})},
	{name: "Matches is not anchored", policy: compares(func(c *v1alpha1.ClaimRequirement) {
		for i := range c.Values {
			if c.Operator == v1alpha1.ClaimMatches {
				c.Values[i] = ".*(?:" + c.Values[i] + ").*"
			}
		}
	})},
	{name: "a capture is a text", policy: compares(func(c *v1alpha1.ClaimRequirement) {
		for i := range c.Values {
			c.Values[i] = strings.ReplaceAll(c.Values[i], "{x}", "a")
		}
	})},
	{name: "DryRun of a policy is enforced", policy: func(p *v1alpha1.AuthPolicy) { p.Spec.Mode = nil }},
	{name: "DryRun of a rule is enforced", policy: rules(func(r *v1alpha1.Rule) { r.Mode = nil })},
	{name: "preflights are requests", policy: func(p *v1alpha1.AuthPolicy) { p.Spec.Preflight = nil }},
	{name: "preflights pass", policy: func(p *v1alpha1.AuthPolicy) { p.Spec.Preflight = ptr(v1alpha1.PreflightAllow) }},
	{name: "paths are read as one likes", policy: func(p *v1alpha1.AuthPolicy) {
		p.Spec.Paths = &v1alpha1.PathOptions{EncodedSlash: ptr(v1alpha1.EncodedSlashKeep), Semicolon: ptr(v1alpha1.SemicolonStrip)}
	}},
	{name: "age decides nothing between namespaces", policy: func(p *v1alpha1.AuthPolicy) { p.CreationTimestamp = metav1.Time{} }},
	{name: "what does not compile is Public", policy: rules(func(r *v1alpha1.Rule) {
		if r.Access == nil && r.Require == nil || r.Access != nil && *r.Access == "Publik" {
			r.Access = ptr(v1alpha1.AccessPublic)
		}
	})},
	{name: "Optional is Public", policy: rules(func(r *v1alpha1.Rule) {
		if r.Access != nil && *r.Access == v1alpha1.AccessOptional {
			r.Access, r.IdentityProviders = ptr(v1alpha1.AccessPublic), nil
		}
	})},
	{name: "names alone decide between hosts", policy: func(p *v1alpha1.AuthPolicy) { p.Namespace = "shop" }},
	{name: "the final slash of a request is lost", question: func(q *question) {
		if path, query, cut := strings.Cut(q.path, "?"); len(path) > 1 {
			q.path = strings.TrimSuffix(path, "/")
			if cut {
				q.path += "?" + query
			}
		}
	}},
	{name: "dot segments are resolved", question: func(q *question) { q.path = strings.Replace(q.path, "/a/..", "", 1) }},
	{name: "a path is decoded twice", question: func(q *question) { q.path = strings.ReplaceAll(q.path, "%2F", "/") }},
	{name: "of a query the first parameter counts", question: func(q *question) { q.path = strings.Replace(q.path, "&q=2", "", 1) }},
	{name: "the scope is not looked at", question: func(q *question) { q.scope = "" }},
	{name: "the wildcard takes the name behind it", question: func(q *question) { q.host = strings.TrimPrefix(q.host, "x.") }},
	{name: "numbers lose their digits", question: func(q *question) {
		if q.claims["n"] == json.Number("1e2") || q.claims["n"] == json.Number("1.0") {
			q.claims["n"] = json.Number("7")
		}
	}},
	{name: "an address in IPv6 is another", question: func(q *question) {
		if q.address.Is4In6() {
			q.address = netip.Addr{}
		}
	}},
	{name: "a forged token holds", question: func(q *question) { q.forged = false }},
	{name: "a token that is refused is none", question: func(q *question) {
		if q.forged {
			q.claims = nil
		}
	}},
}

// TestOracleFindsFaults plants each fault, and sees that the comparison finds it.
func TestOracleFindsFaults(t *testing.T) {
	const most = 3000 // sets of policies
	find := func(faults []fault, draw func(drawer) (*world, func() *question)) {
		for _, f := range faults {
			t.Run(f.name, func(t *testing.T) {
				for seed := uint64(1); seed <= most; seed++ {
					if w, questions := draw(newDrawer(seed)); finds(f, w, questions) {
						return
					}
				}
				t.Errorf("not found in %d pairs", most*each)
			})
		}
	}
	find(faults, drawer.byHost)
	find(attachFaults, drawer.inCluster)
}

func finds(f fault, w *world, draw func() *question) bool {
	e := compile(f.in(w))
	for range each {
		q := draw()
		enforced, dryRun := w.ask(q)
		if compare(e.ask(f.of(q)), enforced, dryRun) != nil {
			return true
		}
	}
	return false
}

// in is a world as the fault lets it be seen, and of a question.
func (f fault) in(w *world) *world {
	bad := w.clone()
	if f.world != nil {
		f.world(bad)
	}
	for _, p := range bad.policies {
		if f.policy != nil {
			f.policy(p)
		}
	}
	return bad
}

func (f fault) of(q *question) *question {
	bad := *q
	bad.claims = maps.Clone(q.claims)
	if f.question != nil {
		f.question(&bad)
	}
	return &bad
}

// clone is a world of copies, but for the providers.
func (w *world) clone() *world {
	out := *w
	out.policies, out.namespaces = copies(w.policies), copies(w.namespaces)
	out.gateways, out.httpRoutes, out.grpcRoutes = copies(w.gateways), copies(w.httpRoutes), copies(w.grpcRoutes)
	return &out
}

func copies[T interface{ DeepCopy() T }](list []T) (out []T) {
	for _, o := range list {
		out = append(out, o.DeepCopy())
	}
	return out
}

// TestEveryFeatureDecides draws until each fault that could be planted has changed the answer of a few pairs: what
// decides nothing is not compared.
func TestEveryFeatureDecides(t *testing.T) {
	const few, most, each = 3, 4000, 12
	count := func(faults []fault, drawn func(drawer) (*world, func() *question)) {
		decided, pairs, left := map[string]int{}, 0, slices.Clone(faults)
		for seed := uint64(1); seed <= most && len(left) > 0; seed++ {
			w, draw := drawn(newDrawer(seed))
			bad := map[string]*world{}
			for _, f := range left {
				if in := f.in(w); f.question != nil || !reflect.DeepEqual(in, w) {
					bad[f.name] = in
				}
			}
			for range each {
				pairs++
				for _, name := range w.decides(draw(), left, bad) {
					decided[name]++
				}
			}
			left = slices.DeleteFunc(left, func(f fault) bool {
				done := decided[f.name] >= few
				if done {
					t.Logf("%6d pairs: %s", pairs, f.name)
				}
				return done
			})
		}
		for _, f := range left {
			t.Errorf("decided %d of %d pairs: %s", decided[f.name], pairs, f.name)
		}
	}
	count(faults, drawer.byHost)
	count(attachFaults, drawer.inCluster)
}

// decides are the faults by which a question has another answer.
func (w *world) decides(q *question, faults []fault, bad map[string]*world) (names []string) {
	want, wantDry := w.ask(q)
	for _, f := range faults {
		of := f.of(q)
		if bad[f.name] == nil || f.question != nil && reflect.DeepEqual(of, q) {
			continue
		}
		got, gotDry := bad[f.name].ask(of)
		if !slices.Equal(distinct(got.says), distinct(want.says)) || !slices.Equal(distinct(gotDry.says), distinct(wantDry.says)) {
			names = append(names, f.name)
		}
	}
	return names
}

// distinct are the answers that are good, whichever place gave them.
func distinct(says []string) []string { return slices.Compact(slices.Sorted(slices.Values(says))) }
