package token

import (
	"errors"
	"fmt"
)

// ParseJWKS reads a JWK Set (RFC 7517 §5) as strictly as a token.
//
// With symmetric the bytes came from a Secret: every key must then be a shared secret (kty oct), because a
// set of both kinds invites taking one for the other. Without it, oct keys are dropped.
//
// A key that is too weak, private, not for signatures or that cannot be read is dropped, and so are all keys
// of a kid that stands there twice, unless the other is for encryption; problems has one error for each, which
// names its index and kid and holds no key material. err says that the whole is no key set, is over 1 MiB or 256 keys, or has no usable key.
func ParseJWKS(data []byte, symmetric bool) (set *KeySet, problems []error, err error) {
	if len(data) > maxKeySetBytes {
		return nil, nil, errors.New("key set is larger than 1 MiB")
	}
	object, err := parseObject(string(data))
	if err != nil {
		return nil, nil, fmt.Errorf("reading key set: %w", err)
	}
	list, ok := object["keys"].([]any)
	if !ok {
		return nil, nil, errors.New("key set has no array named keys")
	}
	if len(list) > maxKeys {
		return nil, nil, errors.New("key set has more than 256 keys")
	}
	if symmetric && hasAsymmetric(list) {
		return nil, nil, errors.New("key set mixes shared secrets with other keys")
	}
	keys, problems := importKeys(list, symmetric)
	if len(keys) == 0 {
		return nil, problems, errors.New("key set has no usable key")
	}
	kind := originPublicJWKS
	if symmetric {
		kind = originSecretJWKS
	}
	return newKeySet(keys, kind, data), problems, nil
}

func hasAsymmetric(list []any) bool {
	for _, element := range list {
		jwk, _ := element.(map[string]any)
		switch jwk["kty"] {
		case "RSA", "EC", "OKP":
			return true
		}
	}
	return false
}

// importKeys reads each element of list, and drops those that another of the same kid makes ambiguous. An
// element that cannot be used claims its kid all the same: the issuer may have meant that one.
func importKeys(list []any, symmetric bool) (keys []*key, problems []error) {
	imported := make([]*key, len(list))
	uses := make(map[string]int)
	for i, element := range list {
		jwk, _ := element.(map[string]any)
		if kid, ok := jwk["kid"].(string); ok && forVerification(jwk) == nil {
			uses[kid]++
		}
		k, err := importKey(jwk, symmetric)
		if err != nil {
			problems = append(problems, keyProblem(i, jwk, err))
			continue
		}
		imported[i] = k
	}
	for i, k := range imported {
		switch {
		case k == nil:
		case k.hasID && uses[k.id] > 1:
			problems = append(problems, fmt.Errorf("key %d (kid %q): another key has the same kid", i, k.id))
		default:
			keys = append(keys, k)
		}
	}
	return keys, problems
}

func keyProblem(index int, jwk map[string]any, err error) error {
	if kid, ok := jwk["kid"].(string); ok && len(kid) <= maxKeyIDBytes {
		return fmt.Errorf("key %d (kid %q): %w", index, kid, err)
	}
	return fmt.Errorf("key %d: %w", index, err)
}
