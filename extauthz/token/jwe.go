package token

import (
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// encryptedToken is a JWE in compact form (RFC 7516 §7.1) whose shape and header were checked, and of which nothing was
// decrypted yet.
type encryptedToken struct {
	raw                     string
	encryptedKey, iv        string // segments
	ciphertext, tag         string
	algorithm               jose.KeyAlgorithm
	content                 content
	kid                     string
	hasKid                  bool
	ephemeral               string // the crv of epk, where the algorithm agrees on a key
	directKey, agreesOnKeys bool
}

// content is a content encryption (RFC 7518 §5.1) with the sizes that are its own, in octets.
type content struct {
	name         jose.ContentEncryption
	key, iv, tag int
	block        int // the ciphertext is a multiple of it
}

// contentOf is the closed list of content encryptions.
func contentOf(enc string) (content, bool) {
	switch name := jose.ContentEncryption(enc); name {
	case jose.A128GCM:
		return content{name, 16, 12, 16, 1}, true
	case jose.A256GCM:
		return content{name, 32, 12, 16, 1}, true
	case jose.A128CBC_HS256:
		return content{name, 32, 16, 16, 16}, true
	case jose.A256CBC_HS512:
		return content{name, 64, 16, 32, 16}, true
	}
	return content{}, false
}

// keyAlgorithmOf is the closed list of ways to come by the content's key (RFC 7518 §4.1). RSA1_5 is an oracle, PBES2 lets
// a token say how long it takes, and RSA-OAEP is that of SHA-1: none of them is here.
func keyAlgorithmOf(alg string) (jose.KeyAlgorithm, bool) {
	switch name := jose.KeyAlgorithm(alg); name {
	case jose.RSA_OAEP_256, jose.ECDH_ES, jose.ECDH_ES_A128KW, jose.ECDH_ES_A256KW, jose.DIRECT:
		return name, true
	}
	return "", false
}

// isEncrypted reports whether raw has the segments of a JWE.
func isEncrypted(raw string) bool { return strings.Count(raw, ".") == 4 }

// parseEncrypted checks the shape of raw, its header and the size of each segment. Nothing in it depends on a key, so
// that what it refuses tells nothing about one. The error wraps ErrMalformed.
func parseEncrypted(raw string) (*encryptedToken, error) {
	if len(raw) > maxTokenBytes {
		return nil, malformed("longer than 16 KiB")
	}
	segments := strings.Split(raw, ".")
	if len(segments) != 5 {
		return nil, malformed("not five segments")
	}
	for i, segment := range segments {
		for j := range len(segment) {
			if sextet(segment[j]) < 0 {
				return nil, malformed("a character that is not base64url")
			}
		}
		if noKey := i == 1 && segment == ""; !noKey && !canonical(segment) {
			return nil, malformed("a segment is empty or not canonical base64url")
		}
	}
	t := &encryptedToken{raw: raw, encryptedKey: segments[1], iv: segments[2], ciphertext: segments[3], tag: segments[4]}
	if err := t.readHeader(segments[0]); err != nil {
		return nil, err
	}
	return t, t.checkSizes()
}

// readHeader decodes the header. What could choose a key, or have the content unpacked, refuses: nothing of a JWE needs it.
func (t *encryptedToken) readHeader(segment string) error {
	members, _, err := decodeObject(segment, "header")
	if err != nil {
		return err
	}
	for _, name := range []string{"crit", "b64", "zip", "jku", "jwk", "x5u", "x5c"} {
		if _, there := members[name]; there {
			return malformed("the header of an encrypted token asks for an extension (crit, b64 or zip) or names a key (jku, jwk, x5u or x5c)")
		}
	}
	var known bool
	alg, _ := members["alg"].(string)
	if t.algorithm, known = keyAlgorithmOf(alg); !known {
		return malformed("alg is not one that is ever decrypted: RSA-OAEP-256, ECDH-ES, ECDH-ES+A128KW, ECDH-ES+A256KW, dir")
	}
	enc, _ := members["enc"].(string)
	if t.content, known = contentOf(enc); !known {
		return malformed("enc is not one that is ever decrypted: A128GCM, A256GCM, A128CBC-HS256, A256CBC-HS512")
	}
	t.directKey = t.algorithm == jose.DIRECT || t.algorithm == jose.ECDH_ES
	t.agreesOnKeys = t.algorithm != jose.DIRECT && t.algorithm != jose.RSA_OAEP_256
	if kid, there := members["kid"]; there {
		if t.kid, t.hasKid = kid.(string); !t.hasKid || len(t.kid) > maxKeyIDBytes {
			return malformed("kid is not a string of at most 256 bytes")
		}
	}
	if err := checkContentTypes(members); err != nil {
		return err
	}
	if t.agreesOnKeys {
		return t.readAgreement(members)
	}
	return nil
}

// checkContentTypes checks cty, which says that a JWT is inside (RFC 7519 §5.2). It may be missing, since the plaintext is
// taken for nothing but a signed JWT. The typ that counts is the one inside.
func checkContentTypes(members map[string]any) error {
	if cty, there := members["cty"]; there {
		if s, _ := cty.(string); mediaType(s) != defaultType {
			return malformed("cty is not JWT")
		}
	}
	if typ, there := members["typ"]; there {
		if _, ok := typ.(string); !ok {
			return malformed("typ is not a string")
		}
	}
	return nil
}

// readAgreement checks what ECDH-ES adds to a header (RFC 7518 §4.6.1). The ephemeral key is a point of its curve, in
// coordinates of full length, and nothing else; the curves have no points of small order but the one that cannot be
// written so.
func (t *encryptedToken) readAgreement(members map[string]any) error {
	epk, _ := members["epk"].(map[string]any)
	crv, _ := epk["crv"].(string)
	if epk["kty"] != "EC" || len(epk) != 4 {
		return malformed("epk is not a key of type EC with kty, crv, x and y alone")
	}
	if _, err := importEC(epk); err != nil {
		return malformed("epk is not a point of P-256, P-384 or P-521")
	}
	t.ephemeral = crv
	for _, name := range []string{"apu", "apv"} {
		if _, there := members[name]; !there {
			continue
		}
		if _, err := octets(members, name); err != nil {
			return malformed("apu or apv is not base64url")
		}
	}
	return nil
}

// checkSizes compares each segment with the size that its algorithm gives it; that of a key encrypted with RSA depends on
// the key.
func (t *encryptedToken) checkSizes() error {
	size := base64url.DecodedLen
	encrypted := size(len(t.encryptedKey))
	switch {
	case size(len(t.iv)) != t.content.iv || size(len(t.tag)) != t.content.tag || size(len(t.ciphertext))%t.content.block != 0:
		return malformed("a segment has not the size that enc gives it")
	case t.directKey && encrypted != 0, t.agreesOnKeys && !t.directKey && encrypted != t.content.key+8:
		return malformed("the encrypted key has not the size that alg gives it")
	}
	return nil
}

// open decrypts the token with k, which fits it. Whatever goes wrong is the same false: which part of it did is not to be
// learnt (RFC 7516 §11.5).
func (t *encryptedToken) open(k *privateKey) (plaintext string, ok bool) {
	if !k.takes(base64url.DecodedLen(len(t.encryptedKey)), t) {
		return "", false
	}
	object, err := jose.ParseEncryptedCompact(t.raw, []jose.KeyAlgorithm{t.algorithm}, []jose.ContentEncryption{t.content.name})
	if err != nil {
		return "", false
	}
	bytes, err := object.Decrypt(k.material)
	if err != nil {
		return "", false
	}
	return string(bytes), true
}
