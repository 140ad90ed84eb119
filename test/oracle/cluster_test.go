package oracle

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// clusterNamespaces are those of a cluster that is drawn. A Service a of com has the name of a host.
var clusterNamespaces = []string{"shop", "alpha", "com"}

// cluster draws a world of policies that are attached, beside some that name hosts.
func (d drawer) cluster() *world {
	w := d.world()
	w.grants = !d.rarely(3)
	for _, name := range clusterNamespaces {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if !d.rarely(3) {
			ns.Labels = map[string]string{"team": one(d, "a", "b")}
		}
		if !d.rarely(4) {
			hosts := some(d, 2, "a.com", "x.a.com", "*.a.com", "*.a.com", "*.com", "*", " A.com.")
			ns.Annotations = map[string]string{"sallyport.dev/hosts": strings.Join(hosts, ",")}
		}
		if !d.rarely(30) {
			w.namespaces = append(w.namespaces, ns)
		}
	}
	for range d.IntN(4) {
		if m := d.meta("a", "b", "x"); free(w.services, m) {
			w.services = append(w.services, &corev1.Service{ObjectMeta: m})
		}
	}
	for range 1 + d.IntN(3) {
		if m := d.meta("edge", "edge", "inner"); free(w.gateways, m) {
			w.gateways = append(w.gateways, d.gateway(m))
		}
	}
	for range 1 + d.IntN(4) {
		m := d.meta("r", "s", "t")
		switch {
		case !d.rarely(4) && free(w.httpRoutes, m):
			w.httpRoutes = append(w.httpRoutes, d.httpRoute(w, m))
		case free(w.grpcRoutes, m):
			w.grpcRoutes = append(w.grpcRoutes, d.grpcRoute(w, m))
		}
	}
	for _, p := range w.policies {
		p.Namespace = one(d, clusterNamespaces...)
		if !d.rarely(3) {
			d.attach(w, p)
		}
	}
	return w
}

// meta is that of an object of one of these names; objects are made again, so younger ones may come first in name.
func (d drawer) meta(names ...string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: one(d, "shop", "shop", "alpha", "com"), Name: one(d, names...),
		CreationTimestamp: metav1.NewTime(start.Add(time.Duration(d.IntN(3)) * time.Hour)),
	}
}

// free tells whether a name is free among objects.
func free[T metav1.Object](objects []T, m metav1.ObjectMeta) bool {
	for _, o := range objects {
		if o.GetNamespace() == m.Namespace && o.GetName() == m.Name {
			return false
		}
	}
	return true
}

func (d drawer) gateway(m metav1.ObjectMeta) *gatewayv1.Gateway {
	g := &gatewayv1.Gateway{ObjectMeta: m}
	seen := map[string]bool{}
	for i := range 1 + d.IntN(3) {
		l := gatewayv1.Listener{Name: gatewayv1.SectionName(fmt.Sprintf("l%d", i)), Port: 80, Protocol: gatewayv1.HTTPProtocolType}
		if d.rarely(4) {
			l.Port, l.Protocol = 443, gatewayv1.HTTPSProtocolType
		}
		if h := one(d, "", "", "a.com", "*.a.com", "x.a.com", "*.com"); h != "" {
			l.Hostname = ptr(gatewayv1.Hostname(h))
		}
		if key := fmt.Sprint(l.Port, value(l.Hostname, "")); seen[key] {
			continue
		} else {
			seen[key] = true
		}
		if l.AllowedRoutes = d.allowedRoutes(); d.rarely(8) {
			l.Protocol = "example.org/QUIC" // nobody knows whether it takes HTTP
		}
		g.Spec.Listeners = append(g.Spec.Listeners, l)
	}
	if d.rarely(3) {
		n := &gatewayv1.ListenerNamespaces{From: ptr(one(d, gatewayv1.NamespacesFromAll, gatewayv1.NamespacesFromSame, gatewayv1.NamespacesFromNone, gatewayv1.NamespacesFromSelector))}
		if *n.From == gatewayv1.NamespacesFromSelector {
			n.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": one(d, "a", "b")}}
		}
		g.Spec.AllowedListeners = &gatewayv1.AllowedListeners{Namespaces: n}
	}
	return g
}

