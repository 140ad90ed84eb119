package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// scoped is a GET request from a proxy with a scope.
func scoped(t *testing.T, scope, target string) call {
	t.Helper()
	c := get(target).header("x-forwarded-proto", strings.Split(target, ":")[0])
	if scope != "" {
		s, err := ParseScope(scope)
		if err != nil {
			t.Fatal(err)
		}
		c.Scope = s
	}
	return c
}

// attached is a policy with one rule of its own name; deny or allow is in the name.
func attached(name, namespace, spec string) string {
	access := "Public"
	if strings.HasPrefix(name, "deny") {
		access = "Denied"
	}
	return "kind: AuthPolicy\nmetadata: {name: " + name + ", namespace: " + namespace + "}\nspec: {" + spec + ", rules: [{name: " + name + ", access: " + access + "}]}\n---\n"
}

const edge = `
kind: Gateway
metadata: {name: edge, namespace: infra}
spec:
  gatewayClassName: any
  listeners:
  - {name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
  - {name: shop, port: 443, protocol: HTTPS, hostname: "*.example.com", allowedRoutes: {namespaces: {from: All}}}
---
kind: HTTPRoute
metadata: {name: orders, namespace: shop, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  parentRefs: [{name: edge, namespace: infra, sectionName: shop}]
  hostnames: [orders.example.com]
  rules:
  - {name: api, matches: [{path: {type: PathPrefix, value: /api}}], backendRefs: [{name: orders, port: 80}]}
  - {name: rest, backendRefs: [{name: orders, port: 80}]}
---
kind: HTTPRoute
metadata: {name: to-https, namespace: infra}
spec:
  parentRefs: [{name: edge, sectionName: http}]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]}]
---
kind: HTTPRoute
metadata: {name: copy, namespace: evil, creationTimestamp: "2026-02-01T00:00:00Z"}
spec:
  parentRefs: [{name: edge, namespace: infra}]
  hostnames: [orders.example.com]
  rules: [{matches: [{path: {type: PathPrefix, value: /api}}], backendRefs: [{name: evil, port: 80}]}]
---
`

// lost is a route that the listener does not admit.
const lost = `
kind: HTTPRoute
metadata: {name: lost, namespace: shop}
spec: {parentRefs: [{name: edge, namespace: infra, sectionName: shop}], hostnames: [elsewhere.org], rules: [{backendRefs: [{name: x}]}]}
---
`

// TestAttach tells who may speak for a request at a Gateway.
func TestAttach(t *testing.T) {
	route := func(name, section string) string {
		if section != "" {
			section = ", sectionName: " + section
		}
		return "targetRefs: [{kind: HTTPRoute, name: " + name + section + "}]"
	}
	gateway := func(more string) string { return "targetRefs: [{kind: Gateway, name: edge" + more + "}]" }
	for _, tt := range []struct {
		name, policies, target, want string
	}{
		{"route", attached("allow-route", "shop", route("orders", "")), "https://orders.example.com/x", "Public allow-route"},
		{"route, another host", attached("allow-route", "shop", route("orders", "")), "https://other.example.com/x", "NoPolicy"},
		{"section of the route", attached("allow-api", "shop", route("orders", "api")), "https://orders.example.com/api/x", "Public allow-api"},
		{"another section has no policy", attached("allow-api", "shop", route("orders", "api")), "https://orders.example.com/x", "NoPolicy"},
		{"route and section: both must hold", attached("allow-route", "shop", route("orders", "")) + attached("deny-api", "shop", route("orders", "api")), "https://orders.example.com/api", "Denied deny-api"},
		{"a neighbour's copy is younger and gains nothing", attached("allow-copy", "evil", route("copy", "")), "https://orders.example.com/api", "NoPolicy"},
		{"nor takes anything away", attached("allow-route", "shop", route("orders", "")) + attached("deny-copy", "evil", route("copy", "")), "https://orders.example.com/api", "Public allow-route"},
		{"Gateway, where no route has a policy", attached("allow-gateway", "infra", gateway("")), "https://orders.example.com/x", "Public allow-gateway"},
		{"Gateway gives way to the route", attached("deny-gateway", "infra", gateway("")) + attached("allow-route", "shop", route("orders", "")), "https://orders.example.com/x", "Public allow-route"},
		{"Gateway, required", attached("deny-gateway", "infra", "inheritance: Required, "+gateway("")) + attached("allow-route", "shop", route("orders", "")), "https://orders.example.com/x", "Denied deny-gateway"},
		{"Gateway, required, beside a host", attached("deny-gateway", "infra", "inheritance: Required, "+gateway("")) + attached("allow-host", "shop", "hosts: [orders.example.com]"), "https://orders.example.com/x", "Denied deny-gateway"},
		{"Gateway gives way to the host", attached("deny-gateway", "infra", gateway("")) + attached("allow-host", "shop", "hosts: [orders.example.com]"), "https://orders.example.com/x", "Public allow-host"},
		{"listener of the Gateway", attached("allow-listener", "infra", gateway(", sectionName: shop")), "https://orders.example.com/x", "Public allow-listener"},
		{"another listener has no say", attached("deny-listener", "infra", gateway(", sectionName: http")) + attached("allow-route", "shop", route("orders", "")), "https://orders.example.com/x", "Public allow-route"},
		{"host and route: both must hold", attached("allow-host", "shop", "hosts: [orders.example.com]") + attached("deny-route", "shop", route("orders", "")), "https://orders.example.com/x", "Denied deny-route"},
		{"a DryRun route does not open what the Gateway refuses", attached("deny-gateway", "infra", gateway("")) + attached("allow-route", "shop", "mode: DryRun, "+route("orders", "")), "https://orders.example.com/x", "Denied deny-gateway"},
		{"a DryRun route alone refuses nothing", attached("deny-route", "shop", "mode: DryRun, "+route("orders", "")), "https://orders.example.com/x", "DryRun"},
		{"a redirect needs no policy", attached("allow-route", "shop", route("orders", "")), "https://orders.example.com/", "Public allow-route"},
		{"what comes in by http lands elsewhere", attached("allow-route", "shop", route("orders", "")) + attached("deny-copy", "evil", route("copy", "")), "http://orders.example.com/api", "Denied deny-copy"},
		{"path of the route as it was sent and decoded", attached("allow-route", "shop", route("orders", "rest")) + attached("deny-api", "shop", route("orders", "api")), "https://orders.example.com/%61pi", "Denied deny-api"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, scope := range []string{"gateway/infra/edge", ""} {
				s := compile(t, edge+tt.policies, Options{})
				if got := said(scoped(t, scope, tt.target).decide(t, s).Verdict); got != tt.want {
					t.Errorf("scope %q: got %q, want %q", scope, got, tt.want)
				}
			}
		})
	}
}

