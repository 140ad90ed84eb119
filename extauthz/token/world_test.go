package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/golang-jwt/jwt/v5"
)

// The world of the tests: one issuer that has a key of every kind, and a clock that stands still. The keys are
// the same in every process, so that a seed of a fuzz target stays what it was.
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
		"rsa": rsaOf(
			"K5Lmr3h3TCglTOTI0Pd2jq24IQag3FiNOrK9iChxoogeo9jCrYUF7gVMrdu3vwHzIdtUAJzd81TXAEMKRWBMVelOwlRxXmoOFqj2AFScvocNM7LeJqHYZkRjf3oUt0RBZVdA46XueTADI2nVaBbd6QiaVzxOXsT8zjT5Ui3qnFBj",
			"RqIdrU4VcK6mbSSUlOnBf9XWaXbm3JCvjkm6zxNfcaHr7nSPmu3dzA1G0FVYcIkwt2pVBIfYpOtmcBzKAakgBjLA7f46vRClCMNqDwxMqwIkhbnqenOfX2r7pNyf3wiTkjn3WBLT2p0MNi2J88Y2IcDil0ntSCkkoYIbPC70Hor7"),
		"rsa2": rsaOf(
			"TJ8cCQGO6hZJN25ZlCxBPctCZkesAmUetl53TE2OVb0NXjOE6H34T6jSekHk9noxkTEHOl1vHiFItPT2Aew4yv8SDSPoaOkx9f90fkRhB6eM454QG4BREDlS00nc3Opcckkn2eDovQf6A1HETlyJyBTQl9epnphm8C3EDrAn2qrt",
			"JoMoveAvBjOCHUlLgCWRm0CNk6YMtoiKx8fZKU5eiS3vK25wVAjaupaB0l2N2GCTYvEgzrYOsi1u1JZEm5hV76AUuGr4Bt2LPEkAHXQpTP6mx6JLxNltPpLX3x7wtdO3TEcIViDCahnoGVl3l7bxAgu8i40sXifUvotqHSkDOD3P"),
		"weak": rsaOf(
			"Wc4o7hSL763rQVhUwbvlJYF1zTQtSYKpP4T7qBgp43Sqzgsi6RAtvHzoWDtr40nXOGLoiQLjPtM47ur1vVZjFn",
			"PaSRzAYx39BlFSIClqKDFVV2cwBS4vEVx0wC1C6wbXOwkourj798pnySROUhS1Msd9wNsHvEKE4sp07V66JzUz"),
		"p256": must(ecdsa.ParseRawPrivateKey(elliptic.P256(), []byte(strings.Repeat("seed", 8)))),
		"p384": must(ecdsa.ParseRawPrivateKey(elliptic.P384(), []byte(strings.Repeat("seed", 12)))),
		"p521": must(ecdsa.ParseRawPrivateKey(elliptic.P521(), []byte("\x00\x01"+strings.Repeat("seed", 16)))),
		"ed":   ed25519.NewKeyFromSeed([]byte(strings.Repeat("seed", 8))),
		"hmac": []byte(strings.Repeat("0123456789abcdef", 4)),
	}
})

// rsaOf makes a key of two primes, in base 62: rsa.GenerateKey never makes the same one twice, and finding primes takes
// longer than a fuzz worker likes to wait.
func rsaOf(p, q string) *rsa.PrivateKey {
	k, phi := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: big.NewInt(1), E: 65537}}, big.NewInt(1)
	for _, text := range []string{p, q} {
		prime, ok := new(big.Int).SetString(text, 62)
		if !ok {
			panic("not a number in base 62: " + text)
		}
		k.Primes = append(k.Primes, prime)
		k.N.Mul(k.N, prime)
		phi.Mul(phi, new(big.Int).Sub(prime, big.NewInt(1)))
	}
	k.D = new(big.Int).ModInverse(big.NewInt(int64(k.E)), phi)
	k.Precompute()
	return k
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

// sign makes a token of header and payload as they are written, signed with the key of this name. Only the salt of PSS
// differs from one time to the next.
func sign(t testing.TB, a Algorithm, keyName, header, payload string) string {
	t.Helper()
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	if k, ok := testKeys()[keyName].(*ecdsa.PrivateKey); ok {
		return input + "." + b64(signECDSA(t, a, k, input))
	}
	signature, err := method(a).Sign(input, testKeys()[keyName])
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64(signature)
}

// signECDSA signs as RFC 6979 does, without chance.
func signECDSA(t testing.TB, a Algorithm, k *ecdsa.PrivateKey, input string) []byte {
	t.Helper()
	hash := method(a).(*jwt.SigningMethodECDSA).Hash
	h := hash.New()
	h.Write([]byte(input))
	der, err := k.Sign(nil, h.Sum(nil), hash)
	if err != nil {
		t.Fatal(err)
	}
	var point struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &point); err != nil {
		t.Fatal(err)
	}
	size := (k.Params().BitSize + 7) / 8
	return append(point.R.FillBytes(make([]byte, size)), point.S.FillBytes(make([]byte, size))...)
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

// member is the value of a claim; nil for none.
func member(id *Identity, name string) any {
	v, _ := id.Member(name)
	return v
}

// keyFunc is a KeySource made of a function.
type keyFunc func(after *KeySet) (*KeySet, error)

func (f keyFunc) Keys(_ context.Context, _ *Provider, after *KeySet) (*KeySet, error) {
	return f(after)
}
