package policy

import (
	"slices"
	"testing"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// TestUnreadRoutes shows that what this version cannot read of a route or a Gateway counts as meant, beside what surely
// is, and opens nothing.
func TestUnreadRoutes(t *testing.T) {
	objs := parse(t, edge+`
kind: HTTPRoute
metadata: {name: odd, namespace: shop}
spec:
  parentRefs: [{name: edge, namespace: infra, sectionName: shop}]
  hostnames: [odd.example.com]
  rules:
  - {name: strange, matches: [{path: {type: Exact, value: /strange}}], backendRefs: [{name: x}]}
  - {name: plain, backendRefs: [{name: x}]}
---
`+attached("deny-strange", "shop", "targetRefs: [{kind: HTTPRoute, name: odd, sectionName: strange}]")+
		attached("allow-plain", "shop", "targetRefs: [{kind: HTTPRoute, name: odd, sectionName: plain}]")+
		attached("deny-copy", "evil", "targetRefs: [{kind: HTTPRoute, name: copy}]")+
		attached("allow-orders", "shop", "targetRefs: [{kind: HTTPRoute, name: orders}]"))
	route, gateway := ObjectRef{kindHTTPRoute, "shop", "odd"}, ObjectRef{kindGateway, "infra", "edge"}
	for _, tt := range []struct {
		name, path string
		of         ObjectRef
		url, want  string
	}{
		{"nothing", "", route, "https://odd.example.com/x", "Public allow-plain"},
		{"a match", "spec.rules[0].matches[0].cookies", route, "https://odd.example.com/x", "Denied deny-strange"},
		{"a field of a rule", "spec.rules[0].when", route, "https://odd.example.com/x", "Denied deny-strange"},
		{"a filter, which has no say in that", "spec.rules[0].filters[0].colour", route, "https://odd.example.com/x", "Public allow-plain"},
		{"a field of the route", "spec.audience", route, "https://odd.example.com/x", "Denied deny-strange"},
		{"a rule that cannot be told", "spec.rules[99999999999999999999].x", route, "https://odd.example.com/x", "Denied deny-strange"},
		{"another host is not touched", "spec.audience", route, "https://orders.example.com/x", "Public allow-orders"},
		{"nor by a match", "spec.rules[0].matches[0].cookies", route, "https://orders.example.com/x", "Public allow-orders"},
		{"host names", "spec.hostnames[1]", route, "https://orders.example.com/none", "Public allow-orders"},
		{"host names, where no other route is sure", "spec.hostnames[1]", route, "https://other.example.com/", "Denied deny-strange"},
		{"a listener", "spec.listeners[1].audience", gateway, "https://orders.example.com/", "Public allow-orders"},
		{"TLS of a listener", "spec.listeners[1].tls.mode2", gateway, "https://orders.example.com/", "Public allow-orders"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objs.Undecoded = nil
			if tt.path != "" {
				objs.Undecoded = map[ObjectRef][]UndecodedField{tt.of: {{Path: tt.path, Message: "is not known"}}}
			}
			s, _ := new(Compiler).Compile(objs, Options{})
			if got := said(scoped(t, "gateway/infra/edge", tt.url).decide(t, s).Verdict); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestUnreadListener shows that a listener that cannot be read takes no request away from another one, and that it may
// admit routes of any namespace.
func TestUnreadListener(t *testing.T) {
	const objects = `
kind: Gateway
metadata: {name: edge, namespace: infra}
spec:
  gatewayClassName: any
  listeners:
  - {name: wide, port: 443, protocol: HTTPS, allowedRoutes: {namespaces: {from: All}}}
  - {name: orders, port: 443, protocol: HTTPS, hostname: orders.example.com}
---
kind: HTTPRoute
metadata: {name: wide, namespace: shop}
spec: {parentRefs: [{name: edge, namespace: infra, sectionName: wide}], rules: [{backendRefs: [{name: x}]}]}
---
kind: HTTPRoute
metadata: {name: orders, namespace: shop}
spec: {parentRefs: [{name: edge, namespace: infra, sectionName: orders}], rules: [{backendRefs: [{name: x}]}]}
---
`
	for _, tt := range []struct{ name, policies, unread, want string }{
		{"the closer listener admits no route, and takes the request", attached("deny-wide", "shop", "targetRefs: [{kind: HTTPRoute, name: wide}]"), "", "NoPolicy"},
		{"an unread one leaves the wider one meant", attached("deny-wide", "shop", "targetRefs: [{kind: HTTPRoute, name: wide}]"), "spec.listeners[1].x", "Denied deny-wide"},
		{"and may admit the route", attached("allow-wide", "shop", "targetRefs: [{kind: HTTPRoute, name: wide}]"), "spec.listeners[1].allowedRoutes.x", "Public allow-orders"},
		{"the whole Gateway", attached("deny-wide", "shop", "targetRefs: [{kind: HTTPRoute, name: wide}]"), "spec.x", "Denied deny-wide"},
		{"addresses have no say", attached("deny-wide", "shop", "targetRefs: [{kind: HTTPRoute, name: wide}]"), "spec.addresses[0].x", "NoPolicy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objs := parse(t, objects+tt.policies+attached("allow-orders", "shop", "targetRefs: [{kind: HTTPRoute, name: orders}]"))
			objs.Undecoded = map[ObjectRef][]UndecodedField{{kindGateway, "infra", "edge"}: {{Path: tt.unread}}}
			if tt.unread == "" {
				objs.Undecoded = nil
			}
			s, _ := new(Compiler).Compile(objs, Options{})
			if got := said(scoped(t, "gateway/infra/edge", "https://orders.example.com/").decide(t, s).Verdict); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestUnknownValues shows that a value which a newer Gateway API may have is no reason to leave a route out.
func TestUnknownValues(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*gatewayv1.HTTPRoute, *gatewayv1.Gateway)
	}{
		{"type of a path", func(r *gatewayv1.HTTPRoute, _ *gatewayv1.Gateway) {
			typ := gatewayv1.PathMatchType("Template")
			r.Spec.Rules[0].Matches[0].Path.Type = &typ
		}},
		{"type of a header", func(r *gatewayv1.HTTPRoute, _ *gatewayv1.Gateway) {
			typ := gatewayv1.HeaderMatchType("Cookie")
			r.Spec.Rules[0].Matches[0].Path = nil
			r.Spec.Rules[0].Matches[0].Headers = []gatewayv1.HTTPHeaderMatch{{Type: &typ, Name: "x-forwarded-proto", Value: "no"}}
		}},
		{"namespaces of a listener", func(r *gatewayv1.HTTPRoute, g *gatewayv1.Gateway) {
			from := gatewayv1.FromNamespaces("Friends")
			g.Spec.Listeners[1].AllowedRoutes.Namespaces.From = &from
			r.Spec.Rules[0].Matches = nil
		}},
		{"protocol of a listener", func(r *gatewayv1.HTTPRoute, g *gatewayv1.Gateway) {
			g.Spec.Listeners[1].Protocol = "example.com/HTTP4"
			r.Spec.Rules[0].Matches = nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objs := parse(t, edge+attached("deny-api", "shop", "targetRefs: [{kind: HTTPRoute, name: orders, sectionName: api}]")+
				attached("allow-rest", "shop", "targetRefs: [{kind: HTTPRoute, name: orders, sectionName: rest}]"))
			objs.HTTPRoutes = slices.DeleteFunc(objs.HTTPRoutes, func(r *gatewayv1.HTTPRoute) bool { return r.Namespace == "evil" })
			tt.edit(objs.HTTPRoutes[0], objs.Gateways[0])
			s, _ := new(Compiler).Compile(objs, Options{})
			if got := said(scoped(t, "gateway/infra/edge", "https://orders.example.com/x").decide(t, s).Verdict); got != "Denied deny-api" {
				t.Errorf("got %q", got)
			}
		})
	}
}
