package token

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
)

// TestParsePrivateKeys reads what a Secret may hold, and what it may not.
func TestParsePrivateKeys(t *testing.T) {
	block := func(kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	sec1, err := x509.MarshalECPrivateKey(ecKey("p256"))
	ecPEM := block("EC PRIVATE KEY", sec1, err)
	rsaPEM := block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKeyOfWorld("rsa2")), nil)
	public, err := x509.MarshalPKIXPublicKey(&ecKey("p256").PublicKey)
	publicPEM := block("PUBLIC KEY", public, err)
	good := privateJWK("p256", "")
	set := func(keys ...string) string { return jwks(keys...) }
	for _, test := range []struct {
		name  string
		value string
		ids   []string
		want  string // of the problem
	}{
		{"PKCS 8, EC", pemOf(t, "p256"), []string{"entry"}, ""},
		{"PKCS 8, RSA", pemOf(t, "rsa2"), []string{"entry"}, ""},
		{"SEC 1", ecPEM, []string{"entry"}, ""},
		{"PKCS 1", rsaPEM, []string{"entry"}, ""},
		{"SEC 1 with parameters, as openssl writes it", block("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}, nil) + ecPEM, []string{"entry"}, ""},
		{"blanks around PEM", "\n  " + ecPEM + "\n\n", []string{"entry"}, ""},
		{"a JWK", good, []string{"entry"}, ""},
		{"a JWK with a kid", privateJWK("rsa2", `"kid":"one","use":"enc","alg":"RSA-OAEP-256","key_ops":["decrypt","unwrapKey"]`), []string{"one"}, ""},
		{"a JWK of a symmetric key", privateJWK("sym32", `"kid":"s","alg":"A256GCM"`), []string{"s"}, ""},
		{"a JWK of a symmetric key, dir", privateJWK("sym32", `"alg":"dir"`), []string{"entry"}, ""},
		{"a set", set(privateJWK("p256", `"kid":"a"`), privateJWK("rsa2", `"kid":"b"`)), []string{"a", "b"}, ""},
		{"a set of which one is bad", set(privateJWK("p256", `"kid":"a"`), privateJWK("weak", `"kid":"b"`)), []string{"a"}, "entry, key 1: the RSA modulus has fewer than 2048 bits"},
		{"a set with a key without kid", set(good), nil, "entry, key 0: has no kid"},
		{"a set with a kid twice", set(privateJWK("p256", `"kid":"a"`), privateJWK("rsa2", `"kid":"a"`)), nil, `2 keys have the kid "a"`},
		{"a set with a kid twice, one of them unreadable", set(privateJWK("p256", `"kid":"a"`), `{"kty":"EC","kid":"a"}`), nil, `2 keys have the kid "a"`},
		{"an empty set", `{"keys":[]}`, nil, "entry: is a key set without keys"},
		{"keys that are no list", `{"keys":{}}`, nil, "without keys"},
		{"a set of texts", `{"keys":["a"]}`, nil, "has no kid"},
		{"nothing", "", nil, "is neither a private key in PEM nor a JWK"},
		{"another text", "s3cr3t", nil, "is neither a private key in PEM nor a JWK"},
		{"a public key", publicPEM, nil, "is no private key"},
		{"a JWK of a public key", jwk("p256", ""), nil, "d is missing"},
		{"a JWK of a public RSA key", jwk("rsa2", ""), nil, "to decrypt takes the private key"},
		{"two keys in PEM", ecPEM + rsaPEM, nil, "more than one PEM block"},
		{"a damaged block", ecPEM + "-----BEGIN PRIVATE KEY-----\n", nil, "neither"},
		{"not DER", block("PRIVATE KEY", []byte("x"), nil), nil, "not a private key in DER"},
		{"a key with a passphrase", block("ENCRYPTED PRIVATE KEY", []byte("x"), nil), nil, "passphrase"},
		{"a key with a passphrase, the old way", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n", nil, "passphrase"},
		{"a signing key", pemOf(t, "ed"), nil, "not a key of RSA, P-256, P-384 or P-521"},
		{"a JWK of a signing key", jwk("ed", `"d":"AAAA"`), nil, "kty is not RSA, EC or oct"},
		{"RSA of 1024 bits", pemOf(t, "weak"), nil, "fewer than 2048 bits"},
		{"use sig", privateJWK("p256", `"use":"sig"`), nil, "use is not enc"},
		{"key_ops that sign", privateJWK("p256", `"key_ops":["sign"]`), nil, "nothing that decrypts"},
		{"key_ops twice", privateJWK("p256", `"key_ops":["decrypt","decrypt"]`), nil, "different strings"},
		{"alg of a signature", privateJWK("p256", `"alg":"ES256"`), nil, "alg is not one"},
		{"alg RSA1_5", privateJWK("rsa2", `"alg":"RSA1_5"`), nil, "alg is not one"},
		{"alg RSA-OAEP", privateJWK("rsa2", `"alg":"RSA-OAEP"`), nil, "alg is not one"},
		{"alg of another size", privateJWK("sym16", `"alg":"A256GCM"`), nil, "alg is not one"},
		{"alg that is no text", privateJWK("p256", `"alg":1`), nil, "alg is not one"},
		{"kid that is no text", privateJWK("p256", `"kid":1`), nil, "kid is not a string"},
		{"kid over 256 bytes", privateJWK("p256", `"kid":"`+strings.Repeat("k", 257)+`"`), nil, "kid is not a string of at most 256 bytes"},
		{"a symmetric key of another size", `{"kty":"oct","k":"AAAA"}`, nil, "has 16, 32 or 64 octets"},
		{"d of another point", strings.Replace(good, `"d":"`, `"d":"`+b64([]byte(strings.Repeat("x", 32)))+`","old":"`, 1), nil, "d does not belong"},
		{"d that is zero", strings.Replace(good, `"d":"`, `"d":"`+strings.Repeat("A", 43)+`","old":"`, 1), nil, "d does not belong"},
		{"an RSA key that is no number", strings.Replace(privateJWK("rsa2", ""), `"p":"`, `"p":"AA","old":"`, 1), nil, "do not belong together"},
		{"an RSA key with d of another", strings.Replace(privateJWK("rsa2", ""), `"d":"`, `"d":"AQ","old":"`, 1), nil, "do not belong together"},
		{"an RSA key of more primes", privateJWK("rsa2", `"oth":[]`), nil, "no oth"},
		{"a member twice", privateJWK("p256", `"kty":"EC"`), nil, "stood there before"},
		{"JSON that breaks off", good[:40], nil, "entry: JSON at byte"},
		{"over 1 MiB", strings.Repeat(" ", 1<<20) + good, nil, "larger than 1 MiB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			set, problems := ParsePrivateKeys(map[string][]byte{"entry": []byte(test.value)})
			if !slices.Equal(set.KeyIDs(), test.ids) || set.Len() != len(test.ids) {
				t.Errorf("keys %q, want %q", set.KeyIDs(), test.ids)
			}
			told := fmt.Sprint(problems)
			if (test.want == "") != (len(problems) == 0) || !strings.Contains(told, test.want) {
				t.Errorf("problems %s, want %q", told, test.want)
			}
			for _, secret := range []string{"s3cr3t", `"d"`, good[60:80]} {
				if strings.Contains(told, secret) {
					t.Errorf("a secret shows in %s", told)
				}
			}
		})
	}
}

// TestLargeKeysDoNotDecrypt: what anybody can make the server compute has a bound.
func TestLargeKeysDoNotDecrypt(t *testing.T) {
	n := new(big.Int).Lsh(big.NewInt(1), 4999)
	n.Add(n, big.NewInt(1))
	if _, err := rsaPrivate(&rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: 65537}}); err == nil || !strings.Contains(err.Error(), "more than 4096 bits") {
		t.Errorf("error %v", err)
	}
}

