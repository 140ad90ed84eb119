package policy

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// service is a Service that policies are attached to, directly or through routes of the mesh.
type service struct {
	policies hostTables
	// ports are those that routes name; 0 stands for all others.
	ports []*servicePort
}

// servicePort is a port of a Service with its routes.
type servicePort struct {
	port   gatewayv1.PortNumber
	routes routers
}

// tables appends those of the Service, and of every rule of a route that the request may have come by. A rule that leads
// to a backend and for which nobody has a policy refuses. A nil service has nothing to say.
func (svc *service) tables(v *visit, out []*table) []*table {
	if svc == nil {
		return out
	}
	out = appendTable(out, svc.policies.of(v.all))
	for _, p := range svc.ports {
		for _, rule := range p.routes.landOnPath(v.req) {
			out = appendTable(out, rule.policies.of(v.all))
			if !rule.unbacked && !v.host && !v.tried && rule.policies.all == nil && svc.policies.all == nil {
				out = appendTable(out, refusesAll)
			}
		}
	}
	return out
}

// service is the one of that name; nil where nothing is attached to it.
func (s *Snapshot) service(namespace, name string) *service {
	return s.services[types.NamespacedName{Namespace: namespace, Name: name}]
}

// addService is the one of that name, which is made where it is not there yet.
func (s *Snapshot) addService(namespace, name string) *service {
	if s.services == nil {
		s.services = map[types.NamespacedName]*service{}
	}
	svc := s.service(namespace, name)
	if svc == nil {
		svc = &service{}
		s.services[types.NamespacedName{Namespace: namespace, Name: name}] = svc
	}
	return svc
}

// indexServices gives Services their policies.
func (s *Snapshot) indexServices(a attachments) {
	for t, policies := range a {
		if t.kind != kindService {
			continue
		}
		svc := s.addService(t.namespace, t.name)
		svc.policies = tablesOf(policies)
		reportHost(t.name+"."+t.namespace+".svc", policies, svc.policies.all)
	}
}

// indexMesh gives Services the routes that name them as their parent.
func (s *Snapshot) indexMesh(routes []*route) {
	for _, r := range routes {
		for _, p := range r.parents {
			if !r.serves(p) {
				continue
			}
			svc, port := s.addService(r.namespace, string(p.Name)), valueOr(p.Port, 0)
			if !slices.ContainsFunc(svc.ports, func(o *servicePort) bool { return o.port == port }) {
				svc.ports = append(svc.ports, &servicePort{port: port})
			}
		}
	}
	for _, r := range routes {
		for _, p := range r.parents {
			if !r.serves(p) {
				continue
			}
			for _, o := range s.service(r.namespace, string(p.Name)).ports {
				if p.Port == nil || *p.Port == o.port {
					o.routes.add(r, routeHost{})
				}
			}
		}
	}
	for _, svc := range s.services {
		for _, p := range svc.ports {
			p.routes.settle()
		}
	}
}

// serves tells whether a parent of the route is a Service for which it speaks. A route in another namespace than the
// Service is about calls out of its own namespace, and no word of whoever answers them.
func (r *route) serves(p gatewayv1.ParentReference) bool {
	return valueOr(p.Group, gatewayv1.GroupName) == "" && valueOr(p.Kind, kindGateway) == kindService &&
		string(valueOr(p.Namespace, gatewayv1.Namespace(r.namespace))) == r.namespace
}

// serviceOf is the name of the Service of a namespace for which a host stands: its cluster DNS names, from the short one
// to the fully qualified.
func serviceOf(host, namespace, clusterDomain string) string {
	suffix := "." + namespace
	for _, s := range []string{suffix + ".svc." + cmp.Or(clusterDomain, "cluster.local"), suffix + ".svc", suffix, ""} {
		if n := len(host) - len(s); n > 0 && host[n:] == s {
			if name := host[:n]; isDNSLabelish(name) && !strings.Contains(name, ".") {
				return name
			}
		}
	}
	return ""
}
