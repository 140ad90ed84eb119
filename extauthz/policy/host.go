package policy

import (
	"errors"
	"net/netip"
	"strings"
)

// maxHost is the length of a DNS name (RFC 1035 §2.3.4).
const maxHost = 253

var errHost = errors.New("must be a host name such as orders.example.com, without scheme, port or path")

// normalizeHost is the one reading of a host, in requests and in objects alike: lower case in ASCII, one final dot
// dropped, and, where port is true, a port. IPv4 addresses pass as names; IPv6 addresses stand in brackets.
func normalizeHost(s string, port bool) (string, error) {
	if strings.HasPrefix(s, "[") {
		return normalizeIPv6(s, port)
	}
	if i := strings.IndexByte(s, ':'); i >= 0 {
		if !port || !isPort(s[i+1:]) {
			return "", errHost
		}
		s = s[:i]
	}
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > maxHost {
		return "", errHost
	}
	upper := false
	label := 0
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_':
			label++
		case 'A' <= c && c <= 'Z':
			upper = true
			label++
		case c == '-' && label > 0:
			label++
		case c == '.' && label > 0 && s[i-1] != '-':
			label = 0
		default:
			return "", errHost
		}
		if label > 63 {
			return "", errHost
		}
	}
	if label == 0 || s[len(s)-1] == '-' {
		return "", errHost
	}
	if upper {
		s = strings.ToLower(s)
	}
	return s, nil
}

func normalizeIPv6(s string, port bool) (string, error) {
	end := strings.IndexByte(s, ']')
	if end < 0 {
		return "", errHost
	}
	if rest := s[end+1:]; rest != "" && (!port || rest[0] != ':' || !isPort(rest[1:])) {
		return "", errHost
	}
	addr, err := netip.ParseAddr(s[1:end])
	if err != nil || !addr.Is6() || addr.Zone() != "" {
		return "", errHost
	}
	return "[" + addr.String() + "]", nil
}

func isPort(s string) bool {
	if len(s) == 0 || len(s) > 5 {
		return false
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n <= 65535
}

// normalizePattern reads a host of a policy: a host, "*." in front of one, or "*".
func normalizePattern(s string) (string, error) {
	if s == "*" {
		return s, nil
	}
	if rest, ok := strings.CutPrefix(s, "*."); ok {
		h, err := normalizeHost(rest, false)
		if err != nil || strings.HasPrefix(h, "[") {
			return "", errHost
		}
		return "*." + h, nil
	}
	return normalizeHost(s, false)
}
