package oracle

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// listeners makes a fault of a world out of one of listeners.
func listeners(change func(*gatewayv1.Listener)) func(*world) {
	return func(w *world) {
		for _, g := range w.gateways {
			for i := range g.Spec.Listeners {
				change(&g.Spec.Listeners[i])
			}
		}
	}
}

// parents makes one out of a fault of the references of routes to their parents.
func parents(change func(*gatewayv1.ParentReference)) func(*world) {
	return func(w *world) {
		for _, r := range w.httpRoutes {
			for i := range r.Spec.ParentRefs {
				change(&r.Spec.ParentRefs[i])
			}
		}
	}
}

// withoutParents takes references to parents away.
func withoutParents(which func(gatewayv1.ParentReference) bool) func(*world) {
	return func(w *world) {
		for _, r := range w.httpRoutes {
			r.Spec.ParentRefs = slices.DeleteFunc(r.Spec.ParentRefs, which)
		}
		for _, r := range w.grpcRoutes {
			r.Spec.ParentRefs = slices.DeleteFunc(r.Spec.ParentRefs, which)
		}
	}
}

// routeMatches makes one out of a fault of the matches of HTTPRoutes.
func routeMatches(change func(*gatewayv1.HTTPRouteMatch)) func(*world) {
	return func(w *world) {
		for _, r := range w.httpRoutes {
			for i := range r.Spec.Rules {
				for j := range r.Spec.Rules[i].Matches {
					change(&r.Spec.Rules[i].Matches[j])
				}
			}
		}
	}
}

// inheritances makes one out of what the inheritance of policies of Gateways is taken for.
func inheritances(to v1alpha1.Inheritance) func(*v1alpha1.AuthPolicy) {
	return func(p *v1alpha1.AuthPolicy) {
		if slices.ContainsFunc(p.Spec.TargetRefs, func(r v1alpha1.TargetReference) bool { return r.Kind == "Gateway" }) {
			p.Spec.Inheritance = &to
		}
	}
}

// withoutTargets takes the targets of a kind away.
func withoutTargets(kind string) func(*v1alpha1.AuthPolicy) {
	return func(p *v1alpha1.AuthPolicy) {
		p.Spec.TargetRefs = slices.DeleteFunc(p.Spec.TargetRefs, func(r v1alpha1.TargetReference) bool { return r.Kind == kind })
	}
}

