package policy

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// refusesAll is the table of a place that a request may have landed on and for which nobody has a policy.
var refusesAll = &table{deny: ReasonNoPolicy}

// tables appends the tables that have a say in req, by the scope that its proxy states: of hosts, of the route or
// Service, and of the Gateway. Without all, tables whose policies are all DryRun do not count: they change no verdict.
func (s *Snapshot) tables(req *Request, all bool, out []*table) []*table {
	scope := req.in.Scope
	switch scope.Kind {
	case ScopeService:
		return appendTable(out, s.services[types.NamespacedName{Namespace: scope.Namespace, Name: scope.Name}].of(all))
	case ScopeNamespace:
		if x := s.namespaces[scope.Namespace]; x != nil {
			out = appendTable(out, x.table(req, all))
		}
		if len(s.services) > 0 {
			name := serviceOf(req.host, scope.Namespace, s.opts.ClusterDomain)
			out = appendTable(out, s.services[types.NamespacedName{Namespace: scope.Namespace, Name: name}].of(all))
		}
		return out
	}
	out = appendTable(out, s.hosts.table(req, all))
	switch {
	case len(s.gateways) == 0:
	case scope.Kind == ScopeGateway:
		if g := s.gateways[types.NamespacedName{Namespace: scope.Namespace, Name: scope.Name}]; g != nil {
			out, _ = g.tables(req, all, out)
		}
	default:
		out = s.everyGateway(req, all, out)
	}
	return out
}

// everyGateway appends the tables of all Gateways that could be meant. One that has nothing to say of the request does
// not count beside one that has: a neighbour who copies a host name takes nothing away.
func (s *Snapshot) everyGateway(req *Request, all bool, out []*table) []*table {
	host := out
	for _, g := range s.gatewayOrder {
		if found, refused := g.tables(req, all, slices.Clip(host)); !refused {
			for _, t := range found {
				out = appendTable(out, t)
			}
		}
	}
	return out
}

func appendTable(out []*table, t *table) []*table {
	if t == nil || slices.Contains(out, t) {
		return out
	}
	return append(out, t)
}

// landing is a place of a Gateway on which a request may land: a listener and a rule of a route, nil where the Gateway
// knows no route for it.
type landing struct {
	at   *listener
	rule *routeRule
}

// tables appends the tables of every place at this Gateway on which the request may land: those of the route, and those
// of the Gateway itself, which is asked where neither host nor route has a policy, or always where inheritance is
// Required. refused is true where it may land on a backend and nobody has a policy for that; refusesAll stands among the
// tables then.
func (g *gateway) tables(req *Request, all bool, out []*table) (tables []*table, refused bool) {
	host := len(out) > 0
	for _, p := range g.land(req) {
		var route hostTables
		if p.rule != nil {
			route = p.rule.policies
		}
		out = appendTable(out, route.of(all))
		if host || route.of(all) != nil {
			out = appendTable(out, p.at.required.of(all))
			continue
		}
		out = appendTable(out, p.at.asked.of(all))
		// Where there are DryRun policies only, the place refuses nothing.
		if p.rule != nil && !p.rule.unbacked && route.all == nil && p.at.asked.all == nil {
			out, refused = appendTable(out, refusesAll), true
		}
	}
	return out, refused
}

// land are the places on which the request may land; where there is no route for it, the listeners that it may have
// come in by.
func (g *gateway) land(req *Request) []landing {
	var routed, unrouted []landing
	for _, l := range g.meant(req) {
		for _, rule := range l.land(req) {
			routed = append(routed, landing{l, rule})
		}
		unrouted = append(unrouted, landing{at: l})
	}
	if len(routed) > 0 {
		return routed
	}
	return unrouted
}

// meant are the listeners that the request may have come in by: of each port the one with the most specific host name.
// Nothing in a Check says the port, but where the proxy and its X-Forwarded-Proto agree on a scheme, listeners of the
// other are not meant.
func (g *gateway) meant(req *Request) []*listener {
	scheme := req.in.Scheme
	if forwarded, _ := req.Header("x-forwarded-proto"); forwarded != scheme {
		scheme = ""
	}
	if out := g.listening(req.host, scheme); len(out) > 0 || scheme == "" {
		return out
	}
	return g.listening(req.host, "") // something in front has ended the TLS
}

func (g *gateway) listening(host, scheme string) []*listener {
	var out []*listener
	for _, l := range g.listeners {
		rank := l.takes(host)
		if rank < 0 || scheme != "" && scheme != l.scheme {
			continue
		}
		i := slices.IndexFunc(out, func(o *listener) bool { return o.port == l.port })
		switch {
		case i < 0:
			out = append(out, l)
		case rank > out[i].takes(host):
			out[i] = l
		}
	}
	return out
}

// land are the rules on which the request lands at this listener. A path is looked up as it was sent, and decoded where
// that differs: data planes do either.
func (l *listener) land(req *Request) []*routeRule {
	rules := l.routes.land(req, req.path, nil)
	if strings.Contains(req.path, "%") {
		if p, ok := splitPath(req.path, pathOptions{keepEncodedSlash: true, stripSemicolon: true}, nil); ok {
			rules = l.routes.land(req, p.String(), rules)
		}
	}
	return rules
}
