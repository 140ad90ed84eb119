package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/extauthz/token"
)

const accountIssuer = "https://kubernetes.default.svc.cluster.local"

// inCluster are the objects of a cluster whose API server issues as accountIssuer.
func inCluster(t *testing.T, text string) Objects {
	t.Helper()
	objs := parse(t, text)
	objs.ServiceAccounts.Issuer = accountIssuer
	return objs
}

// TestServiceAccountProvider shows what the preset makes of nothing but an audience.
func TestServiceAccountProvider(t *testing.T) {
	for _, issuer := range []string{"", "issuer: '" + accountIssuer + "', "} {
		objs := inCluster(t, "kind: ClusterIdentityProvider\nmetadata: {name: cluster}\nspec: {"+issuer+"audiences: [orders], keys: {kubernetes: {}}}\n")
		s, r := new(Compiler).Compile(objs, Options{})
		if got := problemsOf(r, "cluster"); len(got) > 0 {
			t.Fatalf("problems %q", got)
		}
		p := s.Providers()[0]
		if p.Issuer != accountIssuer || !p.ServiceAccounts || !p.Remote.Kubernetes || p.Remote.Discovery || p.Remote.Issuer != accountIssuer || p.Remote.URL != "" {
			t.Errorf("got %+v, %+v", p, p.Remote)
		}
	}
}

// TestServiceAccountProviderFollowsTheAPIServer shows that a compile which knows the provider tells what has become of the
// issuer, and that another issuer is another provider.
func TestServiceAccountProviderFollowsTheAPIServer(t *testing.T) {
	objs := parse(t, "kind: IdentityProvider\nmetadata: {name: p}\nspec: {audiences: [b], keys: {kubernetes: {}}}\n")
	c := new(Compiler)
	seen := map[[32]byte]string{}
	for _, step := range []struct {
		accounts ServiceAccounts
		want     string // "": it compiles
	}{
		{ServiceAccounts{}, "spec.keys.kubernetes: needs a cluster"},
		{ServiceAccounts{Problem: "bind the ClusterRole"}, "spec.keys.kubernetes: bind the ClusterRole"},
		{ServiceAccounts{Issuer: "https://a"}, ""},
		{ServiceAccounts{Issuer: "https://b"}, ""},
		{ServiceAccounts{}, "spec.keys.kubernetes: needs a cluster"},
	} {
		objs.ServiceAccounts = step.accounts
		s, r := c.Compile(objs, Options{})
		got := problemsOf(r, "p")
		if step.want != "" {
			if len(got) != 1 || !strings.HasPrefix(got[0], step.want) || len(s.Providers()) > 0 {
				t.Errorf("%+v: problems %q", step.accounts, got)
			}
			continue
		}
		p := s.Providers()[0]
		if len(got) > 0 || p.Issuer != step.accounts.Issuer || seen[p.Fingerprint] != "" {
			t.Errorf("%+v: problems %q, issuer %q, a fingerprint of %q", step.accounts, got, p.Issuer, seen[p.Fingerprint])
		}
		seen[p.Fingerprint] = p.Issuer
	}
}

