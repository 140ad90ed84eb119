package token

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A token of 16 KiB verifies, and one byte more does not, be it as good.
func TestVerifyTokenOfGreatestSize(t *testing.T) {
	p := corp(t, func(p *Provider) {
		p.Algorithms, p.Static = NewAlgorithms(HS256), mustSet(t, jwks(jwk("hmac", "")), true)
	})
	for size, want := range map[int]error{16 << 10: nil, 16<<10 + 1: ErrMalformed} {
		payload := claims(map[string]string{"x": `""`})
		rest := base64.RawURLEncoding.DecodedLen(size - len(sign(t, HS256, "hmac", `{"alg":"HS256"}`, "")))
		raw := sign(t, HS256, "hmac", `{"alg":"HS256"}`, strings.Replace(payload, `"x":"`, `"x":"`+strings.Repeat("x", rest-len(payload)), 1))
		if len(raw) != size {
			t.Fatalf("%d bytes, want %d", len(raw), size)
		}
		_, err := verifier(t, Config{}).Verify(t.Context(), Credential{raw, bearer}, []*Provider{p})
		wraps(t, err, want)
	}
}

func TestKeySetsOfGreatestSize(t *testing.T) {
	ed := jwk("ed", "")
	der, err := x509.MarshalPKIXPublicKey(testKeys()["ed"].(crypto.Signer).Public())
	if err != nil {
		t.Fatal(err)
	}
	block := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	list := func(n int) string { return jwks(strings.TrimSuffix(strings.Repeat(ed+",", n), ",")) }
	fill := func(text string, size int) string { return text + strings.Repeat("\n", size-len(text)) }
	tests := []struct {
		name, jwks, pem string
		ok              bool
	}{
		{"1 MiB", fill(list(1), 1<<20), fill(block, 1<<20), true},
		{"a byte more", fill(list(1), 1<<20+1), fill(block, 1<<20+1), false},
		{"256 keys", list(256), strings.Repeat(block, 256), true},
		{"257 keys", list(257), strings.Repeat(block, 257), false},
	}
	for _, test := range tests {
		if _, _, err := ParseJWKS([]byte(test.jwks), false); (err == nil) != test.ok {
			t.Errorf("key set of %s: %v", test.name, err)
		}
		if _, err := ParsePEM([]byte(test.pem)); (err == nil) != test.ok {
			t.Errorf("PEM of %s: %v", test.name, err)
		}
	}
}

// A problem names the key by its index, and by its kid where that is one.
func TestProblemsNameTheKey(t *testing.T) {
	longest := strings.Repeat("k", 256)
	for kid, want := range map[string]string{
		`"a"`: `key 1 (kid "a"): `, `"` + longest + `"`: `key 1 (kid "` + longest + `"): `, `"` + longest + `k"`: "key 1: ", `7`: "key 1: ",
	} {
		_, problems, err := ParseJWKS([]byte(jwks(jwk("ed", `"kid":"good"`), jwk("rsa", `"use":"enc","kid":`+kid))), false)
		if err != nil || len(problems) != 1 || !strings.HasPrefix(problems[0].Error(), want) {
			t.Errorf("kid %s: %v, problems %v", kid, err, problems)
		}
	}
	der, err := x509.MarshalPKIXPublicKey(testKeys()["ed"].(crypto.Signer).Public())
	if err != nil {
		t.Fatal(err)
	}
	good, bad := &pem.Block{Type: "PUBLIC KEY", Bytes: der}, &pem.Block{Type: "PRIVATE KEY"}
	if _, err := ParsePEM(append(pem.EncodeToMemory(good), pem.EncodeToMemory(bad)...)); err == nil || !strings.HasPrefix(err.Error(), "PEM block 2: ") {
		t.Error(err)
	}
	if _, err := ParseAlgorithm("none"); err == nil || !strings.HasSuffix(err.Error(), ": RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, HS256, HS384, HS512") {
		t.Error(err)
	}
}

