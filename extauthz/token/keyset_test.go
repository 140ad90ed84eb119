package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// what a set's keys may verify, by kid.
func abilities(s *KeySet) map[string]string {
	able := make(map[string]string)
	for _, k := range s.keys {
		able[k.id] += k.algorithms.String()
	}
	return able
}

func TestParseJWKS(t *testing.T) {
	rsaAll := "RS256, RS384, RS512, PS256, PS384, PS512"
	type able = map[string]string
	tests := []struct {
		name      string
		text      string
		symmetric bool
		want      able // nil: an error
		problems  int
	}{
		{"every kind", jwks(jwk("rsa", `"kid":"r"`), jwk("p256", `"kid":"2"`), jwk("p384", `"kid":"3"`), jwk("p521", `"kid":"5"`), jwk("ed", `"kid":"e"`)), false,
			able{"r": rsaAll, "2": "ES256", "3": "ES384", "5": "ES512", "e": "EdDSA"}, 0},
		{"alg narrows", jwks(jwk("rsa", `"alg":"PS384"`)), false, able{"": "PS384"}, 0},
		{"unknown members", jwks(jwk("rsa", `"x5c":["!"],"x5u":"x","x5t":7,"ext":true`)), false, able{"": rsaAll}, 0},
		{"use and key_ops", jwks(jwk("rsa", `"use":"sig","key_ops":["sign","verify"]`)), false, able{"": rsaAll}, 0},
		{"one bad key does not spoil the set", jwks(jwk("rsa", `"kid":"a","use":"enc"`), jwk("p256", `"kid":"b"`), `7`, `{}`), false, able{"b": "ES256"}, 3},
		{"kid twice drops both", jwks(jwk("rsa", `"kid":"a"`), jwk("p256", `"kid":"b"`), jwk("rsa2", `"kid":"a"`)), false, able{"b": "ES256"}, 2},
		{"kid twice, one unusable", jwks(jwk("rsa", `"kid":"a"`), jwk("rsa2", `"kid":"a","use":"enc"`)), false, able{"a": rsaAll}, 1},
		{"kid twice, one unreadable", jwks(jwk("rsa", `"kid":"a"`), `{"kty":"RSA","kid":"a"}`, jwk("ed", "")), false, able{"": "EdDSA"}, 2},
		{"secret in public", jwks(jwk("hmac", `"kid":"h"`), jwk("ed", `"kid":"e"`)), false, able{"e": "EdDSA"}, 1},
		{"secrets", jwks(jwk("hmac", `"kid":"h"`)), true, able{"h": "HS256, HS384, HS512"}, 0},
		{"secret of 32 bytes", jwks(`{"kty":"oct","k":"` + strings.Repeat("A", 43) + `"}`), true, able{"": "HS256"}, 0},
		{"secret of 48 bytes", jwks(`{"kty":"oct","k":"` + strings.Repeat("A", 64) + `"}`), true, able{"": "HS256, HS384"}, 0},
		{"secret of 31 bytes", jwks(`{"kty":"oct","k":"` + strings.Repeat("A", 42) + `"}`), true, nil, 1},
		{"secret too short for its alg", jwks(`{"kty":"oct","alg":"HS512","k":"` + strings.Repeat("A", 64) + `"}`), true, nil, 1},
		{"secret with padding", jwks(`{"kty":"oct","k":"` + strings.Repeat("A", 43) + `="}`), true, nil, 1},
		{"secret empty", jwks(`{"kty":"oct","k":""}`), true, nil, 1},
		{"secret beside a public key", jwks(jwk("hmac", ""), jwk("rsa", "")), true, nil, 0},
		{"secret in a public key", jwks(jwk("rsa", `"k":"AAAA"`)), false, nil, 1},
		{"use enc", jwks(jwk("rsa", `"use":"enc"`)), false, nil, 1},
		{"use an array", jwks(jwk("rsa", `"use":["sig"]`)), false, nil, 1},
		{"key_ops without verify", jwks(jwk("rsa", `"key_ops":["encrypt"]`)), false, nil, 1},
		{"key_ops empty", jwks(jwk("rsa", `"key_ops":[]`)), false, nil, 1},
		{"key_ops twice", jwks(jwk("rsa", `"key_ops":["verify","verify"]`)), false, nil, 1},
		{"key_ops a string", jwks(jwk("rsa", `"key_ops":"verify"`)), false, nil, 1},
		{"alg of encryption", jwks(jwk("rsa", `"alg":"RSA-OAEP"`)), false, nil, 1},
		{"alg of another kind", jwks(jwk("rsa", `"alg":"ES256"`)), false, nil, 1},
		{"alg of another curve", jwks(jwk("p256", `"alg":"ES384"`)), false, nil, 1},
		{"alg HS of an RSA key", jwks(jwk("rsa", `"alg":"HS256"`)), false, nil, 1},
		{"alg null", jwks(jwk("rsa", `"alg":null`)), false, nil, 1},
		{"kid a number", jwks(jwk("rsa", `"kid":1`)), false, nil, 1},
		{"kid too long", jwks(jwk("rsa", `"kid":"`+strings.Repeat("k", 257)+`"`)), false, nil, 1},
		{"kty missing", jwks(`{"n":"AQAB"}`), false, nil, 1},
		{"kty unknown", jwks(`{"kty":"AKP"}`), false, nil, 1},
		{"kty an object", jwks(`{"kty":{}}`), false, nil, 1},
		{"OKP of another curve", jwks(strings.Replace(jwk("ed", ""), "Ed25519", "X25519", 1)), false, nil, 1},
		{"OKP too short", jwks(`{"kty":"OKP","crv":"Ed25519","x":"` + strings.Repeat("A", 42) + `"}`), false, nil, 1},
		{"EC of another curve", jwks(strings.Replace(jwk("p256", ""), "P-256", "P-384", 1)), false, nil, 1},
		{"EC of an unknown curve", jwks(strings.Replace(jwk("p256", ""), "P-256", "secp256k1", 1)), false, nil, 1},
		{"EC not on the curve", jwks(`{"kty":"EC","crv":"P-256","x":"` + b64(make([]byte, 32)) + `","y":"` + b64(make([]byte, 32)) + `"}`), false, nil, 1},
		{"EC with a zero in front", jwks(`{"kty":"EC","crv":"P-256","x":"` + b64(make([]byte, 33)) + `","y":"` + b64(make([]byte, 32)) + `"}`), false, nil, 1},
		{"EC without y", jwks(`{"kty":"EC","crv":"P-256","x":"` + b64(make([]byte, 32)) + `"}`), false, nil, 1},
		{"no keys", `{"keys":[]}`, false, nil, 0},
		{"no array", `{"keys":{}}`, false, nil, 0},
		{"a key alone", jwk("rsa", ""), false, nil, 0},
		{"keys twice", `{"keys":[],"keys":[]}`, false, nil, 0},
		{"a member twice", jwks(jwk("rsa", `"use":"sig","use":"sig"`)), false, nil, 0},
		{"not JSON", `-----BEGIN PUBLIC KEY-----`, false, nil, 0},
		{"257 keys", jwks(strings.TrimSuffix(strings.Repeat("{},", 257), ",")), false, nil, 0},
		{"over 1 MiB", jwks() + strings.Repeat(" ", 1<<20), false, nil, 0},
	}
	for _, member := range []string{"d", "p", "q", "dp", "dq", "qi", "oth"} {
		for _, name := range []string{"rsa", "p256", "ed"} {
			tests = append(tests, struct {
				name      string
				text      string
				symmetric bool
				want      able
				problems  int
			}{"private member " + member + " of " + name, jwks(jwk(name, fmt.Sprintf(`%q:"AQAB"`, member))), false, nil, 1})
		}
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			set, problems, err := ParseJWKS([]byte(test.text), test.symmetric)
			if (err == nil) != (test.want != nil) || (set == nil) == (err == nil) {
				t.Fatalf("error %v, problems %v", err, problems)
			}
			if len(problems) != test.problems {
				t.Errorf("problems %v", problems)
			}
			if set == nil {
				return
			}
			if diff := cmp.Diff(test.want, abilities(set)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseJWKSWeakRSA(t *testing.T) {
	odd := func(bits int) []byte {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return n.SetBit(n, 0, 1).Bytes()
	}
	tests := []struct {
		name string
		n, e []byte
		ok   bool
	}{
		{"2048 bits", odd(2048), []byte{1, 0, 1}, true},
		{"exponent 3", odd(2048), []byte{3}, true},
		{"largest exponent", odd(2048), []byte{0x7f, 0xff, 0xff, 0xff}, true},
		{"8192 bits", odd(8192), []byte{3}, true},
		{"2047 bits", odd(2047), []byte{1, 0, 1}, false},
		{"1024 bits", odd(1024), []byte{1, 0, 1}, false},
		{"8193 bits", odd(8193), []byte{3}, false},
		{"exponent 1", odd(2048), []byte{1}, false},
		{"exponent 0", odd(2048), []byte{0}, false},
		{"exponent even", odd(2048), []byte{4}, false},
		{"exponent too large", odd(2048), []byte{0x80, 0, 0, 1}, false},
		{"exponent far too large", odd(2048), odd(2040), false},
		{"exponent that wraps to 3", odd(2048), []byte{1, 0, 0, 0, 0, 0, 0, 0, 3}, false},
		{"zero in front of n", append([]byte{0}, odd(2048)...), []byte{3}, false},
		{"zero in front of e", odd(2048), []byte{0, 3}, false},
		{"modulus even", new(big.Int).Lsh(big.NewInt(1), 2047).Bytes(), []byte{3}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := jwks(fmt.Sprintf(`{"kty":"RSA","n":%q,"e":%q}`, b64(test.n), b64(test.e)))
			if _, _, err := ParseJWKS([]byte(text), false); (err == nil) != test.ok {
				t.Errorf("error %v", err)
			}
		})
	}
}

// A modulus made the way the faulty generator made its primes has the mark, an honest one has not.
func TestROCA(t *testing.T) {
	m := big.NewInt(1)
	for p := int64(2); p <= 167; p++ {
		if big.NewInt(p).ProbablyPrime(0) {
			m.Mul(m, big.NewInt(p))
		}
	}
	n := new(big.Int).Exp(big.NewInt(65537), big.NewInt(123456789), m)
	n.Add(n, new(big.Int).Mul(m, new(big.Int).Lsh(big.NewInt(1), 1900)))
	if !isROCA(n) {
		t.Error("the mark was not seen")
	}
	if _, err := rsaKey(&rsa.PublicKey{N: n, E: 65537}); err == nil {
		t.Error("a key with the mark was imported")
	}
	for _, name := range []string{"rsa", "rsa2"} {
		if isROCA(testKeys()[name].(*rsa.PrivateKey).N) {
			t.Error("an honest key has the mark")
		}
	}
}

func TestProblemsNameNoKeyMaterial(t *testing.T) {
	secret := b64([]byte("0123456789abcdef"))
	_, problems, err := ParseJWKS([]byte(jwks(`{"kty":"oct","kid":"mine","k":"`+secret+`"}`)), true)
	text := fmt.Sprint(err, problems)
	if len(problems) != 1 || !strings.Contains(text, `key 0 (kid "mine")`) || strings.Contains(text, secret) {
		t.Error(text)
	}
	_, err = parseObject(`{"k":"` + secret)
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Error(err)
	}
}

func TestKeySetPicksKeys(t *testing.T) {
	fifth := jwks(jwk("rsa2", `"alg":"RS256"`), jwk("rsa2", ""), jwk("p256", ""), jwk("rsa2", ""), jwk("rsa2", ""), jwk("rsa", ""))
	fourth := jwks(jwk("rsa2", ""), jwk("rsa2", ""), jwk("p256", ""), jwk("rsa2", ""), jwk("rsa2", `"alg":"PS256"`), jwk("rsa", ""))
	tests := []struct {
		name, set, header string
		want              error
	}{
		{"kid", jwks(jwk("rsa2", `"kid":"b"`), jwk("rsa", `"kid":"a"`)), `{"alg":"RS256","kid":"a"}`, nil},
		{"kid of another key", jwks(jwk("rsa2", `"kid":"a"`), jwk("rsa", `"kid":"b"`)), `{"alg":"RS256","kid":"a"}`, ErrSignature},
		{"no kid, second key", jwks(jwk("rsa2", `"kid":"b"`), jwk("rsa", `"kid":"a"`)), `{"alg":"RS256"}`, nil},
		{"no kid, fourth fitting key", fourth, `{"alg":"RS256"}`, nil},
		{"no kid, fifth fitting key", fifth, `{"alg":"RS256"}`, ErrSignature},
		{"no kid, none fits", jwks(jwk("p256", "")), `{"alg":"RS256"}`, ErrAlgorithm},
		{"kid, keys have none", jwks(jwk("rsa2", ""), jwk("rsa", "")), `{"alg":"RS256","kid":"a"}`, nil},
		{"kid, keys have none and none is right", jwks(jwk("rsa2", "")), `{"alg":"RS256","kid":"a"}`, ErrSignature},
		{"kid unknown, one key has none", jwks(jwk("rsa", ""), jwk("rsa2", `"kid":"b"`)), `{"alg":"RS256","kid":"a"}`, nil},
		{"kid unknown, one key has none and is wrong", jwks(jwk("rsa2", ""), jwk("rsa", `"kid":"b"`)), `{"alg":"RS256","kid":"a"}`, ErrUnknownKey},
		{"kid unknown, one key has none and does not fit", jwks(jwk("p256", ""), jwk("rsa", `"kid":"b"`)), `{"alg":"RS256","kid":"a"}`, ErrUnknownKey},
		{"key is for another algorithm", jwks(jwk("rsa", `"kid":"a","alg":"PS256"`)), `{"alg":"RS256","kid":"a"}`, ErrAlgorithm},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := mustSet(t, test.set, false).VerifyJWS(sign(t, RS256, "rsa", test.header, "x"), Asymmetric)
			wraps(t, err, test.want)
		})
	}
}

