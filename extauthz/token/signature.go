package token

import (
	"crypto/rsa"
	"fmt"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// maxKeysTried bounds the signature checks for one token that does not say which key signed it.
const maxKeysTried = 4

// key is one public key or secret, and what it may verify, settled when it was read.
type key struct {
	id         string
	hasID      bool
	algorithms Algorithms
	// issuer is the only one whose tokens the key may verify, with tenantIDMark in the place of any tenant; "": it is not
	// bound to one.
	issuer   string
	material any // *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey or []byte, as golang-jwt takes them
}

// tenantIDMark stands for the tenant in the issuer of a key, as Microsoft's key sets have it.
const tenantIDMark = "{tenantid}"

// signer is who is said to have signed a token: its iss, and the tenant in it, "" where the provider has no tenants. The
// zero value is nobody.
type signer struct{ iss, tenant string }

// signsFor tells whether the key may verify tokens of by.
func (k *key) signsFor(by signer) bool {
	if k.issuer == "" || k.issuer == by.iss {
		return true
	}
	before, after, marked := strings.Cut(k.issuer, tenantIDMark)
	if !marked || by.iss == "" {
		return false
	}
	if by.tenant != "" {
		return by.iss == before+by.tenant+after
	}
	_, ok := (&Tenants{before: before, after: after}).of(by.iss)
	return ok
}

// verify reports whether signature is that of input by this key.
func (k *key) verify(a Algorithm, input string, signature []byte) bool {
	return k.algorithms.Has(a) && method(a).Verify(input, signature, k.material) == nil
}

// method returns golang-jwt's implementation of a, nil for what is no Algorithm. The list is closed here as
// well: golang-jwt's own registry can be added to by any package of the program, and knows none.
func method(a Algorithm) jwt.SigningMethod {
	switch a {
	case RS256:
		return jwt.SigningMethodRS256
	case RS384:
		return jwt.SigningMethodRS384
	case RS512:
		return jwt.SigningMethodRS512
	case PS256:
		return fixedSalt(jwt.SigningMethodPS256)
	case PS384:
		return fixedSalt(jwt.SigningMethodPS384)
	case PS512:
		return fixedSalt(jwt.SigningMethodPS512)
	case ES256:
		return jwt.SigningMethodES256
	case ES384:
		return jwt.SigningMethodES384
	case ES512:
		return jwt.SigningMethodES512
	case EdDSA:
		return jwt.SigningMethodEdDSA
	case HS256:
		return jwt.SigningMethodHS256
	case HS384:
		return jwt.SigningMethodHS384
	case HS512:
		return jwt.SigningMethodHS512
	}
	return nil
}

// fixedSalt is m with a salt as long as the hash (RFC 7518 §3.5); golang-jwt would take any.
func fixedSalt(m *jwt.SigningMethodRSAPSS) *jwt.SigningMethodRSAPSS {
	options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
	return &jwt.SigningMethodRSAPSS{SigningMethodRSA: m.SigningMethodRSA, Options: options, VerifyOptions: options}
}

// check verifies the signature of a token of by whose header is h. The error wraps ErrAlgorithm, ErrUnknownKey or
// ErrSignature.
//
// A kid picks the key of that kid. Where there is none, the keys without a kid are tried (a PEM file or a
// shared secret has no other), and only then the kid counts as unknown. A key of another issuer is none.
func (s *KeySet) check(h header, input string, signature []byte, by signer) error {
	candidates := s.keys
	if h.hasKid {
		if k, known := s.byID[h.kid]; known {
			candidates = []*key{k}
		} else if candidates = s.nameless; len(candidates) == 0 {
			return fmt.Errorf("%w: no key of this kid", ErrUnknownKey)
		}
	}
	tried, foreign := 0, false
	for _, k := range candidates {
		if tried == maxKeysTried {
			break
		}
		if !k.algorithms.Has(h.algorithm) {
			continue
		}
		if !k.signsFor(by) {
			foreign = true
			continue
		}
		if k.verify(h.algorithm, input, signature) {
			return nil
		}
		tried++
	}
	switch _, known := s.byID[h.kid]; {
	case h.hasKid && !known && len(s.byID) > 0:
		return fmt.Errorf("%w: no key of this kid", ErrUnknownKey)
	case foreign:
		return fmt.Errorf("%w: the key signs for another issuer", ErrSignature)
	case tried == 0:
		return fmt.Errorf("%w: no key of the provider may verify it", ErrAlgorithm)
	}
	return ErrSignature
}

// VerifyJWS checks a JWS in compact form as Verify does, but its shape, header and signature only, and
// returns the payload, which may be any bytes. It judges neither issuer nor time, so it says who signed,
// never that a token is valid; keys that are bound to an issuer verify nothing. The error wraps ErrMalformed, ErrAlgorithm, ErrUnknownKey or ErrSignature.
func (s *KeySet) VerifyJWS(compact string, allowed Algorithms) (payload []byte, err error) {
	parts, err := splitCompact(compact)
	if err != nil {
		return nil, err
	}
	h, err := parseHeader(parts.header)
	if err != nil {
		return nil, err
	}
	if payload, err = base64url.DecodeString(parts.payload); err != nil {
		return nil, malformed("payload is not base64url")
	}
	if !allowed.Has(h.algorithm) {
		return nil, ErrAlgorithm
	}
	signature, err := base64url.DecodeString(parts.signature)
	if err != nil {
		return nil, malformed("signature is not base64url")
	}
	if err := s.check(h, parts.input, signature, signer{}); err != nil {
		return nil, err
	}
	return payload, nil
}

// VerifySignature checks a raw signature over message with any key of s that may verify a, at most 4 of
// them. The error wraps ErrAlgorithm or ErrSignature.
func (s *KeySet) VerifySignature(a Algorithm, message, signature []byte) error {
	return s.check(header{algorithm: a}, string(message), signature, signer{})
}
