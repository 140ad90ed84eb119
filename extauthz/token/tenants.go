package token

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// TenantMark stands for the tenant in the issuer of a provider that has several. It is a whole segment of the path.
const TenantMark = "{tenant}"

// maxTenantBytes bounds the name of a tenant; a UUID has 36.
const maxTenantBytes = 128

// Tenants are those of a provider whose issuer is a different one for each of them. Immutable once the provider is in use.
type Tenants struct {
	before, after string // of an issuer, around the tenant
	claim         ClaimPath
	// listed are the tenants that are believed, nil where all are. A value is who holds the keys of that tenant, nil where
	// the tenants share theirs.
	listed map[string]*Provider
}

// NewTenants returns the tenants of issuer, a URL that has TenantMark as one segment of its path. Those in names are
// believed; where it is nil, all are. claim must be equal to the tenant of a token; the zero value: none need be. The
// error says what of it cannot be.
func NewTenants(issuer string, names []string, claim ClaimPath) (*Tenants, error) {
	before, after, found := strings.Cut(issuer, TenantMark)
	scheme, _, isURL := strings.Cut(before, "://")
	authority, path := strings.TrimPrefix(before, scheme+"://"), ""
	if i := strings.IndexByte(authority, '/'); i >= 0 {
		authority, path = authority[:i], authority[i:]
	}
	switch {
	case !found || strings.ContainsAny(before+after, "{}"):
		return nil, fmt.Errorf("must hold %s once, and no other braces", TenantMark)
	case !isURL || authority == "" || !strings.HasSuffix(path, "/") || after != "" && after[0] != '/' || strings.ContainsAny(before+after, "?#"):
		return nil, fmt.Errorf("must be a URL in which %s is a whole segment of the path, such as https://id.example.com/%s/v2.0", TenantMark, TenantMark)
	}
	t := &Tenants{before: before, after: after, claim: claim}
	if names == nil {
		return t, nil
	}
	t.listed = make(map[string]*Provider, len(names))
	for _, name := range names {
		if !IsTenant(name) {
			return nil, fmt.Errorf("tenant %q: must be 1 to %d letters, digits and ._~- with no dot in front", name, maxTenantBytes)
		}
		if _, twice := t.listed[name]; twice {
			return nil, fmt.Errorf("tenant %q stands here twice", name)
		}
		t.listed[name] = nil
	}
	if len(t.listed) == 0 {
		return nil, errors.New("there is no tenant")
	}
	return t, nil
}

// IsTenant tells whether s may be a tenant: the unreserved characters of a URL (RFC 3986 §2.3), which are written in one
// way only, and neither "." nor "..". So no tenant reaches beyond its segment, whoever reads the issuer.
func IsTenant(s string) bool {
	if s == "" || len(s) > maxTenantBytes || s[0] == '.' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if sextet(c) < 0 && c != '.' && c != '~' {
			return false
		}
	}
	return true
}

// of returns the tenant whose issuer iss is, and whether it is believed.
func (t *Tenants) of(iss string) (tenant string, ok bool) {
	if len(iss) <= len(t.before)+len(t.after) || !strings.HasPrefix(iss, t.before) || !strings.HasSuffix(iss, t.after) {
		return "", false
	}
	tenant = iss[len(t.before) : len(iss)-len(t.after)]
	if t.listed == nil {
		return tenant, IsTenant(tenant)
	}
	_, ok = t.listed[tenant]
	return tenant, ok
}

// Any tells whether every tenant is believed.
func (t *Tenants) Any() bool { return t.listed == nil }

// Issuers are those of the tenants that are listed, sorted; nil where all are believed.
func (t *Tenants) Issuers() []string {
	var out []string
	for name := range t.listed {
		out = append(out, t.before+name+t.after)
	}
	slices.Sort(out)
	return out
}

// Issues tells whether a token of p may have this iss: it is that of p, or that of a tenant of p. It does not allocate.
func (p *Provider) Issues(iss string) bool {
	if p.Tenants == nil {
		return iss == p.Issuer && iss != ""
	}
	_, ok := p.Tenants.of(iss)
	return ok
}

// tenant is that of a token of p with this iss, "" where p has none.
func (p *Provider) tenant(iss string) string {
	if p.Tenants == nil {
		return ""
	}
	tenant, _ := p.Tenants.of(iss)
	return tenant
}

// checkTenant requires of verified claims that they name the tenant of their iss, where the provider has a claim for it.
func (p *Provider) checkTenant(iss string, claims Claims) error {
	if p.Tenants == nil || p.Tenants.claim.name == "" {
		return nil
	}
	value, _ := claims.Lookup(p.Tenants.claim)
	if named, ok := value.(string); !ok || named != p.tenant(iss) {
		return fmt.Errorf("%w: the token names another tenant than its issuer", ErrUntrustedIssuer)
	}
	return nil
}

// TenantClaim returns the claims that checkTenant asks of a token of p with this iss: none or one.
func (p *Provider) TenantClaim(iss string) (name, value string) {
	if p.Tenants == nil {
		return "", ""
	}
	return p.Tenants.claim.name, p.tenant(iss)
}

// KeepApart gives each listed tenant of p keys of its own: remote says where those of an issuer are. p must be complete,
// and have no other keys.
func (p *Provider) KeepApart(remote func(issuer string) *Remote) {
	for name := range p.Tenants.listed {
		iss := p.Tenants.before + name + p.Tenants.after
		p.Tenants.listed[name] = &Provider{Name: p.Name, UID: p.UID, Issuer: iss, Remote: remote(iss)}
	}
}

// KeyHolders are those of whom a KeySource is asked for keys of p: p itself, or, where each tenant has its own keys, one
// for each, in the order of their issuers.
func (p *Provider) KeyHolders() []*Provider {
	if !p.keepsApart() {
		return []*Provider{p}
	}
	var out []*Provider
	for _, iss := range p.Tenants.Issuers() {
		out = append(out, p.keyHolder(iss))
	}
	return out
}

// keepsApart tells whether each tenant of p has keys of its own.
func (p *Provider) keepsApart() bool { return p.Tenants != nil && p.Static == nil && p.Remote == nil }

// keyHolder is who holds the keys of a token of p with this iss, which p issues.
func (p *Provider) keyHolder(iss string) *Provider {
	if p.Tenants == nil {
		return p
	}
	if holder := p.Tenants.listed[p.tenant(iss)]; holder != nil {
		return holder
	}
	return p
}

// MeetsIssuer tells whether there is an iss that both p and o issue: then nobody could say whose a token is. Of tenants that
// are listed only these count.
func (p *Provider) MeetsIssuer(o *Provider) bool {
	switch {
	case p.Tenants == nil:
		return o.Issues(p.Issuer)
	case o.Tenants == nil:
		return p.Issues(o.Issuer)
	case !p.Tenants.Any():
		return slices.ContainsFunc(p.Tenants.Issuers(), o.Issues)
	case !o.Tenants.Any():
		return slices.ContainsFunc(o.Tenants.Issuers(), p.Issues)
	}
	// Both marks are whole segments, so that segment by segment is all there is to compare.
	a, b := strings.Split(p.Tenants.pattern(), "/"), strings.Split(o.Tenants.pattern(), "/")
	return slices.EqualFunc(a, b, func(a, b string) bool {
		return a == b || a == TenantMark && IsTenant(b) || b == TenantMark && IsTenant(a)
	})
}

func (t *Tenants) pattern() string { return t.before + TenantMark + t.after }
