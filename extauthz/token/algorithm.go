package token

import (
	"fmt"
	"strings"
)

// Algorithm is a signature algorithm of a JWS (RFC 7518 §3.1, RFC 8037 §3.1), as alg spells it.
type Algorithm string

// The closed list of algorithms. Anything else, "none" above all, is no Algorithm (RFC 8725 §3.1, §3.2).
const (
	RS256 Algorithm = "RS256"
	RS384 Algorithm = "RS384"
	RS512 Algorithm = "RS512"
	PS256 Algorithm = "PS256"
	PS384 Algorithm = "PS384"
	PS512 Algorithm = "PS512"
	ES256 Algorithm = "ES256"
	ES384 Algorithm = "ES384"
	ES512 Algorithm = "ES512"
	EdDSA Algorithm = "EdDSA"
	HS256 Algorithm = "HS256"
	HS384 Algorithm = "HS384"
	HS512 Algorithm = "HS512"
)

// Algorithms is a set of algorithms. The zero value is empty: it allows nothing.
type Algorithms uint16

const (
	bitRS256 Algorithms = 1 << iota
	bitRS384
	bitRS512
	bitPS256
	bitPS384
	bitPS512
	bitES256
	bitES384
	bitES512
	bitEdDSA
	bitHS256
	bitHS384
	bitHS512
)

// Asymmetric holds every algorithm whose key may be public: the default of a provider.
const Asymmetric = rsaAlgorithms | bitES256 | bitES384 | bitES512 | bitEdDSA

const (
	rsaAlgorithms  = bitRS256 | bitRS384 | bitRS512 | bitPS256 | bitPS384 | bitPS512
	hmacAlgorithms = bitHS256 | bitHS384 | bitHS512
)

// ParseAlgorithm reads the name of an algorithm; case counts. The error does not repeat s.
func ParseAlgorithm(s string) (Algorithm, error) {
	if a := Algorithm(s); a.bit() != 0 {
		return a, nil
	}
	return "", fmt.Errorf("not one of the supported signature algorithms: %s", Asymmetric|hmacAlgorithms)
}

// NewAlgorithms returns the set of these algorithms. A value that is none is left out.
func NewAlgorithms(algorithms ...Algorithm) Algorithms {
	var s Algorithms
	for _, a := range algorithms {
		s |= a.bit()
	}
	return s
}

// Has reports whether a is in s.
func (s Algorithms) Has(a Algorithm) bool { return s&a.bit() != 0 }

// Symmetric reports whether s contains an algorithm whose key is a shared secret.
func (s Algorithms) Symmetric() bool { return s&hmacAlgorithms != 0 }

// String lists the algorithms of s, separated by commas.
func (s Algorithms) String() string {
	var names []string
	for _, a := range []Algorithm{RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, HS256, HS384, HS512} {
		if s.Has(a) {
			names = append(names, string(a))
		}
	}
	return strings.Join(names, ", ")
}

// bit returns the set that holds a alone, the empty set for what is no algorithm.
func (a Algorithm) bit() Algorithms {
	switch a {
	case RS256:
		return bitRS256
	case RS384:
		return bitRS384
	case RS512:
		return bitRS512
	case PS256:
		return bitPS256
	case PS384:
		return bitPS384
	case PS512:
		return bitPS512
	case ES256:
		return bitES256
	case ES384:
		return bitES384
	case ES512:
		return bitES512
	case EdDSA:
		return bitEdDSA
	case HS256:
		return bitHS256
	case HS384:
		return bitHS384
	case HS512:
		return bitHS512
	}
	return 0
}