// A kid may have 256 bytes, or none, and then it is a kid still: keys without one are no twins of it.
func TestKeyIDs256BytesAndNone(t *testing.T) {
	longest := strings.Repeat("k", 256)
	set := mustSet(t, jwks(jwk("ed", `"kid":""`), jwk("p256", ""), jwk("p384", ""), jwk("rsa", `"kid":"`+longest+`"`)), false)
	if ids := set.KeyIDs(); len(ids) != 2 || ids[0] != "" || ids[1] != longest || set.Len() != 4 {
		t.Errorf("%d keys, kids %q", set.Len(), ids)
	}
}

func TestRSAKeyThatNoReaderMakes(t *testing.T) {
	n := testKeys()["rsa"].(*rsa.PrivateKey).N
	for name, k := range map[string]*rsa.PublicKey{
		"modulus below zero":  {N: new(big.Int).Neg(n), E: 65537},
		"exponent below zero": {N: n, E: -3},
		"exponent of 2^31+1":  {N: n, E: 1<<31 + 1},
		"exponent of 2^32+1":  {N: n, E: 1<<32 + 1},
		"even modulus":        {N: new(big.Int).Lsh(n, 1), E: 65537},
	} {
		if _, err := rsaKey(k); err == nil {
			t.Errorf("%s was imported", name)
		}
	}
	if _, err := rsaKey(&rsa.PublicKey{N: n, E: 1<<31 - 1}); err != nil {
		t.Error(err)
	}
}

// All small primes must show the mark, the last one too: a multiple of 167 has it for all others only.
func TestROCALooksAtEveryPrime(t *testing.T) {
	m := big.NewInt(1)
	for p := int64(2); p < 167; p++ {
		if big.NewInt(p).ProbablyPrime(0) {
			m.Mul(m, big.NewInt(p))
		}
	}
	n := new(big.Int).Exp(big.NewInt(65537), big.NewInt(12345), m)
	for new(big.Int).Mod(n, big.NewInt(167)).Sign() != 0 {
		n.Add(n, m)
	}
	if isROCA(n) {
		t.Error("a multiple of 167 has the mark")
	}
}

func TestSameKeySet(t *testing.T) {
	a, again, b := mustSet(t, jwks(jwk("ed", "")), false), mustSet(t, jwks(jwk("ed", "")), false), mustSet(t, jwks(jwk("p256", "")), false)
	tests := []struct {
		name string
		s, o *KeySet
		want bool
	}{
		{"itself", a, a, true}, {"the same text", a, again, true}, {"another text of as many keys", a, b, false},
		{"none", nil, nil, true}, {"none and one", nil, a, false}, {"one and none", a, nil, false},
	}
	for _, test := range tests {
		if got := test.s.same(test.o); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestNumericDate(t *testing.T) {
	for text, want := range map[string]time.Time{
		"0": time.Unix(0, 0), "0.0": time.Unix(0, 0), "0.5": time.Unix(0, 5e8), "1e3": time.Unix(1000, 0),
		"253402300799": time.Unix(253402300799, 0), "253402300799.0": time.Unix(253402300799, 0),
		"253402300799.5": {}, "253402300800": {}, "2534023008e2": {}, "-1": {}, "-0.5": {}, "-0": {}, "NaN": {}, "Inf": {}, "1e999": {}, "": {},
	} {
		if got, ok := numericDate(json.Number(text)); ok == want.IsZero() || ok && !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, ok)
		}
	}
}

// What is read of single bytes agrees with the standard library.
func TestBytes(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := range 256 {
		c := byte(i)
		if got, want := sextet(c), strings.IndexByte(alphabet, c); got != want {
			t.Errorf("sextet of %q: %d, want %d", c, got, want)
		}
		digit, err := strconv.ParseUint(string(rune(c)), 16, 8)
		if got := unhex(c); (got >= 0) != (err == nil) || err == nil && got != int(digit) {
			t.Errorf("hexadecimal digit %q: %d", c, got)
		}
		want := c
		if c < 0x80 {
			want = strings.ToLower(string(rune(c)))[0]
		}
		if got := lower(c); got != want {
			t.Errorf("%q in lower case: %q", c, got)
		}
		for _, name := range []string{fmt.Sprintf("a%%%02x", c), fmt.Sprintf("a%%%02X", c)} {
			if !equalDecoded(name, "a"+string([]byte{c})) {
				t.Errorf("%q does not stand for its character", name)
			}
		}
	}
}
