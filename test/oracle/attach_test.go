package oracle

import (
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
		return w.placesOf(name, place{namespace: namespace}, q)
	case "namespace":
		name = plain(q.host)
		for _, suffix := range []string{".svc.cluster.local", ".svc", ""} {
			name = strings.TrimSuffix(name, "."+namespace+suffix)
		}
		return w.placesOf(name, place{byHost: true, namespace: namespace}, q)
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

// placesOf are those at a Service of the namespace of p: by itself, and by every rule of a route of the mesh that the
// request may have come by. Which port it came by nobody says.
func (w *world) placesOf(name string, p place, q *question) []place {
	for _, s := range w.services {
		if s.Namespace == p.namespace && s.Name == name {
			p.service = target{kind: "Service", namespace: s.Namespace, name: s.Name}
		}
	}
	out := []place{p}
	for _, port := range []gatewayv1.PortNumber{0, 80, 443} {
		routes := slices.DeleteFunc(w.routes(), func(r *route) bool { return !r.serves(p.namespace, name, port) })
		every := func(*route) []string { return []string{"*"} }
		for _, m := range landings(routes, every, every, "*", q) {
			p.route, p.backend = target{m.route.kind, m.route.namespace, m.route.name, m.rule}, m.backend
			out = append(out, p)
		}
	}
	return out
}

// serves tells whether a route has a Service of its own namespace for its parent, at a port; 0 is any that none names.
func (r *route) serves(namespace, name string, port gatewayv1.PortNumber) bool {
	return r.namespace == namespace && slices.ContainsFunc(r.parents, func(p gatewayv1.ParentReference) bool {
		return value(p.Group, gatewayv1.GroupName) == "" && value(p.Kind, "Gateway") == "Service" && string(p.Name) == name &&
			string(value(p.Namespace, gatewayv1.Namespace(namespace))) == namespace && value(p.Port, port) == port
	})
}

func (w *world) gateway(namespace, name string) target {
	for _, g := range w.gateways {
		if g.Namespace == namespace && g.Name == name {
			return target{kind: "Gateway", namespace: namespace, name: name}
		}
	}
	return target{}
}

// placesAt are those at one Gateway, at each listener that may have taken the request.
func (w *world) placesAt(g *gatewayv1.Gateway, q *question) (out []place) {
	routed := false
	for _, l := range w.takers(g, q) {
		at := place{byHost: true, gateway: target{"Gateway", g.Namespace, g.Name, l.section}}
		for _, host := range q.names() {
			has := func(r *route) []string { return r.hosts(l.hostname) }
			lands := landings(l.routes, has, has, host, q)
			lands = append(lands, landings(l.routes, has, (*route).written, host, q)...)
			if len(lands) == 0 {
				out = append(out, at)
			}
			for _, m := range lands {
				routed = true
				at.route, at.backend = target{m.route.kind, m.route.namespace, m.route.name, m.rule}, m.backend
				out = append(out, at)
			}
			at.route, at.backend = target{}, false
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

// hosts are the hostnames of a route as far as a listener has them; written are those that the route itself says.
func (r *route) hosts(listener string) (out []string) {
	for _, own := range r.written() {
		switch {
		case covers(listener, own):
			out = append(out, own)
		case covers(own, listener):
			out = append(out, listener)
		}
	}
	return out
}

func (r *route) written() (out []string) {
	for _, h := range r.hostnames {
		out = append(out, string(h))
	}
	if len(out) == 0 {
		return []string{"*"}
	}
	return out
}

// possible are the sets of routes that a proxy may take of those that are admitted: all; or, where an HTTPRoute and a
// GRPCRoute share a host, without the younger of the two. Of two that have one age and name too, either may be meant.
func possible(routes []*route, has func(*route) []string) [][]*route {
	sets := [][]*route{routes}
	for _, first := range []string{"HTTPRoute", "GRPCRoute"} {
		order := slices.Clone(routes)
		slices.SortStableFunc(order, func(a, b *route) int { return strings.Count(b.kind, first) - strings.Count(a.kind, first) })
		slices.SortStableFunc(order, (*route).older)
		var left []*route
		for _, r := range order {
			if !slices.ContainsFunc(left, func(o *route) bool { return o.kind != r.kind && overlap(has(o), has(r)) }) {
				left = append(left, r)
			}
		}
		if len(left) < len(routes) {
			sets = append(sets, left)
		}
	}
	return sets
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(a string) bool {
		return slices.ContainsFunc(b, func(b string) bool { return covers(a, b) || covers(b, a) })
	})
}

// landings are the matches that could decide: of the closest hostname, by the rank of the Gateway API, then of the older
// route, then the earlier rule. What it leaves open is meant beside whatever else is: the rank and the dialect of a regular
// expression, a match that is not sure down to the first that is, and a less close hostname where none of the closest is
// sure to take the request. Between kinds of routes there is no rank.
func landings(routes []*route, has, names func(*route) []string, host string, q *question) (out []*match) {
	for _, routes := range possible(routes, has) {
		for _, q := range q.sentAndDecoded() {
			out = append(out, landing(routes, has, names, host, q)...)
		}
	}
	return out
}

// landing is that among these routes, by one reading of the path. has are the hostnames by which a route takes requests,
// names those by which it ranks.
func landing(routes []*route, has, names func(*route) []string, host string, q *question) (out []*match) {
	takes := func(h string) bool { return covers(h, host) }
	byHost := map[string][]*match{}
	for _, r := range routes {
		if !slices.ContainsFunc(has(r), takes) {
			continue
		}
		closest := slices.MinFunc(slices.DeleteFunc(names(r), func(h string) bool { return !takes(h) }), closer)
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
		if !ok || !slices.ContainsFunc(append(strings.Split(got, ","), got), func(one string) bool { return mayHold(&h, one) }) {
			return false, false
		}
		sure = sure && h.Type == nil && !strings.Contains(got, ",")
	}
	for _, want := range m.query {
		got, n, readable := q.parameter(want.Name)
		switch {
		case !readable || strings.Contains(query, "%"):
			sure = false
		case n == 0 || !mayHold(&want, got):
			return false, false
		}
		sure = sure && want.Type == nil
	}
	return true, sure
}

// mayHold compares a header or a parameter of a route. An expression that does not compile here may hold elsewhere, and
// so may whatever a type that nobody knows means.
func mayHold(m *v1alpha1.ValueMatch, got string) bool {
	switch {
	case m.Type == nil:
		return got == m.Value
	case *m.Type != v1alpha1.ValueMatchRegularExpression:
		return true
	}
	re := whole(m.Value)
	return re == nil || re.MatchString(got)
}
