package token

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	entraIssuer = "https://login.example.com/{tenant}/v2.0"
	realmIssuer = "https://id.example.com/realms/{tenant}"
)

// tenantsOf are those of issuer; no names: all.
func tenantsOf(t testing.TB, issuer, claim string, names ...string) *Tenants {
	t.Helper()
	var at ClaimPath
	if claim != "" {
		at = path(t, claim)
	}
	tenants, err := NewTenants(issuer, names, at)
	if err != nil {
		t.Fatal(err)
	}
	return tenants
}

func issuerOf(tenant string) string { return strings.Replace(entraIssuer, TenantMark, tenant, 1) }

func TestIssues(t *testing.T) {
	listed := &Provider{Tenants: tenantsOf(t, entraIssuer, "tid", "acme", "Globex", "a.b~c_d-9")}
	all := &Provider{Tenants: tenantsOf(t, entraIssuer, "tid")}
	atEnd := &Provider{Tenants: tenantsOf(t, realmIssuer, "")}
	for _, tt := range []struct {
		name, iss               string
		listed, all, atEndOfAll bool
	}{
		{"a tenant that is listed", issuerOf("acme"), true, true, false},
		{"another", issuerOf("Globex"), true, true, false},
		{"every character that a tenant may have", issuerOf("a.b~c_d-9"), true, true, false},
		{"one that is not listed", issuerOf("initech"), false, true, false},
		{"another case", issuerOf("globex"), false, true, false},
		{"the mark itself", entraIssuer, false, false, false},
		{"Microsoft's mark", issuerOf("{tenantid}"), false, false, false},
		{"no tenant", issuerOf(""), false, false, false},
		{"a slash", issuerOf("acme/x"), false, false, false},
		{"a slash in front", issuerOf("/acme"), false, false, false},
		{"a slash behind", issuerOf("acme/"), false, false, false},
		{"a step up", issuerOf(".."), false, false, false},
		{"a step to the same", issuerOf("."), false, false, false},
		{"a dot in front", issuerOf(".acme"), false, false, false},
		{"a tenant that steps back", issuerOf("x/../acme"), false, false, false},
		{"an escape", issuerOf("%61cme"), false, false, false},
		{"an encoded slash", issuerOf("acme%2Fx"), false, false, false},
		{"a query", issuerOf("acme?x="), false, false, false},
		{"a fragment", issuerOf("acme#"), false, false, false},
		{"a user", issuerOf("acme@evil.example"), false, false, false},
		{"a backslash", issuerOf(`acme\x`), false, false, false},
		{"a blank", issuerOf("acme "), false, false, false},
		{"a line end", issuerOf("acme\n"), false, false, false},
		{"a zero byte", issuerOf("acme\x00"), false, false, false},
		{"another alphabet", issuerOf("аcme"), false, false, false}, // the first letter is Cyrillic
		{"128 letters", issuerOf(strings.Repeat("a", 128)), false, true, false},
		{"129 letters", issuerOf(strings.Repeat("a", 129)), false, false, false},
		{"300 letters", issuerOf(strings.Repeat("a", 300)), false, false, false},
		{"a final slash", issuerOf("acme") + "/", false, false, false},
		{"nothing behind the tenant", strings.TrimSuffix(issuerOf("acme"), "/v2.0"), false, false, false},
		{"the ends overlap", "https://login.example.com/v2.0", false, false, false},
		{"another scheme", strings.Replace(issuerOf("acme"), "https", "http", 1), false, false, false},
		{"another host", strings.Replace(issuerOf("acme"), "login", "evil", 1), false, false, false},
		{"a host in capitals", strings.Replace(issuerOf("acme"), "login", "LOGIN", 1), false, false, false},
		{"the tenant in the host", "https://acme.login.example.com/v2.0", false, false, false},
		{"empty", "", false, false, false},
		{"the mark at the end", "https://id.example.com/realms/acme", false, false, true},
		{"the mark at the end, and a slash", "https://id.example.com/realms/acme/", false, false, false},
		{"the mark at the end, and more", "https://id.example.com/realms/acme/x", false, false, false},
		{"the mark at the end, and nothing", "https://id.example.com/realms/", false, false, false},
	} {
		if l, a, e := listed.Issues(tt.iss), all.Issues(tt.iss), atEnd.Issues(tt.iss); l != tt.listed || a != tt.all || e != tt.atEndOfAll {
			t.Errorf("%s: listed %t, all %t, at the end %t", tt.name, l, a, e)
		}
	}
	if plain := (&Provider{Issuer: testIssuer}); !plain.Issues(testIssuer) || plain.Issues(testIssuer+"/") || (&Provider{}).Issues("") {
		t.Error("a provider without tenants issues something else than its issuer")
	}
}

