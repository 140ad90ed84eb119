package policy

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// route is an HTTPRoute or a GRPCRoute, with its matches.
type route struct {
	kind      string
	namespace string
	// name is "namespace/name".
	name    string
	created time.Time
	parents []gatewayv1.ParentReference
	// byDefault: it attaches to every default Gateway.
	byDefault bool
	hostnames []string // normal form; none for every host
	matches   []routeMatch
	// taken: some listener, or Service, takes requests by it.
	taken bool
}

// routeForm is what the kinds of routes have in common.
type routeForm struct {
	kind string
	metav1.ObjectMeta
	gatewayv1.CommonRouteSpec
	hostnames []gatewayv1.Hostname
	rules     []ruleForm
}

// ruleForm is one rule of a route.
type ruleForm struct {
	name    *gatewayv1.SectionName
	matches []routeMatch
	// unbacked: it reaches no backend, such as a redirect to https.
	unbacked bool
}

// compileRoutes compiles every HTTPRoute and GRPCRoute, with a policy or without.
func (c *gatewayCompiler) compileRoutes() {
	for _, r := range c.objs.HTTPRoutes {
		c.compileRoute(routeForm{kindHTTPRoute, r.ObjectMeta, r.Spec.CommonRouteSpec, r.Spec.Hostnames, httpRules(r.Spec.Rules)})
	}
	for _, r := range c.objs.GRPCRoutes {
		c.compileRoute(routeForm{kindGRPCRoute, r.ObjectMeta, r.Spec.CommonRouteSpec, r.Spec.Hostnames, grpcRules(r.Spec.Rules)})
	}
}

func (c *gatewayCompiler) compileRoute(in routeForm) {
	out := &route{
		kind: in.kind, namespace: in.Namespace, name: in.Namespace + "/" + in.Name, created: in.CreationTimestamp.Time,
		parents: in.ParentRefs, byDefault: in.UseDefaultGateways == gatewayv1.GatewayDefaultScopeAll, hostnames: routeHosts(in.hostnames),
	}
	unread := unreadOf(c.objs.Undecoded[ObjectRef{in.kind, in.Namespace, in.Name}])
	switch {
	case unread.hostnames:
		out.hostnames = nil
	case len(in.hostnames) > 0 && len(out.hostnames) == 0:
		return
	}
	if unread.whole && len(in.rules) == 0 {
		in.rules = []ruleForm{{}} // whatever its rules are
	}
	for i, form := range in.rules {
		rule := &routeRule{
			route: out, unbacked: form.unbacked,
			policies: c.tables(target{in.kind, in.Namespace, in.Name, string(valueOr(form.name, ""))}),
		}
		if unread.whole || unread.rules[i] {
			form.matches = []routeMatch{{path: routePath{kind: routePathExpression}}}
		}
		for j, m := range form.matches {
			m.rule, m.index, m.at = rule, i, j
			out.matches = append(out.matches, m)
		}
	}
	c.routes = append(c.routes, out)
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

func httpRules(in []gatewayv1.HTTPRouteRule) []ruleForm {
	out := make([]ruleForm, len(in))
	for i := range in {
		r := &in[i]
		out[i] = ruleForm{name: r.Name, unbacked: len(r.BackendRefs) == 0 && !slices.ContainsFunc(r.Filters, reaches)}
		for j := range r.Matches {
			out[i].matches = append(out[i].matches, httpMatch(&r.Matches[j]))
		}
		if len(r.Matches) == 0 {
			out[i].matches = []routeMatch{httpMatch(&gatewayv1.HTTPRouteMatch{})}
		}
	}
	return out
}

// reaches tells whether a filter may send a request somewhere by itself.
func reaches(f gatewayv1.HTTPRouteFilter) bool {
	switch f.Type {
	case gatewayv1.HTTPRouteFilterRequestRedirect, gatewayv1.HTTPRouteFilterURLRewrite, gatewayv1.HTTPRouteFilterCORS,
		gatewayv1.HTTPRouteFilterRequestHeaderModifier, gatewayv1.HTTPRouteFilterResponseHeaderModifier:
		return false
	}
	return true // a mirror, or an extension that could be anything
}

func grpcRules(in []gatewayv1.GRPCRouteRule) []ruleForm {
	out := make([]ruleForm, len(in))
	for i := range in {
		r := &in[i]
		out[i] = ruleForm{name: r.Name, unbacked: len(r.BackendRefs) == 0 && len(r.Filters) == 0}
		for j := range r.Matches {
			out[i].matches = append(out[i].matches, grpcMatch(&r.Matches[j]))
		}
		if len(r.Matches) == 0 {
			out[i].matches = []routeMatch{grpcMatch(&gatewayv1.GRPCRouteMatch{})}
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
		case gatewayv1.PathMatchRegularExpression:
			out.path.kind = routePathExpression
			out.path.re, _ = compileAnchored(out.path.value)
		default:
			out.path.kind = routePathExpression
		}
	}
	if in.Method != nil {
		out.method = string(*in.Method)
	}
	for _, h := range in.Headers {
		out.header(string(h.Name), h.Value, string(valueOr(h.Type, gatewayv1.HeaderMatchExact)))
	}
	for _, q := range in.QueryParams {
		out.query = appendValue(out.query, string(q.Name), q.Value, string(valueOr(q.Type, gatewayv1.QueryParamMatchExact)))
	}
	return out
}

// grpcMatch is a match on the path /service/method.
func grpcMatch(in *gatewayv1.GRPCRouteMatch) routeMatch {
	out := routeMatch{grpc: true, path: routePath{kind: routePathPrefix, value: "/"}}
	if m := in.Method; m != nil {
		service, method := valueOr(m.Service, ""), valueOr(m.Method, "")
		switch typ := valueOr(m.Type, gatewayv1.GRPCMethodMatchExact); {
		case typ == gatewayv1.GRPCMethodMatchRegularExpression:
			out.path = routePath{kind: routePathExpression, value: "/" + service + "/" + method}
			out.path.re, _ = compileAnchored("/" + orAnySegment(service) + "/" + orAnySegment(method))
		case typ != gatewayv1.GRPCMethodMatchExact:
			out.path = routePath{kind: routePathExpression}
		case service != "" && method != "":
			out.path = routePath{kind: routePathExact, value: "/" + service + "/" + method}
		case service != "":
			out.path.value = "/" + service
		case method != "":
			out.path = routePath{kind: routePathMethod, value: method}
		}
	}
	for _, h := range in.Headers {
		out.header(string(h.Name), h.Value, string(valueOr(h.Type, gatewayv1.GRPCHeaderMatchExact)))
	}
	return out
}

func orAnySegment(expr string) string {
	if expr == "" {
		return "[^/]+"
	}
	return "(?:" + expr + ")"
}

func (m *routeMatch) header(name, value, typ string) {
	m.headers = appendValue(m.headers, strings.ToLower(name), value, typ)
}

// appendValue adds a condition on a header or a query parameter. Of several on one name the first counts.
func appendValue(list []routeValue, name, value, typ string) []routeValue {
	if slices.ContainsFunc(list, func(v routeValue) bool { return v.name == name }) {
		return list
	}
	v := routeValue{name: name, value: value, expression: typ != string(gatewayv1.HeaderMatchExact)}
	if typ == string(gatewayv1.HeaderMatchRegularExpression) {
		v.re, _ = compileAnchored(value)
	}
	return append(list, v)
}