// TestRoutePrecedence lands requests on routes as the Gateway API ranks them.
func TestRoutePrecedence(t *testing.T) {
	s := compile(t, edge+`
kind: HTTPRoute
metadata: {name: many, namespace: shop}
spec:
  parentRefs: [{name: edge, namespace: infra, sectionName: shop}]
  hostnames: [many.example.com]
  rules:
  - {name: short, matches: [{path: {value: /a}}], backendRefs: [{name: x}]}
  - {name: long, matches: [{path: {value: /a/b}}], backendRefs: [{name: x}]}
  - {name: exact, matches: [{path: {type: Exact, value: /a}}], backendRefs: [{name: x}]}
  - {name: method, matches: [{path: {value: /a/b}, method: PUT}], backendRefs: [{name: x}]}
  - {name: header, matches: [{path: {value: /a/b}, headers: [{name: X-A, value: "1"}]}], backendRefs: [{name: x}]}
  - {name: query, matches: [{path: {value: /a/b}, queryParams: [{name: q, value: "1"}]}], backendRefs: [{name: x}]}
  - {name: expression, matches: [{path: {type: RegularExpression, value: "/r.*"}}], backendRefs: [{name: x}]}
  - {name: root, backendRefs: [{name: x}]}
---
kind: HTTPRoute
metadata: {name: wide, namespace: shop}
spec:
  parentRefs: [{name: edge, namespace: infra, sectionName: shop}]
  rules: [{name: wide, backendRefs: [{name: x}]}]
---
kind: GRPCRoute
metadata: {name: grpc, namespace: shop}
spec:
  parentRefs: [{name: edge, namespace: infra, sectionName: shop}]
  hostnames: [grpc.example.com]
  rules:
  - {name: service, matches: [{method: {service: shop.v1.Checkout}}], backendRefs: [{name: x, port: 1}]}
  - {name: pay, matches: [{method: {service: shop.v1.Checkout, method: Pay}}], backendRefs: [{name: x, port: 1}]}
  - {name: watch, matches: [{method: {method: Watch}}], backendRefs: [{name: x, port: 1}]}
---
`+func() string {
		var b strings.Builder
		for _, section := range []string{"short", "long", "exact", "method", "header", "query", "expression", "root"} {
			b.WriteString(attached(section, "shop", "targetRefs: [{kind: HTTPRoute, name: many, sectionName: "+section+"}]"))
		}
		for _, section := range []string{"service", "pay", "watch"} {
			b.WriteString(attached(section, "shop", "targetRefs: [{kind: GRPCRoute, name: grpc, sectionName: "+section+"}]"))
		}
		return b.String() + attached("wide", "shop", "targetRefs: [{kind: HTTPRoute, name: wide}]")
	}(), Options{})
	for _, tt := range []struct {
		name string
		call call
		want []string
	}{
		{"exact", get("https://many.example.com/a"), []string{"exact"}},
		{"prefix", get("https://many.example.com/a/x"), []string{"short"}},
		{"longest prefix", get("https://many.example.com/a/b/c"), []string{"long"}},
		{"prefix by segments", get("https://many.example.com/a/bc"), []string{"short"}},
		{"method", request("PUT", "https://many.example.com/a/b?q=1").header("x-a", "1"), []string{"method"}},
		{"header", get("https://many.example.com/a/b?q=1").header("x-a", "1"), []string{"header"}},
		{"query", get("https://many.example.com/a/b?q=1"), []string{"query"}},
		{"an expression has no rank: both", get("https://many.example.com/rx"), []string{"expression", "root"}},
		{"most specific host name", get("https://many.example.com/"), []string{"root"}},
		{"a wider host name", get("https://more.example.com/"), []string{"wide"}},
		{"gRPC service", request("POST", "https://grpc.example.com/shop.v1.Checkout/Refund").header("content-type", "application/grpc+proto"), []string{"service"}},
		{"gRPC method", request("POST", "https://grpc.example.com/shop.v1.Checkout/Pay").header("content-type", "application/grpc+proto"), []string{"pay"}},
		{"gRPC method of any service", request("POST", "https://grpc.example.com/other.Service/Watch").header("content-type", "application/grpc+proto"), []string{"watch"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.call
			c.Scope = Scope{Kind: ScopeGateway, Namespace: "infra", Name: "edge"}
			req, reason := NewRequest(c.Input)
			if reason != "" {
				t.Fatal(reason)
			}
			l := s.Lookup(req)
			var got []string
			for _, h := range l.Enforced.hits {
				got = append(got, h.rule.name)
			}
			if slices.Sort(got); !slices.Equal(got, tt.want) {
				t.Errorf("lands on %q, want %q", got, tt.want)
			}
		})
	}
}

