package oracle

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// place is where a request may be. What is not known, or not there, is empty.
type place struct {
	byHost    bool   // policies that name the host are asked
	namespace string // only those of this one
	service   target
	gateway   target // its section is the listener
	route     target // its section is the rule
	backend   bool   // that a request reaches here
}

// target is an object that policies are attached to, or a section of it.
type target struct{ kind, namespace, name, section string }

// attached are the policies that name one of these objects: as a whole, or the section.
func (w *world) attached(to ...target) (out []*v1alpha1.AuthPolicy) {
	for _, p := range w.sorted() {
		if slices.ContainsFunc(p.Spec.TargetRefs, func(r v1alpha1.TargetReference) bool {
			section := value(r.SectionName, "")
			return slices.ContainsFunc(to, func(t target) bool {
				return t.kind == r.Kind && t.namespace == p.Namespace && t.name == r.Name && (section == "" || section == t.section)
			})
		}) {
			out = append(out, p)
		}
	}
	return out
}

// places are all those that q could be meant for, by the scope that its proxy states.
func (w *world) places(q *question) (out []place) {
	kind, rest, _ := strings.Cut(q.scope, "/")
	namespace, name, _ := strings.Cut(rest, "/")
	switch kind {
	case "service":
		return []place{{service: w.service(namespace, func(s string) bool { return s == name })}}
	case "namespace":
		return []place{{byHost: true, namespace: namespace, service: w.service(namespace, func(s string) bool {
			suffix, ok := strings.CutPrefix(plain(q.host), s)
			return ok && slices.Contains([]string{"", "." + namespace, "." + namespace + ".svc", "." + namespace + ".svc.cluster.local"}, suffix)
		})}}
	}
	for _, g := range w.gateways {
		if kind == "" || g.Namespace == namespace && g.Name == name {
			out = append(out, w.placesAt(g, q)...)
		}
	}
	if len(out) == 0 {
		out = []place{{byHost: true, gateway: w.gateway(namespace, name)}}
	}
	return out
}

func (w *world) service(namespace string, is func(name string) bool) target {
	for _, s := range w.services {
		if s.Namespace == namespace && is(s.Name) {
			return target{kind: "Service", namespace: s.Namespace, name: s.Name}
		}
	}
	return target{}
}

func (w *world) gateway(namespace, name string) target {
	for _, g := range w.gateways {
		if g.Namespace == namespace && g.Name == name {
			return target{kind: "Gateway", namespace: namespace, name: name}
		}
	}
	return target{}
}

// placesAt are those at one Gateway: on each port the listener with the closest hostname takes the request. Of several
// ports the scheme tells which, as long as the header that proxies pass on agrees.
func (w *world) placesAt(g *gatewayv1.Gateway, q *question) (out []place) {
	var takers []*gatewayv1.Listener
	for _, host := range q.names() {
		takers = append(takers, takersOf(g, host)...)
	}
	if told := slices.DeleteFunc(slices.Clone(takers), func(l *gatewayv1.Listener) bool {
		return !strings.EqualFold(q.scheme, string(l.Protocol))
	}); len(told) > 0 && q.headers["x-forwarded-proto"] == q.scheme {
		takers = told
	}
	routed := false
	for _, l := range takers {
		for _, host := range q.names() {
			at := place{byHost: true, gateway: target{"Gateway", g.Namespace, g.Name, string(l.Name)}}
			// Which of the two has the characters that rank is open.
			var lands []*match
			for _, q := range q.sentAndDecoded() {
				for _, routes := range taken(w.admitted(g, l), l) {
					lands = append(append(lands, landings(routes, l, (*route).hosts, host, q)...), landings(routes, l, (*route).written, host, q)...)
				}
			}
			if len(lands) == 0 {
				out = append(out, at)
			}
			for _, m := range lands {
				routed = true
				at.route, at.backend = target{m.route.kind, m.route.namespace, m.route.name, m.rule}, m.backend
				out = append(out, at)
			}
		}
	}
	if routed { // by a listener that has no route for it, nothing would be reached
		out = slices.DeleteFunc(out, func(p place) bool { return p.route.kind == "" })
	}
	return out
}

// names are the hosts that a proxy may take the request's for: with a final dot that it does not drop, it is none that
// anybody names.
func (q *question) names() []string {
	host, _, _ := strings.Cut(q.host, ":")
	if strings.HasSuffix(host, ".") {
		return []string{plain(q.host), "."}
	}
	return []string{plain(q.host)}
}