// The classic confusion: the public key taken as a shared secret.
func TestPublicKeyIsNoSecret(t *testing.T) {
	set := mustSet(t, jwks(jwk("rsa", `"kid":"rsa"`)), false)
	for _, alg := range []Algorithm{HS256, HS384, HS512} {
		_, err := set.VerifyJWS(sign(t, alg, "hmac", fmt.Sprintf(`{"alg":%q,"kid":"rsa"}`, alg), "x"), Asymmetric|hmacAlgorithms)
		wraps(t, err, ErrAlgorithm)
	}
}

// RFC 7518 §3.5 fixes the salt to the size of the hash; others verify in golang-jwt.
func TestSaltIsFixed(t *testing.T) {
	set := mustSet(t, jwks(jwk("rsa", "")), false)
	message, private := []byte("message"), testKeys()["rsa"].(*rsa.PrivateKey)
	digest := sha256.Sum256(message)
	for _, length := range []int{0, 20, 31, 32, 33, rsa.PSSSaltLengthAuto} {
		signature, err := rsa.SignPSS(rand.Reader, private, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: length})
		if err != nil {
			t.Fatal(err)
		}
		var want error
		if length != 32 {
			want = ErrSignature
		}
		wraps(t, set.VerifySignature(PS256, message, signature), want)
	}
}

