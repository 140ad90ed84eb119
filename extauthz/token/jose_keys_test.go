package token

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// joseKey reads one JWK as go-jose does; nil where it is no key to go-jose.
func joseKey(text []byte) *jose.JSONWebKey {
	k := new(jose.JSONWebKey)
	if json.Unmarshal(text, k) != nil {
		return nil
	}
	if secret, ok := k.Key.([]byte); ok && len(secret) > 0 || k.Valid() {
		return k
	}
	return nil
}

// ourKey reads one JWK as a set of its own; nil where it is no key to us.
func ourKey(t *testing.T, text []byte, symmetric bool) *key {
	t.Helper()
	set, problems, err := ParseJWKS([]byte(jwks(string(text))), symmetric)
	if err != nil {
		return nil
	}
	if set.Len() != 1 || len(problems) > 0 {
		t.Fatalf("%s: %d keys, problems %v", text, set.Len(), problems)
	}
	return set.keys[0]
}

// samePublic reports whether go-jose holds the very key that we hold.
func samePublic(ours *key, theirs *jose.JSONWebKey) bool {
	public, comparable := theirs.Key.(interface{ Equal(crypto.PublicKey) bool })
	if !comparable {
		return reflect.DeepEqual(ours.material, theirs.Key)
	}
	return public.Equal(ours.material)
}

// keyChange is one thing that may be wrong with a JWK. ours says for which kinds of keys we refuse what go-jose takes,
// and why; theirs the other way round. Where both are empty, the two must be of one mind.
type keyChange struct {
	name         string
	apply        func(jwk map[string]any)
	kinds        string // of kty; "" for all
	ours, theirs string
}

func put(member string, value any) func(map[string]any) {
	return func(jwk map[string]any) { jwk[member] = value }
}

// rewrite changes the text of a member, where it is there.
func rewrite(member string, f func(string) string) func(map[string]any) {
	return func(jwk map[string]any) {
		if s, ok := jwk[member].(string); ok {
			jwk[member] = f(s)
		}
	}
}

// octetsOf changes the bytes behind a member.
func octetsOf(member string, f func([]byte) []byte) func(map[string]any) {
	return rewrite(member, func(s string) string {
		b, _ := base64.RawURLEncoding.DecodeString(s)
		return b64(f(b))
	})
}

func zeroInFront(b []byte) []byte { return append([]byte{0}, b...) }

func looseBits(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if s == "" || sextet(s[len(s)-1]) < 0 {
		return s
	}
	return s[:len(s)-1] + string(alphabet[sextet(s[len(s)-1])|1])
}

const (
	notForSignatures = "what is not for verifying signatures verifies none"
	algIsForOthers   = "alg binds a key to one algorithm of its kind"
	oneSpelling      = "base64url in one spelling (RFC 7515 §2), numbers without zeros in front (RFC 7518 §2)"
	joseReadsCerts   = "go-jose looks at certificates and thumbprints, which we never read"
	typeOfMember     = "a member of another type is no member"
	privateMember    = "private members do not belong in a key set"
)