// sentAndDecoded are the request with its path as it was sent, and as it reads, where an encoded slash may be data or
// separate: a proxy routes by one of these.
func (q *question) sentAndDecoded() []*question {
	path, query, asks := strings.Cut(q.path, "?")
	plain, ok := read(path, true, true)
	if !strings.Contains(path, "%") || !ok {
		return []*question{q}
	}
	out := []*question{q}
	for _, slash := range []string{"%2F", "/"} {
		decoded := *q
		decoded.path = ""
		for _, s := range plain.segs {
			decoded.path += "/" + strings.ReplaceAll(s, "/", slash)
		}
		if plain.slash || len(plain.segs) == 0 {
			decoded.path += "/"
		}
		if asks {
			decoded.path += "?" + query
		}
		out = append(out, &decoded)
	}
	return out
}

// takersOf are the listeners that take a host, one for each port.
func takersOf(g *gatewayv1.Gateway, host string) []*gatewayv1.Listener {
	taken := map[gatewayv1.PortNumber]*gatewayv1.Listener{}
	for i := range g.Spec.Listeners {
		l := &g.Spec.Listeners[i]
		if l.Protocol != gatewayv1.HTTPProtocolType && l.Protocol != gatewayv1.HTTPSProtocolType || !covers(hostname(l), host) {
			continue
		}
		if other := taken[l.Port]; other == nil || closer(hostname(l), hostname(other)) < 0 {
			taken[l.Port] = l
		}
	}
	return slices.SortedFunc(maps.Values(taken), func(a, b *gatewayv1.Listener) int { return cmp.Compare(a.Port, b.Port) })
}

// hostname of a listener; * where it has none.
func hostname(l *gatewayv1.Listener) string { return cmp.Or(string(value(l.Hostname, "")), "*") }

// route is an HTTPRoute or a GRPCRoute.
type route struct {
	kind, namespace, name string
	created               metav1.Time
	parents               []gatewayv1.ParentReference
	hostnames             []gatewayv1.Hostname
	matches               []match
}

// match is one match of a rule of a route, in the order of the rules.
type match struct {
	route   *route
	rule    string // its name
	backend bool   // the rule has one
	path    func(string) bool
	regex   bool  // the path is one, and the Gateway API says no rank of it
	rank    []int // of what is equal in it, the more the better

	method         string
	headers, query []v1alpha1.ValueMatch
}

// hosts are the hostnames of a route as far as the listener has them; written are those that the route itself says.
func (r *route) hosts(l *gatewayv1.Listener) (out []string) {
	for _, own := range r.written(l) {
		switch of := hostname(l); {
		case covers(of, own):
			out = append(out, own)
		case covers(own, of):
			out = append(out, of)
		}
	}
	return out
}

func (r *route) written(*gatewayv1.Listener) (out []string) {
	for _, h := range r.hostnames {
		out = append(out, string(h))
	}
	if len(out) == 0 {
		return []string{"*"}
	}
	return out
}

// admitted are the routes that a listener admits, the oldest first.
func (w *world) admitted(g *gatewayv1.Gateway, l *gatewayv1.Listener) []*route {
	return slices.DeleteFunc(w.routes(), func(r *route) bool {
		return !r.wants(g, l) || !w.allows(g, l, r) || len(r.hosts(l)) == 0
	})
}

// taken are the sets of routes that a proxy may take of those that are admitted: all; or, where an HTTPRoute and a
// GRPCRoute share a host, without the younger of the two. Of two that have one age and name too, either may be meant.
func taken(routes []*route, l *gatewayv1.Listener) [][]*route {
	sets := [][]*route{routes}
	for _, first := range []string{"HTTPRoute", "GRPCRoute"} {
		order := slices.Clone(routes)
		slices.SortStableFunc(order, func(a, b *route) int {
			return cmp.Or(a.older(b), -cmp.Compare(strings.Index(a.kind, first), strings.Index(b.kind, first)))
		})
		var left []*route
		for _, r := range order {
			if !slices.ContainsFunc(left, func(o *route) bool { return o.kind != r.kind && overlap(o.hosts(l), r.hosts(l)) }) {
				left = append(left, r)
			}
		}
		sets = append(sets, left)
	}
	return sets
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(a string) bool {
		return slices.ContainsFunc(b, func(b string) bool { return covers(a, b) || covers(b, a) })
	})
}

