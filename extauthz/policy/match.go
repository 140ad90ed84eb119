package policy

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// match is one compiled match of a rule.
type match struct {
	pattern pattern
	methods []string
	headers []valueMatch
	query   []valueMatch
	// host that the match is about alone; empty for every host of the table.
	host string
	// captures of the pattern, by name.
	captures []capture
	// rank orders the matches of one pattern: names methods, then headers, then query parameters.
	rank uint32
}

type capture struct {
	name string
	at   int
}

// valueMatch is a condition on a header or a query parameter.
type valueMatch struct {
	name  string
	value string
	re    *regexp.Regexp // nil: compared with value
}

func (v *valueMatch) holds(value string) bool {
	if v.re != nil {
		return v.re.MatchString(value)
	}
	return value == v.value
}

// capture is the segment of p that the match captures under name.
func (m *match) capture(p *path, name string) (string, bool) {
	for _, c := range m.captures {
		if c.name == name && c.at < len(p.segs) {
			return p.segs[c.at], true
		}
	}
	return "", false
}

// fits tells whether method, headers and query of req are as the match wants them. ambiguous is true where a query
// parameter that it asks for could be read in two ways.
func (m *match) fits(req *Request, method string) (fits, ambiguous bool) {
	if len(m.methods) > 0 && !slices.Contains(m.methods, method) || m.host != "" && m.host != req.host {
		return false, false
	}
	for i := range m.headers {
		v, ok := req.Header(m.headers[i].name)
		if !ok || !m.headers[i].holds(v) {
			return false, false
		}
	}
	for i := range m.query {
		v, present, ambiguous := queryValue(req.query, m.query[i].name)
		if ambiguous {
			return false, true
		}
		if !present || !m.query[i].holds(v) {
			return false, false
		}
	}
	return true, false
}

// compareEntries is the order in which a lookup tries the matches of one pattern: by rank, then policy, then rule.
func compareEntries(a, b entry) int {
	return cmp.Or(
		cmp.Compare(b.match.rank, a.match.rank),
		a.rule.policy.compare(b.rule.policy),
		cmp.Compare(a.rule.index, b.rule.index),
	)
}

// compileMatch compiles one match. ok is false where the routes it claims cannot be known. A match of which something
// does not compile comes without conditions: its rule, which refuses, claims at least what it should.
func compileMatch(m *v1alpha1.RouteMatch, o pathOptions, at *field.Path, p *problems) (out match, ok bool) {
	before := p.errors
	if m.GRPC != nil {
		out, ok = compileGRPC(m, at, p)
	} else {
		var unreadable, bad error
		out.pattern, unreadable, bad = parsePattern(m.Path, o)
		ok = unreadable == nil
		for _, err := range []error{unreadable, bad} {
			if err != nil {
				p.invalid(at.Child("path", "value"), pathValue(m.Path), err.Error())
			}
		}
		out.methods = compileMethods(m.Methods, at.Child("methods"), p)
	}
	out.headers = compileValues(m.Headers, true, at.Child("headers"), p)
	out.query = compileValues(m.QueryParams, false, at.Child("queryParams"), p)
	for i, s := range out.pattern.segs {
		if s.name != "" {
			out.captures = append(out.captures, capture{s.name, i})
		}
	}
	out.rank = rankOf(len(out.methods) > 0, len(m.Headers), len(m.QueryParams))
	if p.errors > before {
		out.methods, out.headers, out.query = nil, nil, nil
	}
	return out, ok
}

// rankOf is the rank of a match that names methods, or not, and so many headers and query parameters.
func rankOf(methods bool, headers, query int) uint32 {
	named := uint32(0)
	if methods {
		named = 1
	}
	const most = 1<<15 - 1
	return named<<30 | uint32(min(headers, most))<<15 | uint32(min(query, most))
}

func pathValue(m *v1alpha1.PathMatch) string {
	if m == nil {
		return "/"
	}
	return valueOr(m.Value, "/")
}

func compileGRPC(m *v1alpha1.RouteMatch, at *field.Path, p *problems) (match, bool) {
	if m.Path != nil || len(m.Methods) > 0 {
		p.invalid(at.Child("grpc"), "", "stands for a path and the method POST; say either grpc, or path and methods")
	}
	out := match{methods: []string{"POST"}}
	out.pattern.segs = []segment{{kind: segmentLiteral, text: m.GRPC.Service}, {kind: segmentCapture}}
	ok := m.Path == nil // which of the two paths it claims, nobody knows
	if !grpcService.MatchString(m.GRPC.Service) {
		p.invalid(at.Child("grpc", "service"), m.GRPC.Service, "must be the name of a service with its package, such as shop.v1.Checkout")
		ok = false
	}
	if m.GRPC.Method != "" {
		out.pattern.segs[1] = segment{kind: segmentLiteral, text: m.GRPC.Method}
		if !grpcMethod.MatchString(m.GRPC.Method) {
			p.invalid(at.Child("grpc", "method"), m.GRPC.Method, "must be the name of a method, such as Pay; leave it out for every method")
			ok = false
		}
	}
	return out, ok
}

// Names as the schema has them. Any other would claim a path that no gRPC client asks for, and nothing else.
var (
	grpcService = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)
	grpcMethod  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	methodName  = regexp.MustCompile(`^[A-Z]+(-[A-Z]+)*$`)
)

func compileMethods(methods []string, at *field.Path, p *problems) []string {
	if methods != nil && len(methods) == 0 {
		p.required(at, "an empty list takes no method; leave methods out for every one")
	}
	for i, m := range methods {
		switch {
		case !methodName.MatchString(strings.ToUpper(m)):
			p.invalid(at.Index(i), m, "is no HTTP method; leave methods out for every one")
		case m != strings.ToUpper(m):
			p.invalid(at.Index(i), m, fmt.Sprintf("methods are compared with case; write %s", strings.ToUpper(m)))
		case slices.Contains(methods[:i], m):
			p.invalid(at.Index(i), m, "stands here twice")
		}
	}
	return slices.Clone(methods)
}

func compileValues(in []v1alpha1.ValueMatch, header bool, at *field.Path, p *problems) []valueMatch {
	var out []valueMatch
	for i := range in {
		v := valueMatch{name: in[i].Name, value: in[i].Value}
		if header {
			v.name = strings.ToLower(v.name)
			switch {
			case !isToken(v.name):
				p.invalid(at.Index(i).Child("name"), in[i].Name, "is no name of a header")
			case v.name == "host":
				p.invalid(at.Index(i).Child("name"), in[i].Name, "is not among the headers that are judged; name hosts in spec.hosts")
			}
		}
		if v.name == "" {
			p.required(at.Index(i).Child("name"), "name what is compared")
		}
		if slices.ContainsFunc(out, func(o valueMatch) bool { return o.name == v.name }) {
			p.invalid(at.Index(i).Child("name"), in[i].Name, "stands here twice; a condition on it is written once")
		}
		switch typ := valueOr(in[i].Type, v1alpha1.ValueMatchExact); typ {
		case v1alpha1.ValueMatchExact:
		case v1alpha1.ValueMatchRegularExpression:
			re, err := compileAnchored(v.value)
			if err != nil {
				p.invalid(at.Index(i).Child("value"), v.value, err.Error())
			}
			v.re = re
		default:
			p.invalid(at.Index(i).Child("type"), string(typ), "is not known: must be Exact or RegularExpression")
		}
		out = append(out, v)
	}
	return out
}
