package policy

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"
)

// router tells on which rules of routes a request lands at one listener, by the precedence of the Gateway API.
type router struct {
	exact map[string][]routeMatch
	wild  map[string][]routeMatch // by suffix, with the dot in front
	any   []routeMatch
}

// routeMatch is one match of one rule of a route.
type routeMatch struct {
	rule *routeRule
	path routePath
	// method of the request; empty for any.
	method  string
	headers []routeValue
	query   []routeValue
	// index of the rule in its route, and of the match in its rule.
	index, at int
}

// routeRule is one rule of a route.
type routeRule struct {
	// route is "Kind namespace/name", and created when it was: ties between routes go by these.
	route   string
	created time.Time
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
	re    *regexp.Regexp // nil where it does not compile, and then may match
}

// routeValue compares a header or a query parameter of a route.
type routeValue struct {
	name, value string
	expression  bool
	re          *regexp.Regexp
}

// holds tells whether the value may match, and whether that is sure.
func (v *routeValue) holds(value string) (may, sure bool) {
	if !v.expression {
		return value == v.value, true
	}
	return v.re == nil || v.re.MatchString(value), false
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
	for i := range m.headers {
		value, present := req.Header(m.headers[i].name)
		ok, certain := m.headers[i].holds(value)
		if !present || !ok {
			return false, true
		}
		sure = sure && certain
	}
	for i := range m.query {
		value, present, ambiguous := queryValue(req.query, m.query[i].name)
		if ambiguous {
			sure = false // implementations read it in different ways
			continue
		}
		ok, certain := m.query[i].holds(value)
		if !present || !ok {
			return false, true
		}
		sure = sure && certain
	}
	return true, sure
}

// set adds the matches of a route for a host name, which may be a wildcard or empty for any.
func (r *router) set(hostname string, matches []routeMatch) {
	switch {
	case hostname == "":
		r.any = append(r.any, matches...)
	case strings.HasPrefix(hostname, "*."):
		if r.wild == nil {
			r.wild = map[string][]routeMatch{}
		}
		r.wild[hostname[1:]] = append(r.wild[hostname[1:]], matches...)
	default:
		if r.exact == nil {
			r.exact = map[string][]routeMatch{}
		}
		r.exact[hostname] = append(r.exact[hostname], matches...)
	}
}

// sort puts matches into the order of precedence. Call it before the first lookup.
func (r *router) sort() {
	slices.SortStableFunc(r.any, compareRouteMatches)
	for _, m := range r.exact {
		slices.SortStableFunc(m, compareRouteMatches)
	}
	for _, m := range r.wild {
		slices.SortStableFunc(m, compareRouteMatches)
	}
}

// compareRouteMatches is the precedence of HTTPRoute: exact path, longest prefix, method, most headers, most query
// parameters; then the oldest route, the first by name, the first rule.
func compareRouteMatches(a, b routeMatch) int {
	return cmp.Or(
		compareBool(b.path.kind == routePathExact, a.path.kind == routePathExact),
		cmp.Compare(len(b.path.value), len(a.path.value)),
		compareBool(b.method != "", a.method != ""),
		cmp.Compare(len(b.headers), len(a.headers)),
		cmp.Compare(len(b.query), len(a.query)),
		a.rule.created.Compare(b.rule.created),
		strings.Compare(a.rule.route, b.rule.route),
		cmp.Compare(a.index, b.index),
		cmp.Compare(a.at, b.at),
	)
}

// matches are those of the most specific host name that takes host.
func (r *router) matches(host string) []routeMatch {
	if m := r.exact[host]; m != nil {
		return m
	}
	for i := 0; i < len(host) && len(r.wild) > 0; i++ {
		if host[i] == '.' {
			if m := r.wild[host[i:]]; m != nil {
				return m
			}
		}
	}
	return r.any
}

// land appends the rules on which the request lands: one, where the Gateway API says so; all that could be meant, where
// it leaves that open.
func (r *router) land(req *Request, path string, out []*routeRule) []*routeRule {
	found := false
	matches := r.matches(req.host)
	for i := range matches {
		m := &matches[i]
		may, sure := m.takes(req, path)
		if !may || found && sure {
			continue
		}
		found = found || sure
		if !slices.Contains(out, m.rule) {
			out = append(out, m.rule)
		}
	}
	return out
}