func TestNewTenants(t *testing.T) {
	for _, tt := range []struct {
		name, issuer string
		names        []string
		ok           bool
	}{
		{"a segment in the middle", entraIssuer, nil, true},
		{"a segment at the end", realmIssuer, []string{"a"}, true},
		{"a final slash behind it", "https://sts.example.com/{tenant}/", []string{"a"}, true},
		{"no mark", testIssuer, nil, false},
		{"two marks", "https://a/{tenant}/{tenant}", nil, false},
		{"another mark", "https://a/{tenant}/{realm}", nil, false},
		{"Microsoft's mark", "https://a/{tenantid}", nil, false},
		{"a part of a segment", "https://a/x-{tenant}", nil, false},
		{"a part of a segment, in front", "https://a/{tenant}-x", nil, false},
		{"in the host", "https://{tenant}.example.com/", nil, false},
		{"the host", "https://{tenant}", nil, false},
		{"in the query", "https://a/?{tenant}", nil, false},
		{"behind a query", "https://a/?x=/{tenant}", nil, false},
		{"in front of a fragment", "https://a/{tenant}/#x", nil, false},
		{"no URL", "corp/{tenant}", nil, false},
		{"no host", "https:///{tenant}", nil, false},
		{"no tenants", entraIssuer, []string{}, false},
		{"a tenant twice", entraIssuer, []string{"a", "b", "a"}, false},
		{"a tenant that is empty", entraIssuer, []string{""}, false},
		{"a tenant with a slash", entraIssuer, []string{"a/b"}, false},
		{"a step up", entraIssuer, []string{".."}, false},
		{"an escape", entraIssuer, []string{"a%20b"}, false},
		{"129 letters", entraIssuer, []string{strings.Repeat("a", 129)}, false},
	} {
		if _, err := NewTenants(tt.issuer, tt.names, ClaimPath{}); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// FuzzTenants' law: an iss is that of a tenant exactly where a pattern that is written down in another way says so, and
// what it says of the tenant makes the iss again.
func FuzzTenants(f *testing.F) {
	all := &Provider{Tenants: tenantsOf(f, entraIssuer, "")}
	listed := &Provider{Tenants: tenantsOf(f, entraIssuer, "", "acme", "globex")}
	pattern := regexp.MustCompile(`\Ahttps://login\.example\.com/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,127}/v2\.0\z`)
	for _, s := range []string{"acme", "", "..", "a/b", "a%2Fb", "{tenant}", "acme/v2.0/x", strings.Repeat("a", 129)} {
		f.Add(issuerOf(s))
	}
	f.Add("https://login.example.com/v2.0")
	f.Fuzz(func(t *testing.T, iss string) {
		tenant, ok := all.Tenants.of(iss)
		if ok != pattern.MatchString(iss) || ok && issuerOf(tenant) != iss {
			t.Fatalf("%q: tenant %q, %t", iss, tenant, ok)
		}
		if listed.Issues(iss) != (iss == issuerOf("acme") || iss == issuerOf("globex")) {
			t.Fatalf("%q: listed", iss)
		}
	})
}

func TestMeetsIssuer(t *testing.T) {
	plain := func(iss string) *Provider { return &Provider{Issuer: iss} }
	of := func(issuer string, names ...string) *Provider {
		return &Provider{Issuer: issuer, Tenants: tenantsOf(t, issuer, "", names...)}
	}
	for _, tt := range []struct {
		name string
		a, b *Provider
		want bool
	}{
		{"one issuer", plain("https://a"), plain("https://a"), true},
		{"two issuers", plain("https://a"), plain("https://a/"), false},
		{"a tenant and its issuer", of(entraIssuer, "acme"), plain(issuerOf("acme")), true},
		{"a tenant and that of another", of(entraIssuer, "acme"), plain(issuerOf("globex")), false},
		{"all tenants and the issuer of one", of(entraIssuer), plain(issuerOf("globex")), true},
		{"all tenants and no tenant's", of(entraIssuer), plain(issuerOf("a/b")), false},
		{"lists with a common tenant", of(entraIssuer, "a", "b"), of(entraIssuer, "b", "c"), true},
		{"lists without", of(entraIssuer, "a", "b"), of(entraIssuer, "c"), false},
		{"a list and all", of(entraIssuer, "a"), of(entraIssuer), true},
		{"all and all", of(entraIssuer), of(entraIssuer), true},
		{"all of two hosts", of(entraIssuer), of(strings.Replace(entraIssuer, "login", "other", 1)), false},
		{"all at different places that meet", of("https://a/{tenant}/b"), of("https://a/b/{tenant}"), true},
		{"all at different places that do not", of("https://a/{tenant}/b"), of("https://a/c/{tenant}/d"), false},
		{"what no tenant can be stands in the way", of("https://a/{tenant}/b"), of("https://a/%2e/{tenant}"), false},
	} {
		if got, back := tt.a.MeetsIssuer(tt.b), tt.b.MeetsIssuer(tt.a); got != tt.want || back != tt.want {
			t.Errorf("%s: %t, and the other way round %t", tt.name, got, back)
		}
	}
}

// TestTenantsThatShareKeys: what keeps them apart is the claim, so it must agree with iss.
func TestTenantsThatShareKeys(t *testing.T) {
	p := corp(t, func(p *Provider) {
		p.Issuer, p.Tenants = entraIssuer, tenantsOf(t, entraIssuer, "tid", "acme", "globex")
	})
	v := verifier(t, Config{CacheBytes: 1 << 20})
	for _, tt := range []struct {
		name, tenant, tid string
		want              error
	}{
		{"acme's", "acme", `"acme"`, nil},
		{"globex's", "globex", `"globex"`, nil},
		{"acme's that says globex", "acme", `"globex"`, ErrUntrustedIssuer},
		{"without the claim", "acme", "", ErrUntrustedIssuer},
		{"null", "acme", "null", ErrUntrustedIssuer},
		{"another case", "acme", `"ACME"`, ErrUntrustedIssuer},
		{"a list", "acme", `["acme"]`, ErrUntrustedIssuer},
		{"a tenant that is not listed", "initech", `"initech"`, ErrUntrustedIssuer},
		{"the mark", TenantMark, `"{tenant}"`, ErrUntrustedIssuer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := sign(t, RS256, "rsa", rs256Header, claims(map[string]string{"iss": `"` + issuerOf(tt.tenant) + `"`, "tid": tt.tid}))
			for i := range 2 { // the second time from the cache, where it is let in
				id, err := v.Verify(context.Background(), Credential{raw, bearer}, []*Provider{p})
				if wraps(t, err, tt.want); err != nil {
					continue
				}
				if id.Issuer != issuerOf(tt.tenant) || id.Provider != p {
					t.Errorf("%d: identity of %q", i, id.Issuer)
				}
			}
		})
	}
}

// tenantKeys are the sets of holders, by their issuers.
type tenantKeys map[string]*KeySet

func (k tenantKeys) Keys(_ context.Context, p *Provider, _ *KeySet) (*KeySet, error) {
	if set := k[p.Issuer]; set != nil {
		return set, nil
	}
	return nil, ErrKeysUnavailable
}

// TestTenantsWithKeysOfTheirOwn: a key of one signs for no other, and a set that is replaced voids what the cache has of
// that tenant alone.
func TestTenantsWithKeysOfTheirOwn(t *testing.T) {
	p := corp(t, func(p *Provider) {
		p.Issuer, p.Tenants, p.Static = entraIssuer, tenantsOf(t, entraIssuer, "", "acme", "globex", "initech"), nil
		p.KeepApart(func(issuer string) *Remote { return &Remote{Discovery: true, Issuer: issuer, Among: entraIssuer} })
	})
	holders := p.KeyHolders()
	if got := slices.Collect(func(yield func(string) bool) {
		for _, h := range holders {
			if h.Name != p.Name || h.Remote.Issuer != h.Issuer || !yield(h.Issuer) {
				return
			}
		}
	}); !slices.Equal(got, []string{issuerOf("acme"), issuerOf("globex"), issuerOf("initech")}) {
		t.Errorf("holders %q", got)
	}
	keys := tenantKeys{
		issuerOf("acme"):   mustSet(t, jwks(jwk("rsa", `"kid":"1"`)), false),
		issuerOf("globex"): mustSet(t, jwks(jwk("rsa2", `"kid":"1"`)), false), // the same kid, as two realms may have it
	}
	v := verifier(t, Config{Keys: keys, CacheBytes: 1 << 20})
	token := func(tenant, key string) string {
		return sign(t, RS256, key, `{"alg":"RS256","kid":"1"}`, claims(map[string]string{"iss": `"` + issuerOf(tenant) + `"`}))
	}
	for _, tt := range []struct {
		name, raw string
		want      error
	}{
		{"acme's", token("acme", "rsa"), nil},
		{"globex's", token("globex", "rsa2"), nil},
		{"acme's by a key of globex", token("acme", "rsa2"), ErrSignature},
		{"globex's by a key of acme", token("globex", "rsa"), ErrSignature},
		{"a tenant whose keys are not to be had", token("initech", "rsa"), ErrKeysUnavailable},
		{"a tenant that is not listed", token("hooli", "rsa"), ErrUntrustedIssuer},
	} {
		_, err := v.Verify(context.Background(), Credential{tt.raw, bearer}, []*Provider{p})
		if wraps(t, err, tt.want); t.Failed() {
			t.Fatal(tt.name)
		}
	}
	keys[issuerOf("acme")] = mustSet(t, jwks(jwk("p256", `"kid":"2"`)), false)
	if hit, err := hits(t, v, token("globex", "rsa2"), p); !hit || err != nil {
		t.Errorf("globex's after acme's keys changed: found %t, %v", hit, err)
	}
	hit, err := hits(t, v, token("acme", "rsa"), p)
	if wraps(t, err, ErrUnknownKey); hit {
		t.Error("acme's is still found after acme's keys changed")
	}
}

// TestKeyOfAnIssuer: a key that names an issuer verifies its tokens only, in every provider.
func TestKeyOfAnIssuer(t *testing.T) {
	many := func(p *Provider) {
		p.Issuer, p.Tenants = entraIssuer, tenantsOf(t, entraIssuer, "tid", "acme", "globex")
	}
	plain := func(p *Provider) { p.Issuer = issuerOf("acme") }
	for _, tt := range []struct {
		name, of string // the issuer of the key
		provider func(*Provider)
		want     error
	}{
		{"of this issuer", issuerOf("acme"), many, nil},
		{"of another tenant", issuerOf("globex"), many, ErrSignature},
		{"of all tenants", issuerOf("{tenantid}"), many, nil},
		{"of all tenants elsewhere", "https://other.example.com/{tenantid}/v2.0", many, ErrSignature},
		{"the mark at another place", "https://login.example.com/acme/{tenantid}", many, ErrSignature},
		{"of this issuer, one tenant", issuerOf("acme"), plain, nil},
		{"of another, one tenant", issuerOf("globex"), plain, ErrSignature},
		{"of all tenants, one tenant", issuerOf("{tenantid}"), plain, nil},
		{"of all tenants elsewhere, one tenant", "https://other.example.com/{tenantid}/v2.0", plain, ErrSignature},
		{"of an issuer with our mark", entraIssuer, many, ErrSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := mustSet(t, jwks(jwk("rsa", fmt.Sprintf(`"kid":"rsa","issuer":%q`, tt.of)), jwk("p256", `"kid":"p256"`)), false)
			p := corp(t, func(p *Provider) { tt.provider(p); p.Static = set })
			changes := map[string]string{"iss": `"` + issuerOf("acme") + `"`, "tid": `"acme"`}
			for _, header := range []string{rs256Header, `{"alg":"RS256"}`} {
				raw := sign(t, RS256, "rsa", header, claims(changes))
				_, err := verifier(t, Config{}).Verify(context.Background(), Credential{raw, bearer}, []*Provider{p})
				wraps(t, err, tt.want)
			}
			// A key beside it that names nobody is everybody's.
			raw := sign(t, ES256, "p256", `{"alg":"ES256","kid":"p256"}`, claims(changes))
			_, err := verifier(t, Config{}).Verify(context.Background(), Credential{raw, bearer}, []*Provider{p})
			wraps(t, err, nil)
		})
	}
	for _, of := range []string{`""`, `1`, `null`, `["https://a"]`, `"` + strings.Repeat("a", 2049) + `"`} {
		set, problems, err := ParseJWKS([]byte(jwks(jwk("rsa", `"issuer":`+of), jwk("p256", ""))), false)
		if err != nil || len(problems) != 1 || set.Len() != 1 {
			t.Errorf("issuer %.20s: %v, %v", of, problems, err)
		}
	}
	set := mustSet(t, jwks(jwk("rsa", `"kid":"rsa","issuer":"https://a"`)), false)
	if _, err := set.VerifyJWS(sign(t, RS256, "rsa", rs256Header, claims(nil)), Asymmetric); err == nil {
		t.Error("VerifyJWS knows no issuer, and took the key of one")
	}
}
