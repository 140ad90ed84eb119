package policy

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// gateway is a Gateway with the routes that its listeners admit.
type gateway struct {
	name types.NamespacedName
	// listeners, the most specific host names first.
	listeners []*listener
	// whole has the policies on the Gateway as a whole, and no routes.
	whole listener
}

// listener is one of a Gateway.
type listener struct {
	name     string
	hostname string // normal form; empty for any
	port     gatewayv1.PortNumber
	// scheme of the requests that it takes: http, https, or empty where that is not known.
	scheme string
	// unread: something of it cannot be read, so it takes no request away from another listener.
	unread bool
	routes routers
	// asked are the policies on the Gateway, or on the listener, that are asked where no other level has one; required
	// those that are asked always.
	asked, required hostTables
}

// gatewayCompiler builds the gateways of a snapshot.
type gatewayCompiler struct {
	objs     *Objects
	attached attachments
	refs     *references
	routes   []*route
}

// indexGateways builds the gateways, and gives Services their routes, where some policy is attached to a route or to a
// Gateway.
func (s *Snapshot) indexGateways(a attachments, objs *Objects) {
	uses := false
	for t := range a {
		uses = uses || t.kind != kindService
	}
	if !uses {
		return
	}
	c := &gatewayCompiler{objs: objs, attached: a, refs: newReferences(&Objects{Namespaces: objs.Namespaces})}
	c.compileRoutes()
	s.gateways = map[types.NamespacedName]*gateway{}
	for _, g := range objs.Gateways {
		out := c.gateway(g)
		s.gateways[out.name] = out
		s.gatewayOrder = append(s.gatewayOrder, out)
	}
	slices.SortFunc(s.gatewayOrder, func(a, b *gateway) int { return strings.Compare(a.name.String(), b.name.String()) })
	s.indexMesh(c.routes)
	c.reportRoutes()
}

// reportRoutes warns of policies that no request comes to, for no Gateway and no Service takes requests by their route.
func (c *gatewayCompiler) reportRoutes() {
	lost := map[target]bool{}
	for _, r := range c.routes {
		lost[target{kind: r.kind, namespace: r.namespace, name: strings.TrimPrefix(r.name, r.namespace+"/")}] = !r.taken
	}
	reported := map[*policy]bool{}
	for _, policies := range c.attached {
		for _, p := range policies {
			if reported[p] {
				continue
			}
			reported[p] = true
			for _, claim := range p.draft.targets {
				if lost[target{kind: claim.kind, namespace: claim.namespace, name: claim.name}] {
					p.problems.warn(claim.at, ProblemNeverMatches, fmt.Sprintf("no Gateway admits %s %s/%s, and it is no route of a Service of its namespace, so no request comes to this policy by it; see parentRefs and hostnames of the route, and allowedRoutes of the listener", claim.kind, claim.namespace, claim.name))
				}
			}
		}
	}
}

func (c *gatewayCompiler) gateway(g *gatewayv1.Gateway) *gateway {
	out := &gateway{name: types.NamespacedName{Namespace: g.Namespace, Name: g.Name}}
	out.whole.ask(c.attached.of(target{kind: kindGateway, namespace: g.Namespace, name: g.Name}))
	unread := unreadOf(c.objs.Undecoded[ObjectRef{kindGateway, g.Namespace, g.Name}])
	for i := range g.Spec.Listeners {
		in := &g.Spec.Listeners[i]
		l := &listener{name: string(in.Name), port: in.Port, unread: unread.whole || unread.rules[i]}
		if !l.listens(in) {
			continue
		}
		if unread.rules[i] && unread.hostnames {
			l.hostname = ""
		}
		policies := c.attached.of(target{kindGateway, g.Namespace, g.Name, l.name})
		l.ask(policies)
		reportGateway(out.name, l, policies)
		for _, r := range c.routes {
			if c.admits(g, in, l.unread, r) {
				l.add(r)
			}
		}
		out.listeners = append(out.listeners, l)
	}
	if l := c.listenerSets(g); l != nil {
		out.listeners = append(out.listeners, l)
	}
	for _, l := range out.listeners {
		l.routes.settle()
	}
	slices.SortStableFunc(out.listeners, func(a, b *listener) int { return compareSpecificity(a.hostname, b.hostname) })
	return out
}