func (d drawer) allowedRoutes() *gatewayv1.AllowedRoutes {
	if d.rarely(5) {
		return nil
	}
	a := &gatewayv1.AllowedRoutes{Namespaces: &gatewayv1.RouteNamespaces{From: ptr(gatewayv1.NamespacesFromAll)}}
	switch d.IntN(7) {
	case 6:
		a.Namespaces.From = ptr(gatewayv1.FromNamespaces("Nearby"))
	case 0:
		a.Namespaces.From = ptr(gatewayv1.NamespacesFromSame)
	case 1:
		a.Namespaces = &gatewayv1.RouteNamespaces{
			From:     ptr(gatewayv1.NamespacesFromSelector),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": one(d, "a", "b")}},
		}
	}
	if d.rarely(4) {
		a.Kinds = []gatewayv1.RouteGroupKind{{Kind: one[gatewayv1.Kind](d, "HTTPRoute", "GRPCRoute")}}
		if d.rarely(2) {
			a.Kinds[0].Group = ptr(gatewayv1.Group("example.org"))
		}
	}
	return a
}

func (d drawer) common(w *world, own string) (gatewayv1.CommonRouteSpec, []gatewayv1.Hostname) {
	var spec gatewayv1.CommonRouteSpec
	for _, g := range some(d, 2, append(w.gateways, w.gateways[0])...) {
		p := gatewayv1.ParentReference{Name: gatewayv1.ObjectName(g.Name), Namespace: ptr(gatewayv1.Namespace(g.Namespace))}
		if g.Namespace == own && d.rarely(2) || d.rarely(20) {
			p.Namespace = nil
		}
		if d.rarely(4) {
			p.SectionName = ptr(one[gatewayv1.SectionName](d, "l0", "l1", "l2"))
		}
		if d.rarely(8) {
			p.Port = ptr(one[gatewayv1.PortNumber](d, 80, 443))
		}
		if d.rarely(20) {
			p.Group = ptr(gatewayv1.Group("example.org"))
		}
		spec.ParentRefs = append(spec.ParentRefs, p)
	}
	if d.rarely(4) { // a route of the mesh
		p := gatewayv1.ParentReference{Group: ptr(gatewayv1.Group("")), Kind: ptr(gatewayv1.Kind("Service")), Name: one[gatewayv1.ObjectName](d, "a", "a", "b")}
		if d.rarely(3) {
			p.Port = ptr(one[gatewayv1.PortNumber](d, 80, 443))
		}
		if d.rarely(4) {
			p.Namespace = ptr(one[gatewayv1.Namespace](d, "shop", "alpha"))
		}
		spec.ParentRefs = append(spec.ParentRefs, p)
	}
	if d.rarely(6) {
		p := gatewayv1.ParentReference{Kind: ptr(one[gatewayv1.Kind](d, "ListenerSet", "XListenerSet")), Name: "set"}
		if d.rarely(3) {
			p.Namespace = ptr(one[gatewayv1.Namespace](d, "shop", "alpha"))
		}
		spec.ParentRefs = append(spec.ParentRefs, p)
	}
	var hosts []gatewayv1.Hostname
	if !d.rarely(3) {
		hosts = some[gatewayv1.Hostname](d, 2, "a.com", "a.com", "x.a.com", "*.a.com", "*.com", "b.org")
	}
	return spec, hosts
}

