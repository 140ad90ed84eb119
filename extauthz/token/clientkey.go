package token

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"

	"github.com/go-jose/go-jose/v4"
)

// ClientKey is the private key by which Sallyport proves to a provider who it is (RFC 7523). It is immutable.
type ClientKey struct {
	// Signer is an *rsa.PrivateKey, an *ecdsa.PrivateKey or an ed25519.PrivateKey.
	Signer crypto.Signer
	// ID is its kid; "" for none.
	ID string
	// Algorithm that it signs with.
	Algorithm Algorithm
}

// maxClientKeyBytes is far above any key that is in use.
const maxClientKeyBytes = 64 << 10

// ParseClientKey reads a private key in PEM (PKCS #8, PKCS #1 or SEC 1), or as a JWK. An RSA key signs with RS256 unless
// its JWK says otherwise. The error holds nothing of the key.
func ParseClientKey(data []byte) (*ClientKey, error) {
	if len(data) > maxClientKeyBytes {
		return nil, errors.New("more than 64 KiB")
	}
	data = bytes.TrimSpace(data)
	if bytes.HasPrefix(data, []byte("{")) {
		return clientJWK(data)
	}
	block, rest := pem.Decode(data)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("neither one private key in PEM nor a JWK")
	}
	parsed, err := parsePrivate(block.Bytes)
	if err != nil {
		return nil, err
	}
	return newClientKey(parsed, "", "")
}

func parsePrivate(der []byte) (any, error) {
	if k, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k, nil
	}
	return nil, errors.New("the PEM block is no private key without a passphrase")
}

func clientJWK(data []byte) (*ClientKey, error) {
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(data, &jwk); err != nil || !jwk.Valid() || jwk.IsPublic() {
		return nil, errors.New("the JWK is no private key")
	}
	if jwk.Use != "" && jwk.Use != "sig" {
		return nil, errors.New("the JWK is not for signatures: its use is not sig")
	}
	return newClientKey(jwk.Key, jwk.KeyID, Algorithm(jwk.Algorithm))
}

// newClientKey checks a key as that of a provider is checked; wanted is the algorithm, "" for the usual one.
func newClientKey(private any, id string, wanted Algorithm) (*ClientKey, error) {
	var (
		public *key
		err    error
		out    = &ClientKey{ID: id}
	)
	switch k := private.(type) {
	case *rsa.PrivateKey:
		out.Signer, out.Algorithm = k, RS256
		public, err = rsaKey(&k.PublicKey)
	case *ecdsa.PrivateKey:
		out.Signer = k
		public, err = ecdsaKey(&k.PublicKey)
	case ed25519.PrivateKey:
		out.Signer, out.Algorithm = k, EdDSA
		public, err = ed25519Key(k.Public().(ed25519.PublicKey))
	default:
		return nil, errors.New("the key is not of RSA, ECDSA or Ed25519")
	}
	if err != nil {
		return nil, err
	}
	for _, a := range []Algorithm{ES256, ES384, ES512} {
		if public.algorithms == a.bit() {
			out.Algorithm = a
		}
	}
	if wanted != "" {
		if public.algorithms&wanted.bit() == 0 {
			return nil, errors.New("alg of the JWK is not a signature algorithm of its key")
		}
		out.Algorithm = wanted
	}
	return out, nil
}