// attachFaults are those of who may speak for a request.
var attachFaults = []fault{
	{name: "a scope of another namespace is this one", question: func(q *question) {
		q.scope = strings.Replace(q.scope, "namespace/alpha", "namespace/shop", 1)
	}},
	{name: "the scope of a Service is that of its namespace", question: func(q *question) {
		if ns, _, ok := strings.Cut(strings.TrimPrefix(q.scope, "service/"), "/"); ok && strings.HasPrefix(q.scope, "service/") {
			q.scope = "namespace/" + ns
		}
	}},
	{name: "grants are not looked at", world: func(w *world) { w.grants = false }},
	{name: "an exact grant reserves nothing", world: func(w *world) {
		for _, ns := range w.namespaces {
			hosts := strings.Split(ns.Annotations["sallyport.dev/hosts"], ",")
			hosts = slices.DeleteFunc(hosts, func(h string) bool { return !strings.HasPrefix(h, "*") })
			ns.Annotations = map[string]string{"sallyport.dev/hosts": strings.Join(hosts, ",")}
		}
	}},
	{name: "a wildcard is granted to all", world: func(w *world) {
		for _, ns := range w.namespaces {
			ns.Annotations = map[string]string{"sallyport.dev/hosts": ns.Annotations["sallyport.dev/hosts"] + ",*"}
		}
	}},
	{name: "the hostname of a listener is not looked at", world: listeners(func(l *gatewayv1.Listener) { l.Hostname = nil })},
	{name: "allowedRoutes is not looked at", world: listeners(func(l *gatewayv1.Listener) {
		l.AllowedRoutes = &gatewayv1.AllowedRoutes{Namespaces: &gatewayv1.RouteNamespaces{From: ptr(gatewayv1.NamespacesFromAll)}}
	})},
	{name: "a selector takes every namespace", world: func(w *world) {
		for _, ns := range w.namespaces {
			ns.Labels = map[string]string{"team": "a"}
		}
		listeners(func(l *gatewayv1.Listener) {
			if l.AllowedRoutes != nil && l.AllowedRoutes.Namespaces.Selector != nil {
				l.AllowedRoutes.Namespaces.Selector.MatchLabels = nil
			}
		})(w)
	}},
	{name: "kinds of allowedRoutes are not looked at", world: listeners(func(l *gatewayv1.Listener) {
		if l.AllowedRoutes != nil {
			l.AllowedRoutes.Kinds = nil
		}
	})},
	{name: "routes of the mesh are not looked at", world: func(w *world) {
		withoutParents(func(p gatewayv1.ParentReference) bool { return value(p.Kind, "") == "Service" })(w)
	}},
	{name: "a route speaks for Services of other namespaces", world: parents(func(p *gatewayv1.ParentReference) {
		if value(p.Kind, "") == "Service" {
			p.Namespace = nil
		}
	})},
	{name: "ListenerSets are not looked at", world: func(w *world) {
		withoutParents(func(p gatewayv1.ParentReference) bool { return strings.HasSuffix(string(value(p.Kind, "")), "Set") })(w)
	}},
	{name: "allowedListeners is not looked at", world: func(w *world) {
		for _, g := range w.gateways {
			g.Spec.AllowedListeners = &gatewayv1.AllowedListeners{Namespaces: &gatewayv1.ListenerNamespaces{From: ptr(gatewayv1.NamespacesFromAll)}}
		}
	}},
	{name: "groups of parents are not looked at", world: parents(func(p *gatewayv1.ParentReference) {
		if value(p.Group, "") == "example.org" {
			p.Group = nil
		}
	})},
	{name: "groups of kinds are not looked at", world: listeners(func(l *gatewayv1.Listener) {
		if l.AllowedRoutes != nil {
			for i := range l.AllowedRoutes.Kinds {
				l.AllowedRoutes.Kinds[i].Group = nil
			}
		}
	})},
	{name: "a way to choose namespaces that nobody knows chooses none", world: listeners(func(l *gatewayv1.Listener) {
		if l.AllowedRoutes != nil && *l.AllowedRoutes.Namespaces.From == "Nearby" {
			l.AllowedRoutes.Namespaces.From = ptr(gatewayv1.NamespacesFromNone)
		}
	})},
	{name: "a protocol that nobody knows takes no HTTP", world: listeners(func(l *gatewayv1.Listener) {
		if l.Protocol != gatewayv1.HTTPProtocolType && l.Protocol != gatewayv1.HTTPSProtocolType {
			l.Protocol = gatewayv1.UDPProtocolType
		}
	})},
	{name: "a protocol that nobody knows is HTTP", world: listeners(func(l *gatewayv1.Listener) {
		if l.Protocol != gatewayv1.HTTPSProtocolType {
			l.Protocol = gatewayv1.HTTPProtocolType
		}
	})},
	{name: "a path that nobody can read never matches", world: routeMatches(func(m *gatewayv1.HTTPRouteMatch) {
		if m.Path != nil && *m.Path.Type == "Glob" {
			m.Path.Type, m.Path.Value = ptr(gatewayv1.PathMatchExact), ptr("/none")
		}
	})},
	{name: "expressions for headers of routes are texts", world: routeMatches(func(m *gatewayv1.HTTPRouteMatch) {
		for i := range m.Headers {
			m.Headers[i].Type = nil
		}
	})},
	{name: "every port is one", world: listeners(func(l *gatewayv1.Listener) { l.Port = 80 })},
	{name: "a route is of every listener", world: parents(func(p *gatewayv1.ParentReference) { p.SectionName = nil })},
	{name: "a route is of every port", world: parents(func(p *gatewayv1.ParentReference) { p.Port = nil })},
	{name: "hostnames of routes are not looked at", world: func(w *world) {
		for _, r := range w.httpRoutes {
			r.Spec.Hostnames = nil
		}
	}},
	{name: "routes go by age alone", world: routeMatches(func(m *gatewayv1.HTTPRouteMatch) { *m = gatewayv1.HTTPRouteMatch{} })},
	{name: "the youngest route goes first", world: func(w *world) {
		for _, r := range w.httpRoutes {
			r.CreationTimestamp = metav1.NewTime(start.Add(-r.CreationTimestamp.Sub(start)))
		}
	}},
	{name: "names of routes go before their age", world: func(w *world) {
		for _, r := range w.httpRoutes {
			r.CreationTimestamp = metav1.NewTime(start)
		}
	}},
	{name: "headers of routes are not looked at", world: routeMatches(func(m *gatewayv1.HTTPRouteMatch) { m.Headers = nil })},
	{name: "methods of routes are not looked at", world: routeMatches(func(m *gatewayv1.HTTPRouteMatch) { m.Method = nil })},
	{name: "an exact path of a route is a prefix", world: routeMatches(func(m *gatewayv1.HTTPRouteMatch) {
		if m.Path != nil && *m.Path.Type == gatewayv1.PathMatchExact {
			m.Path.Type = nil
		}
	})},
	{name: "a regular expression of a route never matches", world: routeMatches(func(m *gatewayv1.HTTPRouteMatch) {
		if m.Path != nil && *m.Path.Type == gatewayv1.PathMatchRegularExpression {
			m.Path.Value = ptr("/none")
		}
	})},
	{name: "routes without a policy are not looked at", world: func(w *world) {
		w.httpRoutes = slices.DeleteFunc(w.httpRoutes, func(r *gatewayv1.HTTPRoute) bool {
			return len(w.attached(target{kind: "HTTPRoute", namespace: r.Namespace, name: r.Name})) == 0
		})
	}},
	{name: "of several Gateways the first is meant", world: func(w *world) { w.gateways = w.gateways[:min(1, len(w.gateways))] }},
	{name: "a policy is of every rule of a route", policy: func(p *v1alpha1.AuthPolicy) {
		for i := range p.Spec.TargetRefs {
			p.Spec.TargetRefs[i].SectionName = nil
		}
	}},
	{name: "Required is Default", policy: inheritances(v1alpha1.InheritanceDefault)},
	{name: "Default is Required", policy: inheritances(v1alpha1.InheritanceRequired)},
	{name: "policies of Gateways are not looked at", policy: withoutTargets("Gateway")},
	{name: "policies of routes are not looked at", policy: withoutTargets("HTTPRoute")},
	{name: "policies of gRPC routes are not looked at", policy: withoutTargets("GRPCRoute")},
	{name: "policies of Services are not looked at", policy: withoutTargets("Service")},
	{name: "a level that is tried out decides", policy: func(p *v1alpha1.AuthPolicy) {
		if len(p.Spec.TargetRefs) > 0 {
			p.Spec.Mode = nil
		}
	}},
	{name: "a level that is tried out asks for nothing", policy: func(p *v1alpha1.AuthPolicy) {
		if len(p.Spec.TargetRefs) > 0 && value(p.Spec.Mode, "") == v1alpha1.ModeDryRun {
			p.Spec.Mode = nil
			rules(func(r *v1alpha1.Rule) { *r = v1alpha1.Rule{Name: r.Name, Access: ptr(v1alpha1.AccessPublic)} })(p)
		}
	}},
}
