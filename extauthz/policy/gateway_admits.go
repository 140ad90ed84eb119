package policy

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// admits tells whether a route names the listener and the listener admits it. Where something of the listener cannot be
// read, it may.
func (c *gatewayCompiler) admits(g *gatewayv1.Gateway, l *gatewayv1.Listener, unread bool, r *route) bool {
	named := r.byDefault && g.Spec.DefaultScope == gatewayv1.GatewayDefaultScopeAll ||
		slices.ContainsFunc(r.parents, func(p gatewayv1.ParentReference) bool { return names(p, r.namespace, g, l) })
	return named && (unread || c.allows(g, l, r))
}

// names tells whether a parent reference of a route in namespace names the listener.
func names(p gatewayv1.ParentReference, namespace string, g *gatewayv1.Gateway, l *gatewayv1.Listener) bool {
	return valueOr(p.Group, gatewayv1.GroupName) == gatewayv1.GroupName && valueOr(p.Kind, kindGateway) == kindGateway &&
		string(valueOr(p.Namespace, gatewayv1.Namespace(namespace))) == g.Namespace && string(p.Name) == g.Name &&
		(p.SectionName == nil || *p.SectionName == l.Name) && (p.Port == nil || *p.Port == l.Port)
}

// allows tells whether the listener admits routes of that kind and namespace.
func (c *gatewayCompiler) allows(g *gatewayv1.Gateway, l *gatewayv1.Listener, r *route) bool {
	allowed := valueOr(l.AllowedRoutes, gatewayv1.AllowedRoutes{})
	if len(allowed.Kinds) > 0 && !slices.ContainsFunc(allowed.Kinds, func(k gatewayv1.RouteGroupKind) bool {
		return string(k.Kind) == r.kind && valueOr(k.Group, gatewayv1.GroupName) == gatewayv1.GroupName
	}) {
		return false
	}
	from := valueOr(allowed.Namespaces, gatewayv1.RouteNamespaces{})
	return c.selects(valueOr(from.From, gatewayv1.NamespacesFromSame), from.Selector, g.Namespace, r.namespace)
}

// selects tells whether namespace is among those that a Gateway in own lets in. A way to choose that nobody knows may
// choose any.
func (c *gatewayCompiler) selects(from gatewayv1.FromNamespaces, by *metav1.LabelSelector, own, namespace string) bool {
	switch from {
	case gatewayv1.NamespacesFromSame:
		return namespace == own
	case gatewayv1.NamespacesFromSelector:
		selector, err := metav1.LabelSelectorAsSelector(by)
		set, known := c.refs.namespaces[namespace]
		return err == nil && known && selector.Matches(labels.Set(set))
	case gatewayv1.NamespacesFromNone:
		return false
	}
	return true
}
