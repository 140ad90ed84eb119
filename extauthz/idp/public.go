package idp

import (
	"bytes"
	"encoding/json"
)

var (
	// publicMembers are what token.ParseJWKS reads of a key (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
	publicMembers = []string{"kty", "use", "key_ops", "alg", "kid", "issuer", "crv", "x", "y", "n", "e"}
	// claimMembers decide whether a key that cannot be used still claims its kid.
	claimMembers = []string{"use", "key_ops", "kid"}
	// secretMembers make a key private, or a shared secret (RFC 7518 §6.2.2, §6.3.2, §6.4.1).
	secretMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
)

// publicKeys returns body, a key set that token.ParseJWKS accepts, without all that it does not read: certificates,
// unknown members, and the secrets of an issuer that publishes its private keys by mistake. The result is read as body
// is, key for key and problem for problem, and is not longer. A private key stays as an element that claims its kid.
func publicKeys(body []byte) []byte {
	members, _ := uniqueMembers(body)
	var elements []json.RawMessage
	if err := json.Unmarshal(members["keys"], &elements); err != nil {
		return nil // cannot be: it was read before
	}
	var b bytes.Buffer
	b.WriteString(`{"keys":[`)
	for i, element := range elements {
		if i > 0 {
			b.WriteByte(',')
		}
		writePublic(&b, element)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// writePublic writes what remains of one element of a key set. What is no object stays none.
func writePublic(b *bytes.Buffer, element json.RawMessage) {
	jwk, ok := uniqueMembers(element)
	if !ok {
		b.WriteByte('0')
		return
	}
	keep := publicMembers
	if hasSecret(jwk) {
		keep = claimMembers
	}
	separator := byte('{')
	for _, name := range keep {
		value, there := jwk[name]
		if !there {
			continue
		}
		b.WriteByte(separator)
		separator = ','
		b.WriteString(`"` + name + `":`)
		_ = json.Compact(b, value) // cannot fail: the decoder took it for a value
	}
	if separator == '{' {
		b.WriteByte('{')
	}
	b.WriteByte('}')
}

func hasSecret(jwk map[string]json.RawMessage) bool {
	if kty, _ := text(jwk["kty"]); kty == "oct" {
		return true
	}
	for _, name := range secretMembers {
		if _, there := jwk[name]; there {
			return true
		}
	}
	return false
}
