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
func (v view) judgeToken(hits []*claim, path reading, q *question) answer {
	looking, _ := split(hits, (*claim).looks)
	_, needing := split(looking, (*claim).optional)
	switch {
	case len(looking) == 0:
		return hits[0].answer(true, "Public")
	case q.claims == nil && len(needing) > 0:
		return needing[0].answer(false, "MissingToken")
	case q.claims == nil:
		return hits[0].answer(true, "Anonymous")
	}
	if a, refused := v.verify(looking, q); refused {
		return a
	}
	for i, c := range looking {
		var reasons []string
		for _, same := range looking[i:] {
			if r := v.refuses(same, path, q); r != "" && same.rule == c.rule {
				reasons = append(reasons, r)
			}
		}
		if len(reasons) > 0 {
			a := c.answer(false, "")
			a.reasons = reasons
			return a
		}
	}
	return hits[0].answer(true, "Allowed")
}

// verify is what the token is worth to all of the rules that look at it. Whose providers refuse a token of which nothing
// is proven nobody can know: any of the rules may be named.
func (v view) verify(looking []*claim, q *question) (a answer, refused bool) {
	a = looking[0].answer(false, "")
	for _, c := range looking[1:] {
		a.rules = append(a.rules, c.rule.Name)
	}
	var p believed
	for _, c := range looking {
		list, _ := v.believes(c)
		i := slices.IndexFunc(list, func(b believed) bool { return b.Spec.Issuer == q.claims["iss"] })
		if i < 0 || p.IdentityProvider != nil && p.IdentityProvider != list[i].IdentityProvider {
			a.reasons = []string{"UntrustedIssuer"}
			return a, true
		}
		p = list[i]
	}
	exp, _ := strconv.ParseInt(string(q.claims["exp"].(json.Number)), 10, 64)
	switch {
	case q.forged:
		a.reasons = []string{"InvalidSignature"}
	case !intersects(texts(q.claims["aud"]), p.Spec.Audiences):
		a.reasons = []string{"InvalidAudience"}
	case q.now.Unix() >= exp+30:
		a.reasons = []string{"TokenExpired"}
	default:
		return a, false
	}
	return a, true
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
func (v view) refuses(c *claim, path reading, q *question) string {
	list, _ := v.believes(c)
	i := slices.IndexFunc(list, func(b believed) bool { return b.Spec.Issuer == q.claims["iss"] })
	if list[i].audiences != nil && !intersects(texts(q.claims["aud"]), list[i].audiences) {
		return "InvalidAudience"
	}
	x := &exam{claim: c, path: path, q: q, captured: c.captured(path)}
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