// keyChanges are all changes, and with them all differences between the two readers.
var keyChanges = []keyChange{
	{name: "nothing", apply: func(map[string]any) {}},
	{name: "no kty", apply: func(k map[string]any) { delete(k, "kty") }},
	{name: "kty in lower case", apply: put("kty", "rsa")},
	{name: "kty of another kind", apply: put("kty", "EC"), kinds: "RSA OKP"},
	{name: "kty is a number", apply: put("kty", 1)},
	{name: "no curve", apply: func(k map[string]any) { delete(k, "crv") }, kinds: "EC OKP"},
	{name: "another curve", apply: put("crv", "P-384"), kinds: "OKP"},
	{name: "a curve of nobody", apply: put("crv", "secp256k1"), kinds: "EC OKP"},
	{name: "no x", apply: func(k map[string]any) { delete(k, "x") }, kinds: "EC OKP"},
	{name: "x with a zero in front", apply: octetsOf("x", zeroInFront), kinds: "EC OKP"},
	{name: "x one octet short", apply: octetsOf("x", func(b []byte) []byte { return b[min(1, len(b)):] }), kinds: "EC OKP"},
	{name: "y of another point", apply: octetsOf("y", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), kinds: "EC"},
	{name: "the point at infinity", apply: func(k map[string]any) { put("x", b64(make([]byte, 32)))(k); put("y", b64(make([]byte, 32)))(k) }, kinds: "EC"},
	{name: "x in padded base64", apply: rewrite("x", func(s string) string { return s + "=" }), kinds: "EC OKP"},
	{name: "x with loose bits", apply: rewrite("x", looseBits), kinds: "EC-256 OKP", ours: oneSpelling},
	{name: "x with a line end", apply: rewrite("x", func(s string) string { return s[:min(4, len(s))] + "\n" + s[min(4, len(s)):] }), kinds: "EC OKP", ours: oneSpelling},
	{name: "x in the other alphabet", apply: rewrite("x", func(s string) string { return "+/" + s[min(2, len(s)):] }), kinds: "EC OKP"},
	{name: "x is null", apply: put("x", nil), kinds: "EC OKP"},
	{name: "x is a list", apply: put("x", []any{1}), kinds: "EC OKP"},
	{name: "no n", apply: func(k map[string]any) { delete(k, "n") }, kinds: "RSA"},
	{name: "n with a zero in front", apply: octetsOf("n", zeroInFront), kinds: "RSA", ours: oneSpelling},
	{name: "n of 1024 bits", apply: octetsOf("n", func(b []byte) []byte { return b[max(0, len(b)-128):] }), kinds: "RSA", ours: "RSA keys have 2048 bits and more (RFC 7518 §3.3)"},
	{name: "n of 8192 bits", apply: octetsOf("n", func([]byte) []byte { return []byte(strings.Repeat("\xaf", 1024)) }), kinds: "RSA", theirs: "go-jose stops at 4096 bits, we at 8192"},
	{name: "n of 8200 bits", apply: octetsOf("n", func([]byte) []byte { return []byte(strings.Repeat("\xaf", 1025)) }), kinds: "RSA"},
	{name: "n is even", apply: octetsOf("n", func(b []byte) []byte { b[len(b)-1] &^= 1; return b }), kinds: "RSA", ours: "an even modulus is none"},
	{name: "n of the faulty generator", apply: func(k map[string]any) { k["n"] = b64(rocaModulus().Bytes()) }, kinds: "RSA", ours: "ROCA (CVE-2017-15361)"},
	{name: "e is 0", apply: put("e", "AA"), kinds: "RSA"},
	{name: "e is 1", apply: put("e", "AQ"), kinds: "RSA"},
	{name: "e is 2", apply: put("e", "Ag"), kinds: "RSA", ours: "the exponent is odd"},
	{name: "e is 3", apply: put("e", "Aw"), kinds: "RSA"},
	{name: "e is 2^31-1", apply: put("e", "f____w"), kinds: "RSA"},
	{name: "e is 2^31+1", apply: put("e", "gAAAAQ"), kinds: "RSA", ours: "the exponent is at most 2^31-1, as in crypto/rsa"},
	{name: "e is 2^64+1", apply: put("e", "AQAAAAAAAAAB"), kinds: "RSA"},
	{name: "e is empty", apply: put("e", ""), kinds: "RSA"},
	{name: "e is a number", apply: put("e", 65537), kinds: "RSA"},
	{name: "k of 31 octets", apply: put("k", b64([]byte(strings.Repeat("k", 31)))), kinds: "oct", ours: "a secret has 32 octets and more (RFC 7518 §3.2)"},
	{name: "k of 32 octets", apply: put("k", b64([]byte(strings.Repeat("k", 32)))), kinds: "oct"},
	{name: "k is empty", apply: put("k", ""), kinds: "oct"},
	{name: "no k", apply: func(k map[string]any) { delete(k, "k") }, kinds: "oct"},
	{name: "k in a public key", apply: put("k", "c2VjcmV0"), kinds: "RSA EC OKP", ours: privateMember},
	{name: "p in a public key", apply: put("p", "c2VjcmV0"), kinds: "RSA EC OKP", ours: privateMember},
	{name: "use sig", apply: put("use", "sig")},
	{name: "use enc", apply: put("use", "enc"), ours: notForSignatures},
	{name: "use SIG", apply: put("use", "SIG"), ours: notForSignatures},
	{name: "use is a list", apply: put("use", []any{"sig"})},
	{name: "use is null", apply: put("use", nil), ours: notForSignatures},
	{name: "key_ops verify", apply: put("key_ops", []any{"sign", "verify"})},
	{name: "key_ops sign", apply: put("key_ops", []any{"sign"}), ours: notForSignatures},
	{name: "key_ops is a text", apply: put("key_ops", "verify"), ours: typeOfMember},
	{name: "alg of nobody", apply: put("alg", "none"), ours: algIsForOthers},
	{name: "alg of another kind", apply: put("alg", "RSA-OAEP"), ours: algIsForOthers},
	{name: "alg is empty", apply: put("alg", ""), ours: algIsForOthers},
	{name: "alg is a number", apply: put("alg", 5)},
	{name: "kid is a number", apply: put("kid", 5)},
	{name: "kid is null", apply: put("kid", nil), ours: typeOfMember},
	{name: "kid is empty", apply: put("kid", "")},
	{name: "kid of 257 bytes", apply: put("kid", strings.Repeat("k", 257)), ours: "a kid has 256 bytes at most"},
	{name: "unknown members", apply: put("ext", map[string]any{"a": []any{1}})},
	{name: "a name in another case", apply: func(k map[string]any) { k["KTY"] = k["kty"]; delete(k, "kty") }},
	{name: "x5c of noise", apply: put("x5c", []any{"noise"}), theirs: joseReadsCerts},
	{name: "x5t of noise", apply: put("x5t", "noise"), theirs: joseReadsCerts},
	{name: "x5u of noise", apply: put("x5u", ":"), theirs: joseReadsCerts},
}

