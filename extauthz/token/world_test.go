package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
)

// The world of the tests: one issuer that has a key of every kind, and a clock that stands still. The keys, rsa2 apart,
// are the same in every process, so that a seed of a fuzz target stays what it was.
const testIssuer = "https://id.example.com/realms/corp"

var testNow = time.Unix(1_800_000_000, 0)

var bearer = Source{Header: "authorization", Scheme: "Bearer"}

var testKeys = sync.OnceValue(func() map[string]any {
	must := func(k any, err error) any {
		if err != nil {
			panic(err)
		}
		return k
	}
	return map[string]any{
		"rsa":  must(rsaFromSeed("rsa", 2048)),
		"rsa2": must(rsa.GenerateKey(rand.Reader, 2048)),
		"weak": must(rsaFromSeed("weak", 1024)),
		"p256": must(ecdsa.ParseRawPrivateKey(elliptic.P256(), []byte(strings.Repeat("seed", 8)))),
		"p384": must(ecdsa.ParseRawPrivateKey(elliptic.P384(), []byte(strings.Repeat("seed", 12)))),
		"p521": must(ecdsa.ParseRawPrivateKey(elliptic.P521(), []byte("\x00\x01"+strings.Repeat("seed", 16)))),
		"ed":   ed25519.NewKeyFromSeed([]byte(strings.Repeat("seed", 8))),
		"hmac": []byte(strings.Repeat("0123456789abcdef", 4)),
	}
})

// rsaFromSeed makes the same key each time, which rsa.GenerateKey never does.
func rsaFromSeed(seed string, bits int) (*rsa.PrivateKey, error) {
	stream, one, e := mathrand.NewChaCha8(sha256.Sum256([]byte(seed))), big.NewInt(1), big.NewInt(65537)
	prime := func() *big.Int {
		b := make([]byte, bits/16)
		stream.Read(b)
		b[0], b[len(b)-1] = b[0]|0xc0, b[len(b)-1]|1
		p := new(big.Int).SetBytes(b)
		for !p.ProbablyPrime(20) || new(big.Int).GCD(nil, nil, new(big.Int).Sub(p, one), e).Cmp(one) != 0 {
			p.Add(p, big.NewInt(2))
		}
		return p
	}
	p, q := prime(), prime()
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	k := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: int(e.Int64())},
		D:         new(big.Int).ModInverse(e, phi), Primes: []*big.Int{p, q},
	}
	k.Precompute()
	return k, k.Validate()
}

// keyFor names the key of the world that signs with a.
func keyFor(a Algorithm) string {
	switch a {
	case ES256:
		return "p256"
	case ES384:
		return "p384"
	case ES512:
		return "p521"
	case EdDSA:
		return "ed"
	case HS256, HS384, HS512:
		return "hmac"
	}
	return "rsa"
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// sign makes a token of header and payload as they are written, signed with the key of this name.
func sign(t testing.TB, a Algorithm, keyName, header, payload string) string {
	t.Helper()
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	signature, err := method(a).Sign(input, testKeys()[keyName])
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64(signature)
}

// jwk writes the public key of this name, or the secret, with more members behind it.
func jwk(keyName, more string) string {
	u := func(n *big.Int) string { return b64(n.Bytes()) }
	if more != "" {
		more = "," + more
	}
	k := testKeys()[keyName]
	if s, ok := k.(crypto.Signer); ok {
		k = s.Public()
	}
	switch k := k.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf(`{"kty":"RSA","n":%q,"e":"AQAB"%s}`, u(k.N), more)
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		half := len(point) / 2
		return fmt.Sprintf(`{"kty":"EC","crv":%q,"x":%q,"y":%q%s}`, k.Params().Name, b64(point[1:half+1]), b64(point[half+1:]), more)
	case ed25519.PublicKey:
		return fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q%s}`, b64(k), more)
	case []byte:
		return fmt.Sprintf(`{"kty":"oct","k":%q%s}`, b64(k), more)
	}
	panic("no such key: " + keyName)
}

func jwks(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

// publicSet holds all asymmetric keys of the world, each with its name as kid.
func publicSet(t testing.TB) *KeySet {
	t.Helper()
	var keys []string
	for _, name := range []string{"rsa", "p256", "p384", "p521", "ed"} {
		keys = append(keys, jwk(name, fmt.Sprintf(`"kid":%q`, name)))
	}
	return mustSet(t, jwks(keys...), false)
}

func mustSet(t testing.TB, text string, symmetric bool) *KeySet {
	t.Helper()
	set, problems, err := ParseJWKS([]byte(text), symmetric)
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	return set
}

func path(t testing.TB, s string) ClaimPath {
	t.Helper()
	p, err := ParseClaimPath(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// corp is the provider of the world. change, which may be nil, edits it.
func corp(t testing.TB, change func(*Provider)) *Provider {
	t.Helper()
	p := &Provider{
		Name:          "ClusterIdentityProvider/corp",
		Fingerprint:   [32]byte{1},
		Issuer:        testIssuer,
		Audiences:     []string{"orders-api", "stock-api"},
		AudienceClaim: path(t, "aud"),
		Algorithms:    Asymmetric,
		TokenTypes:    []string{"at+jwt", "jwt"},
		ClockSkew:     30 * time.Second,
		Sources:       []Source{bearer},
		Subject:       path(t, "sub"),
		Scopes:        path(t, "scope"),
		Roles:         path(t, "realm_access.roles"),
		Groups:        path(t, "groups"),
		Static:        publicSet(t),
	}
	if change != nil {
		change(p)
	}
	return p
}

// claims writes the payload of a good token with changes: a value is JSON, "" takes a member away.
func claims(changes map[string]string) string {
	members := map[string]json.RawMessage{
		"iss": json.RawMessage(`"` + testIssuer + `"`),
		"aud": json.RawMessage(`"orders-api"`),
		"sub": json.RawMessage(`"alice"`),
		"exp": json.RawMessage(fmt.Sprint(testNow.Unix() + 300)),
		"iat": json.RawMessage(fmt.Sprint(testNow.Unix() - 10)),
	}
	for name, value := range changes {
		if value == "" {
			delete(members, name)
		} else {
			members[name] = json.RawMessage(value)
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return string(text)
}

const rs256Header = `{"alg":"RS256","kid":"rsa"}`

func verifier(t testing.TB, c Config) *Verifier {
	t.Helper()
	if c.Now == nil {
		c.Now = func() time.Time { return testNow }
	}
	v, err := NewVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// alias returns a string that shares the memory of b, as one read out of a receive buffer does.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// keyFunc is a KeySource made of a function.
type keyFunc func(after *KeySet) (*KeySet, error)

func (f keyFunc) Keys(_ context.Context, _ *Provider, after *KeySet) (*KeySet, error) {
	return f(after)
}