// TestAttachService tells by which names a sidecar's policies are found.
func TestAttachService(t *testing.T) {
	s := compile(t, "kind: Service\nmetadata: {name: orders, namespace: shop}\n---\nkind: Service\nmetadata: {name: orders, namespace: evil}\n---\n"+
		attached("allow-orders", "shop", "targetRefs: [{kind: Service, name: orders}]")+
		attached("allow-evil", "evil", "targetRefs: [{kind: Service, name: orders}]")+
		attached("allow-host", "shop", "hosts: [orders.example.com]"), Options{})
	for _, tt := range []struct{ scope, host, want string }{
		{"service/shop/orders", "whatever.example.com", "Public allow-orders"},
		{"service/shop/other", "orders", "NoPolicy"},
		{"namespace/shop", "orders", "Public allow-orders"},
		{"namespace/shop", "orders:8080", "Public allow-orders"},
		{"namespace/shop", "orders.shop", "Public allow-orders"},
		{"namespace/shop", "orders.shop.svc", "Public allow-orders"},
		{"namespace/shop", "Orders.shop.svc.cluster.local.:80", "Public allow-orders"},
		{"namespace/shop", "orders.evil.svc", "NoPolicy"},
		{"namespace/shop", "orders.shop.svc.other.domain", "NoPolicy"},
		{"namespace/shop", "x.orders.shop.svc", "NoPolicy"},
		{"namespace/shop", "x.orders", "NoPolicy"},
		{"namespace/shop", "orders_", "NoPolicy"},
		{"namespace/shop", "_orders.shop", "NoPolicy"},
		{"namespace/shop", "orders.example.com", "Public allow-host"},
		{"namespace/evil", "orders", "Public allow-evil"},
		{"namespace/evil", "orders.example.com", "NoPolicy"},
		{"", "orders.shop.svc", "NoPolicy"},
	} {
		if got := said(scoped(t, tt.scope, "https://"+tt.host+"/").decide(t, s).Verdict); got != tt.want {
			t.Errorf("scope %q, host %q: got %q, want %q", tt.scope, tt.host, got, tt.want)
		}
	}
}

