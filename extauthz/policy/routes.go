package policy

import (
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// routes compiles every HTTPRoute and GRPCRoute, with a policy or without.
func (c *gatewayCompiler) routes() {
	for _, r := range c.objs.HTTPRoutes {
		out := &compiledRoute{kind: kindHTTPRoute, namespace: r.Namespace, parents: r.Spec.ParentRefs, hostnames: routeHosts(r.Spec.Hostnames)}
		if len(r.Spec.Hostnames) > 0 && len(out.hostnames) == 0 {
			continue
		}
		for i := range r.Spec.Rules {
			in := &r.Spec.Rules[i]
			rule := &routeRule{
				route:    "HTTPRoute " + r.Namespace + "/" + r.Name,
				created:  r.CreationTimestamp.Time,
				policies: c.tables(target{kindHTTPRoute, r.Namespace, r.Name, string(valueOr(in.Name, ""))}),
				unbacked: len(in.BackendRefs) == 0,
			}
			matches := in.Matches
			if len(matches) == 0 {
				matches = []gatewayv1.HTTPRouteMatch{{}}
			}
			for j := range matches {
				m := httpMatch(&matches[j])
				m.rule, m.index, m.at = rule, i, j
				out.matches = append(out.matches, m)
			}
		}
		c.rules = append(c.rules, out)
	}
	for _, r := range c.objs.GRPCRoutes {
		out := &compiledRoute{kind: kindGRPCRoute, namespace: r.Namespace, parents: r.Spec.ParentRefs, hostnames: routeHosts(r.Spec.Hostnames)}
		if len(r.Spec.Hostnames) > 0 && len(out.hostnames) == 0 {
			continue
		}
		for i := range r.Spec.Rules {
			in := &r.Spec.Rules[i]
			rule := &routeRule{
				route:    "GRPCRoute " + r.Namespace + "/" + r.Name,
				created:  r.CreationTimestamp.Time,
				policies: c.tables(target{kindGRPCRoute, r.Namespace, r.Name, string(valueOr(in.Name, ""))}),
				unbacked: len(in.BackendRefs) == 0,
			}
			matches := in.Matches
			if len(matches) == 0 {
				matches = []gatewayv1.GRPCRouteMatch{{}}
			}
			for j := range matches {
				m := grpcMatch(&matches[j])
				m.rule, m.index, m.at = rule, i, j
				out.matches = append(out.matches, m)
			}
		}
		c.rules = append(c.rules, out)
	}
}

// tables are those of the policies on a route and on one of its rules.
func (c *gatewayCompiler) tables(t target) hostTables {
	policies := c.attached.of(t)
	out := tablesOf(policies)
	if len(policies) > 0 {
		reportHost(t.kind+" "+t.namespace+"/"+t.name, policies, out.all)
	}
	return out
}

func routeHosts(in []gatewayv1.Hostname) []string {
	var out []string
	for _, h := range in {
		if n, err := normalizePattern(string(h)); err == nil && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

func httpMatch(in *gatewayv1.HTTPRouteMatch) routeMatch {
	out := routeMatch{path: routePath{kind: routePathPrefix, value: "/"}}
	if in.Path != nil {
		out.path.value = valueOr(in.Path.Value, "/")
		switch valueOr(in.Path.Type, gatewayv1.PathMatchPathPrefix) {
		case gatewayv1.PathMatchExact:
			out.path.kind = routePathExact
		case gatewayv1.PathMatchPathPrefix:
		default:
			out.path.kind = routePathExpression
			out.path.re, _ = compileAnchored(out.path.value)
		}
	}
	if in.Method != nil {
		out.method = string(*in.Method)
	}
	for _, h := range in.Headers {
		out.headers = append(out.headers, newRouteValue(strings.ToLower(string(h.Name)), h.Value, valueOr(h.Type, gatewayv1.HeaderMatchExact) != gatewayv1.HeaderMatchExact))
	}
	for _, q := range in.QueryParams {
		out.query = append(out.query, newRouteValue(string(q.Name), q.Value, valueOr(q.Type, gatewayv1.QueryParamMatchExact) != gatewayv1.QueryParamMatchExact))
	}
	return out
}

func newRouteValue(name, value string, expression bool) routeValue {
	out := routeValue{name: name, value: value, expression: expression}
	if expression {
		out.re, _ = compileAnchored(value)
	}
	return out
}

// grpcMatch stands for POST on the path /service/method.
func grpcMatch(in *gatewayv1.GRPCRouteMatch) routeMatch {
	out := routeMatch{path: routePath{kind: routePathPrefix, value: "/"}, method: "POST"}
	if m := in.Method; m != nil {
		service, method := valueOr(m.Service, ""), valueOr(m.Method, "")
		switch {
		case valueOr(m.Type, gatewayv1.GRPCMethodMatchExact) != gatewayv1.GRPCMethodMatchExact:
			out.path = routePath{kind: routePathExpression, value: "/" + service + "/" + method}
			out.path.re, _ = compileAnchored("/" + orAnySegment(service) + "/" + orAnySegment(method))
		case service != "" && method != "":
			out.path = routePath{kind: routePathExact, value: "/" + service + "/" + method}
		case service != "":
			out.path.value = "/" + service
		case method != "":
			out.path = routePath{kind: routePathMethod, value: method}
		}
	}
	for _, h := range in.Headers {
		out.headers = append(out.headers, newRouteValue(strings.ToLower(string(h.Name)), h.Value, valueOr(h.Type, gatewayv1.GRPCHeaderMatchExact) != gatewayv1.GRPCHeaderMatchExact))
	}
	return out
}

func orAnySegment(expr string) string {
	if expr == "" {
		return "[^/]+"
	}
	return expr
}
