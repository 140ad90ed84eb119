package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	issuer   = "https://id.load.example.com/realms/load"
	audience = "orders-api"
	keyID    = "load-2026-11"
	// tokenLife is longer than any run.
	tokenLife = 24 * time.Hour
)

// minter signs tokens with one RSA key of 2048 bits. To a verifier it is a key like any other; its modulus has 32 primes
// of 64 bits instead of two of 1024, so that a million tokens take a minute to sign and not half an hour. It keeps nothing
// secret, and nothing but this test believes it. Safe for concurrent use.
type minter struct {
	modulus *big.Int
	primes  [32]prime
	began   time.Time
}

type prime struct {
	p, exponent *big.Int // d mod (p-1)
	term        *big.Int // what the residue is multiplied with (Chinese remainder theorem)
}

// exponent is the public exponent.
const exponent = 65537

func newMinter() (*minter, error) {
	m := &minter{modulus: big.NewInt(1), began: time.Now()}
	one, e := big.NewInt(1), big.NewInt(exponent)
	// Primes above this keep the modulus at 2048 bits: it is 2^64 / 2^(1/32), rounded up.
	least := new(big.Int).SetUint64(0xfa83b2db722a033b)
	seen := map[uint64]bool{}
	for i := 0; i < len(m.primes); {
		p, err := rand.Prime(rand.Reader, 64)
		if err != nil {
			return nil, fmt.Errorf("making the signing key: %w", err)
		}
		order := new(big.Int).Sub(p, one)
		d := new(big.Int).ModInverse(e, order)
		if p.Cmp(least) < 0 || seen[p.Uint64()] || d == nil {
			continue
		}
		seen[p.Uint64()] = true
		m.primes[i] = prime{p: p, exponent: d}
		m.modulus.Mul(m.modulus, p)
		i++
	}
	if m.modulus.BitLen() != 2048 {
		return nil, fmt.Errorf("making the signing key: the modulus has %d bits", m.modulus.BitLen())
	}
	for i := range m.primes {
		others := new(big.Int).Div(m.modulus, m.primes[i].p)
		inverse := new(big.Int).ModInverse(others, m.primes[i].p)
		m.primes[i].term = others.Mul(others, inverse)
	}
	return m, nil
}

// jwks is the key set (RFC 7517) with the public half.
func (m *minter) jwks() string {
	encode := base64.RawURLEncoding.EncodeToString
	set, err := json.Marshal(map[string]any{"keys": []map[string]string{{
		"kty": "RSA", "kid": keyID, "alg": "RS256", "use": "sig",
		"n": encode(m.modulus.Bytes()), "e": encode(big.NewInt(exponent).Bytes()),
	}}})
	if err != nil {
		panic(err) // strings cannot fail
	}
	return string(set)
}

// Alg implements jwt.SigningMethod.
func (m *minter) Alg() string { return "RS256" }

// Sign implements jwt.SigningMethod (RFC 8017 §8.2.1).
func (m *minter) Sign(text string, _ any) ([]byte, error) {
	hash := sha256.Sum256([]byte(text))
	padded := new(big.Int).SetBytes(pad(hash))
	sum, residue := new(big.Int), new(big.Int)
	for i := range m.primes {
		p := &m.primes[i]
		residue.Mod(padded, p.p)
		residue.SetUint64(power(residue.Uint64(), p.exponent.Uint64(), p.p.Uint64()))
		sum.Add(sum, residue.Mul(residue, p.term))
	}
	return sum.Mod(sum, m.modulus).FillBytes(make([]byte, 256)), nil
}

// Verify implements jwt.SigningMethod; nobody asks this one.
func (m *minter) Verify(string, []byte, any) error { return errors.ErrUnsupported }

// pad is EMSA-PKCS1-v1_5 for SHA-256 and 2048 bits (RFC 8017 §9.2).
func pad(hash [sha256.Size]byte) []byte {
	const prefix = "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"
	padded := make([]byte, 256)
	padded[1] = 1
	for i := 2; i < 255-len(prefix)-len(hash); i++ {
		padded[i] = 0xff
	}
	copy(padded[256-len(hash)-len(prefix):], prefix)
	copy(padded[256-len(hash):], hash[:])
	return padded
}

// token signs the token of subject number n, with scope. All tokens have the same length where their scopes have.
func (m *minter) token(n int, scope string) (string, error) {
	t := jwt.NewWithClaims(m, jwt.MapClaims{
		"iss": issuer, "aud": audience, "sub": sub(n), "scope": scope,
		"iat": m.began.Unix(), "exp": m.began.Add(tokenLife).Unix(), "auth_time": m.began.Unix() - 60,
		"jti": fmt.Sprintf("8f0c7f3e-5b5e-4f57-9d3d-%012d", n), "azp": "web", "sid": "b7a3f0e2c9d84516a0e7", "acr": "1", "tenant": "acme",
		"groups": []string{"staff", "orders"}, "email": sub(n) + "@example.com", "email_verified": true,
	})
	t.Header["kid"], t.Header["typ"] = keyID, "at+jwt"
	return t.SignedString(nil)
}

// sub is that of token n.
func sub(n int) string { return fmt.Sprintf("u%07d", n) }

// tokens signs those of the subjects from up to before to, on all cores.
func (m *minter) tokens(from, to int, scope string) ([]string, error) {
	signed := make([]string, to-from)
	workers := runtime.GOMAXPROCS(0)
	failed := make([]error, workers)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < len(signed) && failed[w] == nil; i += workers {
				signed[i], failed[w] = m.token(from+i, scope)
			}
		})
	}
	group.Wait()
	return signed, errors.Join(failed...)
}
