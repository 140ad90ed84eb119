package token

import "strings"

// normalizeURI brings an http or https URI into the form in which those of proofs compare (RFC 9449 §4.3; RFC 3986 §6.2.2
// and §6.2.3): without query and fragment, scheme and host in lower case, without the scheme's own port, "/" for no path,
// escapes of what needs none undone and the others in capital letters. What would have to be guessed at is no such URI: a
// user, an escape that is none, a dot segment, a control character or a blank.
func normalizeURI(uri string) (string, bool) {
	scheme, rest, ok := strings.Cut(uri, "://")
	scheme = lowerASCII(scheme)
	if !ok || scheme != "https" && scheme != "http" {
		return "", false
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	host, path := rest, "/"
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	if host, ok = normalizeAuthority(scheme, host); !ok {
		return "", false
	}
	if path, ok = normalizeEscapes(path); !ok || hasDotSegment(path) {
		return "", false
	}
	return scheme + "://" + host + path, true
}

// normalizeAuthority drops the scheme's own port, and a final dot of the name.
func normalizeAuthority(scheme, host string) (string, bool) {
	if strings.IndexFunc(host, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`@\%"<>^{|}`, r) }) >= 0 {
		return "", false
	}
	host, port := lowerASCII(host), ""
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host, port = host[:i], host[i+1:]
	}
	if strings.Trim(port, "0123456789") != "" || strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		return "", false
	}
	if host = strings.TrimSuffix(host, "."); host == "" {
		return "", false
	}
	if port == "" || scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		return host, true
	}
	return host + ":" + port, true
}

func normalizeEscapes(path string) (string, bool) {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c <= ' ' || c == 0x7f || c == '\\':
			return "", false
		case c != '%':
			b.WriteByte(c)
			continue
		case i+2 >= len(path):
			return "", false
		}
		high, low := unhex(path[i+1]), unhex(path[i+2])
		if high < 0 || low < 0 {
			return "", false
		}
		if decoded := byte(high<<4 | low); isUnreserved(decoded) {
			b.WriteByte(decoded)
		} else {
			b.WriteString("%" + digits[high:high+1] + digits[low:low+1])
		}
		i += 2
	}
	return b.String(), true
}

func hasDotSegment(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lower(c)
	}
	return string(b)
}
