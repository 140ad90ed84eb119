package policy

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// gateway is a Gateway with the routes that its listeners admit.
type gateway struct {
	name      types.NamespacedName
	listeners []*listener
}

// listener is one of a Gateway.
type listener struct {
	name     string
	hostname string // normal form; empty for any
	port     gatewayv1.PortNumber
	// scheme of the requests that it takes: http or https.
	scheme string
	routes router
	// asked are the policies on the Gateway, or on the listener, that are asked where no other level has one; required
	// those that are asked always.
	asked, required hostTables
}

// gatewayCompiler builds the gateways of a snapshot.
type gatewayCompiler struct {
	objs     *Objects
	attached attachments
	refs     *references
	rules    []*compiledRoute
}

// compiledRoute is a route with its matches.
type compiledRoute struct {
	kind      string
	namespace string
	parents   []gatewayv1.ParentReference
	hostnames []string // normal form
	matches   []routeMatch
}

// indexGateways builds the gateways, where some policy is attached to one or to a route.
func (s *Snapshot) indexGateways(a attachments, objs *Objects) {
	uses := false
	for t := range a {
		uses = uses || t.kind != kindService
	}
	if !uses {
		return
	}
	c := &gatewayCompiler{objs: objs, attached: a, refs: newReferences(&Objects{Namespaces: objs.Namespaces})}
	c.routes()
	s.gateways = map[types.NamespacedName]*gateway{}
	for _, g := range objs.Gateways {
		out := c.gateway(g)
		s.gateways[out.name] = out
		s.gatewayOrder = append(s.gatewayOrder, out)
	}
	slices.SortFunc(s.gatewayOrder, func(a, b *gateway) int { return strings.Compare(a.name.String(), b.name.String()) })
}

func (c *gatewayCompiler) gateway(g *gatewayv1.Gateway) *gateway {
	out := &gateway{name: types.NamespacedName{Namespace: g.Namespace, Name: g.Name}}
	for i := range g.Spec.Listeners {
		in := &g.Spec.Listeners[i]
		l := &listener{name: string(in.Name), port: in.Port}
		switch in.Protocol {
		case gatewayv1.HTTPProtocolType:
			l.scheme = "http"
		case gatewayv1.HTTPSProtocolType, gatewayv1.TLSProtocolType:
			l.scheme = "https"
		default:
			continue
		}
		if h := valueOr(in.Hostname, ""); h != "" {
			n, err := normalizePattern(string(h))
			if err != nil {
				continue
			}
			l.hostname = n
		}
		policies := c.attached.of(target{kindGateway, g.Namespace, g.Name, l.name})
		l.asked = tablesOf(policies)
		l.required = tablesOf(slices.DeleteFunc(slices.Clone(policies), func(p *policy) bool { return !p.draft.required }))
		reportGateway(out.name, l, policies)
		for _, r := range c.rules {
			c.admit(g, in, l, r)
		}
		l.routes.sort()
		out.listeners = append(out.listeners, l)
	}
	return out
}

func reportGateway(name types.NamespacedName, l *listener, policies []*policy) {
	if len(policies) > 0 {
		reportHost("listener "+l.name+" of Gateway "+name.String(), policies, l.asked.all)
	}
}

// admit adds a route to a listener that it names and that admits it.
func (c *gatewayCompiler) admit(g *gatewayv1.Gateway, in *gatewayv1.Listener, l *listener, r *compiledRoute) {
	if !slices.ContainsFunc(r.parents, func(p gatewayv1.ParentReference) bool { return names(p, r.namespace, g, in) }) || !c.allows(g, in, r) {
		return
	}
	if len(r.hostnames) == 0 {
		l.routes.set(l.hostname, r.matches)
		return
	}
	for _, h := range r.hostnames {
		if both, ok := intersectHosts(h, l.hostname); ok {
			l.routes.set(both, r.matches)
		}
	}
}

// names tells whether a parent reference of a route in namespace names the listener.
func names(p gatewayv1.ParentReference, namespace string, g *gatewayv1.Gateway, l *gatewayv1.Listener) bool {
	return valueOr(p.Group, gatewayv1.GroupName) == gatewayv1.GroupName && valueOr(p.Kind, kindGateway) == kindGateway &&
		string(valueOr(p.Namespace, gatewayv1.Namespace(namespace))) == g.Namespace && string(p.Name) == g.Name &&
		(p.SectionName == nil || *p.SectionName == l.Name) && (p.Port == nil || *p.Port == l.Port)
}

// allows tells whether the listener admits routes of that kind and namespace.
func (c *gatewayCompiler) allows(g *gatewayv1.Gateway, l *gatewayv1.Listener, r *compiledRoute) bool {
	allowed := valueOr(l.AllowedRoutes, gatewayv1.AllowedRoutes{})
	if len(allowed.Kinds) > 0 && !slices.ContainsFunc(allowed.Kinds, func(k gatewayv1.RouteGroupKind) bool {
		return string(k.Kind) == r.kind && valueOr(k.Group, gatewayv1.GroupName) == gatewayv1.GroupName
	}) {
		return false
	}
	from := valueOr(allowed.Namespaces, gatewayv1.RouteNamespaces{})
	switch valueOr(from.From, gatewayv1.NamespacesFromSame) {
	case gatewayv1.NamespacesFromAll:
		return true
	case gatewayv1.NamespacesFromSelector:
		selector, err := metav1.LabelSelectorAsSelector(from.Selector)
		set, known := c.refs.namespaces[r.namespace]
		return err == nil && known && selector.Matches(labels.Set(set))
	case gatewayv1.NamespacesFromSame:
		return r.namespace == g.Namespace
	}
	return false
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

// takes tells how specific the listener's host name is for host: -1 where it does not take it.
func (l *listener) takes(host string) int {
	switch {
	case l.hostname == "":
		return 0
	case l.hostname == host:
		return 1000 + len(host)
	case strings.HasPrefix(l.hostname, "*.") && strings.HasSuffix(host, l.hostname[1:]):
		return len(l.hostname)
	}
	return -1
}