func TestParsePEM(t *testing.T) {
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	public := func(key any) string {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return block("PUBLIC KEY", der)
	}
	private := testKeys()["rsa"].(*rsa.PrivateKey)
	p256 := testKeys()["p256"].(*ecdsa.PrivateKey)
	weak, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotAfter: time.Unix(1, 0)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &p256.PublicKey, p256)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	good := public(&private.PublicKey)
	tests := []struct {
		name, text string
		keys       int // 0: refused
	}{
		{"RSA", good, 1},
		{"PKCS 1", block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&private.PublicKey)), 1},
		{"ECDSA and Ed25519", public(&p256.PublicKey) + public(testKeys()["ed"].(crypto.Signer).Public()), 2},
		{"certificate, long expired", block("CERTIFICATE", certificate), 1},
		{"text around", "the key of corp\n" + good + "\n# end\n", 1},
		{"empty", "", 0},
		{"no PEM", "AAAA", 0},
		{"private key PKCS 1", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(private)), 0},
		{"private key SEC 1", block("EC PRIVATE KEY", sec1), 0},
		{"private key beside a public one", good + block("EC PRIVATE KEY", sec1), 0},
		{"P-224", public(&weak.PublicKey), 0},
		{"a damaged block beside a good one", good + strings.Replace(good, "-----END", "----END", 1), 0},
		{"not DER", block("PUBLIC KEY", []byte("x")), 0},
		{"over 1 MiB", good + strings.Repeat("\n", 1<<20), 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			set, err := ParsePEM([]byte(test.text))
			if (err == nil) != (test.keys > 0) {
				t.Fatal(err)
			}
			if test.keys > 0 && (set.Len() != test.keys || len(set.KeyIDs()) != 0) {
				t.Errorf("%d keys, ids %q", set.Len(), set.KeyIDs())
			}
		})
	}
}

func TestNewHMACKeySet(t *testing.T) {
	secret := []byte(strings.Repeat("s", 32))
	set, err := NewHMACKeySet(secret)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"": "HS256"}, abilities(set)); diff != "" {
		t.Error(diff)
	}
	clear(secret)
	if string(set.keys[0].material.([]byte)) != strings.Repeat("s", 32) {
		t.Error("the secret was not copied")
	}
	if _, err := NewHMACKeySet(secret[:31]); err == nil {
		t.Error("a secret of 31 bytes was accepted")
	}
}

func TestKeyIDs(t *testing.T) {
	set := mustSet(t, jwks(jwk("rsa", `"kid":"b"`), jwk("p256", `"kid":"a"`), jwk("ed", "")), false)
	if diff := cmp.Diff([]string{"a", "b"}, set.KeyIDs()); diff != "" || set.Len() != 3 {
		t.Error(diff, set.Len())
	}
}
