package policy

import (
	"testing"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// TestOwners tells who speaks for a host that was granted, where the proxy states a namespace, a Gateway or nothing.
func TestOwners(t *testing.T) {
	namespace := func(name, hosts string) string {
		return "kind: Namespace\nmetadata: {name: " + name + ", annotations: {" + v1alpha1.HostsAnnotation + ": '" + hosts + "'}}\n---\n"
	}
	gateway := func(ns string) string {
		return "kind: Gateway\nmetadata: {name: edge, namespace: " + ns + "}\nspec: {gatewayClassName: any, listeners: [{name: https, port: 443, protocol: HTTPS, hostname: '*.com'}]}\n---\n"
	}
	route := func(ns string) string {
		return "kind: HTTPRoute\nmetadata: {name: r, namespace: " + ns + "}\nspec: {parentRefs: [{name: edge}], hostnames: [x.com], rules: [{backendRefs: [{name: app, port: 80}]}]}\n---\n"
	}
	const onRoute, onListener, onGateway = "targetRefs: [{kind: HTTPRoute, name: r}]", "targetRefs: [{kind: Gateway, name: edge, sectionName: https}]", "targetRefs: [{kind: Gateway, name: edge}]"
	shop := namespace("shop", "x.com") + namespace("evil", "*.com, *.org") + gateway("shop") + gateway("evil")
	for _, tt := range []struct{ name, objects, scope, host, want string }{
		{"the owner's host", shop + attached("allow-host", "shop", "hosts: [x.com]") + attached("deny-gateway", "evil", onGateway), "", "x.com", "Public allow-host"},
		{"the owner's route", shop + route("shop") + attached("allow-route", "shop", onRoute), "", "x.com", "Public allow-route"},
		{"a neighbour's route", shop + route("evil") + attached("allow-route", "evil", onRoute), "", "x.com", "NoPolicy"},
		{"the owner's listener", shop + attached("allow-listener", "shop", onListener), "", "x.com", "Public allow-listener"},
		{"a neighbour's listener", shop + attached("allow-listener", "evil", onListener), "", "x.com", "NoPolicy"},
		{"the owner's listener, of a Gateway that is stated", shop + attached("deny-listener", "shop", onListener), "gateway/shop/edge", "x.com", "Denied deny-listener"},
		{"the owner's Gateway, for a host that no listener takes", shop + attached("deny-gateway", "shop", onGateway), "gateway/shop/edge", "x.org", "Denied deny-gateway"},
		{"which no proxy states", shop + attached("deny-gateway", "shop", onGateway), "", "x.net", "NoPolicy"},
		{"the owner's host, in its namespace", shop + attached("allow-host", "shop", "hosts: [x.com]"), "namespace/shop", "x.com", "Public allow-host"},
		{"the owner's host, in another namespace", shop + attached("allow-host", "shop", "hosts: [x.com]") + attached("allow-wild", "evil", "hosts: ['*.com']"), "namespace/evil", "x.com", "NoPolicy"},
		{"another host there", shop + attached("allow-host", "shop", "hosts: [x.com]") + attached("allow-wild", "evil", "hosts: ['*.com']"), "namespace/evil", "y.com", "Public allow-wild"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, r := new(Compiler).Compile(parse(t, tt.objects), Options{HostGrants: true})
			if got := said(scoped(t, tt.scope, "https://"+tt.host+"/").decide(t, s).Verdict); got != tt.want {
				t.Errorf("got %q, want %q; %q", got, tt.want, problemsOf(r, "allow-host"))
			}
		})
	}
}
