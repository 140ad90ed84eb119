package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// segmentKind is what a segment of a pattern stands for. The order is that of specificity.
type segmentKind uint8

const (
	segmentTail segmentKind = iota // beyond the end of a prefix
	segmentCapture
	segmentExpression
	segmentLiteral
)

// segment is one segment of a pattern.
type segment struct {
	kind segmentKind
	// text of a literal, decoded; source of an expression.
	text string
	// name of a capture; may be empty.
	name string
	// re of an expression; nil where it does not compile, and then stands for any segment.
	re *regexp.Regexp
}

// pattern is a set of paths.
type pattern struct {
	segs []segment
	end  patternEnd
}

// patternEnd is how a pattern ends.
type patternEnd uint8

const (
	endExact  patternEnd = iota // without a final slash
	endSlash                    // with a final slash
	endPrefix                   // any further segments
)

// literal tells whether the pattern consists of literals only.
func (p *pattern) literal() bool {
	for i := range p.segs {
		if p.segs[i].kind != segmentLiteral {
			return false
		}
	}
	return true
}

// String writes the pattern as a Template would be written.
func (p *pattern) String() string {
	var b strings.Builder
	for i := range p.segs {
		b.WriteByte('/')
		switch s := &p.segs[i]; s.kind {
		case segmentCapture:
			b.WriteString("{" + s.name + "}")
		case segmentExpression:
			b.WriteString("{" + s.name + ":" + s.text + "}")
		default:
			b.WriteString(s.text)
		}
	}
	switch {
	case p.end == endPrefix:
		b.WriteString("/**")
	case p.end == endSlash || len(p.segs) == 0:
		b.WriteByte('/')
	}
	return b.String()
}

var (
	errPathStart  = errors.New(`must start with "/"`)
	errPathBraces = errors.New(`"{" and "}" mean something only in type Template; write %7B and %7D for the characters`)
	errPathStar   = errors.New(`"*" means nothing here: PathPrefix takes what is below by itself, a Template has {name} for one segment and a final ** for the rest; write %2A for the character`)
	errPathEmpty  = errors.New("an empty expression matches no segment; write {name} for any")
	errPathRead   = errors.New("no request can have this path: it holds an empty or dot segment, or a character that is refused; write the path as it is sent, percent-encoded")
)

// parsePattern reads the path of a match. A second error, which leaves a usable pattern, says that an expression does
// not compile or a name is used twice.
func parsePattern(m *v1alpha1.PathMatch, o pathOptions) (p pattern, unreadable, broken error) {
	typ, value := v1alpha1.PathMatchPathPrefix, "/"
	if m != nil {
		typ, value = valueOr(m.Type, typ), valueOr(m.Value, value)
	}
	if !strings.HasPrefix(value, "/") {
		return pattern{}, errPathStart, nil
	}
	o.stripSemicolon = false // no path has one once it is read; a pattern with one would claim more than it says
	switch typ {
	case v1alpha1.PathMatchExact, v1alpha1.PathMatchPathPrefix:
		p, unreadable = parseLiteralPath(value, o)
		if typ == v1alpha1.PathMatchPathPrefix {
			p.end = endPrefix
		}
		return p, unreadable, nil
	case v1alpha1.PathMatchTemplate:
		return parseTemplate(value, o)
	}
	return pattern{}, fmt.Errorf("type %q is not known: must be Exact, PathPrefix or Template", typ), nil
}

func parseLiteralPath(value string, o pathOptions) (pattern, error) {
	if strings.ContainsAny(value, "{}") {
		return pattern{}, errPathBraces
	}
	if strings.Contains(value, "*") {
		return pattern{}, errPathStar
	}
	read, ok := splitPath(value, o, nil)
	if !ok {
		return pattern{}, errPathRead
	}
	p := pattern{segs: make([]segment, len(read.segs))}
	for i, s := range read.segs {
		p.segs[i] = segment{kind: segmentLiteral, text: s}
	}
	if read.slash {
		p.end = endSlash
	}
	return p, nil
}

func parseTemplate(value string, o pathOptions) (p pattern, unreadable, broken error) {
	parts, err := splitTemplate(value[1:])
	if err != nil {
		return pattern{}, err, nil
	}
	if len(parts) > maxSegments {
		return pattern{}, fmt.Errorf("has more than %d segments", maxSegments), nil
	}
	names := map[string]bool{}
	for i, part := range parts {
		last := i == len(parts)-1
		switch {
		case part == "" && last:
			if i > 0 {
				p.end = endSlash
			}
			continue
		case part == "**" && last:
			p.end = endPrefix
			continue
		}
		s, err, warn := parseTemplateSegment(part, o)
		if err != nil {
			return pattern{}, err, nil
		}
		if s.name != "" && names[s.name] {
			warn = fmt.Errorf("captures %q twice; give each segment a name of its own", s.name)
		}
		names[s.name] = true
		if warn != nil {
			broken = warn
		}
		p.segs = append(p.segs, s)
	}
	return p, nil, broken
}

// splitTemplate cuts at slashes outside of braces.
func splitTemplate(s string) ([]string, error) {
	var parts []string
	depth, start := 0, 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			depth--
		case '/':
			if depth == 0 {
				parts = append(parts, s[start:i])
				start = i + 1
			}
		}
	}
	if depth != 0 {
		return nil, errors.New(`has a "{" without "}", or the other way round`)
	}
	return append(parts, s[start:]), nil
}

func parseTemplateSegment(part string, o pathOptions) (s segment, unreadable, broken error) {
	if !strings.ContainsAny(part, "{}") {
		if strings.Contains(part, "*") {
			return segment{}, errPathStar, nil
		}
		text, ok := decodeSegment(part, o)
		if !ok {
			return segment{}, errPathRead, nil
		}
		return segment{kind: segmentLiteral, text: text}, nil, nil
	}
	if part[0] != '{' || closingBrace(part) != len(part)-1 {
		return segment{}, fmt.Errorf("segment %q: a segment is a literal, {name} or {name:expression}, as a whole", part), nil
	}
	name, expr, isExpr := strings.Cut(part[1:len(part)-1], ":")
	if !isIdentifier(name) {
		return segment{}, fmt.Errorf("segment %q: %q is no name; use letters, digits and _", part, name), nil
	}
	if !isExpr {
		return segment{kind: segmentCapture, name: name}, nil, nil
	}
	s = segment{kind: segmentExpression, name: name, text: expr}
	if expr == "" {
		return s, nil, errPathEmpty
	}
	re, err := compileAnchored(expr)
	if err != nil {
		return s, nil, fmt.Errorf("segment %q: %w", part, err)
	}
	s.re = re
	return s, nil, nil
}

// closingBrace is where the brace ends with which s begins; -1 where it does not.
func closingBrace(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// compileAnchored compiles an RE2 expression that must match a whole value.
func compileAnchored(expr string) (*regexp.Regexp, error) {
	// Compiled alone first: "a)(b" would be sound inside the group.
	if _, err := regexp.Compile(expr); err != nil {
		return nil, err
	}
	return regexp.Compile(`\A(?:` + expr + `)\z`)
}

// isIdentifier tells whether s is letters, digits and _, and does not begin with a digit.
func isIdentifier(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// valueOr is *p, or def where p is nil.
func valueOr[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}
