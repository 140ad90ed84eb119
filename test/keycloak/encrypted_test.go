package keycloak

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// TestEncryptedTokens shows ID tokens that Keycloak encrypts for the key of the page.
func TestEncryptedTokens(t *testing.T) {
	w := newWorld(t)
	of := w.byPassword(t, "vault", "alice")
	if strings.Count(of.ID, ".") != 4 {
		t.Fatalf("the ID token is not encrypted: %d dots", strings.Count(of.ID, "."))
	}
	w.want(t, "vault", "/", of.ID, "Allowed")
	w.want(t, "vault", "/", of.ID[:len(of.ID)-3]+"AAA", "MalformedToken")
	w.want(t, "vault", "/", of.Access, "InvalidTokenType") // signed only
	w.want(t, "orders", "/", of.ID, "MalformedToken")      // whose provider decrypts nothing
}

// TestEncryptedForRSA shows what Keycloak can do with an RSA key, and what of it is not taken.
func TestEncryptedForRSA(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, "audiences: [vault]", "audiences: [safe]", "stringData:\n  \"2026-11\":", "stringData:\n  rsa: "+string(secret)+"\n  \"2026-11\":")
	for _, test := range []struct{ alg, enc, want string }{
		{"RSA-OAEP-256", "A256GCM", "Allowed"},
		{"RSA-OAEP-256", "A128GCM", "Allowed"},
		{"RSA-OAEP-256", "A256CBC-HS512", "Allowed"},
		{"RSA-OAEP-256", "A128CBC-HS256", "Allowed"},
		{"RSA-OAEP-256", "A192GCM", "MalformedToken"},
		{"RSA-OAEP", "A256GCM", "MalformedToken"},
		{"RSA1_5", "A256GCM", "MalformedToken"},
	} {
		t.Run(test.alg+" "+test.enc, func(t *testing.T) {
			set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "rsa", Use: "enc", Algorithm: test.alg}}})
			if err != nil {
				t.Fatal(err)
			}
			w.addClient(t, "safe", object{"attributes": object{
				"use.jwks.string": "true", "jwks.string": string(set),
				"id.token.encrypted.response.alg": test.alg, "id.token.encrypted.response.enc": test.enc,
			}})
			w.want(t, "vault", "/", w.byPassword(t, "safe", "bob").ID, test.want)
		})
	}
}