// wants tells whether a route names the listener as its parent.
func (r *route) wants(g *gatewayv1.Gateway, l *gatewayv1.Listener) bool {
	return slices.ContainsFunc(r.parents, func(p gatewayv1.ParentReference) bool {
		return value(p.Group, gatewayv1.GroupName) == gatewayv1.GroupName && value(p.Kind, "Gateway") == "Gateway" &&
			string(value(p.Namespace, gatewayv1.Namespace(r.namespace))) == g.Namespace && string(p.Name) == g.Name &&
			value(p.SectionName, l.Name) == l.Name && value(p.Port, l.Port) == l.Port
	})
}

// allows tells whether allowedRoutes of the listener admit a route.
func (w *world) allows(g *gatewayv1.Gateway, l *gatewayv1.Listener, r *route) bool {
	allowed := value(l.AllowedRoutes, gatewayv1.AllowedRoutes{})
	if len(allowed.Kinds) > 0 && !slices.ContainsFunc(allowed.Kinds, func(k gatewayv1.RouteGroupKind) bool {
		return value(k.Group, gatewayv1.GroupName) == gatewayv1.GroupName && string(k.Kind) == r.kind
	}) {
		return false
	}
	namespaces := value(allowed.Namespaces, gatewayv1.RouteNamespaces{})
	switch value(namespaces.From, gatewayv1.NamespacesFromSame) {
	case gatewayv1.NamespacesFromAll:
		return true
	case gatewayv1.NamespacesFromSame:
		return r.namespace == g.Namespace
	case gatewayv1.NamespacesFromSelector:
		selector, err := metav1.LabelSelectorAsSelector(namespaces.Selector)
		for _, ns := range w.namespaces {
			if err == nil && ns.Name == r.namespace && selector.Matches(labels.Set(ns.Labels)) {
				return true
			}
		}
	}
	return false
}

// landings are the matches that could decide: of the closest hostname, by the rank of the Gateway API, then of the older
// route, then the earlier rule. What it leaves open is meant beside whatever else is: the rank and the dialect of a regular
// expression, a match that is not sure down to the first that is, and a less close hostname where none of the closest is
// sure to take the request. Between kinds of routes there is no rank.
func landings(routes []*route, l *gatewayv1.Listener, names func(*route, *gatewayv1.Listener) []string, host string, q *question) (out []*match) {
	byHost := map[string][]*match{}
	for _, r := range routes {
		takes := func(h string) bool { return covers(h, host) }
		if !slices.ContainsFunc(r.hosts(l), takes) {
			continue
		}
		closest := slices.MinFunc(slices.DeleteFunc(names(r, l), func(h string) bool { return !takes(h) }), closer)
		for i := range r.matches {
			byHost[closest] = append(byHost[closest], &r.matches[i])
		}
	}
	for _, h := range slices.SortedFunc(maps.Keys(byHost), closer) {
		slices.SortStableFunc(byHost[h], func(a, b *match) int { return slices.Compare(b.rank, a.rank) })
		taken, ranked := false, map[string]bool{} // by kind
		for _, m := range byHost[h] {
			maybe, sure := m.fits(q)
			if maybe && (m.regex || !ranked[m.route.kind]) {
				out = append(out, m)
			}
			taken = taken || sure && !m.regex
			ranked[m.route.kind] = ranked[m.route.kind] || sure && !m.regex
		}
		if taken {
			break
		}
	}
	return out
}

// fits tells whether a request may be as the match wants it, and whether it is so for sure. Proxies differ on values that
// stand there twice, and on calls that are not gRPC.
func (m *match) fits(q *question) (maybe, sure bool) {
	path, query, _ := strings.Cut(q.path, "?")
	if !m.path(path) || m.method != "" && m.method != q.method {
		return false, false
	}
	sure = m.route.kind == "HTTPRoute" || q.method == "POST" && whole("/[^/]+/[^/]+").MatchString(path) &&
		whole(`application/grpc(\+.*)?`).MatchString(q.headers["content-type"])
	for _, h := range m.headers {
		got, ok := q.headers[strings.ToLower(h.Name)]
		switch {
		case ok && strings.Contains(got, ","):
			sure = false
		case !ok || !holds(&h, got):
			return false, false
		}
	}
	for _, want := range m.query {
		got, n, readable := q.parameter(want.Name)
		switch {
		case !readable || strings.Contains(query, "%"):
			sure = false
		case n == 0 || !holds(&want, got):
			return false, false
		}
	}
	return true, sure
}
