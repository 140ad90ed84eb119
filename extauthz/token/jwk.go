package token

import (
	"errors"
	"math/big"
)

// importKey reads one JWK (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2). Certificates in it are not read. The error
// holds nothing of the key.
func importKey(jwk map[string]any, symmetric bool) (*key, error) {
	kty, ok := jwk["kty"].(string)
	if !ok {
		return nil, errors.New("not an object with a kty")
	}
	if symmetric != (kty == "oct") {
		return nil, errors.New("a shared secret may only come from a Secret, and nothing else from there")
	}
	if err := forVerification(jwk); err != nil {
		return nil, err
	}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth"} {
		if _, there := jwk[name]; there {
			return nil, errors.New("a private key does not belong in a key set")
		}
	}
	if _, there := jwk["k"]; there && !symmetric {
		return nil, errors.New("a secret does not belong in a public key")
	}
	k, err := keyOfType(kty, jwk)
	if err != nil {
		return nil, err
	}
	return k, name(k, jwk)
}

// maxIssuerBytes bounds the issuer of a key, as the issuer of a provider is bounded.
const maxIssuerBytes = 2048

// name takes kid, alg and issuer over into k. issuer is no member of RFC 7517: where one set is for several issuers, some
// say so of keys that are not for all (Microsoft identity platform, signing key rollover). Not to heed it would be to
// believe more than the set says.
func name(k *key, jwk map[string]any) error {
	if issuer, there := jwk["issuer"]; there {
		if k.issuer, _ = issuer.(string); k.issuer == "" || len(k.issuer) > maxIssuerBytes {
			return errors.New("issuer is not a string of 1 to 2048 bytes")
		}
	}
	if kid, there := jwk["kid"]; there {
		if k.id, k.hasID = kid.(string); !k.hasID || len(k.id) > maxKeyIDBytes {
			return errors.New("kid is not a string of at most 256 bytes")
		}
	}
	if alg, there := jwk["alg"]; there {
		s, _ := alg.(string)
		if k.algorithms &= Algorithm(s).bit(); k.algorithms == 0 {
			return errors.New("alg is not a signature algorithm of this kind of key")
		}
	}
	return nil
}

// forVerification checks use and key_ops (RFC 7517 §4.2, §4.3); a key without either may verify.
func forVerification(jwk map[string]any) error {
	if use, there := jwk["use"]; there && use != "sig" {
		return errors.New("use is not sig")
	}
	operations, there, err := operationsOf(jwk)
	if err == nil && there && !operations["verify"] {
		err = errors.New("key_ops does not include verify")
	}
	return err
}

// operationsOf reads key_ops, and tells whether it is there.
func operationsOf(jwk map[string]any) (operations map[string]bool, there bool, err error) {
	value, there := jwk["key_ops"]
	list, _ := value.([]any)
	operations = make(map[string]bool)
	for _, element := range list {
		operation, ok := element.(string)
		if !ok || operations[operation] {
			return nil, there, errors.New("key_ops is not an array of different strings")
		}
		operations[operation] = true
	}
	return operations, there, nil
}

func keyOfType(kty string, jwk map[string]any) (*key, error) {
	switch kty {
	case "RSA":
		return importRSA(jwk)
	case "EC":
		return importEC(jwk)
	case "OKP":
		if jwk["crv"] != "Ed25519" {
			return nil, errors.New("crv is not Ed25519")
		}
		x, err := octets(jwk, "x")
		if err != nil {
			return nil, err
		}
		return ed25519Key(x)
	case "oct":
		secret, err := octets(jwk, "k")
		if err != nil {
			return nil, err
		}
		return hmacKey(secret)
	}
	return nil, errors.New("kty is not RSA, EC, OKP or oct")
}

func importRSA(jwk map[string]any) (*key, error) {
	modulus, err := octets(jwk, "n")
	if err != nil {
		return nil, err
	}
	exponent, err := octets(jwk, "e")
	if err != nil {
		return nil, err
	}
	if modulus[0] == 0 || exponent[0] == 0 {
		return nil, errors.New("n or e begins with a zero octet")
	}
	return rsaKeyOf(new(big.Int).SetBytes(modulus), new(big.Int).SetBytes(exponent))
}

func importEC(jwk map[string]any) (*key, error) {
	crv, _ := jwk["crv"].(string)
	c, ok := curveOf(crv)
	if !ok {
		return nil, errors.New("crv is not P-256, P-384 or P-521")
	}
	x, err := octets(jwk, "x")
	if err != nil {
		return nil, err
	}
	y, err := octets(jwk, "y")
	if err != nil {
		return nil, err
	}
	return c.key(x, y)
}

// octets returns the bytes of a member in canonical base64url; there is at least one.
func octets(jwk map[string]any, member string) ([]byte, error) {
	s, ok := jwk[member].(string)
	if !ok {
		return nil, errors.New(member + " is missing or not a string")
	}
	for i := range len(s) {
		if sextet(s[i]) < 0 {
			return nil, errors.New(member + " is not base64url")
		}
	}
	if !canonical(s) {
		return nil, errors.New(member + " is empty or not canonical base64url")
	}
	return base64url.DecodeString(s)
}
