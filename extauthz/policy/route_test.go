package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// TestIntersectHosts tells which host names a listener and a route have in common.
func TestIntersectHosts(t *testing.T) {
	for _, tt := range []struct {
		a, b, want string
		ok         bool
	}{
		{"", "", "", true},
		{"a.com", "", "a.com", true},
		{"", "a.com", "a.com", true},
		{"a.com", "a.com", "a.com", true},
		{"*.a.com", "*.a.com", "*.a.com", true},
		{"w.a.com", "*.a.com", "w.a.com", true},
		{"*.a.com", "v.w.a.com", "v.w.a.com", true},
		{"*.w.a.com", "*.a.com", "*.w.a.com", true},
		{"*.a.com", "*.w.a.com", "*.w.a.com", true},
		{"a.com", "b.com", "", false},
		{"a.com", "*.a.com", "", false},
		{"*.a.com", "a.com", "", false},
		{"*.a.com", "*.b.com", "", false},
		{"w.a.com", "*.b.com", "", false},
		{"*.a.com", "w.b.com", "", false},
		{"a.com", "xa.com", "", false},
		{"xa.com", "a.com", "", false},
	} {
		if got, ok := intersectHosts(tt.a, tt.b); got != tt.want || ok != tt.ok {
			t.Errorf("%q and %q have %q, %t", tt.a, tt.b, got, ok)
		}
	}
	order := []string{"", "*.a.com", "b.com", "*.w.a.com"}
	if slices.SortStableFunc(order, compareSpecificity); !slices.Equal(order, []string{"b.com", "*.w.a.com", "*.a.com", ""}) {
		t.Errorf("the most specific first: %q", order)
	}
	for host, want := range map[string]bool{"w.a.com": true, "v.w.a.com": true, "a.com": false, "wa.com": false, "w.b.com": false} {
		if got := (&listener{hostname: "*.a.com"}).takes(host); got != want {
			t.Errorf("*.a.com takes %s: %t", host, got)
		}
		if (&listener{hostname: "b.com"}).takes(host) || !(&listener{}).takes(host) {
			t.Errorf("%s is taken by b.com, or not by a listener without a host name", host)
		}
	}
}

// TestNames tells which listeners a parent reference of a route in shop names.
func TestNames(t *testing.T) {
	for ref, want := range map[string]bool{
		"{name: edge, namespace: infra}":                                   true,
		"{name: edge, namespace: infra, sectionName: https}":               true,
		"{name: edge, namespace: infra, port: 443}":                        true,
		"{name: edge, namespace: infra, kind: Gateway}":                    true,
		"{name: edge, namespace: infra, group: gateway.networking.k8s.io}": true,
		"{name: edge}":                                                                 false,
		"{name: edge, namespace: shop}":                                                false,
		"{name: other, namespace: infra}":                                              false,
		"{name: edge, namespace: infra, sectionName: http}":                            false,
		"{name: edge, namespace: infra, port: 80}":                                     false,
		"{name: edge, namespace: infra, sectionName: http, port: 443}":                 false,
		"{name: edge, namespace: infra, sectionName: https, port: 80}":                 false,
		"{name: edge, namespace: infra, kind: Service}":                                false,
		"{name: edge, namespace: infra, group: example.com}":                           false,
		"{name: edge, namespace: infra, kind: Gateway, group: '', sectionName: https}": false,
	} {
		g := decode[gatewayv1.Gateway](t, "metadata: {name: edge, namespace: infra}\nspec: {listeners: [{name: https, port: 443, protocol: HTTPS}]}\n")
		r := decode[gatewayv1.HTTPRoute](t, "metadata: {name: r, namespace: shop}\nspec: {parentRefs: ["+ref+"]}\n")
		if got := names(r.Spec.ParentRefs[0], "shop", g, &g.Spec.Listeners[0]); got != want {
			t.Errorf("%s: %t", ref, got)
		}
	}
}

