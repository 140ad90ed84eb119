package oracle

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

func (c *claim) looks() bool {
	return c.rule.Access == nil || *c.rule.Access == v1alpha1.AccessOptional || *c.rule.Access == v1alpha1.AccessAuthenticated
}

func (c *claim) optional() bool {
	return c.rule.Access != nil && *c.rule.Access == v1alpha1.AccessOptional
}

// believed is a provider that a rule believes, and the audiences of the reference to it; nil for all of the provider's.
type believed struct {
	*v1alpha1.IdentityProvider
	audiences []string
}

// believes are the providers of a rule; missing tells whether one is not to be had.
func (v view) believes(c *claim) (out []believed, missing bool) {
	for _, ref := range c.p.Spec.IdentityProviders {
		if c.rule.IdentityProviders != nil && !slices.Contains(c.rule.IdentityProviders, ref.Name) {
			continue
		}
		i := slices.IndexFunc(v.providers, func(p *v1alpha1.IdentityProvider) bool {
			return p.Name == ref.Name && p.Namespace == c.p.Namespace
		})
		if i < 0 || len(ref.Audiences) == 0 && len(v.providers[i].Spec.Audiences) > 1 ||
			slices.ContainsFunc(ref.Audiences, func(a string) bool { return !slices.Contains(v.providers[i].Spec.Audiences, a) }) {
			missing = true
			continue
		}
		out = append(out, believed{v.providers[i], ref.Audiences})
	}
	return out, missing
}

// judgeToken is the verdict of rules of which none refuses whoever comes.
func (v view) judgeToken(opinions []opinion, q *question) answer {
	a := answer{levels: len(opinions)}
	var looking, passing []*claim
	var missing, refused, preflights []string
	for _, o := range opinions {
		a.rules = max(a.rules, len(o.hits))
		var looks []*claim
		for _, c := range o.hits {
			if c.looks() && !c.preflight {
				looks = append(looks, c)
			}
		}
		if i := slices.IndexFunc(looks, func(c *claim) bool { return !c.optional() }); i >= 0 {
			missing = append(missing, says("MissingToken", looks[i]))
		}
		looking = append(looking, looks...)
		if len(o.hits) > 0 {
			passing = append(passing, o.hits[0])
			if o.hits[0].preflight {
				preflights = append(preflights, says("Preflight", o.hits[0]))
			}
		}
	}
	reason := "Allowed"
	switch {
	case len(looking) == 0:
		reason = "Public"
	case q.claims == nil && len(missing) > 0:
		a.says = missing
		return a
	case q.claims == nil:
		reason = "Anonymous"
	default:
		if refused = v.verify(looking, q); len(refused) == 0 {
			for _, o := range opinions {
				refused = append(refused, v.firstRefusal(o.hits, q)...)
			}
		}
		if len(refused) > 0 {
			a.says = refused
			return a
		}
	}
	if a.allow, a.says = true, preflights; len(preflights) == len(passing) {
		passing = nil
	}
	for _, c := range passing {
		a.says = append(a.says, says(reason, c))
	}
	if len(a.says) == 0 {
		a.says = []string{"DryRun"}
	}
	return a
}

// firstRefusal is that of the first of these rules that refuses a token that is valid, with each of its reasons.
func (v view) firstRefusal(hits []*claim, q *question) (out []string) {
	for i, c := range hits {
		for _, same := range hits[i:] {
			if same.rule != c.rule || !same.looks() || same.preflight {
				continue
			}
			if reason := v.refuses(same, q); reason != "" {
				out = append(out, says(reason, c))
			}
		}
		if len(out) > 0 {
			break
		}
	}
	return out
}

// verify is why the token is worth nothing to rules that look at it; empty where it is. Whose providers refuse a token of
// which nothing is proven nobody can know: any of the rules may be named.
func (v view) verify(looking []*claim, q *question) (out []string) {
	var p believed
	reason := ""
	for _, c := range looking {
		list, _ := v.believes(c)
		i := slices.IndexFunc(list, func(b believed) bool { return b.Spec.Issuer == q.claims["iss"] })
		if i < 0 || p.IdentityProvider != nil && p.IdentityProvider != list[i].IdentityProvider {
			reason = "UntrustedIssuer"
			break
		}
		p = list[i]
	}
	subject, _ := q.claims["sub"].(string)
	exp, _ := strconv.ParseInt(string(q.claims["exp"].(json.Number)), 10, 64)
	switch {
	case reason != "":
	case q.forged:
		reason = "InvalidSignature"
	case !intersects(texts(q.claims["aud"]), p.Spec.Audiences):
		reason = "InvalidAudience"
	case subject == "":
		reason = "InvalidSubject"
	case q.now.Unix() >= exp+30:
		reason = "TokenExpired"
	default:
		return nil
	}
	for _, c := range looking {
		out = append(out, says(reason, c))
	}
	return out
}

func intersects(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// texts are the strings of a string or of a list of nothing but strings.
func texts(v any) (out []string) {
	if s, ok := v.(string); ok {
		return []string{s}
	}
	list, _ := v.([]any)
	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			return nil
		}
		out = append(out, s)
	}
	return out
}

// refuses says why a rule refuses a token that is valid; empty where it does not.
func (v view) refuses(c *claim, q *question) string {
	list, _ := v.believes(c)
	i := slices.IndexFunc(list, func(b believed) bool { return b.Spec.Issuer == q.claims["iss"] })
	if list[i].audiences != nil && !intersects(texts(q.claims["aud"]), list[i].audiences) {
		return "InvalidAudience"
	}
	x := &exam{claim: c, q: q, captured: c.captured()}
	for _, e := range list[i].Spec.ClaimValidationRules {
		if !x.expression(e.Expression) {
			return "ClaimValidationFailed"
		}
	}
	if r := c.p.Spec.Require; r != nil && v.requireBroken(r, nil) {
		return "NotCompiled"
	}
	for _, r := range []*v1alpha1.Requirements{c.p.Spec.Require, c.rule.Require} {
		if r == nil {
			continue
		}
		if reason := x.requirements(r); reason != "" {
			return reason
		}
	}
	return ""
}

// comesFrom tells whether the caller is where the rule wants it.
func (v view) comesFrom(c *claim, q *question) bool {
	f := c.rule.From
	if f == nil {
		return true
	}
	one := func(list []string, is func(string) bool) bool { return len(list) == 0 || slices.ContainsFunc(list, is) }
	return one(f.Principals, func(s string) bool { return principal(s, q.principal) }) &&
		one(f.ServiceAccounts, func(s string) bool {
			if !strings.Contains(s, "/") {
				s = c.p.Namespace + "/" + s
			}
			ns, name, _ := strings.Cut(s, "/")
			return q.principal == "spiffe://"+v.trust+"/ns/"+ns+"/sa/"+name
		}) &&
		one(f.CIDRs, func(s string) bool {
			prefix, err := netip.ParsePrefix(s)
			return err == nil && q.address.IsValid() && prefix.Contains(q.address.Unmap())
		})
}

// principal tells whether got is what pattern says; * is one segment that is not empty.
func principal(pattern, got string) bool {
	want, have := strings.Split(pattern, "/"), strings.Split(got, "/")
	if len(want) != len(have) {
		return false
	}
	for i, w := range want {
		if w != have[i] && (w != "*" || have[i] == "") {
			return false
		}
	}
	return true
}
