package oracle

import (
	"cmp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// listener is one of a Gateway with the routes that it admits, or stands for all that ListenerSets add to it.
type listener struct {
	section, hostname string
	port              gatewayv1.PortNumber
	scheme            string // empty where nobody knows it
	routes            []*route
}

// takers are the listeners that may have taken the request. Of several ports the scheme tells which, as long as the header
// that proxies pass on agrees, and there is one of that scheme.
func (w *world) takers(g *gatewayv1.Gateway, q *question) []listener {
	all := w.listeners(g)
	told := q.takers(slices.DeleteFunc(slices.Clone(all), func(l listener) bool { return l.scheme != "" && l.scheme != q.scheme }))
	if q.headers["x-forwarded-proto"] == q.scheme && slices.ContainsFunc(told, func(l listener) bool { return q.scheme != "" && l.scheme == q.scheme }) {
		return told
	}
	return q.takers(all)
}

// takers of these: on each port the listener with the closest hostname. One of which nobody knows whether it takes HTTP
// takes nothing away.
func (q *question) takers(all []listener) (out []listener) {
	for _, l := range all {
		if slices.ContainsFunc(q.names(), func(host string) bool {
			return covers(l.hostname, host) && !slices.ContainsFunc(all, func(o listener) bool {
				return o.port == l.port && o.scheme != "" && covers(o.hostname, host) && closer(o.hostname, l.hostname) < 0
			})
		}) {
			out = append(out, l)
		}
	}
	return out
}

// listeners of a Gateway that may take HTTP. ListenerSets are not read: whatever has one for a parent that the Gateway
// allows may come by it.
func (w *world) listeners(g *gatewayv1.Gateway) (out []listener) {
	for i := range g.Spec.Listeners {
		l := &g.Spec.Listeners[i]
		scheme := strings.ToLower(string(l.Protocol))
		switch scheme {
		case "tcp", "udp", "tls":
			continue
		case "http", "https":
		default:
			scheme = ""
		}
		out = append(out, listener{string(l.Name), cmp.Or(string(value(l.Hostname, "")), "*"), l.Port, scheme, w.admitted(g, l)})
	}
	allowed := value(value(g.Spec.AllowedListeners, gatewayv1.AllowedListeners{}).Namespaces, gatewayv1.ListenerNamespaces{})
	sets := slices.DeleteFunc(w.routes(), func(r *route) bool {
		return !slices.ContainsFunc(r.parents, func(p gatewayv1.ParentReference) bool {
			return strings.HasSuffix(string(value(p.Kind, "Gateway")), "ListenerSet") &&
				w.chosen(value(allowed.From, "None"), allowed.Selector, g.Namespace, string(value(p.Namespace, gatewayv1.Namespace(r.namespace))))
		})
	})
	if len(sets) > 0 {
		out = append(out, listener{hostname: "*", routes: sets})
	}
	return out
}

// admitted are the routes that a listener admits, the oldest first.
func (w *world) admitted(g *gatewayv1.Gateway, l *gatewayv1.Listener) []*route {
	return slices.DeleteFunc(w.routes(), func(r *route) bool {
		return !r.wants(g, l) || !w.allows(g, l, r) || len(r.hosts(cmp.Or(string(value(l.Hostname, "")), "*"))) == 0
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
	return w.chosen(value(namespaces.From, gatewayv1.NamespacesFromSame), namespaces.Selector, g.Namespace, r.namespace)
}

// chosen tells whether a Gateway in own chooses a namespace. A way to choose that nobody knows may choose any.
func (w *world) chosen(from gatewayv1.FromNamespaces, by *metav1.LabelSelector, own, namespace string) bool {
	switch from {
	case gatewayv1.NamespacesFromSame:
		return namespace == own
	case gatewayv1.NamespacesFromSelector:
		selector, err := metav1.LabelSelectorAsSelector(by)
		for _, ns := range w.namespaces {
			if err == nil && ns.Name == namespace && selector.Matches(labels.Set(ns.Labels)) {
				return true
			}
		}
		return false
	}
	return from != gatewayv1.NamespacesFromNone
}
