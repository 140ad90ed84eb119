package policy

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// refusesAll is the table of a place that a request may have landed on and for which nobody has a policy.
var refusesAll = &table{deny: ReasonNoPolicy}

// tables appends the tables that have a say in req, by the scope that its proxy states: of hosts, of the route or
// Service, and of the Gateway. Without all, tables whose policies are all DryRun do not count: they change no verdict.
func (s *Snapshot) tables(req *Request, all bool, out []*table) []*table {
	scope, v := req.in.Scope, visit{req: req, all: all}
	if s.opts.DryRun && !all {
		return out // not even a place for which nobody has a policy refuses
	}
	switch scope.Kind {
	case ScopeService:
		return s.service(scope.Namespace, scope.Name).tables(&v, out)
	case ScopeNamespace:
		hosts := s.namespaces[scope.Namespace]
		if hosts == nil || s.hosts.exact[req.host].belongsElsewhere(scope.Namespace) {
			hosts = &hostIndex{}
		}
		if v, out = hosts.visit(req, all, out); len(s.services) > 0 {
			out = s.service(scope.Namespace, serviceOf(req.host, scope.Namespace, s.opts.ClusterDomain)).tables(&v, out)
		}
		return out
	}
	v, out = s.hosts.visit(req, all, out)
	v.anyPort = s.opts.ClientAddress == ClientAddressXFF
	if scope.Kind == ScopeGateway {
		v.stated = true
		return s.gateways[types.NamespacedName{Namespace: scope.Namespace, Name: scope.Name}].tables(&v, out)
	}
	if v.owners = s.granted.owners(req.host); len(v.owners) > 0 {
		s.hosts.hear(&v)
	}
	for _, g := range s.gatewayOrder { // each could be meant, so what each says must hold
		out = g.tables(&v, out)
	}
	if len(v.owners) > 0 && !v.owned {
		out = appendTable(out, refusesAll) // nobody else opens what is granted to them
	}
	return out
}

// hear notes whether the owners of the host have a policy that names it, up to the one that has a say in the request.
func (x *hostIndex) hear(v *visit) {
	exact := x.exact[v.req.host]
	for key := range covering(v.req.host) {
		t := exact
		switch {
		case key == "":
			t = x.any
		case key[0] == '.':
			t = x.wild[key]
		}
		if exact.reserved && exact.namespace != t.namespace {
			continue
		}
		if v.hears(t); t.of(v.all).says(v.req, v.all) {
			return
		}
	}
}

// visit appends the table of the host, and says what that leaves for the other levels.
func (x *hostIndex) visit(req *Request, all bool, out []*table) (visit, []*table) {
	host := x.table(req, all)
	v := visit{req: req, all: all, host: host.says(req, all)}
	v.tried = !v.host && !all && (host != nil || x.table(req, true) != nil)
	return v, appendTable(out, host)
}

// says tells whether the table has a say in req. A nil table has none, nor, where DryRun rules do not count, has one of
// DryRun policies of which no enforced rule fits: a policy that is tried out silences no other level.
func (t *table) says(req *Request, all bool) bool {
	return t != nil && (all || !t.open || !t.passesOver(req))
}

// belongsElsewhere tells whether the host was granted by its exact name to another namespace.
func (t hostTables) belongsElsewhere(namespace string) bool {
	return t.reserved && t.namespace != namespace
}

func appendTable(out []*table, t *table) []*table {
	if t == nil || slices.Contains(out, t) {
		return out
	}
	return append(out, t)
}

// visit is a request at a Gateway or a Service.
type visit struct {
	req *Request
	all bool
	// host: policies of the host have a say; tried: they are all DryRun, so the host refuses nothing by itself.
	host, tried bool
	// stated: the proxy says which Gateway it is.
	stated bool
	// anyPort: nothing tells by which port the request came in.
	anyPort bool
	// owners are the namespaces that the host is granted to most closely, where nothing but the host tells whose request
	// it is; owned: some policy of theirs is there, enforced or tried out.
	owners []string
	owned  bool
}

// hears notes whether the owners of the host have a say.
func (v *visit) hears(t hostTables) {
	v.owned = v.owned || t.all != nil && slices.Contains(v.owners, t.namespace)
}

// landing is a listener, and a rule of a route on which a request may land there; nil where the Gateway knows no route.
type landing struct {
	at   *listener
	rule *routeRule
}

// tables appends the tables of every place at this Gateway on which the request may land: those of the route, and those
// of the Gateway itself, which is asked where neither host nor route has a policy, or always where inheritance is
// Required. A place for which nobody has a policy refuses. A nil gateway knows no place.
func (g *gateway) tables(v *visit, out []*table) []*table {
	if g == nil {
		return out
	}
	for _, p := range g.land(v) {
		var route hostTables
		if p.rule != nil {
			route = p.rule.policies
		}
		out = appendTable(out, route.of(v.all))
		v.hears(route)
		if v.host || route.of(v.all).says(v.req, v.all) {
			out = appendTable(out, p.at.required.of(v.all))
			v.hears(p.at.required)
			continue
		}
		out = appendTable(out, p.at.asked.of(v.all))
		v.hears(p.at.asked)
		// Where there are DryRun policies only, the place refuses nothing.
		if p.rule != nil && !p.rule.unbacked && !v.tried && route.all == nil && p.at.asked.all == nil {
			out = appendTable(out, refusesAll)
		}
	}
	return out
}

// land are the places on which the request may land; where there is no route for it, the listeners that it may have
// come in by; and where no listener takes the host, the Gateway as a whole, if it is known to be that one: its proxy may
// have listeners from elsewhere, or still have one that was taken away.
func (g *gateway) land(v *visit) []landing {
	var routed, unrouted []landing
	for _, l := range g.meant(v) {
		for _, rule := range l.routes.landOnPath(v.req) {
			routed = append(routed, landing{l, rule})
		}
		unrouted = append(unrouted, landing{at: l})
	}
	switch {
	case len(routed) > 0:
		return routed
	case len(unrouted) == 0 && v.stated:
		return []landing{{at: &g.whole}}
	}
	return unrouted
}

// meant are the listeners that the request may have come in by: of each port those with the most specific host name.
// Nothing in a Check says the port. Where the scheme and X-Forwarded-Proto agree, listeners of the other scheme are not
// meant; unless something in front of the proxy writes X-Forwarded headers, and so may say what came in by another port.
func (g *gateway) meant(v *visit) []*listener {
	scheme := v.req.in.Scheme
	if forwarded, _ := v.req.Header("x-forwarded-proto"); v.anyPort || forwarded != scheme {
		scheme = ""
	}
	out := g.listening(v.req, scheme)
	if scheme == "" || slices.ContainsFunc(out, func(l *listener) bool { return l.scheme == scheme }) {
		return out
	}
	return g.listening(v.req, "") // something in front has ended the TLS
}

// listening are the listeners that take the host. One that is less specific than another of its port is not meant, if that
// takes HTTP for sure.
func (g *gateway) listening(req *Request, scheme string) []*listener {
	var out []*listener
	host, dotted := req.host, req.dotted()
	for _, l := range g.listeners {
		if !l.takes(host) || scheme != "" && l.scheme != "" && scheme != l.scheme {
			continue
		}
		shadowed := slices.ContainsFunc(out, func(o *listener) bool {
			return o.port == l.port && !o.unread && o.scheme != "" && o.hostname != l.hostname
		})
		if !shadowed || l.unread || dotted && l.hostname == "" {
			out = append(out, l)
		}
	}
	return out
}