// TestAttachProblems gives each mistake in targetRefs.
func TestAttachProblems(t *testing.T) {
	for _, tt := range []struct{ name, spec, want string }{
		{"hosts as well", "hosts: [a.com], targetRefs: [{kind: HTTPRoute, name: orders}]", "say either hosts or targetRefs"},
		{"unknown kind", "targetRefs: [{kind: TCPRoute, name: orders}]", `"TCPRoute": is not known`},
		{"group of another kind", "targetRefs: [{group: apps, kind: HTTPRoute, name: orders}]", "the group of a HTTPRoute is"},
		{"missing", "targetRefs: [{kind: HTTPRoute, name: none}]", "there is no HTTPRoute shop/none"},
		{"of another namespace", "targetRefs: [{kind: Gateway, name: edge}]", "there is no Gateway shop/edge"},
		{"section that is none", "targetRefs: [{kind: HTTPRoute, name: orders, sectionName: none}]", `has no section "none"`},
		{"section of a Service", "targetRefs: [{kind: Service, name: orders, sectionName: http}]", "a Service has no sections"},
		{"twice", "targetRefs: [{kind: HTTPRoute, name: orders}, {kind: HTTPRoute, name: orders}]", "stands here twice"},
		{"route that nobody admits", "targetRefs: [{kind: HTTPRoute, name: lost}]", "no Gateway admits HTTPRoute shop/lost"},
		{"inheritance of a host", "hosts: [a.com], inheritance: Required", "is for a policy on a Gateway"},
		{"unknown inheritance", "targetRefs: [{kind: Gateway, name: edge}], inheritance: Always", "must be Default or Required"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, r := new(Compiler).Compile(parse(t, edge+lost+attached("allow", "shop", tt.spec)), Options{})
			if got := problemsOf(r, "allow"); !slices.ContainsFunc(got, func(p string) bool { return strings.Contains(p, tt.want) }) {
				t.Errorf("problems %q, want %q", got, tt.want)
			}
		})
	}
}