// TestIssuerProblems gives each mistake in whose tokens are believed, with what its author is told.
func TestIssuerProblems(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat("a%d, ", 65), ", ")
	numbers := make([]any, 65)
	for i := range numbers {
		numbers[i] = i
	}
	const entra, realms = `issuer: "https://a/{tenant}/v2.0", audiences: [b], `, `issuer: "https://a/realms/{tenant}", audiences: [b], `
	for _, tt := range []struct{ name, spec, want string }{
		{"another cluster's issuer", `issuer: "https://other", audiences: [b], keys: {kubernetes: {}}`, `is not the issuer of this cluster: the API server says "` + accountIssuer + `"`},
		{"mappings of ServiceAccounts", `audiences: [b], keys: {kubernetes: {}}, claimMappings: {groups: roles}`, "spec.claimMappings: does not go with keys.kubernetes"},
		{"introspection of ServiceAccounts", `audiences: [b], keys: {kubernetes: {}}, introspection: {clientID: c}`, "spec.introspection: does not go with keys.kubernetes"},
		{"authorities of the API server", `audiences: [b], keys: {kubernetes: {}}, tls: {caConfigMapKeyRef: {name: a, key: b}}`, "spec.tls: does not go with keys.kubernetes"},
		{"ServiceAccounts of tenants", `audiences: [b], keys: {kubernetes: {}}, tenants: {values: [a]}`, "spec.tenants: does not go with keys.kubernetes"},
		{"ServiceAccounts without an audience", `keys: {kubernetes: {}}`, "spec.audiences: is missing"},
		{"a mark without tenants", realms + `keys: {discovery: {}}`, "spec.tenants: is missing"},
		{"tenants without a mark", `issuer: "https://a", audiences: [b], tenants: {values: [a]}`, "spec.issuer"},
		{"a mark in the host", `issuer: "https://{tenant}.a/", audiences: [b], tenants: {values: [a]}`, "a whole segment of the path"},
		{"a mark in a part of a segment", `issuer: "https://a/x-{tenant}", audiences: [b], tenants: {values: [a]}`, "a whole segment of the path"},
		{"a mark in the query", `issuer: "https://a/?t=/{tenant}", audiences: [b], tenants: {values: [a], claim: c}, keys: {remote: {url: "https://a/k"}}`, "a whole segment of the path"},
		{"two marks", `issuer: "https://a/{tenant}/{tenant}", audiences: [b], tenants: {values: [a]}`, "must hold {tenant} once"},
		{"tenants over http", `issuer: "http://a/{tenant}", audiences: [b], tenants: {values: [a]}`, "must be https"},
		{"no tenants", realms + `tenants: {}`, "spec.tenants.values: is missing"},
		{"a list of none", realms + `tenants: {values: []}`, "spec.tenants.values: is missing"},
		{"a list of all", realms + `tenants: {from: Any, values: [a], claim: c}, keys: {remote: {url: "https://a/k"}}`, "spec.tenants.values: goes with from: Values only"},
		{"from another place", realms + `tenants: {from: Some, values: [a]}`, `spec.tenants.from: "Some": is not known`},
		{"65 tenants", realms + `tenants: {values: [` + fmt.Sprintf(many, numbers...) + `]}`, "at most 64"},
		{"a tenant twice", realms + `tenants: {values: [a, a]}`, "spec.tenants.values[1]"},
		{"a tenant with a slash", realms + `tenants: {values: [a/b]}`, "spec.tenants.values[0]"},
		{"a step up", realms + `tenants: {values: [..]}`, "spec.tenants.values[0]"},
		{"every tenant with keys of its own", entra + `tenants: {from: Any, claim: tid}`, "nothing is fetched from where a token says"},
		{"shared keys without a claim", entra + `tenants: {values: [a]}, keys: {remote: {url: "https://a/k"}}`, "spec.tenants.claim: is missing"},
		{"shared metadata without a claim", entra + `tenants: {values: [a]}, keys: {discovery: {url: "https://a/common"}}`, "spec.tenants.claim: is missing"},
		{"a claim that is none", entra + `tenants: {values: [a], claim: ` + strings.Repeat("c", 300) + `}`, "spec.tenants.claim"},
		{"a key set of each tenant by its URL", entra + `tenants: {values: [a], claim: c}, keys: {remote: {url: "https://a/{tenant}/keys"}}`, "is one key set for all tenants"},
		{"opaque tokens of tenants", realms + `tenants: {values: [a]}, introspection: {clientID: c}`, "spec.introspection: does not go with tenants"},
		{"metadata over http", `issuer: "https://a", audiences: [b], keys: {discovery: {url: "http://a"}}`, "spec.keys.discovery.url"},
		{"metadata with a query", `issuer: "https://a", audiences: [b], keys: {discovery: {url: "https://a?b=c"}}`, "has no query"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objs := inCluster(t, "kind: ConfigMap\nmetadata: {name: a}\ndata: {b: x}\n---\nkind: IdentityProvider\nmetadata: {name: p}\nspec: {"+tt.spec+"}\n")
			s, r := new(Compiler).Compile(objs, Options{})
			if got := problemsOf(r, "p"); !slices.ContainsFunc(got, func(p string) bool { return strings.Contains(p, tt.want) }) {
				t.Errorf("problems %q, want %q", got, tt.want)
			}
			if len(s.Providers()) > 0 {
				t.Error("the provider is there all the same")
			}
		})
	}
}

// TestTenantsOfAProvider shows where the keys of tenants come from.
func TestTenantsOfAProvider(t *testing.T) {
	jwks, _ := testKey(t)
	provider := func(issuer, tenants, keys string) *token.Provider {
		return compile(t, "kind: IdentityProvider\nmetadata: {name: p}\nspec: {issuer: '"+issuer+"', audiences: [a], tenants: {"+tenants+"}"+keys+"}\n", Options{}).Providers()[0]
	}
	apart := provider("https://id.example.com/realms/{tenant}", "values: [b, a]", "")
	var got []string
	for _, h := range apart.KeyHolders() {
		if r := h.Remote; !r.Discovery || r.URL != "" || r.Issuer != h.Issuer || r.Among != apart.Name || h.Name != apart.Name {
			t.Errorf("holder %+v, %+v", h, r)
		}
		got = append(got, h.Issuer)
	}
	if want := []string{"https://id.example.com/realms/a", "https://id.example.com/realms/b"}; !slices.Equal(got, want) || apart.Remote != nil || apart.Static != nil {
		t.Errorf("holders %q", got)
	}
	const entra = "https://login.example.com/{tenant}/v2.0"
	for name, p := range map[string]*token.Provider{
		"a list, at a URL":   provider(entra, "values: [a], claim: tid", `, keys: {remote: {url: "https://login.example.com/keys"}}`),
		"all, at a URL":      provider(entra, "from: Any, claim: tid", `, keys: {remote: {url: "https://login.example.com/keys"}}`),
		"all, by discovery":  provider(entra, "from: Any, claim: tid", `, keys: {discovery: {url: "https://login.example.com/common/v2.0"}}`),
		"a list, of no host": provider(entra, "values: [a], claim: tid", `, keys: {inline: `+quote(jwks)+`}`),
	} {
		holders := p.KeyHolders()
		if len(holders) != 1 || holders[0] != p || (p.Remote == nil) == (p.Static == nil) || p.Remote != nil && (p.Remote.Among != "" || p.Remote.Issuer != entra) {
			t.Errorf("%s: holders %v, remote %+v", name, holders, p.Remote)
		}
	}
	elsewhere := provider(entra, "from: Any, claim: tid", `, keys: {discovery: {url: "https://login.example.com/common/v2.0"}}`).Remote
	if !elsewhere.Discovery || elsewhere.Metadata() != "https://login.example.com/common/v2.0" {
		t.Errorf("remote %+v", elsewhere)
	}
}

