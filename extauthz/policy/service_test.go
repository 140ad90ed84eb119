package policy

import (
	"slices"
	"strings"
	"testing"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// TestServiceOf tells for which Service of shop a host stands.
func TestServiceOf(t *testing.T) {
	for host, want := range map[string]string{
		"orders": "orders", "orders.shop": "orders", "orders.shop.svc": "orders", "orders.shop.svc.cluster.local": "orders",
		"": "", "shop": "shop", ".shop": "", "x.orders.shop": "", "x.orders.shop.svc": "", "orders.evil": "", "orders.evil.svc": "", "orders.shop.svc.cluster": "",
		"or_ders": "", "or_ders.shop": "", "-a.shop": "", "[::1]": "", "shop.svc": "",
	} {
		if got := serviceOf(host, "shop", ""); got != want {
			t.Errorf("%q is %q, want %q", host, got, want)
		}
	}
	if got := serviceOf("orders.shop.svc.corp.example", "shop", "corp.example"); got != "orders" {
		t.Errorf("in a cluster of another domain: %q", got)
	}
}

// TestServes tells which parents of a route in shop are Services for which it speaks.
func TestServes(t *testing.T) {
	for ref, want := range map[string]bool{
		"{group: '', kind: Service, name: orders}":                       true,
		"{group: '', kind: Service, name: orders, namespace: shop}":      true,
		"{group: '', kind: Service, name: orders, namespace: elsewhere}": false,
		"{kind: Service, name: orders}":                                  false,
		"{group: core, kind: Service, name: orders}":                     false,
		"{group: '', kind: Gateway, name: orders}":                       false,
		"{group: '', kind: ServiceEntry, name: orders, namespace: shop}": false,
		"{group: networking.istio.io, kind: ServiceEntry, name: orders}": false,
		"{name: orders}": false,
		"{group: gateway.networking.k8s.io, kind: Gateway, name: orders}": false,
	} {
		r := decode[gatewayv1.HTTPRoute](t, "metadata: {name: r, namespace: shop}\nspec: {parentRefs: ["+ref+"]}\n")
		if got := (&route{namespace: "shop"}).serves(r.Spec.ParentRefs[0]); got != want {
			t.Errorf("%s: %t", ref, got)
		}
	}
}

// TestMesh tells what routes of the mesh mean for the Service that is their parent.
func TestMesh(t *testing.T) {
	route := func(name, parents, path, more string) string {
		return "kind: HTTPRoute\nmetadata: {name: " + name + ", namespace: shop}\nspec: {parentRefs: [" + parents + "], rules: [{matches: [{path: {value: " + path + "}}], " + more + "}]}\n---\n"
	}
	const (
		service  = "{group: '', kind: Service, name: orders}"
		gateway  = "{name: edge, namespace: infra}"
		backend  = "backendRefs: [{name: orders, port: 80}]"
		redirect = "filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]"
	)
	port := func(n string) string { return strings.Replace(service, "orders}", "orders, port: "+n+"}", 1) }
	on := func(route string) string { return "targetRefs: [{kind: HTTPRoute, name: " + route + "}]" }
	for _, tt := range []struct{ name, objects, want string }{
		{"a route with a policy", route("r", service, "/", backend) + attached("allow-r", "shop", on("r")), "Public allow-r"},
		{"a route of one port", route("r", port("80"), "/", backend) + attached("allow-r", "shop", on("r")), "Public allow-r"},
		{"whose other parent, before it, is a Gateway", route("r", gateway+", "+service, "/", backend) + attached("allow-r", "shop", on("r")), "Public allow-r"},
		{"a route without one", route("r", service, "/", backend) + route("s", service, "/s", backend) + attached("allow-s", "shop", on("s")), "NoPolicy"},
		{"a route without one, that leads nowhere", route("r", service, "/", redirect) + route("s", service, "/s", backend) + attached("allow-s", "shop", on("s")) + attached("allow-host", "shop", "hosts: [other]"), "NoPolicy"},
		{"a route without one, where the host has one", route("r", service, "/", backend) + route("s", service, "/s", backend) + attached("allow-s", "shop", on("s")) + attached("allow-host", "shop", "hosts: [orders]"), "Public allow-host"},
		{"a route without one, where the host has one that is tried out", route("r", service, "/", backend) + route("s", service, "/s", backend) + attached("allow-s", "shop", on("s")) + attached("allow-host", "shop", "mode: DryRun, hosts: [orders]"), "DryRun"},
		{"a route without one, where the Service has one", route("r", service, "/", backend) + attached("allow-service", "shop", "targetRefs: [{kind: Service, name: orders}]"), "Public allow-service"},
		{"the same, beside a route that has one", route("r", service, "/", backend) + route("s", service, "/s", backend) + attached("allow-s", "shop", on("s")) + attached("allow-service", "shop", "targetRefs: [{kind: Service, name: orders}]"), "Public allow-service"},
		{"a route without one, beside one with a policy on another port", route("r", port("80"), "/", backend) + route("s", port("90"), "/", backend) + attached("allow-s", "shop", on("s")), "NoPolicy"},
		{"a route that leads nowhere, beside one with a policy on another port", route("r", port("80"), "/", redirect) + route("s", port("90"), "/", backend) + attached("allow-s", "shop", on("s")), "Public allow-s"},
		{"routes of two ports: both could be meant", route("r", port("80"), "/", backend) + route("s", port("90"), "/", backend) + attached("allow-r", "shop", on("r")) + attached("deny-s", "shop", on("s")), "Denied deny-s"},
		{"the other way round", route("r", port("80"), "/", backend) + route("s", port("90"), "/", backend) + attached("deny-r", "shop", on("r")) + attached("allow-s", "shop", on("s")), "Denied deny-r"},
		{"a route of every port, beside one of a port", route("r", port("80"), "/x", backend) + route("s", service, "/", backend) + attached("allow-r", "shop", on("r")) + attached("deny-s", "shop", on("s")), "Denied deny-s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := new(Compiler).Compile(parse(t, "kind: Service\nmetadata: {name: orders, namespace: shop}\n---\n"+tt.objects), Options{})
			if got := said(scoped(t, "namespace/shop", "https://orders/").decide(t, s).Verdict); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestTargetProblems shows that each target that is wrong is told, and that those beside it hold.
func TestTargetProblems(t *testing.T) {
	const service = "kind: Service\nmetadata: {name: orders, namespace: shop}\n---\n"
	for _, tt := range []struct {
		refs string
		want []string
	}{
		{"{kind: Service, name: none}, {kind: Service, name: orders}, {kind: Service, name: never}", []string{"targetRefs[0].name", "targetRefs[2].name"}},
		{"{kind: Service, name: orders, sectionName: a}, {kind: Service, name: orders}, {kind: Pod, name: x}, {kind: Service, group: x, name: y}", []string{"targetRefs[0].sectionName", "targetRefs[2].kind", "targetRefs[3].group"}},
		{"{kind: Pod, name: x}, {kind: Service, name: orders}, {kind: Service, name: orders}, {kind: Service, name: ''}", []string{"targetRefs[0].kind", "targetRefs[2]", "targetRefs[3].name"}},
	} {
		s, r := new(Compiler).Compile(parse(t, service+attached("allow", "shop", "targetRefs: ["+tt.refs+"]")), Options{})
		if got := said(scoped(t, "service/shop/orders", "https://x/").decide(t, s).Verdict); got != "Public allow" {
			t.Errorf("%s: %q", tt.refs, got)
		}
		got := problemsOf(r, "allow")
		for i := range got {
			got[i], _, _ = strings.Cut(strings.TrimPrefix(got[i], "spec."), ":")
		}
		if slices.Sort(got); !slices.Equal(got, tt.want) {
			t.Errorf("%s: problems at %q, want %q", tt.refs, got, tt.want)
		}
	}
}