// TestGrants tells whose a host is by the annotations of Namespaces.
func TestGrants(t *testing.T) {
	namespace := func(name, hosts string) string {
		return "kind: Namespace\nmetadata: {name: " + name + ", annotations: {" + v1alpha1.HostsAnnotation + ": \"" + hosts + "\"}}\n---\n"
	}
	for _, tt := range []struct{ name, objects, host, want string }{
		{"granted", namespace("a", "x.com") + attached("allow-a", "a", "hosts: [x.com]"), "x.com", "Public allow-a"},
		{"not granted", attached("allow-a", "a", "hosts: [x.com]"), "x.com", "NoPolicy"},
		{"by a wildcard", namespace("a", "y.com, *.x.com") + attached("allow-a", "a", "hosts: [w.x.com]"), "w.x.com", "Public allow-a"},
		{"a wildcard is not the name behind it", namespace("a", "*.x.com") + attached("allow-a", "a", "hosts: [x.com]"), "x.com", "NoPolicy"},
		{"a wildcard needs one as wide", namespace("a", "w.x.com") + attached("allow-a", "a", "hosts: ['*.x.com']"), "w.x.com", "NoPolicy"},
		{"an exact name is never inherited", namespace("a", "*.x.com") + namespace("b", "w.x.com") + attached("allow-a", "a", "hosts: ['*.x.com']"), "w.x.com", "NoPolicy"},
		{"what else is under the wildcard is", namespace("a", "*.x.com") + namespace("b", "w.x.com") + attached("allow-a", "a", "hosts: ['*.x.com']"), "v.x.com", "Public allow-a"},
		{"nor taken by name", namespace("a", "*.x.com") + namespace("b", "w.x.com") + attached("allow-a", "a", "hosts: [w.x.com]"), "w.x.com", "NoPolicy"},
		{"its owner speaks for it", namespace("a", "*.x.com") + namespace("b", "w.x.com") + attached("deny-a", "a", "hosts: ['*.x.com']") + attached("allow-b", "b", "hosts: [w.x.com]"), "w.x.com", "Public allow-b"},
		{"and may use a wildcard of its own", namespace("a", "*.x.com") + namespace("b", "w.x.com, *.x.com") + attached("allow-b", "b", "hosts: ['*.x.com']"), "w.x.com", "NoPolicy"},
		{"two exact grants conflict for both", namespace("a", "x.com") + namespace("b", "x.com") + attached("allow-a", "a", "hosts: [x.com]") + attached("allow-b", "b", "hosts: [x.com]"), "x.com", "NoPolicy"},
		{"a shared wildcard, named by one", namespace("a", "*.x.com") + namespace("b", "*.x.com") + attached("allow-a", "a", "hosts: [w.x.com]"), "w.x.com", "Public allow-a"},
		{"a shared wildcard, named by both: the first keeps it", namespace("a", "*.x.com") + namespace("b", "*.x.com") + attached("allow-a", "a", "hosts: [w.x.com]") + attached("allow-b", "b", "hosts: [w.x.com]"), "w.x.com", "Public allow-a"},
		{"a shared wildcard, named more closely by the younger", namespace("a", "*.x.com") + namespace("b", "*.x.com") + attached("deny-a", "a", "hosts: ['*.w.x.com']") + attached("allow-b", "b", "hosts: [v.w.x.com]"), "v.w.x.com", "Denied deny-a"},
		{"a wider grant takes nothing under a shared wildcard", namespace("a", "*") + namespace("b", "*.x.com") + namespace("c", "*.x.com") + attached("allow-a", "a", "hosts: [w.x.com]") + attached("allow-b", "b", "hosts: [w.x.com]"), "w.x.com", "Public allow-b"},
		{"the closer wildcard", namespace("a", "*.com") + namespace("b", "*.x.com") + attached("allow-a", "a", "hosts: [w.x.com]"), "w.x.com", "NoPolicy"},
		{"an exact name, under its owner's wildcard", namespace("a", "w.x.com, *.x.com") + attached("allow-a", "a", "hosts: ['*.x.com']"), "w.x.com", "Public allow-a"},
		{"behind one that is not granted", namespace("a", "x.com") + attached("allow-a", "a", "hosts: [y.com, x.com]"), "x.com", "Public allow-a"},
		{"a contested name is nobody's, under a wildcard too", namespace("a", "w.x.com, *.x.com") + namespace("b", "w.x.com") + attached("allow-a", "a", "hosts: ['*.x.com']"), "w.x.com", "NoPolicy"},
		{"what a wildcard grants, tried out, is still under the wider one", namespace("a", "*.com") + namespace("b", "*.x.com") + attached("deny-a", "a", "hosts: ['*.com']") + attached("allow-b", "b", "mode: DryRun, hosts: [w.x.com]"), "w.x.com", "Denied deny-a"},
		{"everything", namespace("a", "*") + attached("allow-a", "a", "hosts: ['*']"), "x.com", "Public allow-a"},
		{"a DryRun owner does not open a neighbour's wildcard, nor is judged by it", namespace("a", "*.x.com") + namespace("b", "w.x.com") + attached("deny-a", "a", "hosts: ['*.x.com']") + attached("allow-b", "b", "mode: DryRun, hosts: [w.x.com]"), "w.x.com", "DryRun"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, r := new(Compiler).Compile(parse(t, tt.objects), Options{HostGrants: true})
			if got := said(get("https://"+tt.host+"/").decide(t, s).Verdict); got != tt.want {
				t.Errorf("got %q, want %q; %q", got, tt.want, problemsOf(r, "allow-a"))
			}
		})
	}
	_, r := new(Compiler).Compile(parse(t, attached("allow-a", "a", "hosts: [x.com]")), Options{HostGrants: true})
	if got := problemsOf(r, "allow-a"); len(got) != 1 || !strings.Contains(got[0], "kubectl annotate namespace a --overwrite "+v1alpha1.HostsAnnotation+"='x.com'") {
		t.Errorf("the command is not told: %q", got)
	}
}

// TestUndecoded shows that a field that this version does not know closes its rule, or, outside of rules, all of them.
func TestUndecoded(t *testing.T) {
	objs := parse(t, "kind: AuthPolicy\nmetadata: {name: p, namespace: shop}\nspec: {hosts: [a.com], rules: [{name: a, matches: [{path: {value: /a}}], access: Public}, {name: b, access: Public}]}\n")
	ref := ObjectRef{v1alpha1.KindAuthPolicy, "shop", "p"}
	for _, tt := range []struct{ path, a, b string }{
		{"spec.rules[0].requires", "NotCompiled a", "Public b"},
		{"spec.rules[1].from.countries", "Public a", "NotCompiled b"},
		{"spec.inherit", "NotCompiled a", "NotCompiled b"},
		{"spec.rules[10].x", "NotCompiled a", "NotCompiled b"},
	} {
		objs.Undecoded = map[ObjectRef][]UndecodedField{ref: {{tt.path, "is not known"}}}
		s, r := new(Compiler).Compile(objs, Options{})
		if a, b := said(get("https://a.com/a").decide(t, s).Verdict), said(get("https://a.com/").decide(t, s).Verdict); a != tt.a || b != tt.b {
			t.Errorf("%s: %q and %q", tt.path, a, b)
		}
		if got := problemsOf(r, "p"); len(got) != 1 || got[0] != tt.path+": is not known" {
			t.Errorf("%s: problems %q", tt.path, got)
		}
	}
}
