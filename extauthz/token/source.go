package token

import (
	"fmt"
	"strings"
)

// Source is one place where a token may stand. Exactly one of Header, Cookie and QueryParameter is set.
type Source struct {
	// Header is the lower-case name of a header field. Scheme, compared without case, stands before the
	// token; "" means that the whole value is the token.
	Header, Scheme string
	// Cookie is the name of a cookie; case counts.
	Cookie string
	// QueryParameter is the name of a query parameter, decoded; case counts.
	QueryParameter string
}

func (s Source) same(o Source) bool {
	return s.Header == o.Header && s.Cookie == o.Cookie && s.QueryParameter == o.QueryParameter &&
		equalASCIIFold(s.Scheme, o.Scheme)
}

// Carrier is a request as far as tokens are concerned.
type Carrier interface {
	// Header returns the value of the field with this lower-case name; several fields of one name are joined
	// with ",".
	Header(name string) (value string, ok bool)
	// Query returns the raw query, without "?".
	Query() string
}

// Credential is a token as the request shows it, not verified. The zero value says that none was shown.
// Raw may share memory with the request.
type Credential struct {
	Raw    string
	Source Source
}

// Extract finds the one token that the request shows at any source of the trusted providers.
//
// The zero Credential means that none was shown. The error wraps ErrAmbiguousCredential when there is more
// than one, or when servers could differ on which it is, and ErrMalformed when a scheme stands there with
// nothing behind it. Extract does not allocate unless it returns an error.
func Extract(c Carrier, trusted []*Provider) (Credential, error) {
	var found Credential
	for i, p := range trusted {
		for j, source := range p.Sources {
			if seen(trusted[:i], source) || readsAny(p.Sources[:j], source) {
				continue
			}
			raw, err := source.read(c)
			if err != nil {
				return Credential{}, err
			}
			if raw == "" {
				continue
			}
			if found.Raw != "" {
				return Credential{}, fmt.Errorf("%w: two places of the request hold one", ErrAmbiguousCredential)
			}
			found = Credential{Raw: raw, Source: source}
		}
	}
	return found, nil
}

func seen(providers []*Provider, s Source) bool {
	for _, p := range providers {
		if p.reads(s) {
			return true
		}
	}
	return false
}

func readsAny(sources []Source, s Source) bool {
	for _, o := range sources {
		if o.same(s) {
			return true
		}
	}
	return false
}

// read returns the token at s, "" where there is none.
func (s Source) read(c Carrier) (string, error) {
	switch {
	case s.Header != "" && s.Scheme != "":
		value, _ := c.Header(s.Header)
		return schemeToken(value, s.Scheme)
	case s.Header != "":
		value, _ := c.Header(s.Header)
		return plainToken(value)
	case s.Cookie != "":
		value, _ := c.Header("cookie")
		return cookieToken(value, s.Cookie)
	case s.QueryParameter != "":
		return queryToken(c.Query(), s.QueryParameter)
	}
	return "", nil
}

// schemeToken reads "scheme 1*SP token" (RFC 9110 §11.4). A comma joins two fields, or the parameters of
// another scheme: beside the scheme that is looked for, neither is acceptable.
func schemeToken(value, scheme string) (string, error) {
	rest, parts, shown := value, 0, false
	var token string
	for more := true; more; parts++ {
		var part string
		part, rest, more = strings.Cut(rest, ",")
		if after, ok := cutScheme(trimBlank(part), scheme); ok {
			token, shown = after, true
		}
	}
	switch {
	case !shown:
		return "", nil
	case parts > 1:
		return "", fmt.Errorf("%w: several values in one header", ErrAmbiguousCredential)
	}
	if token = strings.TrimLeft(token, " "); token == "" {
		return "", malformed("nothing behind the scheme")
	}
	return token, nil
}

// cutScheme returns what follows the scheme, blanks included, and whether value has that scheme.
func cutScheme(value, scheme string) (after string, ok bool) {
	if len(value) < len(scheme) || !equalASCIIFold(value[:len(scheme)], scheme) {
		return "", false
	}
	after = value[len(scheme):]
	return after, after == "" || after[0] == ' ' || after[0] == '\t'
}

func plainToken(value string) (string, error) {
	value = trimBlank(value)
	if strings.IndexByte(value, ',') >= 0 {
		return "", fmt.Errorf("%w: several values in one header", ErrAmbiguousCredential)
	}
	return value, nil
}

// cookieToken splits at ',' too, because a proxy may join two Cookie fields with it.
func cookieToken(header, name string) (string, error) {
	var token string
	found := false
	for header != "" {
		var pair string
		if end := strings.IndexAny(header, ";,"); end >= 0 {
			pair, header = header[:end], header[end+1:]
		} else {
			pair, header = header, ""
		}
		key, value, _ := strings.Cut(trimBlank(pair), "=")
		if trimBlank(key) != name {
			continue
		}
		if found || key != name {
			return "", fmt.Errorf("%w: the cookie stands there twice, or blanks surround its name", ErrAmbiguousCredential)
		}
		token, found = value, true
	}
	return token, nil
}

func queryToken(query, name string) (string, error) {
	var token string
	found := false
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(pair, "=")
		if !equalDecoded(key, name) {
			continue
		}
		if found || key != name {
			return "", fmt.Errorf("%w: the query parameter stands there twice, or its name is encoded", ErrAmbiguousCredential)
		}
		token, found = value, true
	}
	return token, nil
}

// equalDecoded reports whether encoded, a name in a query, stands for name: with "+" and escapes decoded
// once, or as it is. An escape that is none stands for itself.
func equalDecoded(encoded, name string) bool {
	if encoded == name {
		return true
	}
	n := 0
	for i := 0; i < len(encoded); i, n = i+1, n+1 {
		if n == len(name) {
			return false
		}
		c := encoded[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(encoded):
			if high, low := unhex(encoded[i+1]), unhex(encoded[i+2]); high >= 0 && low >= 0 {
				c, i = byte(high<<4|low), i+2
			}
		}
		if c != name[n] {
			return false
		}
	}
	return n == len(name)
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

// trimBlank removes the optional white space of RFC 9110 §5.6.3 at both ends.
func trimBlank(s string) string { return strings.Trim(s, " \t") }

// equalASCIIFold compares without ASCII case. Unicode's folding would take the Kelvin sign for a k.
func equalASCIIFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}
