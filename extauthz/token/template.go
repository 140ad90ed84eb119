package token

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

const (
	// maxInserted bounds a claim that is put into a template, in bytes.
	maxInserted = 1 << 10
	// maxTemplateURL bounds the URL that comes out; what servers and proxies agree on.
	maxTemplateURL = 2048
)

// errInserted is why a template cannot be filled in for an identity. It does not tell of the value.
var errInserted = errors.New("a claim is missing, or cannot stand where the template has it")

// Template is a text in which claims stand: {claims.NAME}, {identity.subject} or {identity.issuer}; {{ and }} stand for
// braces. It is immutable.
type Template struct{ parts []templatePart }

// templatePart is a literal, or where claim is not nil what a token says.
type templatePart struct {
	literal string
	claim   func(*Identity) (string, bool)
}

// ParseTemplate reads a template.
func ParseTemplate(s string) (Template, error) {
	var t Template
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			t.parts = append(t.parts, templatePart{literal: literal.String()})
			literal.Reset()
		}
	}
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			i = len(s)
		}
		literal.WriteString(s[:i])
		s = s[i:]
		switch {
		case s == "":
		case strings.HasPrefix(s, "{{"), strings.HasPrefix(s, "}}"):
			literal.WriteByte(s[0])
			s = s[2:]
		case s[0] == '}':
			return Template{}, errors.New("a } without its {; write }} for a brace")
		default:
			name, rest, closed := strings.Cut(s[1:], "}")
			if !closed {
				return Template{}, errors.New("a { without its }; write {{ for a brace")
			}
			claim, err := inserted(name)
			if err != nil {
				return Template{}, err
			}
			flush()
			t.parts = append(t.parts, templatePart{claim: claim})
			s = rest
		}
	}
	flush()
	return t, nil
}

// inserted reads what stands between braces.
func inserted(name string) (func(*Identity) (string, bool), error) {
	switch name {
	case "identity.subject":
		return func(id *Identity) (string, bool) { return id.Subject, true }, nil
	case "identity.issuer":
		return func(id *Identity) (string, bool) { return id.Issuer, true }, nil
	}
	claim, ok := strings.CutPrefix(name, "claims.")
	if !ok {
		return nil, errors.New("between braces stands claims.NAME, identity.subject or identity.issuer")
	}
	path, err := ParseClaimPath(claim)
	if err != nil {
		return nil, err
	}
	return func(id *Identity) (string, bool) {
		v, _ := id.Claim(path)
		return Text(v)
	}, nil
}

// inserts tells whether a claim stands in t.
func (t Template) inserts() bool {
	for _, p := range t.parts {
		if p.claim != nil {
			return true
		}
	}
	return false
}

// text is t without claims.
func (t Template) text() string {
	var b strings.Builder
	for _, p := range t.parts {
		b.WriteString(p.literal)
	}
	return b.String()
}

