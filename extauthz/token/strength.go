package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"math/big"
	"slices"
)

const (
	// minRSABits is that of RFC 7518 §3.3. Above maxRSABits one check would cost milliseconds.
	minRSABits = 2048
	maxRSABits = 8192
	// maxRSAExponentBits is what crypto/rsa takes: an exponent of at most 2^31-1.
	maxRSAExponentBits = 31
	// minSecretBytes is the size of the smallest hash (RFC 7518 §3.2).
	minSecretBytes = 32
)

// rsaKeyOf makes a key of a modulus and an exponent of any size.
func rsaKeyOf(n, e *big.Int) (*key, error) {
	if e.BitLen() > maxRSAExponentBits {
		return nil, errors.New("the RSA exponent is larger than 2^31-1")
	}
	return rsaKey(&rsa.PublicKey{N: n, E: int(e.Int64())})
}

func rsaKey(public *rsa.PublicKey) (*key, error) {
	switch bits := public.N.BitLen(); {
	case bits < minRSABits:
		return nil, errors.New("the RSA modulus has fewer than 2048 bits")
	case bits > maxRSABits:
		return nil, errors.New("the RSA modulus has more than 8192 bits")
	case public.N.Sign() != 1 || public.N.Bit(0) == 0:
		return nil, errors.New("the RSA modulus is even or below zero")
	case public.E < 3 || public.E%2 == 0 || int64(public.E) > 1<<maxRSAExponentBits-1:
		return nil, errors.New("the RSA exponent is not an odd number from 3 to 2^31-1")
	case isROCA(public.N):
		return nil, errors.New("the RSA modulus comes from a faulty generator (ROCA, CVE-2017-15361)")
	}
	return &key{algorithms: rsaAlgorithms, material: public}, nil
}

// isROCA reports whether n has the mark of the faulty generator of CVE-2017-15361: its primes are powers of
// 65537 modulo every small prime, and so is their product. Of other moduli one in some hundred million has it.
func isROCA(n *big.Int) bool {
	remainder := new(big.Int)
	for prime := int64(3); prime <= 167; prime += 2 {
		if !big.NewInt(prime).ProbablyPrime(0) {
			continue
		}
		r := remainder.Mod(n, big.NewInt(prime)).Int64()
		power := int64(1)
		for range prime {
			if power == r {
				break
			}
			power = power * 65537 % prime
		}
		if power != r {
			return false
		}
	}
	return true
}

// namedCurve is a curve of RFC 7518 §6.2.1.1 with the one algorithm that signs with it.
type namedCurve struct {
	curve     elliptic.Curve
	size      int // octets of a coordinate
	algorithm Algorithms
}

func curveOf(crv string) (namedCurve, bool) {
	switch crv {
	case "P-256":
		return namedCurve{elliptic.P256(), 32, bitES256}, true
	case "P-384":
		return namedCurve{elliptic.P384(), 48, bitES384}, true
	case "P-521":
		return namedCurve{elliptic.P521(), 66, bitES512}, true
	}
	return namedCurve{}, false
}

// key makes a key of the two coordinates of a point, each of its full length.
func (c namedCurve) key(x, y []byte) (*key, error) {
	if len(x) != c.size || len(y) != c.size {
		return nil, errors.New("a coordinate has not the length of the curve's field")
	}
	uncompressed := append(append([]byte{4}, x...), y...)
	public, err := ecdsa.ParseUncompressedPublicKey(c.curve, uncompressed)
	if err != nil {
		return nil, errors.New("the point is not on the curve")
	}
	return &key{algorithms: c.algorithm, material: public}, nil
}

func ecdsaKey(public *ecdsa.PublicKey) (*key, error) {
	c, ok := curveOf(public.Curve.Params().Name)
	if !ok {
		return nil, errors.New("the curve is not P-256, P-384 or P-521")
	}
	if _, err := public.Bytes(); err != nil {
		return nil, errors.New("the point is not on the curve")
	}
	return &key{algorithms: c.algorithm, material: public}, nil
}

func ed25519Key(public []byte) (*key, error) {
	if len(public) != ed25519.PublicKeySize {
		return nil, errors.New("an Ed25519 key has 32 octets")
	}
	if hasSmallOrder(public) {
		return nil, errors.New("the Ed25519 key is a point of small order, of which anybody can sign")
	}
	return &key{algorithms: bitEdDSA, material: ed25519.PublicKey(public)}, nil
}

// hasSmallOrder reports whether a public key of Ed25519 is one of the eight points whose order divides the cofactor: of
// these anybody can sign. It compares y, in any spelling of 255 bits; the bit of x does not matter.
func hasSmallOrder(public []byte) bool {
	y := slices.Clone(public)
	y[len(y)-1] &= 0x7f
	return slices.Contains(smallOrder, hex.EncodeToString(y))
}

// smallOrder holds the y of the points of order 1, 2, 4 and 8 (RFC 8032 §5.1), p and p+1 as well, in little endian. Those
// of order 8 are the roots of d*y^4 + 2*y^2 = 1, where doubling gives y = 0.
var smallOrder = []string{
	"0100000000000000000000000000000000000000000000000000000000000000", // the neutral element, order 1
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // the same, written as p+1
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // order 2
	"0000000000000000000000000000000000000000000000000000000000000000", // order 4
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // the same, written as p
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // order 8
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", // order 8
}

// hmacKey takes ownership of secret. A secret shorter than the hash weakens it, so it fits fewer algorithms.
func hmacKey(secret []byte) (*key, error) {
	if len(secret) < minSecretBytes {
		return nil, errors.New("the secret has fewer than 32 octets")
	}
	k := &key{algorithms: bitHS256, material: secret}
	if len(secret) >= 48 {
		k.algorithms |= bitHS384
	}
	if len(secret) >= 64 {
		k.algorithms |= bitHS512
	}
	return k, nil
}
