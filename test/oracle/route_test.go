package oracle

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// routes are all HTTPRoutes and GRPCRoutes, the oldest first, then by namespace and name.
func (w *world) routes() (out []*route) {
	for _, h := range w.httpRoutes {
		r := &route{"HTTPRoute", h.Namespace, h.Name, h.CreationTimestamp, h.Spec.ParentRefs, h.Spec.Hostnames, nil}
		for _, rule := range h.Spec.Rules {
			for _, m := range orAny(rule.Matches) {
				r.matches = append(r.matches, httpMatch(r, string(value(rule.Name, "")), len(rule.BackendRefs) > 0, m))
			}
		}
		out = append(out, r)
	}
	for _, g := range w.grpcRoutes {
		r := &route{"GRPCRoute", g.Namespace, g.Name, g.CreationTimestamp, g.Spec.ParentRefs, g.Spec.Hostnames, nil}
		for _, rule := range g.Spec.Rules {
			for _, m := range orAny(rule.Matches) {
				r.matches = append(r.matches, grpcMatch(r, string(value(rule.Name, "")), len(rule.BackendRefs) > 0, m))
			}
		}
		out = append(out, r)
	}
	slices.SortFunc(out, (*route).older)
	return out
}

// older sorts routes by their age, then by namespace and name.
func (r *route) older(o *route) int {
	return cmp.Or(r.created.Compare(o.created.Time), strings.Compare(r.namespace+"/"+r.name, o.namespace+"/"+o.name))
}

// orAny are the matches of a rule; one that takes everything where it has none.
func orAny[M any](matches []M) []M {
	if len(matches) == 0 {
		return make([]M, 1)
	}
	return matches
}

func httpMatch(r *route, rule string, backend bool, h gatewayv1.HTTPRouteMatch) match {
	m := match{route: r, rule: rule, backend: backend, method: string(value(h.Method, ""))}
	for _, c := range h.Headers {
		m.headers = append(m.headers, valueMatch(string(value(c.Type, "")), string(c.Name), c.Value))
	}
	for _, c := range h.QueryParams {
		m.query = append(m.query, valueMatch(string(value(c.Type, "")), string(c.Name), c.Value))
	}
	path := value(h.Path, gatewayv1.HTTPPathMatch{})
	want := value(path.Value, "/")
	exact, methods := 0, min(1, len(m.method))
	switch value(path.Type, gatewayv1.PathMatchPathPrefix) {
	case gatewayv1.PathMatchExact:
		exact = 1
		m.path = func(p string) bool { return p == want }
	case gatewayv1.PathMatchRegularExpression:
		m.regex = true
		m.path = func(p string) bool { return whole(want) == nil || whole(want).MatchString(p) }
	case gatewayv1.PathMatchPathPrefix:
		prefix := strings.TrimSuffix(want, "/")
		m.path = func(p string) bool { return p == prefix || strings.HasPrefix(p, prefix+"/") }
	default: // a type that nobody knows
		m.regex = true
		m.path = func(string) bool { return true }
	}
	m.rank = []int{exact, len(want), methods, len(m.headers), len(m.query)}
	return m
}

func grpcMatch(r *route, rule string, backend bool, g gatewayv1.GRPCRouteMatch) match {
	m := match{route: r, rule: rule, backend: backend}
	for _, c := range g.Headers {
		m.headers = append(m.headers, valueMatch(string(value(c.Type, "")), string(c.Name), c.Value))
	}
	method := value(g.Method, gatewayv1.GRPCMethodMatch{})
	m.regex = value(method.Type, "") == gatewayv1.GRPCMethodMatchRegularExpression
	part := func(s string) string {
		switch {
		case s == "":
			return "[^/]+"
		case m.regex:
			return s
		}
		return regexp.QuoteMeta(s)
	}
	service, name := value(method.Service, ""), value(method.Method, "")
	m.path = whole("/" + part(service) + "/" + part(name)).MatchString
	switch {
	case service == "" && name == "":
		m.path = whole("/.*").MatchString
	case service == "" && !m.regex: // some look at the last segment alone
		m.path = whole("/.+/" + part(name)).MatchString
	case name == "" && !m.regex:
		m.path = whole("/" + part(service) + "(/.*)?").MatchString
	}
	if typ := value(method.Type, gatewayv1.GRPCMethodMatchExact); !m.regex && typ != gatewayv1.GRPCMethodMatchExact {
		m.regex = true
		m.path = func(string) bool { return true }
	}
	m.rank = []int{len(service), len(name), len(m.headers)}
	return m
}

// valueMatch has no type where the text must be equal.
func valueMatch(typ, name, want string) v1alpha1.ValueMatch {
	m := v1alpha1.ValueMatch{Name: name, Value: want}
	if typ != "" && typ != "Exact" {
		m.Type = ptr(v1alpha1.ValueMatchType(typ))
	}
	return m
}
