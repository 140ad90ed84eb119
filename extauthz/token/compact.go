package token

import (
	"encoding/base64"
	"fmt"
	"strings"
)

const (
	// maxTokenBytes bounds a token; proxies bound all headers together to 60 KiB and less.
	maxTokenBytes = 16 << 10
	// maxKeyIDBytes bounds kid, in a token as in a key set.
	maxKeyIDBytes = 256
)

// base64url is that of RFC 7515 §2. Strict refuses what is left in the last character; that the decoder
// skips line ends does not matter, because checkShape has refused them.
var base64url = base64.RawURLEncoding.Strict()

// compactJWS is a JWS in compact form (RFC 7515 §7.1) of which nothing was decoded yet.
type compactJWS struct {
	input                      string // what the signature is over: header and payload with their dot
	header, payload, signature string
}

// splitCompact checks the shape of raw before anything is decoded: three segments of base64url, each with one
// possible spelling. Only the payload may be empty, as any bytes may be signed.
func splitCompact(raw string) (compactJWS, error) {
	if len(raw) > maxTokenBytes {
		return compactJWS{}, malformed("longer than 16 KiB")
	}
	var dots [2]int
	n, start := 0, 0
	for i := 0; i <= len(raw); i++ {
		if i < len(raw) && raw[i] != '.' {
			if sextet(raw[i]) < 0 {
				return compactJWS{}, malformed("a character that is not base64url")
			}
			continue
		}
		if payload := n == 1 && start == i; !payload && !canonical(raw[start:i]) {
			return compactJWS{}, malformed("a segment is empty or not canonical base64url")
		}
		if start = i + 1; i < len(raw) {
			if n == len(dots) {
				return compactJWS{}, malformed("more than three segments")
			}
			dots[n] = i
			n++
		}
	}
	if n != len(dots) {
		return compactJWS{}, malformed("fewer than three segments")
	}
	return compactJWS{
		input:     raw[:dots[1]],
		header:    raw[:dots[0]],
		payload:   raw[dots[0]+1 : dots[1]],
		signature: raw[dots[1]+1:],
	}, nil
}

// canonical reports whether segment, of base64url characters, has a length that bytes can have, and no bit
// set that belongs to no byte (RFC 4648 §3.5).
func canonical(segment string) bool {
	if segment == "" {
		return false
	}
	last := sextet(segment[len(segment)-1])
	switch len(segment) % 4 {
	case 1:
		return false
	case 2:
		return last&0x0f == 0
	case 3:
		return last&0x03 == 0
	}
	return true
}

// sextet returns the value of a base64url character, negative for any other.
func sextet(c byte) int {
	switch {
	case 'a' <= c && c <= 'z':
		return int(c-'a') + 26
	case 'A' <= c && c <= 'Z':
		return int(c - 'A')
	case '0' <= c && c <= '9':
		return int(c-'0') + 52
	case c == '-':
		return 62
	case c == '_':
		return 63
	}
	return -1
}

// header is what is read of a JOSE header. jku, jwk, x5u and x5c are not: a token does not choose its key.
type header struct {
	algorithm Algorithm
	kid       string
	hasKid    bool
	typ       string // lower case, without "application/"
}

// parseHeader decodes a header segment. The error wraps ErrMalformed.
func parseHeader(segment string) (header, error) {
	members, _, err := decodeObject(segment, "header")
	if err != nil {
		return header{}, err
	}
	for _, name := range []string{"crit", "b64", "zip"} {
		if _, there := members[name]; there {
			return header{}, malformed("the header asks for an extension (crit, b64 or zip)")
		}
	}
	var h header
	alg, _ := members["alg"].(string)
	if h.algorithm, err = ParseAlgorithm(alg); err != nil {
		return header{}, malformed("alg is none, unknown, missing or not a string")
	}
	if kid, there := members["kid"]; there {
		if h.kid, h.hasKid = kid.(string); !h.hasKid || len(h.kid) > maxKeyIDBytes {
			return header{}, malformed("kid is not a string of at most 256 bytes")
		}
	}
	h.typ = defaultType
	if typ, there := members["typ"]; there {
		s, ok := typ.(string)
		if !ok {
			return header{}, malformed("typ is not a string")
		}
		h.typ = mediaType(s)
	}
	return h, nil
}

// defaultType is the type of a token that does not name one.
const defaultType = "jwt"

// mediaType brings a typ into the form in which types compare (RFC 7515 §4.1.9).
func mediaType(typ string) string {
	const prefix = "application/"
	b := []byte(typ)
	for i, c := range b {
		b[i] = lower(c)
	}
	if s := strings.TrimPrefix(string(b), prefix); !strings.Contains(s, "/") {
		return s
	}
	return string(b)
}

// decodeObject decodes a segment that holds a JSON object, whose strings share the memory of text; what names
// the segment in the error.
func decodeObject(segment, what string) (object map[string]any, text string, err error) {
	b, err := base64url.DecodeString(segment)
	if err != nil {
		return nil, "", malformed(what + " is not base64url")
	}
	text = string(b)
	if object, err = parseObject(text); err != nil {
		return nil, "", fmt.Errorf("%w: %s: %w", ErrMalformed, what, err)
	}
	return object, text, nil
}