// TestTenantsOfTwoProviders: a rule believes one provider for each issuer, those of tenants included.
func TestTenantsOfTwoProviders(t *testing.T) {
	const keys = `, keys: {remote: {url: "https://a/k"}}`
	for _, tt := range []struct {
		name, first, second string
		same                bool
	}{
		{"lists with a common tenant", `issuer: "https://a/{tenant}", tenants: {values: [a, b]}`, `issuer: "https://a/{tenant}", tenants: {values: [b, c]}`, true},
		{"lists without", `issuer: "https://a/{tenant}", tenants: {values: [a, b]}`, `issuer: "https://a/{tenant}", tenants: {values: [c]}`, false},
		{"a tenant by itself", `issuer: "https://a/{tenant}", tenants: {values: [a, b]}`, `issuer: "https://a/b"`, true},
		{"another by itself", `issuer: "https://a/{tenant}", tenants: {values: [a, b]}`, `issuer: "https://a/c"`, false},
		{"one of all", `issuer: "https://a/c"`, `issuer: "https://a/{tenant}", tenants: {from: Any, claim: t}` + keys, true},
		{"what no tenant is", `issuer: "https://a/c/d"`, `issuer: "https://a/{tenant}", tenants: {from: Any, claim: t}` + keys, false},
	} {
		_, r := new(Compiler).Compile(parse(t, "kind: IdentityProvider\nmetadata: {name: first}\nspec: {audiences: [x], "+tt.first+"}\n---\n"+
			"kind: IdentityProvider\nmetadata: {name: second}\nspec: {audiences: [x], "+tt.second+"}\n---\n"+
			"kind: AuthPolicy\nmetadata: {name: p}\nspec: {hosts: [a.com], identityProviders: [{name: first}, {name: second}], rules: [{name: r, access: Authenticated}]}\n"), Options{})
		got := problemsOf(r, "p")
		if same := slices.ContainsFunc(got, func(p string) bool { return strings.Contains(p, "have the same issuer") }); same != tt.same || !tt.same && len(got) > 0 {
			t.Errorf("%s: problems %q", tt.name, got)
		}
	}
}

// TestWhatIsNotAskedForTenants: neither UserInfo, nor an authorization server, is made up for issuers that are many or
// a cluster's.
func TestWhatIsNotAskedForTenants(t *testing.T) {
	const keys = `, keys: {remote: {url: "https://a/k"}}`
	for _, tt := range []struct {
		name, spec, servers string
		userInfo            bool
	}{
		{"one issuer", `issuer: "https://a"`, `"authorization_servers":["https://a"],`, true},
		{"a list", `issuer: "https://a/{tenant}", tenants: {values: [c, b]}`, `"authorization_servers":["https://a/b","https://a/c"],`, false},
		{"all", `issuer: "https://a/{tenant}", tenants: {from: Any, claim: t}` + keys, "", false},
		{"ServiceAccounts", `keys: {kubernetes: {}}`, "", false},
		{"metadata elsewhere", `issuer: corp, keys: {discovery: {url: "https://a"}}`, "", true},
	} {
		objs := inCluster(t, "kind: IdentityProvider\nmetadata: {name: p}\nspec: {audiences: [x], "+tt.spec+"}\n---\n"+
			"kind: AuthPolicy\nmetadata: {name: q}\nspec: {hosts: [a.com], identityProviders: [{name: p}], lookups: [{name: info, userInfo: {}}], denied: {resourceMetadata: {}},\n"+
			"  rules: [{name: r, require: {expressions: [{expression: 'lookups.info.sub == claims.sub'}]}}]}\n")
		s, r := new(Compiler).Compile(objs, Options{})
		got := problemsOf(r, "q")
		if refused := slices.ContainsFunc(got, func(p string) bool { return strings.Contains(p, "has no UserInfo endpoint") }); refused == tt.userInfo {
			t.Errorf("%s: problems %q", tt.name, got)
		}
		req, _ := NewRequest(Input{Method: "GET", Scheme: "https", Host: "a.com", Path: "/.well-known/oauth-protected-resource"})
		land := s.Lookup(req)
		d := land.Decide(Facts{}, Facts{})
		if d.Document == nil || !strings.Contains(d.Document.Body, `"resource":"https://a.com",`+tt.servers+`"bearer`) {
			t.Errorf("%s: document %+v, reason %s", tt.name, d.Document, d.Reason)
		}
	}
}
