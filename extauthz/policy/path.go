package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxPath bounds a path; above what Envoy's own limits let through in practice, and small enough to walk at once.
	maxPath = 8 << 10
	// maxSegments bounds the segments of a path, and so the work of a lookup.
	maxSegments = 128
	// notInPath are the printable characters that no URL has in its path (RFC 3986 §3.3). A server that meets one may give
	// up on the path as it was sent and escape the decoded one anew, as Go's URL.EscapedPath does. An encoded slash then
	// separates.
	notInPath = "\"<>^`{|}"
)

// pathOptions are how the servers of a host read what parsers disagree on.
type pathOptions struct {
	keepEncodedSlash bool
	stripSemicolon   bool
}

// splitPath reads a path, without query, into its segments, each percent-decoded once, and tells whether it ends with a
// "/" beyond the root. The segments are appended to segs. ok is false where two parsers could read the path differently.
func splitPath(raw string, o pathOptions, segs []string) (p path, ok bool) {
	if raw == "" || raw[0] != '/' || len(raw) > maxPath {
		return path{}, false
	}
	if o.keepEncodedSlash && strings.ContainsAny(raw, notInPath) && (strings.Contains(raw, "%2F") || strings.Contains(raw, "%2f")) {
		return path{}, false
	}
	rest := raw[1:]
	for rest != "" {
		seg, tail, found := strings.Cut(rest, "/")
		decoded, ok := decodeSegment(seg, o)
		if !ok || len(segs) == maxSegments {
			return path{}, false
		}
		segs = append(segs, decoded)
		if found && tail == "" {
			return path{segs: segs, slash: true}, true
		}
		rest = tail
	}
	return path{segs: segs}, true
}

// decodeSegment reads one segment. It refuses the empty segment, dot segments, and every character, raw or encoded, that
// some parser takes for more than data.
func decodeSegment(s string, o pathOptions) (string, bool) {
	encoded, ok := scanSegment(s)
	if !ok {
		return "", false
	}
	if i := strings.IndexByte(s, ';'); i >= 0 {
		if !o.stripSemicolon {
			return "", false
		}
		if _, ok := unescape(s[i:], false); !ok {
			return "", false
		}
		s = s[:i]
	}
	if encoded {
		if s, ok = unescape(s, o.keepEncodedSlash); !ok {
			return "", false
		}
		if strings.Contains(s, "/") {
			for part := range strings.SplitSeq(s, "/") {
				if isDotOrEmpty(part) {
					return "", false
				}
			}
			return s, true
		}
	}
	return s, !isDotOrEmpty(s)
}

func isDotOrEmpty(s string) bool { return s == "" || s == "." || s == ".." }

// What a raw byte of a segment may be.
const (
	inSegment = iota
	percent
	notInSegment
)

// segmentBytes says it for each byte.
var segmentBytes = func() (of [256]byte) {
	for i := range of {
		switch c := byte(i); {
		case c <= ' ', c >= 0x7f, c == '\\', c == '#', c == '?':
			of[i] = notInSegment
		case c == '%':
			of[i] = percent
		}
	}
	return of
}()

// scanSegment refuses raw bytes that have no place in a segment and tells whether any is percent-encoded.
func scanSegment(s string) (encoded, ok bool) {
	var all byte
	for i := range len(s) {
		all |= segmentBytes[s[i]]
	}
	return all&percent != 0, all&notInSegment == 0
}

// unescape decodes percent-encoding once. It refuses bad escapes, and those of characters that mean something in a path
// or are none: / unless keepSlash, \ . ; ? # %, controls, and what is not UTF-8.
func unescape(s string, keepSlash bool) (string, bool) {
	if !strings.Contains(s, "%") {
		return s, true
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 >= len(s) {
				return "", false
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			c = byte(hi<<4 | lo)
			i += 2
			switch c {
			case '\\', '.', ';', '?', '#', '%':
				return "", false
			case '/':
				if !keepSlash {
					return "", false
				}
			}
		}
		b.WriteByte(c)
	}
	out := b.String()
	return out, isPrintable(out)
}

// isPrintable tells whether s is valid UTF-8 without controls (C0, DEL and C1).
func isPrintable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	return strings.IndexFunc(s, unicode.IsControl) < 0
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// path is one reading of the path of a request.
type path struct {
	segs    []string
	slash   bool
	options pathOptions
}

// String writes the segments as one decoded path, for expressions. A "/" that is data of its segment stays encoded, so
// that the text can be read in one way only.
func (p *path) String() string {
	if len(p.segs) == 0 {
		return "/"
	}
	var b strings.Builder
	for _, s := range p.segs {
		b.WriteByte('/')
		b.WriteString(strings.ReplaceAll(s, "/", "%2F"))
	}
	if p.slash {
		b.WriteByte('/')
	}
	return b.String()
}

// queryValue finds the parameter name in a raw query. ambiguous is true where parsers could disagree on its value: it
// stands there twice, an escape is bad, a ";" could separate parameters, or a "#" end them.
func queryValue(raw, name string) (value string, present, ambiguous bool) {
	if strings.Contains(raw, "#") {
		return "", false, true
	}
	for pair := range strings.SplitSeq(raw, "&") {
		k, v, _ := strings.Cut(pair, "=")
		key, okKey := unescapeQuery(k)
		if !okKey {
			return "", false, true
		}
		if key != name {
			if strings.Contains(pair, ";") {
				return "", false, true
			}
			continue
		}
		val, okVal := unescapeQuery(v)
		if present || !okVal || strings.Contains(pair, ";") {
			return "", false, true
		}
		value, present = val, true
	}
	return value, present, false
}

// unescapeQuery decodes a name or a value of a query (application/x-www-form-urlencoded).
func unescapeQuery(s string) (string, bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, true
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if i+2 >= len(s) {
				return "", false
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			c = byte(hi<<4 | lo)
			i += 2
		}
		b.WriteByte(c)
	}
	return b.String(), true
}