// fill puts what id says through encode, which refuses what cannot stand there, and into t.
func (t Template) fill(id *Identity, encode func(string) (string, bool)) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		if p.claim == nil {
			b.WriteString(p.literal)
			continue
		}
		v, ok := p.claim(id)
		if !ok || v == "" || len(v) > maxInserted {
			return "", errInserted
		}
		if v, ok = encode(v); !ok {
			return "", errInserted
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

// URLTemplate is a URL in whose path segments and query values claims stand. Whatever they are, the URL that comes out has
// the scheme and host, the number of segments and the names of parameters that the template has.
type URLTemplate struct {
	base     string // scheme and authority
	segments []Template
	query    []queryTemplate
}

// queryTemplate is one parameter; bare: it has no "=".
type queryTemplate struct {
	name  string
	bare  bool
	value Template
}

// ParseURLTemplate reads a URL template.
func ParseURLTemplate(s string) (*URLTemplate, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || scheme != "https" && scheme != "http" {
		return nil, errors.New("must be a URL such as https://rights.example.com/users/{claims.sub}")
	}
	if strings.ContainsAny(s, "#\\") || strings.Contains(s, "{{") || strings.Contains(s, "}}") || strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return nil, errors.New("must be visible ASCII without fragment, backslash and literal braces")
	}
	authority, path, query := rest, "", ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	// A claim whose name holds "/" or "?" cannot stand in a URL: its braces would be torn apart, and that is told.
	path, query, asks := strings.Cut(path, "?")
	t := &URLTemplate{base: scheme + "://" + authority}
	if u, err := url.Parse(t.base); err != nil || u.Hostname() == "" || u.User != nil || u.Host != authority || strings.ContainsAny(authority, "{}%") {
		return nil, errors.New("the host must be written out, without a user")
	}
	if err := t.parsePath(path); err != nil {
		return nil, err
	}
	if asks {
		if err := t.parseQuery(query); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *URLTemplate) parsePath(path string) error {
	if path == "" {
		return nil
	}
	for s := range strings.SplitSeq(path[1:], "/") {
		segment, err := ParseTemplate(s)
		if err != nil {
			return fmt.Errorf("path: %w", err)
		}
		literal, err := url.PathUnescape(segment.text())
		if err != nil {
			return errors.New("path: a bad escape")
		}
		if !segment.inserts() && (literal == "." || literal == "..") {
			return errors.New("path: the segments . and .. must not be there")
		}
		t.segments = append(t.segments, segment)
	}
	return nil
}

func (t *URLTemplate) parseQuery(query string) error {
	for pair := range strings.SplitSeq(query, "&") {
		name, value, valued := strings.Cut(pair, "=")
		if strings.ContainsAny(name, "{}") {
			return errors.New("query: a claim may stand in a value only, behind =")
		}
		parsed, err := ParseTemplate(value)
		if err != nil {
			return fmt.Errorf("query: %w", err)
		}
		if _, err := url.ParseQuery(name + "=" + parsed.text()); err != nil {
			return errors.New("query: a bad escape, or a ;")
		}
		t.query = append(t.query, queryTemplate{name: name, bare: !valued, value: parsed})
	}
	return nil
}

// Fill puts what id says into the template.
func (t *URLTemplate) Fill(id *Identity) (string, error) {
	var b strings.Builder
	b.WriteString(t.base)
	for _, segment := range t.segments {
		s, err := segment.fill(id, encodeSegment)
		if err != nil {
			return "", err
		}
		if whole, err := url.PathUnescape(s); err != nil || segment.inserts() && (whole == "." || whole == "..") {
			return "", errInserted
		}
		b.WriteByte('/')
		b.WriteString(s)
	}
	for i, q := range t.query {
		v, err := q.value.fill(id, encodeValue)
		if err != nil {
			return "", err
		}
		b.WriteByte("?&"[min(i, 1)])
		b.WriteString(q.name)
		if !q.bare {
			b.WriteByte('=')
			b.WriteString(v)
		}
	}
	if b.Len() > maxTemplateURL {
		return "", errInserted
	}
	return b.String(), nil
}

// encodeSegment encodes a part of a segment. Servers decode at different times, so what could end or split a segment in any
// of them is refused, not encoded.
func encodeSegment(s string) (string, bool) {
	if strings.ContainsAny(s, `/\%;?#`) {
		return "", false
	}
	return encodeValue(s)
}

// encodeValue encodes every byte that is not unreserved (RFC 3986 §2.3). Controls are refused.
func encodeValue(s string) (string, bool) {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c == 0x7f:
			return "", false
		case isUnreserved(c):
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String(), true
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// encodeHeader lets pass what can stand in the value of a header: visible ASCII, and spaces within.
func encodeHeader(s string) (string, bool) {
	return s, strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0 && strings.TrimSpace(s) == s
}

// encodeText lets every text pass: JSON has a spelling for each.
func encodeText(s string) (string, bool) { return s, true }