// rocaModulus is the product of two powers of 65537 modulo the product of the small primes, which is the mark of the
// generator, and has no factor that matters here.
func rocaModulus() *big.Int {
	primorial := big.NewInt(1)
	for p := int64(2); p <= 167; p++ {
		if big.NewInt(p).ProbablyPrime(0) {
			primorial.Mul(primorial, big.NewInt(p))
		}
	}
	n := new(big.Int).Exp(big.NewInt(65537), big.NewInt(12345), primorial)
	multiple := new(big.Int).Lsh(big.NewInt(1), 2047)
	multiple.Div(multiple, primorial).Add(multiple, big.NewInt(2))
	return n.Add(n, multiple.Mul(multiple, primorial))
}

// TestKeysAsGoJose imports every kind of key with every change, and every pair of changes, and compares with go-jose
// (RFC 7517): both take it, as the same key, or both refuse it, or a change names the rule by which they differ.
func TestKeysAsGoJose(t *testing.T) {
	kinds := []struct{ name, kty string }{
		{"rsa", "RSA"}, {"p256", "EC EC-256"}, {"p384", "EC"}, {"p521", "EC"}, {"ed", "OKP"}, {"hmac", "oct"},
	}
	fits := func(c keyChange, kty string) bool {
		for _, k := range strings.Fields(kty) {
			if c.kinds == "" || strings.Contains(" "+c.kinds+" ", " "+k+" ") {
				return true
			}
		}
		return false
	}
	used, compared := map[string]bool{}, 0
	for _, kind := range kinds {
		var plain map[string]any
		if err := json.Unmarshal([]byte(jwk(kind.name, `"kid":"a"`)), &plain); err != nil {
			t.Fatal(err)
		}
		for _, a := range keyChanges {
			for _, b := range keyChanges {
				if !fits(a, kind.kty) || !fits(b, kind.kty) || testing.Short() && a.name != b.name {
					continue
				}
				changed := maps.Clone(plain)
				a.apply(changed)
				b.apply(changed)
				text, err := json.Marshal(changed)
				if err != nil {
					t.Fatal(err)
				}
				ours, theirs := ourKey(t, text, kind.name == "hmac"), joseKey(text)
				compared++
				switch {
				case ours != nil && theirs != nil && !samePublic(ours, theirs):
					t.Errorf("%s, %s, %s: another key than go-jose's", kind.name, a.name, b.name)
				case ours == nil && theirs != nil && a.ours+b.ours == "":
					t.Errorf("%s, %s, %s: only go-jose takes it", kind.name, a.name, b.name)
				case ours != nil && theirs == nil && a.theirs+b.theirs == "":
					t.Errorf("%s, %s, %s: only we take it", kind.name, a.name, b.name)
				}
				if a.name == b.name && (ours == nil) != (theirs == nil) {
					used[a.name] = true
				}
			}
		}
	}
	for _, c := range keyChanges {
		if named := c.ours+c.theirs != ""; named != used[c.name] {
			t.Errorf("%s: a difference is named: %v, and seen: %v", c.name, named, used[c.name])
		}
	}
	t.Logf("%d keys compared", compared)
}

// TestSmallOrderKeys: of a point of small order anybody can sign. go-jose has the same list, and by its own arithmetic
// crypto/ed25519 takes a signature of nothing for each of them.
func TestSmallOrderKeys(t *testing.T) {
	for _, y := range smallOrder {
		for _, sign := range []string{"", "80"} {
			var public []byte
			if _, err := fmt.Sscanf(y, "%x", &public); err != nil {
				t.Fatal(err)
			}
			if sign != "" {
				public[31] |= 0x80
			}
			text := []byte(fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q}`, b64(public)))
			if ours, theirs := ourKey(t, text, false), joseKey(text); ours != nil || theirs != nil {
				t.Errorf("%x: we take it: %v, go-jose: %v", public, ours != nil, theirs != nil)
			}
			if !anybodySigns(public) {
				t.Errorf("%x is no point of small order", public)
			}
		}
	}
}
