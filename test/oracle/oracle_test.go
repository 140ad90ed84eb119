package oracle

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/token"
)

// world is everything that a verdict is a function of, the request apart.
type world struct {
	policies  []*v1alpha1.AuthPolicy
	providers []*v1alpha1.IdentityProvider
	dryRun    bool // the operator's word
	trust     string
}

// question is a request, with the token that it shows.
type question struct {
	method, host, path string
	headers            map[string]string
	namespace          string // scope; empty for none
	principal          string
	address            netip.Addr
	claims             token.Claims // nil: no token
	forged             bool         // its signature does not hold
	now                time.Time
}

// answer is a verdict. reasons are those that are right: where a request is refused for two at once, either is.
type answer struct {
	allow   bool
	reasons []string
	policy  string
	// rules that may be named; several where a token is refused and nobody can know by whose providers.
	rules []string
	// hits are the rules that had to hold.
	hits int
}

func refuse(reason string) answer { return answer{reasons: []string{reason}} }

func (c *claim) answer(allow bool, reason string) answer {
	return answer{allow: allow, reasons: []string{reason}, policy: policyName(c.p), rules: []string{c.rule.Name}}
}

func policyName(p *v1alpha1.AuthPolicy) string { return p.Namespace + "/" + p.Name }

// view is a way to look at the policies: as they are enforced, or as if DryRun were not said.
type view struct {
	*world
	all bool
}

// counts tells whether a rule takes part.
func (v view) counts(p *v1alpha1.AuthPolicy, r *v1alpha1.Rule) bool {
	return v.all || !v.dryRun && mode(p, r) != v1alpha1.ModeDryRun
}

// mode of a rule: its own word, else that of its policy.
func mode(p *v1alpha1.AuthPolicy, r *v1alpha1.Rule) v1alpha1.Mode {
	for _, m := range []*v1alpha1.Mode{r.Mode, p.Spec.Mode} {
		if m != nil {
			return *m
		}
	}
	return v1alpha1.ModeEnforce
}

// tried tells whether the policy as a whole is tried out.
func (w *world) tried(p *v1alpha1.AuthPolicy) bool {
	return w.dryRun || p.Spec.Mode != nil && *p.Spec.Mode == v1alpha1.ModeDryRun
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

// owners are, by host as policies write it, those that own it. Between namespaces, whoever enforces more and then the
// older keeps what overlaps.
func (w *world) owners() map[string][]*v1alpha1.AuthPolicy {
	v := view{w, false}
	tier := func(p *v1alpha1.AuthPolicy) int {
		switch {
		case !w.tried(p):
			return 0
		case v.speaks(p):
			return 1
		}
		return 2
	}
	order := w.sorted()
	slices.SortStableFunc(order, func(a, b *v1alpha1.AuthPolicy) int {
		return cmp.Or(cmp.Compare(tier(a), tier(b)), a.CreationTimestamp.Compare(b.CreationTimestamp.Time))
	})
	kept := map[string]string{} // namespace by host
	owns := map[*v1alpha1.AuthPolicy][]string{}
	for _, p := range order {
		for _, h := range p.Spec.Hosts {
			taken := false
			for other, ns := range kept {
				taken = taken || ns != p.Namespace && overlap(h, other)
			}
			if !taken {
				kept[h] = p.Namespace
				owns[p] = append(owns[p], h)
			}
		}
	}
	out := map[string][]*v1alpha1.AuthPolicy{}
	for _, p := range w.sorted() {
		for _, h := range owns[p] {
			out[h] = append(out[h], p)
		}
	}
	return out
}

// covers tells whether every host of b is one of a.
func covers(a, b string) bool {
	return a == b || a == "*" || strings.HasPrefix(a, "*.") && strings.HasSuffix(b, a[1:])
}

func overlap(a, b string) bool { return covers(a, b) || covers(b, a) }

// hostsFor are the hosts that cover the request's: the exact one, the longest wildcard, and so on to "*".
func hostsFor(host string, owners map[string][]*v1alpha1.AuthPolicy) []string {
	var out []string
	for h := range owners {
		if covers(h, host) && (!strings.HasPrefix(h, "*") || h == "*" || host != h[2:]) {
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(
			cmp.Compare(strings.Count(a, "*"), strings.Count(b, "*")),
			-cmp.Compare(len(a), len(b)))
	})
	return out
}

// ask says what becomes of q, and what DryRun rules would have said; the latter is empty where there is no policy.
func (w *world) ask(q *question) (enforced, dryRun answer) {
	owners := w.owners()
	var hosts []string
	for _, h := range hostsFor(strings.ToLower(q.host), owners) {
		if q.namespace == "" || owners[h][0].Namespace == q.namespace {
			hosts = append(hosts, h)
		}
	}
	enforced = refuse("NoPolicy")
	if len(hosts) > 0 || w.dryRun {
		enforced = answer{allow: true, reasons: []string{"DryRun"}}
	}
	for _, h := range hosts {
		v := view{w, false}
		if !slices.ContainsFunc(owners[h], v.speaks) {
			continue
		}
		if a := v.judge(q, owners[h]); a.reasons[0] != "DryRun" {
			enforced = a
			break
		}
	}
	switch {
	case len(hosts) > 0:
		dryRun = view{w, true}.judge(q, owners[hosts[0]])
	case w.dryRun:
		dryRun = refuse("NoPolicy")
	}
	return enforced, dryRun
}

// judge is the answer of the policies of one host.
func (v view) judge(q *question, policies []*v1alpha1.AuthPolicy) answer {
	path, ok := v.readPath(q, policies)
	if !ok {
		return refuse("AmbiguousRequest")
	}
	claims, unreadable := v.claims(policies)
	if unreadable != nil {
		return unreadable.answer(false, "NotCompiled")
	}
	open := !v.all && !slices.ContainsFunc(policies, func(p *v1alpha1.AuthPolicy) bool { return !v.tried(p) })
	if announced := q.announces(); announced != "" {
		hits, why := land(claims, path, q, announced, open)
		refuses := func(c *claim) bool {
			return value(c.p.Spec.Preflight, v1alpha1.PreflightRefuse) != v1alpha1.PreflightAllow
		}
		if len(why) == 0 && !slices.ContainsFunc(hits, refuses) {
			if c, reason := v.refusedAnyway(hits, q); c != nil {
				return c.answer(false, reason)
			}
			return hits[0].answer(true, "Preflight")
		}
	}
	hits, why := land(claims, path, q, q.method, open)
	switch {
	case len(why) > 0 && open && !slices.Contains(why, "AmbiguousRequest"):
		return answer{allow: true, reasons: []string{"DryRun"}}
	case len(why) > 0:
		return answer{reasons: why}
	}
	if c, reason := v.refusedAnyway(hits, q); c != nil {
		return c.answer(false, reason)
	}
	a := v.judgeToken(hits, path, q)
	a.hits = len(hits)
	return a
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
		case c.rule.Access != nil && *c.rule.Access == v1alpha1.AccessDenied:
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
