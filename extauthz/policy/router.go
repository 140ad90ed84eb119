package policy

import (
	"cmp"
	"slices"
	"strings"
)

// router tells on which rules of routes a request lands at one listener, by the precedence of the Gateway API.
type router struct {
	exact map[string]*bucket
	wild  map[string]*bucket // by suffix, with the dot in front
	any   *bucket
}

// bucket holds the matches of one host name, in the order of precedence.
type bucket struct {
	matches []routeMatch
	// written are the host names as the routes have them, the most specific first, where these differ though the listener
	// makes them one. The Gateway API ranks by what is written; some data planes by what they have become.
	written []string
}

// set adds a route for a host name, which may be a wildcard or empty for any. written is the one that the route has.
func (r *router) set(hostname, written string, matches []routeMatch) {
	b := &bucket{}
	switch {
	case hostname == "" || hostname == "*":
		if r.any == nil {
			r.any = b
		}
		b = r.any
	case strings.HasPrefix(hostname, "*."):
		b = inBucket(&r.wild, hostname[1:], b)
	default:
		b = inBucket(&r.exact, hostname, b)
	}
	for _, m := range matches {
		m.written = written
		b.matches = append(b.matches, m)
	}
}

func inBucket(m *map[string]*bucket, key string, otherwise *bucket) *bucket {
	if *m == nil {
		*m = map[string]*bucket{}
	}
	if b := (*m)[key]; b != nil {
		return b
	}
	(*m)[key] = otherwise
	return otherwise
}

// sort puts matches into the order of precedence. Call it before the first lookup.
func (r *router) sort() {
	for _, b := range r.exact {
		b.sort()
	}
	for _, b := range r.wild {
		b.sort()
	}
	if r.any != nil {
		r.any.sort()
	}
}

func (b *bucket) sort() {
	slices.SortStableFunc(b.matches, compareRouteMatches)
	for i := range b.matches {
		if !slices.Contains(b.written, b.matches[i].written) {
			b.written = append(b.written, b.matches[i].written)
		}
	}
	if slices.SortFunc(b.written, compareSpecificity); len(b.written) == 1 {
		b.written = nil
	}
}

// compareRouteMatches is the precedence of the Gateway API: exact path, longest prefix, method, most headers, most query
// parameters; then the oldest route, the first by name, the first rule. A gRPC service goes before a method of any
// service.
func compareRouteMatches(a, b routeMatch) int {
	return cmp.Or(
		compareBool(b.path.kind == routePathExact, a.path.kind == routePathExact),
		cmp.Compare(b.path.length(), a.path.length()),
		compareBool(b.path.kind == routePathMethod, a.path.kind == routePathMethod),
		compareBool(b.method != "", a.method != ""),
		cmp.Compare(len(b.headers), len(a.headers)),
		cmp.Compare(len(b.query), len(a.query)),
		compareRoutes(a.rule.route, b.rule.route),
		cmp.Compare(a.index, b.index),
		cmp.Compare(a.at, b.at),
	)
}

func compareRoutes(a, b *route) int {
	return cmp.Or(a.created.Compare(b.created), strings.Compare(a.name, b.name), strings.Compare(a.kind, b.kind))
}

// dotted tells whether the host was sent with a final dot. A proxy that shows it has not dropped it, and may find no route
// by that name but one that takes every host.
func (r *Request) dotted() bool {
	name, _, _ := strings.Cut(r.in.Host, ":")
	return strings.HasSuffix(name, ".")
}

// land appends the rules on which the request lands: one, where the Gateway API says so; all that could be meant, where
// it leaves that open. What lands on no rule of a host name goes on to the next wider one, as some data planes do.
func (r *router) land(req *Request, path string, out []*routeRule) []*routeRule {
	out, sure := r.exact[req.host].land(req, path, out)
	for i := 0; i < len(req.host) && !sure; i++ {
		if req.host[i] == '.' {
			out, sure = r.wild[req.host[i:]].land(req, path, out)
		}
	}
	if !sure || req.dotted() {
		out, _ = r.any.land(req, path, out)
	}
	return out
}

// land appends the rules that take the request; sure is true where one of them surely does. A nil bucket has none.
func (b *bucket) land(req *Request, path string, out []*routeRule) (rules []*routeRule, sure bool) {
	if b == nil {
		return out, false
	}
	out, sure = b.landAmong(req, path, nil, out)
	for i, found := 0, false; i < len(b.written) && !found; i++ {
		out, found = b.landAmong(req, path, func(m *routeMatch) bool { return m.written == b.written[i] }, out)
	}
	return out, sure
}

// landAmong looks at the matches of which among is true; nil for all. Behind the first of a kind of routes that surely
// takes the request, only those of this kind count whose rank is open. Between the kinds there is no rank.
func (b *bucket) landAmong(req *Request, path string, among func(*routeMatch) bool, out []*routeRule) (rules []*routeRule, found bool) {
	var foundHTTP, foundGRPC bool
	for i := range b.matches {
		m := &b.matches[i]
		taken := &foundHTTP
		if m.rule.route.kind == kindGRPCRoute {
			taken = &foundGRPC
		}
		if *taken && m.path.kind != routePathExpression || among != nil && !among(m) {
			continue
		}
		may, sure := m.takes(req, path)
		if !may {
			continue
		}
		*taken = *taken || sure
		if !slices.Contains(out, m.rule) {
			out = append(out, m.rule)
		}
	}
	return out, foundHTTP || foundGRPC
}
