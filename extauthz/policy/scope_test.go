package policy

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParseScope(t *testing.T) {
	long := strings.Repeat("a", 253)
	for s, want := range map[string]Scope{
		"namespace/shop":      {Kind: ScopeNamespace, Namespace: "shop"},
		"service/shop/orders": {Kind: ScopeService, Namespace: "shop", Name: "orders"},
		"gateway/infra/edge":  {Kind: ScopeGateway, Namespace: "infra", Name: "edge"},
		"namespace/az09-.":    {Kind: ScopeNamespace, Namespace: "az09-."},
		"namespace/" + long:   {Kind: ScopeNamespace, Namespace: long},
	} {
		if got, err := ParseScope(s); err != nil || got != want {
			t.Errorf("%q is %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "namespace", "service", "gateway", "shop", "cluster/shop", "cluster/shop/orders", "namespace/a/b", "service/a", "gateway/a", "service/a/b/c", "gateway/a/b/c",
		"/a", "/a/b", "namespace/", "namespace/-a", "namespace/.a", "namespace/A", "namespace/a_b", "namespace/a b", "namespace/`", "namespace/{", "namespace/:", "namespace/a,b", "namespace/" + long + "a",
	} {
		if got, err := ParseScope(s); err == nil {
			t.Errorf("%q is %+v", s, got)
		}
	}
}

// TestScopeOfPrincipal tells what a proxy speaks for that states no scope, by its own principal.
func TestScopeOfPrincipal(t *testing.T) {
	mesh := Proxies{FromPrincipal: true, TrustDomain: "cluster.local", Gateways: []string{"spiffe://cluster.local/ns/infra/sa/*"}}
	anyDomain := Proxies{FromPrincipal: true}
	strict := Proxies{FromPrincipal: true, RequireScope: true}
	for _, tt := range []struct {
		name      string
		proxies   Proxies
		principal string
		namespace string
		reason    Reason
	}{
		{"a workload", mesh, "spiffe://cluster.local/ns/shop/sa/orders", "shop", ""},
		{"a gateway", mesh, "spiffe://cluster.local/ns/infra/sa/edge", "", ""},
		{"another trust domain", mesh, "spiffe://elsewhere/ns/shop/sa/orders", "", ReasonInvalidScope},
		{"any trust domain", anyDomain, "spiffe://elsewhere/ns/shop/sa/orders", "shop", ""},
		{"no trust domain", anyDomain, "spiffe:///ns/shop/sa/orders", "", ReasonInvalidScope},
		{"no namespace", anyDomain, "spiffe://a/ns//sa/orders", "", ReasonInvalidScope},
		{"no account", anyDomain, "spiffe://a/ns/shop/sa/", "", ReasonInvalidScope},
		{"another word for namespace", anyDomain, "spiffe://a/xx/shop/sa/orders", "", ReasonInvalidScope},
		{"another word for account", anyDomain, "spiffe://a/ns/shop/xx/orders", "", ReasonInvalidScope},
		{"cut short", anyDomain, "spiffe://a/ns/shop/sa", "", ReasonInvalidScope},
		{"more behind", anyDomain, "spiffe://a/ns/shop/sa/orders/x", "", ReasonInvalidScope},
		{"no SPIFFE identity", anyDomain, "CN=orders", "", ""},
		{"none, but required", strict, "CN=orders", "", ReasonScopeRequired},
		{"not asked for", Proxies{}, "spiffe://cluster.local/ns/shop/sa/orders", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := Scope{}
			if tt.namespace != "" {
				want = Scope{Kind: ScopeNamespace, Namespace: tt.namespace}
			}
			if got, reason := tt.proxies.Scope(tt.principal); got != want || reason != tt.reason {
				t.Errorf("got %+v, %q", got, reason)
			}
		})
	}
}

// TestServiceAccountOf reads the namespace and the name of a caller from its principal: of the mesh's trust domain, and of
// no text that only looks like it.
func TestServiceAccountOf(t *testing.T) {
	for _, tt := range []struct{ principal, trust, want string }{
		{"spiffe://mesh/ns/shop/sa/orders", "mesh", "shop/orders"},
		{"spiffe://mesh/ns/shop/sa/orders", "", "/"},
		{"spiffe:///ns/shop/sa/orders", "", "/"},
		{"spiffe://evil/ns/shop/sa/orders", "mesh", "/"},
		{"spiffe://mesh/xx/shop/sa/orders", "mesh", "/"},
		{"spiffe://mesh/ns/shop/xx/orders", "mesh", "/"},
		{"spiffe://mesh/ns//sa/orders", "mesh", "/"},
		{"spiffe://mesh/ns/shop/sa/", "mesh", "/"},
		{"spiffe://mesh/ns/shop/sa", "mesh", "/"},
		{"spiffe://mesh/ns/shop/sa/orders/x", "mesh", "/"},
		{"https://mesh/ns/shop/sa/orders", "mesh", "/"},
	} {
		if ns, name := serviceAccountOf(tt.principal, tt.trust); ns+"/"+name != tt.want {
			t.Errorf("%q of %q is %q of %q", tt.principal, tt.trust, name, ns)
		}
	}
}

func TestSplitPrincipal(t *testing.T) {
	for s, want := range map[string]bool{
		"spiffe://a/ns/*": true, "https://a": true, "spiffe://a/b": true,
		"": false, "a": false, "CN=a": false, "://a/b": false, "spiffe://": false, "spiffe://a/b c": false, "spiffe://a\t/b": false, " spiffe://a": false,
		"spiffe://*/b": false, "*://a/b": false, "spiffe://a//b": false, "spiffe://a/b*": false, "spiffe://a/": false,
	} {
		if _, ok := splitPrincipal(s); ok != want {
			t.Errorf("%q: %t", s, ok)
		}
	}
}

// TestFromOfTwoKinds shows that each list of from asks for something, alone and beside another, and that each must hold.
func TestFromOfTwoKinds(t *testing.T) {
	opts := Options{TrustDomain: "mesh", ClientAddress: ClientAddressPeer}
	kinds := []string{`principals: ["spiffe://mesh/ns/shop/sa/*"]`, "serviceAccounts: [shop/orders]", "cidrs: [10.0.0.0/8]"}
	for i, a := range kinds {
		for _, b := range kinds[i:] {
			from := a
			if b != a {
				from += ", " + b
			}
			s := compile(t, corp+onHost("p", "rules: [{name: r, access: Public, from: {"+from+"}}]"), opts)
			for caller, want := range map[[2]string]string{
				{"", ""}: "SourceNotAllowed r", {"spiffe://mesh/ns/dev/sa/x", "192.0.2.1"}: "SourceNotAllowed r",
				{"spiffe://mesh/ns/shop/sa/orders", "10.1.2.3"}: "Public r",
			} {
				c := get("https://a.com/")
				c.SourcePrincipal = caller[0]
				c.SourceAddress, _ = netip.ParseAddr(caller[1])
				if got := said(c.decide(t, s).Verdict); got != want {
					t.Errorf("%s, %q: %q, want %q", from, caller, got, want)
				}
			}
		}
	}
	for _, account := range []string{"Shop/orders", "shop/Orders", "/orders", "shop/", "a/b/c"} {
		_, r := new(Compiler).Compile(parse(t, corp+onHost("p", "rules: [{name: r, access: Public, from: {serviceAccounts: ["+account+"]}}]")), opts)
		if got := problemsOf(r, "p"); len(got) != 1 || !strings.Contains(got[0], "namespace/name of a ServiceAccount") {
			t.Errorf("%q: problems %q", account, got)
		}
	}
}