// TestAllows tells which routes a listener admits, by kind and namespace.
func TestAllows(t *testing.T) {
	c := &gatewayCompiler{refs: newReferences(&Objects{Namespaces: parse(t, "kind: Namespace\nmetadata: {name: shop, labels: {team: shop}}\n---\nkind: Namespace\nmetadata: {name: dev, labels: {team: dev}}\n").Namespaces})}
	selector := func(by string) string { return "{namespaces: {from: Selector, selector: " + by + "}}" }
	for _, tt := range []struct {
		allowed string
		want    []string // of the namespaces in which an HTTPRoute is admitted
	}{
		{"{}", []string{"infra"}},
		{"{namespaces: {from: Same}}", []string{"infra"}},
		{"{namespaces: {from: All}}", []string{"infra", "shop", "dev", "unknown"}},
		{"{namespaces: {from: None}}", nil},
		{"{kinds: [{kind: HTTPRoute}]}", []string{"infra"}},
		{"{kinds: [{kind: GRPCRoute}, {kind: HTTPRoute}]}", []string{"infra"}},
		{"{kinds: [{kind: GRPCRoute}]}", nil},
		{"{kinds: [{kind: HTTPRoute, group: gateway.networking.k8s.io}]}", []string{"infra"}},
		{"{kinds: [{kind: HTTPRoute, group: example.com}]}", nil},
		{"{kinds: [{kind: GRPCRoute, group: example.com}]}", nil},
		{selector("{matchLabels: {team: shop}}"), []string{"shop"}},
		{selector("{}"), []string{"shop", "dev"}},
		{selector("{matchExpressions: [{key: team, operator: Like, values: [shop]}]}"), nil},
	} {
		g := decode[gatewayv1.Gateway](t, "metadata: {name: edge, namespace: infra}\nspec: {listeners: [{name: https, port: 443, protocol: HTTPS, allowedRoutes: "+tt.allowed+"}]}\n")
		var got []string
		for _, ns := range []string{"infra", "shop", "dev", "unknown"} {
			if c.allows(g, &g.Spec.Listeners[0], &route{kind: kindHTTPRoute, namespace: ns}) {
				got = append(got, ns)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s admits %q, want %q", tt.allowed, got, tt.want)
		}
	}
}

// TestDefaultGateways shows that a route that names no Gateway is admitted by default Gateways, where it says so, and by
// no other.
func TestDefaultGateways(t *testing.T) {
	for _, tt := range []struct{ gateway, route, want string }{
		{"defaultScope: All, ", "useDefaultGateways: All, ", "Public allow"},
		{"", "useDefaultGateways: All, ", "NoPolicy"},
		{"defaultScope: All, ", "", "NoPolicy"},
		{"", "", "NoPolicy"},
	} {
		s, _ := new(Compiler).Compile(parse(t, `
kind: Gateway
metadata: {name: edge, namespace: infra}
spec: {`+tt.gateway+`gatewayClassName: any, listeners: [{name: https, port: 443, protocol: HTTPS, allowedRoutes: {namespaces: {from: All}}}]}
---
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec: {`+tt.route+`rules: [{backendRefs: [{name: x}]}]}
---
`+attached("allow", "shop", "targetRefs: [{kind: HTTPRoute, name: r}]")), Options{})
		if got := said(scoped(t, "gateway/infra/edge", "https://a.com/").decide(t, s).Verdict); got != tt.want {
			t.Errorf("Gateway {%s}, route {%s}: got %q, want %q", tt.gateway, tt.route, got, tt.want)
		}
	}
}

// TestListeners tells which listeners of a Gateway a request may have come in by.
func TestListeners(t *testing.T) {
	const routes = `
kind: HTTPRoute
metadata: {name: wide, namespace: infra}
spec: {parentRefs: [{name: edge, sectionName: wide}], rules: [{backendRefs: [{name: x}]}]}
---
kind: HTTPRoute
metadata: {name: close, namespace: infra}
spec: {parentRefs: [{name: edge, sectionName: close}], rules: [{backendRefs: [{name: x}]}]}
---
`
	policies := attached("deny-wide", "infra", "targetRefs: [{kind: HTTPRoute, name: wide}]") + attached("allow-close", "infra", "targetRefs: [{kind: HTTPRoute, name: close}]")
	const both = "{name: wide, port: 443, protocol: HTTPS}, {name: close, port: 443, protocol: HTTPS, hostname: '*.example.com'}"
	const schemes = "{name: wide, port: 80, protocol: HTTP}, {name: close, port: 443, protocol: HTTPS}"
	for _, tt := range []struct {
		name, listeners, url, forwarded string
		address                         ClientAddress
		unread                          string
		want                            string
	}{
		{"the closer one", both, "https://w.example.com/", "https", ClientAddressPeer, "", "Public allow-close"},
		{"a final dot may go by it", both, "https://w.example.com./", "https", ClientAddressPeer, "", "Denied deny-wide"},
		{"one that takes no HTTP stands in front", "{name: tls, port: 444, protocol: TLS}, " + both, "https://w.example.com/", "https", ClientAddressPeer, "", "Public allow-close"},
		{"that of the scheme", schemes, "https://w.example.com/", "https", ClientAddressPeer, "", "Public allow-close"},
		{"either, where another scheme was forwarded", schemes, "https://w.example.com/", "http", ClientAddressPeer, "", "Denied deny-wide"},
		{"either, behind a load balancer", schemes, "https://w.example.com/", "https", ClientAddressXFF, "", "Denied deny-wide"},
		{"that of another scheme, where there is no other", "{name: close, port: 80, protocol: HTTP}", "https://w.example.com/", "https", ClientAddressPeer, "", "Public allow-close"},
		{"a field of the closer one that is not read opens no host to the other", "{name: wide, port: 443, protocol: HTTPS, hostname: b.com}, {name: close, port: 443, protocol: HTTPS, hostname: '*.example.com'}", "https://w.example.com/", "https", ClientAddressPeer, "spec.listeners[0].allowedRoutes.x", "Public allow-close"},
		{"the host name of the closer one that is not read changes no other", "{name: wide, port: 443, protocol: HTTPS, hostname: b.com}, {name: close, port: 443, protocol: HTTPS, hostname: '*.example.com'}", "https://w.example.com/", "https", ClientAddressPeer, "spec.listeners[1].hostname.x", "Public allow-close"},
		{"a host name that is not read may be any", "{name: wide, port: 443, protocol: HTTPS, hostname: b.com}, {name: close, port: 443, protocol: HTTPS, hostname: '*.example.com'}", "https://w.example.com/", "https", ClientAddressPeer, "spec.listeners[0].hostname.x", "Denied deny-wide"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objs := parse(t, "kind: Gateway\nmetadata: {name: edge, namespace: infra}\nspec: {gatewayClassName: any, listeners: ["+tt.listeners+"]}\n---\n"+routes+policies)
			if tt.unread != "" {
				objs.Undecoded = map[ObjectRef][]UndecodedField{{kindGateway, "infra", "edge"}: {{Path: tt.unread}}}
			}
			s, _ := new(Compiler).Compile(objs, Options{ClientAddress: tt.address})
			if got := said(scoped(t, "gateway/infra/edge", tt.url).header("x-forwarded-proto", tt.forwarded).decide(t, s).Verdict); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestLostRoutes shows that each policy is warned whose routes nobody admits, also beside one that is warned already.
func TestLostRoutes(t *testing.T) {
	var objects, targets strings.Builder
	const letters = "abcdefgh"
	for _, l := range strings.Split(letters, "") {
		objects.WriteString(strings.Replace(lost, "name: lost", "name: lost-"+l, 1))
		objects.WriteString(attached("of-"+l, "shop", "targetRefs: [{kind: HTTPRoute, name: lost-"+l+"}]"))
		targets.WriteString("{kind: HTTPRoute, name: lost-" + l + "}, ")
	}
	_, r := new(Compiler).Compile(parse(t, edge+objects.String()+attached("all", "shop", "targetRefs: ["+strings.TrimSuffix(targets.String(), ", ")+"]")), Options{})
	for _, l := range strings.Split(letters, "") {
		if got := problemsOf(r, "of-"+l); len(got) != 1 || !strings.Contains(got[0], "no Gateway admits") {
			t.Errorf("of-%s: %q", l, got)
		}
	}
	if got := problemsOf(r, "all"); len(got) != len(letters) {
		t.Errorf("of all: %q", got)
	}
}

// routed is a request to a path of a.com, for matches of routes.
func routed(t *testing.T, method, path string, headers ...string) *Request {
	t.Helper()
	c := request(method, "https://a.com"+path)
	for i := 0; i < len(headers); i += 2 {
		c = c.header(headers[i], headers[i+1])
	}
	req, reason := NewRequest(c.Input)
	if reason != "" {
		t.Fatal(reason)
	}
	return req
}

// TestRouteTakes tells whether a match of a route takes a request, and whether that is sure: what is not lets what stands
// behind it count as well.
func TestRouteTakes(t *testing.T) {
	grpc := []string{"content-type", "application/grpc"}
	for _, tt := range []struct {
		name      string
		match     string // of an HTTPRoute; of a GRPCRoute where it begins with grpc
		req       *Request
		may, sure bool
	}{
		{"any", "{}", routed(t, "GET", "/x"), true, true},
		{"header", "{headers: [{name: X-A, value: '1'}]}", routed(t, "GET", "/", "x-a", "1"), true, true},
		{"header with another value", "{headers: [{name: X-A, value: '1'}]}", routed(t, "GET", "/", "x-a", "2"), false, true},
		{"header of an expression", "{headers: [{name: X-A, type: RegularExpression, value: '1.*'}]}", routed(t, "GET", "/", "x-a", "12"), true, false},
		{"header of an expression, beside a sure one", "{headers: [{name: X-A, type: RegularExpression, value: '1.*'}, {name: X-B, value: '1'}]}", routed(t, "GET", "/", "x-a", "12", "x-b", "1"), true, false},
		{"the other way round", "{headers: [{name: X-B, value: '1'}, {name: X-A, type: RegularExpression, value: '1.*'}]}", routed(t, "GET", "/", "x-a", "12", "x-b", "1"), true, false},
		{"of two conditions on one header the first counts", "{headers: [{name: X-A, value: '1'}, {name: x-a, value: '2'}]}", routed(t, "GET", "/", "x-a", "1"), true, true},
		{"two conditions on different headers", "{headers: [{name: X-A, value: '1'}, {name: x-b, value: '2'}]}", routed(t, "GET", "/", "x-a", "1"), false, true},
		{"one of two fields", "{headers: [{name: X-A, value: '1'}]}", routed(t, "GET", "/", "x-a", "1, 2"), true, false},
		{"query", "{queryParams: [{name: a, value: '1'}]}", routed(t, "GET", "/?a=1"), true, true},
		{"query, another value", "{queryParams: [{name: a, value: '1'}]}", routed(t, "GET", "/?a=2"), false, true},
		{"query, absent", "{queryParams: [{name: a, value: '1'}]}", routed(t, "GET", "/?b=1"), false, true},
		{"query of an expression", "{queryParams: [{name: a, type: RegularExpression, value: '1'}]}", routed(t, "GET", "/?a=1"), true, false},
		{"query of an expression, beside a sure one", "{queryParams: [{name: a, type: RegularExpression, value: '1'}, {name: b, value: '1'}]}", routed(t, "GET", "/?a=1&b=1"), true, false},
		{"query, escaped, and equal", "{queryParams: [{name: a, value: x}]}", routed(t, "GET", "/?a=%78"), true, false},
		{"query, equal as it was sent", "{queryParams: [{name: a, value: '%78'}]}", routed(t, "GET", "/?a=%78"), true, false},
		{"query, escaped, and different either way", "{queryParams: [{name: a, value: y}]}", routed(t, "GET", "/?a=%78"), false, true},
		{"query, another escaped", "{queryParams: [{name: a, value: x}]}", routed(t, "GET", "/?b=%78&a=x"), true, true},
		{"query, another escaped behind", "{queryParams: [{name: a, value: x}]}", routed(t, "GET", "/?a=x&b=%78"), true, true},
		{"query, its name escaped", "{queryParams: [{name: a, value: x}]}", routed(t, "GET", "/?%61=x"), true, false},
		{"query, absent, and another escaped", "{queryParams: [{name: a, value: x}]}", routed(t, "GET", "/?b=%78"), false, true},
		{"query, an expression, escaped", "{queryParams: [{name: a, type: RegularExpression, value: '.*'}]}", routed(t, "GET", "/?a=%78"), true, false},
		{"service and method", "grpc {method: {service: s.S, method: M}}", routed(t, "POST", "/s.S/M", grpc...), true, true},
		{"method of any service", "grpc {method: {method: M}}", routed(t, "POST", "/s.S/M", grpc...), true, true},
		{"another method", "grpc {method: {method: M}}", routed(t, "POST", "/s.S/N", grpc...), false, true},
		{"method without a service", "grpc {method: {method: M}}", routed(t, "POST", "/M", grpc...), false, true},
		{"type with a suffix", "grpc {}", routed(t, "POST", "/s.S/M", "content-type", "application/grpc+proto"), true, true},
		{"type with a parameter", "grpc {}", routed(t, "POST", "/s.S/M", "content-type", "application/grpc;x=y"), true, false},
		{"no gRPC", "grpc {}", routed(t, "POST", "/s.S/M", "content-type", "application/json"), true, false},
		{"type that begins so", "grpc {}", routed(t, "POST", "/s.S/M", "content-type", "application/grpc-web"), true, false},
		{"no type", "grpc {}", routed(t, "POST", "/s.S/M"), true, false},
		{"no POST", "grpc {}", routed(t, "GET", "/s.S/M", grpc...), true, false},
		{"service and any method, as expressions", "grpc {method: {type: RegularExpression, service: 's\\..'}}", routed(t, "POST", "/s.S/M", grpc...), true, false},
		{"another service, as expressions", "grpc {method: {type: RegularExpression, service: 's\\..'}}", routed(t, "POST", "/t.S/M", grpc...), false, true},
		{"any service, as expressions", "grpc {method: {type: RegularExpression, method: 'M|N'}}", routed(t, "POST", "/t.S/N", grpc...), true, false},
		{"another method, as expressions", "grpc {method: {type: RegularExpression, method: 'M|N'}}", routed(t, "POST", "/t.S/O", grpc...), false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m routeMatch
			if doc, ok := strings.CutPrefix(tt.match, "grpc "); ok {
				r := decode[gatewayv1.GRPCRoute](t, "spec: {rules: [{matches: ["+doc+"]}]}")
				m = grpcMatch(&r.Spec.Rules[0].Matches[0])
			} else {
				r := decode[gatewayv1.HTTPRoute](t, "spec: {rules: [{matches: ["+tt.match+"]}]}")
				m = httpMatch(&r.Spec.Rules[0].Matches[0])
			}
			if may, sure := m.takes(tt.req, tt.req.path); may != tt.may || may && sure != tt.sure {
				t.Errorf("may %t, sure %t", may, sure)
			}
		})
	}
}

// TestRulesOfRoutes tells which rules reach a backend, or may, and so need a policy.
func TestRulesOfRoutes(t *testing.T) {
	for rule, unbacked := range map[string]bool{
		"{}":                         true,
		"{backendRefs: [{name: x}]}": false,
		"{filters: [{type: RequestHeaderModifier}]}":                                                        false,
		"{backendRefs: [{name: x}], filters: [{type: RequestHeaderModifier}]}":                              false,
		"{matches: [{method: {service: s.S}}], backendRefs: [{name: x}]}":                                   false,
		"{filters: [{type: ExtensionRef, extensionRef: {group: g, kind: k, name: n}}], matches: [{}, {}]}":  false,
		"{matches: [{method: {service: s.S}}, {method: {service: s.S, method: M}}, {method: {method: M}}]}": true,
	} {
		r := decode[gatewayv1.GRPCRoute](t, "spec: {rules: ["+rule+"]}")
		if got := grpcRules(r.Spec.Rules)[0]; got.unbacked != unbacked || len(got.matches) != max(1, len(r.Spec.Rules[0].Matches)) {
			t.Errorf("%s: unbacked %t, %d matches", rule, got.unbacked, len(got.matches))
		}
	}
	if got := routeHosts([]gatewayv1.Hostname{"b.com", "A.com", "b.com", "bad host", "*.c.com"}); !slices.Equal(got, []string{"b.com", "a.com", "*.c.com"}) {
		t.Errorf("host names %q", got)
	}
}

// TestUnreadOf tells what fields that cannot be read may be about.
func TestUnreadOf(t *testing.T) {
	for paths, want := range map[string]unread{
		"spec.infrastructure.x": {},
		"spec.tls.x":            {},
		"spec.addresses[0].x":   {},
		"spec.audience":         {whole: true},
		"spec.hostnames[0]":     {whole: true, hostnames: true},
		"spec.rules[1].when":    {rules: map[int]bool{1: true}},
		"spec.rules[1].filters[0].x spec.rules[2].matches[0].x spec.infrastructure.x": {rules: map[int]bool{2: true}},
		"spec.rules[0].matches[0].x spec.audience":                                    {whole: true, rules: map[int]bool{0: true}},
		"spec.rules[0].when spec.rules[3].when":                                       {rules: map[int]bool{0: true, 3: true}},
		"spec.listeners[1].hostname.x spec.listeners[2].tls.x":                        {hostnames: true, rules: map[int]bool{1: true}},
	} {
		var fields []UndecodedField
		for p := range strings.FieldsSeq(paths) {
			fields = append(fields, UndecodedField{Path: p})
		}
		if want.rules == nil {
			want.rules = map[int]bool{}
		}
		if diff := cmp.Diff(want, unreadOf(fields), cmp.AllowUnexported(unread{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", paths, diff)
		}
	}
}

// TestRoutesOfOneHost lands requests where routes share a host name in ways that data planes rank differently: whatever
// could be meant must hold.
func TestRoutesOfOneHost(t *testing.T) {
	gateway := func(hostname string) string {
		return "kind: Gateway\nmetadata: {name: edge, namespace: infra}\nspec: {gatewayClassName: any, listeners: [{name: https, port: 443, protocol: HTTPS" + hostname + ", allowedRoutes: {namespaces: {from: All}}}]}\n---\n"
	}
	route := func(kind, name, year, hostnames, rule string) string {
		return "kind: " + kind + "\nmetadata: {name: " + name + ", namespace: shop, creationTimestamp: \"" + year + "-01-01T00:00:00Z\"}\nspec: {parentRefs: [{name: edge, namespace: infra}], hostnames: [" + hostnames + "], rules: [{" + rule + "backendRefs: [{name: app, port: 80}]}]}\n---\n"
	}
	on := func(kind, name string) string {
		return attached(name, "shop", "targetRefs: [{kind: "+kind+", name: "+name+"}]")
	}
	web := func(name string) string { return on(kindHTTPRoute, name) }
	const own, prefix, exact = ", hostname: w.a.com", "matches: [{path: {value: /api}}], ", "matches: [{path: {type: Exact, value: /api/x}}], "
	const service, pay = "matches: [{method: {service: s.A}}], ", "matches: [{method: {service: s.A, method: Pay}}], "
	written := gateway(own) + route(kindHTTPRoute, "deny-exact", "2026", "w.a.com", prefix) + route(kindHTTPRoute, "allow-wild", "2026", "'*.a.com'", exact) + route(kindHTTPRoute, "allow-any", "2026", "", "") +
		web("deny-exact") + web("allow-wild") + web("allow-any")
	kinds := func(http, grpc string) string {
		return gateway("") + route(kindHTTPRoute, "deny-web", http, "w.a.com", "matches: [{path: {type: Exact, value: /s.A/Pay}}], ") + route(kindGRPCRoute, "allow-grpc", grpc, "w.a.com", service) + web("deny-web") + on(kindGRPCRoute, "allow-grpc")
	}
	for _, tt := range []struct{ name, objects, path, want string }{
		{"an exact name is written, and goes first", written, "/api/x", "Denied deny-exact"},
		{"on another path too", written, "/api/y", "Denied deny-exact"},
		{"what it does not take goes on", written, "/z", "Public allow-any"},
		{"one name only", gateway("") + route(kindHTTPRoute, "deny-prefix", "2026", "w.a.com", prefix) + route(kindHTTPRoute, "allow-exact", "2026", "w.a.com", exact) + web("deny-prefix") + web("allow-exact"), "/api/x", "Public allow-exact"},
		{"the older of two of the same path", gateway("") + route(kindHTTPRoute, "deny-b", "2026", "w.a.com", exact) + route(kindHTTPRoute, "allow-c", "2025", "w.a.com", exact) + web("deny-b") + web("allow-c"), "/api/x", "Public allow-c"},
		{"an exact path of a younger kind", kinds("2026", "2025"), "/s.A/Pay", "Denied deny-web"},
		{"an exact path of an older kind", kinds("2025", "2026"), "/s.A/Pay", "Denied deny-web"},
		{"an older kind hides nothing that it does not take", kinds("2025", "2026"), "/s.A/Get", "Public allow-grpc"},
		{"the older kind could be the only one", gateway("") + route(kindHTTPRoute, "deny-web", "2025", "w.a.com", "") + route(kindGRPCRoute, "allow-grpc", "2026", "w.a.com", pay) + web("deny-web") + on(kindGRPCRoute, "allow-grpc"), "/s.A/Pay", "Denied deny-web"},
		{"the younger kind may go first all the same", gateway("") + route(kindHTTPRoute, "deny-web", "2026", "w.a.com", "") + route(kindGRPCRoute, "allow-grpc", "2025", "w.a.com", pay) + web("deny-web") + on(kindGRPCRoute, "allow-grpc"), "/s.A/Pay", "Denied deny-web"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := compile(t, tt.objects, Options{})
			c := scoped(t, "gateway/infra/edge", "https://w.a.com"+tt.path).header("content-type", "application/grpc")
			c.Method = "POST"
			if got := said(c.decide(t, s).Verdict); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
