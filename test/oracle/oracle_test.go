package oracle

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/token"
)

// world is everything that a verdict is a function of, the request apart.
type world struct {
	policies   []*v1alpha1.AuthPolicy
	providers  []*v1alpha1.IdentityProvider
	namespaces []*corev1.Namespace
	services   []*corev1.Service
	gateways   []*gatewayv1.Gateway
	httpRoutes []*gatewayv1.HTTPRoute
	grpcRoutes []*gatewayv1.GRPCRoute

	// The operator's words.
	dryRun, grants bool
	trust          string
}

// question is a request, with the token that it shows.
type question struct {
	scope                      string // as the proxy states it; empty for none
	method, scheme, host, path string
	headers                    map[string]string
	principal                  string
	address                    netip.Addr
	claims                     token.Claims // nil: no token
	forged                     bool         // its signature does not hold
	now                        time.Time
}

// answer is a verdict. says are the reasons that are right, each with the policy and the rule that it names: where a
// request is refused for two at once, either is, and of levels that allow the first rule of each may be named.
type answer struct {
	allow bool
	says  []string
	// levels that had an answer, and the most rules of one that had to hold.
	levels, rules int
}

func says(reason string, c *claim) string {
	return reason + " " + c.p.Namespace + "/" + c.p.Name + " " + c.rule.Name
}

// view is a way to look at the policies: as they are enforced, or as if DryRun were not said.
type view struct {
	*world
	all bool
}

// counts tells whether a rule takes part: by its own mode, else by that of its policy.
func (v view) counts(p *v1alpha1.AuthPolicy, r *v1alpha1.Rule) bool {
	mode := value(r.Mode, value(p.Spec.Mode, v1alpha1.ModeEnforce))
	return v.all || !v.dryRun && mode != v1alpha1.ModeDryRun
}

// tried tells whether the policy as a whole is tried out.
func (w *world) tried(p *v1alpha1.AuthPolicy) bool {
	return w.dryRun || value(p.Spec.Mode, "") == v1alpha1.ModeDryRun
}

// speaks tells whether a policy has a say: it is enforced, or one of its rules is.
func (v view) speaks(p *v1alpha1.AuthPolicy) bool {
	return v.all || !v.tried(p) || slices.ContainsFunc(p.Spec.Rules, func(r v1alpha1.Rule) bool { return v.counts(p, &r) })
}

// sorted are the policies by namespace and name.
func (w *world) sorted() []*v1alpha1.AuthPolicy {
	return slices.SortedFunc(slices.Values(w.policies), func(a, b *v1alpha1.AuthPolicy) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
}

// ask says what becomes of q, and what DryRun rules would have said.
func (w *world) ask(q *question) (enforced, dryRun answer) {
	return view{w, false}.answer(q), view{w, true}.answer(q)
}

// answer of all places where the request could be: each level that has something to say must allow. Without a scope its
// owner must have a say in a host that is granted.
func (v view) answer(q *question) answer {
	var opinions []opinion
	_, owners := v.closestGrant(plain(q.host))
	open := v.dryRun && !v.all
	known, owned := open, open || q.scope != "" || !v.grants || len(owners) == 0
	for _, p := range v.places(q) {
		of, policies := v.at(p, q)
		opinions, known = append(opinions, of...), known || len(policies) > 0
		if len(policies) == 0 && p.backend && !open {
			opinions = append(opinions, noPolicy)
		}
		owned = owned || slices.ContainsFunc(policies, func(p *v1alpha1.AuthPolicy) bool { return slices.Contains(owners, p.Namespace) })
	}
	if !known || !owned {
		opinions = append(opinions, noPolicy)
	}
	var no []string
	for _, o := range opinions {
		no = append(no, o.no...)
		if c, reason := v.refusedAnyway(o.hits, q); c != nil {
			no = append(no, says(reason, c))
		}
	}
	if len(no) > 0 {
		return answer{says: no, levels: len(opinions)}
	}
	return v.judgeToken(opinions, q)
}

// at is what the levels have to say at a place: hosts, route or Service, and Gateway; and all the policies that there are,
// enforced or not.
func (v view) at(p place, q *question) (out []opinion, there []*v1alpha1.AuthPolicy) {
	ask := func(policies []*v1alpha1.AuthPolicy) bool {
		there = append(there, policies...)
		o := v.level(policies, q)
		if len(o.hits)+len(o.no) > 0 {
			out = append(out, o)
		}
		return len(o.hits)+len(o.no) > 0
	}
	// A host of which nothing is enforced goes on to the next wider one.
	for _, policies := range v.hosts(p, q) {
		if ask(policies) {
			break
		}
	}
	ask(v.attached(p.service))
	ask(v.attached(p.route))
	inner := len(out) > 0
	ask(slices.DeleteFunc(v.attached(p.gateway), func(a *v1alpha1.AuthPolicy) bool {
		return inner && value(a.Spec.Inheritance, "") != v1alpha1.InheritanceRequired
	}))
	return out, there
}

// opinion is what one level has to say: rules that must hold, or why it refuses; neither where nothing is enforced.
type opinion struct {
	hits []*claim
	no   []string
}

var noPolicy = opinion{no: []string{"NoPolicy"}}

// level is the answer of policies that share one table.
func (v view) level(policies []*v1alpha1.AuthPolicy, q *question) opinion {
	if !slices.ContainsFunc(policies, v.speaks) {
		return opinion{}
	}
	path, ok := v.readPath(q, policies)
	if !ok {
		return opinion{no: []string{"AmbiguousRequest"}}
	}
	claims, unreadable := v.claims(policies)
	if unreadable != nil {
		return opinion{no: []string{says("NotCompiled", unreadable)}}
	}
	for _, c := range claims {
		c.path = path
	}
	open := !v.all && !slices.ContainsFunc(policies, func(p *v1alpha1.AuthPolicy) bool { return !v.tried(p) })
	if announced := q.announces(); announced != "" {
		hits, why := land(claims, path, q, announced, open)
		refuses := func(c *claim) bool { return value(c.p.Spec.Preflight, "") != v1alpha1.PreflightAllow }
		if len(why) == 0 && !slices.ContainsFunc(hits, refuses) {
			for _, c := range hits {
				c.preflight = true
			}
			return opinion{hits: hits}
		}
	}
	hits, why := land(claims, path, q, q.method, open)
	if open && len(why) > 0 && !slices.Contains(why, "AmbiguousRequest") {
		return opinion{}
	}
	return opinion{hits, why}
}

// announces is the method that a CORS preflight announces.
func (q *question) announces() string {
	_, origin := q.headers["origin"]
	if q.method != "OPTIONS" || !origin {
		return ""
	}
	return q.headers["access-control-request-method"]
}

// refusedAnyway is the first rule that refuses whatever token is shown.
func (v view) refusedAnyway(hits []*claim, q *question) (*claim, string) {
	for _, c := range hits {
		switch {
		case v.broken(c):
			return c, "NotCompiled"
		case value(c.rule.Access, "") == v1alpha1.AccessDenied:
			return c, "Denied"
		case !v.comesFrom(c, q):
			return c, "SourceNotAllowed"
		}
	}
	return nil, ""
}

// value is *p, or def where p is nil.
func value[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}