func (d drawer) httpRoute(w *world, m metav1.ObjectMeta) *gatewayv1.HTTPRoute {
	if len(w.httpRoutes) > 0 && d.rarely(2) { // one that copies a neighbour's
		r := one(d, w.httpRoutes...).DeepCopy()
		r.ObjectMeta = m
		return r
	}
	r := &gatewayv1.HTTPRoute{ObjectMeta: m}
	r.Spec.CommonRouteSpec, r.Spec.Hostnames = d.common(w, m.Namespace)
	for i := range 1 + d.IntN(3) {
		rule := gatewayv1.HTTPRouteRule{Name: ptr(gatewayv1.SectionName(fmt.Sprintf("n%d", i)))}
		if !d.rarely(8) {
			rule.BackendRefs = make([]gatewayv1.HTTPBackendRef, 1)
		}
		for range d.IntN(3) {
			rule.Matches = append(rule.Matches, d.httpMatch())
		}
		r.Spec.Rules = append(r.Spec.Rules, rule)
	}
	return r
}

func (d drawer) httpMatch() (m gatewayv1.HTTPRouteMatch) {
	if !d.rarely(6) {
		typ := one(d, gatewayv1.PathMatchExact, gatewayv1.PathMatchPathPrefix)
		text := one(d, "/", "/a", "/a", "/b", "/a/b", "/a/b/", "/a/a", "/b/a")
		if d.rarely(8) {
			typ, text = gatewayv1.PathMatchRegularExpression, one(d, "/[ab]", "/a/.*", "/.*", "/a(/b)?")
		} else if d.rarely(20) {
			typ = "Glob"
		}
		m.Path = &gatewayv1.HTTPPathMatch{Type: &typ, Value: &text}
	}
	if d.rarely(4) {
		m.Method = ptr(one[gatewayv1.HTTPMethod](d, "GET", "PUT", "OPTIONS"))
	}
	for _, name := range []gatewayv1.HTTPHeaderName{"x-one", "X-Two"} {
		if d.rarely(6) {
			h := gatewayv1.HTTPHeaderMatch{Name: name, Value: "1"}
			switch d.IntN(8) {
			case 0, 1:
				h.Type, h.Value = ptr(gatewayv1.HeaderMatchRegularExpression), one(d, "[12]", "2|3", "(")
			case 2:
				h.Type = ptr(gatewayv1.HeaderMatchType("Contains"))
			}
			m.Headers = append(m.Headers, h)
		}
	}
	if d.rarely(8) {
		m.QueryParams = append(m.QueryParams, gatewayv1.HTTPQueryParamMatch{Name: "q", Value: "1"})
		if d.rarely(4) {
			m.QueryParams[0].Type, m.QueryParams[0].Value = ptr(gatewayv1.QueryParamMatchRegularExpression), "[12]"
		}
	}
	return m
}

func (d drawer) grpcRoute(w *world, m metav1.ObjectMeta) *gatewayv1.GRPCRoute {
	r := &gatewayv1.GRPCRoute{ObjectMeta: m}
	r.Spec.CommonRouteSpec, r.Spec.Hostnames = d.common(w, m.Namespace)
	for i := range 1 + d.IntN(3) {
		rule := gatewayv1.GRPCRouteRule{Name: ptr(gatewayv1.SectionName(fmt.Sprintf("n%d", i)))}
		if !d.rarely(8) {
			rule.BackendRefs = make([]gatewayv1.GRPCBackendRef, 1)
		}
		for range d.IntN(3) {
			var m gatewayv1.GRPCRouteMatch
			if !d.rarely(4) {
				m.Method = &gatewayv1.GRPCMethodMatch{Service: ptr(one(d, "a", "b")), Method: ptr(one(d, "a", "b"))}
				switch d.IntN(4) {
				case 0:
					m.Method.Service = nil
				case 1:
					m.Method.Method = nil
				}
				if d.rarely(10) {
					m.Method.Type = ptr(one(d, gatewayv1.GRPCMethodMatchRegularExpression, "Prefix"))
				}
			}
			if d.rarely(5) {
				m.Headers = append(m.Headers, gatewayv1.GRPCHeaderMatch{Name: "x-one", Value: "1"})
			}
			rule.Matches = append(rule.Matches, m)
		}
		r.Spec.Rules = append(r.Spec.Rules, rule)
	}
	return r
}

