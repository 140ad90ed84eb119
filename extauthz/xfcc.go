package extauthz

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// forwardedCertificate is the certificate in the element of X-Forwarded-Client-Cert that hops trusted proxies in front of
// Envoy have left behind: with 0 the last element, and one further to the left for each proxy that has appended its own.
// What stands left of it is somebody's word. An element has Hash, the SHA-256 in hexadecimal, or Cert, or both, which agree.
// A header that can be read in two ways tells nothing.
func forwardedCertificate(header string, hops int) (sum [sha256.Size]byte, ok bool) {
	var elements [][]xfccPair
	for rest := header; ; {
		var pairs []xfccPair
		var more bool
		if pairs, rest, more, ok = xfccElement(rest); !ok {
			return sum, false
		}
		elements = append(elements, pairs)
		if !more {
			break
		}
	}
	if hops >= len(elements) {
		return sum, false
	}
	return certificateOf(elements[len(elements)-1-hops])
}

// certificateOf is what the pairs of one element say.
func certificateOf(pairs []xfccPair) (sum [sha256.Size]byte, ok bool) {
	var hashes, certs int
	var byCert [sha256.Size]byte
	for _, p := range pairs {
		switch {
		case strings.EqualFold(p.key, "Hash"):
			hashes++
			b, err := hex.DecodeString(p.value)
			if err != nil || len(b) != len(sum) {
				return sum, false
			}
			sum = [sha256.Size]byte(b)
		case strings.EqualFold(p.key, "Cert"):
			certs++
			if byCert, ok = thumbprint(p.value); !ok {
				return sum, false
			}
		}
	}
	switch {
	case hashes > 1 || certs > 1 || hashes+certs == 0 || hashes == 1 && certs == 1 && sum != byCert:
		return sum, false
	case certs == 1:
		sum = byCert
	}
	return sum, true
}

// xfccPair is key=value of an element, without quotes.
type xfccPair struct{ key, value string }

// xfccElement reads the pairs up to the next comma, which separates elements, as ";" does pairs; more tells whether there
// was one. A value that holds one of these, or "=", stands in quotes, in which a quote has a backslash before it.
func xfccElement(s string) (pairs []xfccPair, rest string, more, ok bool) {
	s = strings.TrimLeft(s, " \t")
	for {
		end := strings.IndexAny(s, "=,;\" ")
		if end <= 0 || s[end] != '=' {
			return nil, "", false, false
		}
		p := xfccPair{key: s[:end]}
		if s = s[end+1:]; strings.HasPrefix(s, `"`) {
			p.value, s, ok = quotedValue(s[1:])
		} else {
			end := len(s)
			if i := strings.IndexAny(s, `,;"`); i >= 0 {
				end = i
			}
			p.value, s, ok = strings.TrimRight(s[:end], " \t"), s[end:], true
		}
		pairs = append(pairs, p)
		s = strings.TrimLeft(s, " \t")
		switch {
		case !ok:
			return nil, "", false, false
		case s == "":
			return pairs, "", false, true
		case s[0] == ',':
			return pairs, s[1:], true, true
		case s[0] != ';':
			return nil, "", false, false
		}
		s = strings.TrimLeft(s[1:], " \t")
	}
}

// quotedValue reads what stands before the closing quote.
func quotedValue(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}
