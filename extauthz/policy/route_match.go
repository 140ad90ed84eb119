package policy

import (
	"regexp"
	"strings"
)

// routeMatch is one match of one rule of a route.
type routeMatch struct {
	rule *routeRule
	// written is the host name as the route has it; empty for none.
	written string
	path    routePath
	// method of the request; empty for any.
	method string
	// grpc: it is of a GRPCRoute.
	grpc    bool
	headers []routeValue
	query   []routeValue
	// index of the rule in its route, and of the match in its rule.
	index, at int
}

// routeRule is one rule of a route.
type routeRule struct {
	route *route
	// policies of the route and of the rule.
	policies hostTables
	// unbacked: it reaches no backend, such as a redirect to https.
	unbacked bool
}

// routePathKind is how a route compares a path.
type routePathKind uint8

const (
	routePathPrefix routePathKind = iota
	routePathExact
	routePathMethod     // the last segment: a method of whatever gRPC service
	routePathExpression // RegularExpression: its dialect, and its rank, are the implementation's
)

type routePath struct {
	kind  routePathKind
	value string
	re    *regexp.Regexp // nil where it does not compile or nobody knows it, and then may match
}

// length is the number of characters that count for precedence.
func (p *routePath) length() int {
	if p.kind == routePathMethod {
		return 1 // a service goes before it, whatever the length of either
	}
	return len(p.value)
}

func (p *routePath) holds(path string) (may, sure bool) {
	switch p.kind {
	case routePathExact:
		return path == p.value, true
	case routePathPrefix:
		prefix := strings.TrimSuffix(p.value, "/")
		return path == prefix || strings.HasPrefix(path, prefix+"/") || prefix == "", true
	case routePathMethod:
		i := strings.LastIndexByte(path, '/')
		return i > 0 && path[i+1:] == p.value, true
	}
	return p.re == nil || p.re.MatchString(path), false
}

// takes tells whether the match may take the request, and whether that is sure.
func (m *routeMatch) takes(req *Request, path string) (may, sure bool) {
	may, sure = m.path.holds(path)
	if !may || m.method != "" && m.method != req.in.Method {
		return false, true
	}
	if m.grpc && !isGRPC(req, path) {
		sure = false // some data planes look at the path alone
	}
	for i := range m.headers {
		ok, certain := m.headers[i].inHeader(req)
		if !ok {
			return false, true
		}
		sure = sure && certain
	}
	for i := range m.query {
		ok, certain := m.query[i].inQuery(req.query)
		if !ok {
			return false, true
		}
		sure = sure && certain
	}
	return true, sure
}

// isGRPC tells whether every data plane takes the request for a gRPC call: by method, content type, and a path of a service
// and a method.
func isGRPC(req *Request, path string) bool {
	typ, _ := req.Header("content-type")
	service, method, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return (typ == "application/grpc" || strings.HasPrefix(typ, "application/grpc+")) && req.in.Method == "POST" &&
		service != "" && method != "" && !strings.Contains(method, "/")
}

// routeValue compares a header or a query parameter of a route.
type routeValue struct {
	name, value string
	// expression: the dialect is the implementation's.
	expression bool
	re         *regexp.Regexp // nil where it does not compile or nobody knows it, and then may match
}

// holds tells whether the value may match, and whether that is sure.
func (v *routeValue) holds(value string) (may, sure bool) {
	if !v.expression {
		return value == v.value, true
	}
	return v.re == nil || v.re.MatchString(value), false
}

// inHeader looks at the header of the request. Of several fields of one name, joined with ",", some data planes compare
// each; and Host, as a header, is not shown to everybody alike.
func (v *routeValue) inHeader(req *Request) (may, sure bool) {
	if v.name == "host" {
		return true, false
	}
	value, present := req.Header(v.name)
	if !present {
		return false, true
	}
	may, sure = v.holds(value)
	if strings.Contains(value, ",") {
		sure = false
		for part := range strings.SplitSeq(value, ",") {
			one, _ := v.holds(strings.TrimSpace(part))
			may = may || one
		}
	}
	return may, sure
}

// inQuery looks at the parameter of the query, decoded and, where that may differ, as it was sent: data planes do either.
func (v *routeValue) inQuery(query string) (may, sure bool) {
	value, present, ambiguous := queryValue(query, v.name)
	if ambiguous {
		return true, false
	}
	if present {
		may, sure = v.holds(value)
	} else {
		sure = true
	}
	if !strings.ContainsAny(query, "%+") {
		return may, sure
	}
	for pair := range strings.SplitSeq(query, "&") {
		if name, raw, _ := strings.Cut(pair, "="); name == v.name {
			asSent, _ := v.holds(raw)
			return may || asSent, sure && may == asSent
		}
	}
	return may, sure && !may
}