// listens reads protocol and host name, and tells whether the listener takes HTTP. A protocol that nobody knows may.
func (l *listener) listens(in *gatewayv1.Listener) bool {
	switch in.Protocol {
	case gatewayv1.HTTPProtocolType:
		l.scheme = "http"
	case gatewayv1.HTTPSProtocolType:
		l.scheme = "https"
	case gatewayv1.TLSProtocolType, gatewayv1.TCPProtocolType, gatewayv1.UDPProtocolType:
		return l.unread
	}
	if h := string(valueOr(in.Hostname, "")); h != "" && h != "*" {
		n, err := normalizePattern(h)
		l.hostname = n
		return err == nil || l.unread
	}
	return true
}

// ask gives the listener its policies.
func (l *listener) ask(policies []*policy) {
	l.asked = tablesOf(policies)
	l.required = tablesOf(slices.DeleteFunc(slices.Clone(policies), func(p *policy) bool { return !p.draft.required }))
}

// add adds a route, for the host names that the listener takes too.
func (l *listener) add(r *route) {
	if len(r.hostnames) == 0 {
		l.routes.add(r, routeHost{both: l.hostname})
		return
	}
	var hosts []routeHost
	for _, h := range r.hostnames {
		if both, ok := intersectHosts(h, l.hostname); ok {
			hosts = append(hosts, routeHost{both, h})
		}
	}
	l.routes.add(r, hosts...)
}

func reportGateway(name types.NamespacedName, l *listener, policies []*policy) {
	if len(policies) > 0 {
		reportHost("listener "+l.name+" of Gateway "+name.String(), policies, l.asked.all)
	}
}

// listenerSets stands for the listeners that ListenerSets add to a Gateway. They are not read, so whatever routes they
// may bring counts beside what surely is meant; nil where there is none.
func (c *gatewayCompiler) listenerSets(g *gatewayv1.Gateway) *listener {
	l := &listener{unread: true}
	allowed := valueOr(valueOr(g.Spec.AllowedListeners, gatewayv1.AllowedListeners{}).Namespaces, gatewayv1.ListenerNamespaces{})
	found := false
	for _, r := range c.routes {
		if slices.ContainsFunc(r.parents, func(p gatewayv1.ParentReference) bool {
			namespace := string(valueOr(p.Namespace, gatewayv1.Namespace(r.namespace)))
			return strings.HasSuffix(string(valueOr(p.Kind, kindGateway)), "ListenerSet") &&
				c.selects(valueOr(allowed.From, gatewayv1.NamespacesFromNone), allowed.Selector, g.Namespace, namespace)
		}) {
			l.add(r)
			found = true
		}
	}
	if !found {
		return nil
	}
	l.ask(c.attached.of(target{kind: kindGateway, namespace: g.Namespace, name: g.Name}))
	return l
}

// intersectHosts is the more specific of two host names, of which one takes all that the other does; an empty one takes
// everything.
func intersectHosts(a, b string) (string, bool) {
	switch {
	case b == "" || a == b:
		return a, true
	case a == "":
		return b, true
	case strings.HasPrefix(b, "*.") && strings.HasSuffix(strings.TrimPrefix(a, "*"), b[1:]):
		return a, true
	case strings.HasPrefix(a, "*.") && strings.HasSuffix(strings.TrimPrefix(b, "*"), a[1:]):
		return b, true
	}
	return "", false
}

// compareSpecificity puts exact names first, then the longer wildcard, then those that take every host.
func compareSpecificity(a, b string) int {
	rank := func(h string) int {
		switch {
		case h == "":
			return 2 * maxHost
		case strings.HasPrefix(h, "*."):
			return 2*maxHost - len(h)
		}
		return 0
	}
	return rank(a) - rank(b)
}

// takes tells whether the listener's host name takes host.
func (l *listener) takes(host string) bool {
	return l.hostname == "" || l.hostname == host || strings.HasPrefix(l.hostname, "*.") && strings.HasSuffix(host, l.hostname[1:])
}