// TestPrivateKeysOfManyEntries reads entries beside each other.
func TestPrivateKeysOfManyEntries(t *testing.T) {
	data := map[string][]byte{
		"2026-11": []byte(pemOf(t, "p256")), "2026-10": []byte(pemOf(t, "rsa2")), "readme": []byte("rotated each month"),
		"more": []byte(privateJWK("p384", `"kid":"2026-10"`)), "set": []byte(jwks(privateJWK("p521", `"kid":"set-1"`))),
	}
	set, problems := ParsePrivateKeys(data)
	if want := []string{"2026-11", "set-1"}; !slices.Equal(set.KeyIDs(), want) || len(problems) != 2 {
		t.Errorf("keys %q, want %q; problems %q", set.KeyIDs(), want, problems)
	}
	many := map[string][]byte{}
	for i := range maxPrivateKeys + 1 {
		many[fmt.Sprintf("%03d", i)] = []byte(privateJWK("sym16", ""))
	}
	if set, problems := ParsePrivateKeys(many); set.Len() != maxPrivateKeys || len(problems) != 1 {
		t.Errorf("%d keys, problems %q", set.Len(), problems)
	}
	if set, problems := ParsePrivateKeys(nil); set == nil || set.Len() != 0 || len(problems) != 0 {
		t.Error("nothing is not an empty set")
	}
}
