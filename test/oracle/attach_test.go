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
}

// target is an object that policies are attached to, or a section of it.
type target struct{ kind, namespace, name, section string }

// innermost are what the level within hosts is attached to, and onGateway what that of the Gateway is.
func (p place) innermost() []target { return []target{p.service, p.route} }
func (p place) onGateway() []target { return []target{p.gateway} }

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
	out = routedFirst(out)
	if len(out) > 0 {
		return out
	}
	if kind == "" {
		return []place{{byHost: true}}
	}
	return []place{{byHost: true, gateway: w.gateway(namespace, name)}}
}

// routedFirst leaves out the places without a route where there is one with: there is nothing behind them.
func routedFirst(places []place) []place {
	routed := func(p place) bool { return p.route.kind != "" }
	if !slices.ContainsFunc(places, routed) {
		return places
	}
	return slices.DeleteFunc(places, func(p place) bool { return !routed(p) })
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

// placesAt are those at one Gateway: on each port the listener with the closest hostname takes the request.
func (w *world) placesAt(g *gatewayv1.Gateway, q *question) (out []place) {
	taken := map[gatewayv1.PortNumber]*gatewayv1.Listener{}
	for i := range g.Spec.Listeners {
		l := &g.Spec.Listeners[i]
		if !q.speaks(l.Protocol) || !covers(hostname(l), plain(q.host)) {
			continue
		}
		if other := taken[l.Port]; other == nil || closer(hostname(l), hostname(other)) < 0 {
			taken[l.Port] = l
		}
	}
	for _, l := range taken {
		at := place{byHost: true, gateway: target{"Gateway", g.Namespace, g.Name, string(l.Name)}}
		lands := w.landings(g, l, q)
		if len(lands) == 0 {
			out = append(out, at)
		}
		for _, m := range lands {
			at.route = target{m.route.kind, m.route.namespace, m.route.name, m.rule}
			out = append(out, at)
		}
	}
	return out
}

// speaks tells whether the request may have come by a listener of this protocol. Its scheme tells, where Envoy and the
// header that proxies pass on agree on it.
func (q *question) speaks(p gatewayv1.ProtocolType) bool {
	if p != gatewayv1.HTTPProtocolType && p != gatewayv1.HTTPSProtocolType {
		return false
	}
	passed, ok := q.headers["x-forwarded-proto"]
	return q.scheme == "" || ok && passed != q.scheme || strings.EqualFold(q.scheme, string(p))
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
	route *route
	rule  string // its name
	path  func(string) bool
	regex bool  // the path is one, and the Gateway API says no rank of it
	rank  []int // of what is equal in it, the more the better

	method         string
	headers, query []v1alpha1.ValueMatch
}

// hosts are the hostnames of a route as far as the listener has them.
func (r *route) hosts(l *gatewayv1.Listener) (out []string) {
	if len(r.hostnames) == 0 {
		return []string{hostname(l)}
	}
	for _, h := range r.hostnames {
		switch own, of := string(h), hostname(l); {
		case covers(of, own):
			out = append(out, own)
		case covers(own, of):
			out = append(out, of)
		}
	}
	return out
}

// admitted are the routes that a listener admits, the oldest first. Of an HTTPRoute and a GRPCRoute with a hostname in
// common it takes the first.
func (w *world) admitted(g *gatewayv1.Gateway, l *gatewayv1.Listener) (out []*route) {
	for _, r := range w.routes() {
		conflicts := slices.ContainsFunc(out, func(o *route) bool {
			return o.kind != r.kind && slices.ContainsFunc(o.hosts(l), func(a string) bool {
				return slices.ContainsFunc(r.hosts(l), func(b string) bool { return covers(a, b) || covers(b, a) })
			})
		})
		if r.wants(g, l) && w.allows(g, l, r) && len(r.hosts(l)) > 0 && !conflicts {
			out = append(out, r)
		}
	}
	return out
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

// landings are the matches that could decide at a listener. Those of the closest hostname go first, then the rank of the
// Gateway API, then the older route and the earlier rule. The rank of a regular expression is open, and so is whether a
// query fits that parsers read in two ways: these are meant beside whatever else is.
func (w *world) landings(g *gatewayv1.Gateway, l *gatewayv1.Listener, q *question) (out []*match) {
	byHost := map[string][]*match{}
	for _, r := range w.admitted(g, l) {
		hosts := slices.DeleteFunc(r.hosts(l), func(h string) bool { return !covers(h, plain(q.host)) })
		slices.SortFunc(hosts, closer)
		for i := range r.matches {
			if len(hosts) > 0 {
				byHost[hosts[0]] = append(byHost[hosts[0]], &r.matches[i])
			}
		}
	}
	for _, h := range slices.SortedFunc(maps.Keys(byHost), closer) {
		var best *match
		landed := false
		for _, m := range byHost[h] {
			fits, sure := m.fits(q)
			switch {
			case fits && (m.regex || !sure):
				out = append(out, m)
				landed = landed || sure
			case fits && (best == nil || slices.Compare(m.rank, best.rank) > 0):
				best = m
			}
		}
		if best != nil {
			out = append(out, best)
		}
		if best != nil || landed {
			break
		}
	}
	return out
}

// fits tells whether a request is as the match wants it.
func (m *match) fits(q *question) (fits, sure bool) {
	path, _, _ := strings.Cut(q.path, "?")
	if !m.path(path) || m.method != "" && m.method != q.method {
		return false, true
	}
	return (&claim{match: &v1alpha1.RouteMatch{Headers: m.headers, QueryParams: m.query}}).fits(q, "")
}