// attach gives a policy targets instead of hosts, mostly such as there are in its namespace.
func (d drawer) attach(w *world, p *v1alpha1.AuthPolicy) {
	var there []v1alpha1.TargetReference
	add := func(m metav1.Object, kind string, sections ...string) {
		if m.GetNamespace() != p.Namespace && !d.rarely(20) {
			return
		}
		r := v1alpha1.TargetReference{Kind: kind, Name: m.GetName()}
		if len(sections) > 0 && d.rarely(3) {
			r.SectionName = ptr(one(d, sections...))
		}
		there = append(there, r)
	}
	for _, o := range w.services {
		add(o, "Service")
	}
	for _, o := range w.gateways {
		add(o, "Gateway", "l0", "l1", "l2")
	}
	for _, o := range w.httpRoutes {
		add(o, "HTTPRoute", "n0", "n1", "n2")
		add(o, "HTTPRoute", "n0", "n1", "n2")
	}
	for _, o := range w.grpcRoutes {
		add(o, "GRPCRoute", "n0", "n1", "n2")
	}
	if len(there) == 0 {
		return
	}
	p.Spec.Hosts, p.Spec.TargetRefs = nil, some(d, min(2, len(there)), there...)
	for _, r := range p.Spec.TargetRefs {
		if r.Kind == "Gateway" && d.rarely(2) {
			p.Spec.Inheritance = ptr(one(d, v1alpha1.InheritanceDefault, v1alpha1.InheritanceRequired, v1alpha1.InheritanceRequired))
		}
	}
}

// questionTo draws a question with a scope that there is in a cluster.
func (d drawer) questionTo(w *world) *question {
	q := d.question()
	switch g := one(d, w.gateways...); d.IntN(6) {
	case 0:
		q.scope = ""
	case 1:
		q.scope = "namespace/" + one(d, clusterNamespaces...)
	case 2:
		q.scope = "service/" + one(d, "shop/a", "shop/b", "alpha/a", "com/a", "shop/x")
		for _, s := range w.services {
			q.scope = "service/" + s.Namespace + "/" + s.Name
		}
	default:
		q.scope = "gateway/" + g.Namespace + "/" + g.Name
		if d.rarely(30) {
			q.scope = "gateway/" + one(d, "shop", "gone") + "/edge"
		}
	}
	if strings.HasPrefix(q.scope, "namespace/") && !d.rarely(3) {
		ns := q.scope[len("namespace/"):]
		q.host = one(d, "a", "b", "x") + one(d, "", "."+ns, "."+ns, "."+ns+".svc", "."+ns+".svc.cluster.local", "."+ns+".svc.cluster")
	}
	if len(w.grpcRoutes) > 0 && d.rarely(3) {
		q.method, q.headers["content-type"] = "POST", "application/grpc"
		q.path = "/" + one(d, "a", "b", "c") + "/" + one(d, "a", "b", "c")
	}
	if d.rarely(4) {
		q.host += one(d, ":8080", ".", ".:80")
	}
	switch d.IntN(5) {
	case 0:
		q.scheme = one(d, "http", "https")
	case 1:
		q.scheme = one(d, "http", "https")
		q.headers["x-forwarded-proto"] = one(d, "http", "https", "HTTPS")
	}
	return q
}

// any draws a world, every other one a cluster, and says how questions to it are drawn.
func (d drawer) any() (*world, func() *question) {
	if d.rarely(2) {
		return d.byHost()
	}
	return d.inCluster()
}

func (d drawer) byHost() (*world, func() *question) {
	w := d.world()
	if d.rarely(3) {
		w = d.plain()
	}
	return w, func() *question {
		q := d.question()
		if d.rarely(2) {
			d.aim(w, q)
		}
		return q
	}
}

func (d drawer) inCluster() (*world, func() *question) {
	w := d.cluster()
	return w, func() *question {
		q := d.questionTo(w)
		switch {
		case d.rarely(4):
			d.aim(w, q)
		case len(w.httpRoutes) > 0 && d.rarely(3):
			d.aimRoute(w, q)
		}
		return q
	}
}
