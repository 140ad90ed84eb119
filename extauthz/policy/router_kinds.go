package policy

import (
	"cmp"
	"slices"
	"strings"
)

// routers are the routes that a listener, or a port of a Service, takes requests by. An HTTPRoute and a GRPCRoute may share
// a host. Some data planes take both, and rank them in ways of their own; others reject the younger one, as the Gateway API
// once wanted it, and then another route takes its requests. So there is one router with all routes, and where some share
// a host one with those that are left.
type routers struct {
	sets []router
	// admitted are the routes, until they are settled.
	admitted []admitted
}

// admitted is a route with its host names.
type admitted struct {
	*route
	hosts []routeHost
}

// routeHost is a host name of a route, or empty for every host.
type routeHost struct {
	// both is what route and listener have in common; written is what the route says.
	both, written string
}

func (rs *routers) add(r *route, hosts ...routeHost) {
	if len(hosts) > 0 {
		rs.admitted = append(rs.admitted, admitted{r, hosts})
		r.taken = true
	}
}

// settle builds the routers. Call it once all routes are added, and before the first lookup.
func (rs *routers) settle() {
	all := rs.admitted
	rs.admitted = nil
	rs.sets = []router{newRouter(all)}
	if !slices.ContainsFunc(all, func(r admitted) bool { return r.kind != all[0].kind }) {
		return
	}
	for _, first := range []string{kindHTTPRoute, kindGRPCRoute} { // two of one age and name: nothing says which
		if left := acceptByAge(all, first); len(left) < len(all) {
			rs.sets = append(rs.sets, newRouter(left))
		}
	}
}

// acceptByAge rejects each route that shares a host with an older one of the other kind, unless that was rejected itself.
// Of two that are equal in age and name, that of the kind first goes before the other.
func acceptByAge(all []admitted, first string) (accepted []admitted) {
	order := slices.Clone(all)
	slices.SortStableFunc(order, func(a, b admitted) int {
		return cmp.Or(a.created.Compare(b.created), strings.Compare(a.name, b.name), compareBool(b.kind == first, a.kind == first))
	})
	kinds := newClaims(len(all)) // of hosts
	for _, r := range order {
		taken := slices.ContainsFunc(r.hosts, func(h routeHost) bool {
			_, other := kinds.conflict(hostKey(h.both), r.kind)
			return other
		})
		if taken {
			continue
		}
		for _, h := range r.hosts {
			kinds.accept(hostKey(h.both), r.kind)
		}
		accepted = append(accepted, r)
	}
	return accepted
}

func newRouter(routes []admitted) (out router) {
	for _, r := range routes {
		for _, h := range r.hosts {
			out.set(h.both, h.written, r.matches)
		}
	}
	out.sort()
	return out
}

// landOnPath are the rules on which the request lands. A path is looked up as it was sent, and decoded where that differs,
// with an encoded slash as data and as a separator: data planes do either.
func (rs *routers) landOnPath(req *Request) (rules []*routeRule) {
	for i := range rs.sets {
		rules = rs.sets[i].land(req, req.path, rules)
	}
	if !strings.Contains(req.path, "%") {
		return rules
	}
	p, ok := splitPath(req.path, pathOptions{keepEncodedSlash: true, stripSemicolon: true}, nil)
	if !ok {
		return rules
	}
	for i := range rs.sets {
		decoded := p.String()
		rules = rs.sets[i].land(req, decoded, rules)
		if split := strings.ReplaceAll(decoded, "%2F", "/"); split != decoded {
			rules = rs.sets[i].land(req, split, rules)
		}
	}
	return rules
}
