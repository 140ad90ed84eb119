package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// maxPrivateRSABits bounds the keys that decrypt: with 4096 bits one token costs some milliseconds, and anybody can send
// one.
const maxPrivateRSABits = 4096

// privatePEM reads one private key in PEM: PKCS #8, PKCS #1 or SEC 1. The error holds nothing of the key.
func privatePEM(data []byte) (*privateKey, error) {
	var found *pem.Block
	blocks := 0
	for rest := data; ; blocks++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "EC PARAMETERS" { // openssl writes them in front of a key that names its curve too
			continue
		}
		if found != nil {
			return nil, errors.New("holds more than one PEM block; give each key an entry of its own")
		}
		found = block
	}
	// The decoder passes over a damaged block without a word.
	if found == nil || blocks != bytes.Count(data, []byte("-----BEGIN")) {
		return nil, errors.New("is neither a private key in PEM nor a JWK")
	}
	if len(found.Headers) > 0 || found.Type == "ENCRYPTED PRIVATE KEY" {
		return nil, errors.New("is protected by a passphrase; store the key without one (openssl pkey -in FILE)")
	}
	return privateDER(found)
}

func privateDER(block *pem.Block) (*privateKey, error) {
	var private any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		private, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, errors.New("is no private key, but that is what decrypts; only PRIVATE KEY, RSA PRIVATE KEY and EC PRIVATE KEY are read")
	}
	if err != nil {
		return nil, errors.New("is not a private key in DER inside its PEM block")
	}
	switch private := private.(type) {
	case *rsa.PrivateKey:
		return rsaPrivate(private)
	case *ecdsa.PrivateKey:
		return ecPrivate(private)
	}
	return nil, errors.New("is not a key of RSA, P-256, P-384 or P-521")
}

// importPrivate reads one private or symmetric JWK (RFC 7517 §4, RFC 7518 §6). The error holds nothing of the key.
func importPrivate(jwk map[string]any) (*privateKey, error) {
	kty, ok := jwk["kty"].(string)
	if !ok {
		return nil, errors.New("is not an object with a kty")
	}
	if kid, there := jwk["kid"]; there {
		if id, ok := kid.(string); !ok || len(id) > maxKeyIDBytes {
			return nil, errors.New("kid is not a string of at most 256 bytes")
		}
	}
	if err := forDecryption(jwk); err != nil {
		return nil, err
	}
	k, err := privateOfType(kty, jwk)
	if err != nil {
		return nil, err
	}
	return k, k.narrow(jwk)
}

// forDecryption checks use and key_ops (RFC 7517 §4.2, §4.3); a key without either may decrypt.
func forDecryption(jwk map[string]any) error {
	if use, there := jwk["use"]; there && use != "enc" {
		return errors.New("use is not enc")
	}
	operations, there, err := operationsOf(jwk)
	if err != nil || !there {
		return err
	}
	for _, operation := range []string{"decrypt", "unwrapKey", "deriveKey", "deriveBits"} {
		if operations[operation] {
			return nil
		}
	}
	return errors.New("key_ops includes nothing that decrypts")
}

func privateOfType(kty string, jwk map[string]any) (*privateKey, error) {
	switch kty {
	case "RSA":
		return importPrivateRSA(jwk)
	case "EC":
		return importPrivateEC(jwk)
	case "oct":
		secret, err := octets(jwk, "k")
		if err != nil {
			return nil, err
		}
		return directKey(secret)
	}
	return nil, errors.New("kty is not RSA, EC or oct")
}

func importPrivateRSA(jwk map[string]any) (*privateKey, error) {
	if _, there := jwk["oth"]; there {
		return nil, errors.New("an RSA key has two primes here, and no oth")
	}
	public, err := importRSA(jwk)
	if err != nil {
		return nil, err
	}
	var numbers [3]*big.Int
	for i, name := range []string{"d", "p", "q"} {
		value, err := octets(jwk, name)
		if err != nil {
			return nil, errors.New("d, p or q is missing or not base64url: to decrypt takes the private key, with its primes")
		}
		numbers[i] = new(big.Int).SetBytes(value)
	}
	private := &rsa.PrivateKey{PublicKey: *public.material.(*rsa.PublicKey), D: numbers[0], Primes: numbers[1:]}
	private.Precompute()
	return rsaPrivate(private)
}

func rsaPrivate(private *rsa.PrivateKey) (*privateKey, error) {
	if _, err := rsaKey(&private.PublicKey); err != nil {
		return nil, err
	}
	if private.N.BitLen() > maxPrivateRSABits {
		return nil, errors.New("the RSA modulus has more than 4096 bits, and decrypting would take too long")
	}
	if private.Validate() != nil {
		return nil, errors.New("the numbers of the RSA key do not belong together")
	}
	return &privateKey{algorithms: []jose.KeyAlgorithm{jose.RSA_OAEP_256}, material: private}, nil
}

func importPrivateEC(jwk map[string]any) (*privateKey, error) {
	public, err := importEC(jwk)
	if err != nil {
		return nil, err
	}
	d, err := octets(jwk, "d")
	if err != nil {
		return nil, errors.New("d is missing or not base64url: to decrypt takes the private key")
	}
	point := public.material.(*ecdsa.PublicKey)
	private, err := ecdsa.ParseRawPrivateKey(point.Curve, d)
	if err != nil || !private.PublicKey.Equal(point) {
		return nil, errors.New("d does not belong to x and y")
	}
	return ecPrivate(private)
}

func ecPrivate(private *ecdsa.PrivateKey) (*privateKey, error) {
	if _, err := ecdsaKey(&private.PublicKey); err != nil {
		return nil, err
	}
	return &privateKey{
		algorithms: []jose.KeyAlgorithm{jose.ECDH_ES, jose.ECDH_ES_A128KW, jose.ECDH_ES_A256KW},
		crv:        private.Curve.Params().Name,
		material:   private,
	}, nil
}

// directKey is a shared key that is itself that of the content, so that its size says of which (RFC 7518 §4.5).
func directKey(secret []byte) (*privateKey, error) {
	k := &privateKey{algorithms: []jose.KeyAlgorithm{jose.DIRECT}, material: secret}
	for _, enc := range []jose.ContentEncryption{jose.A128GCM, jose.A256GCM, jose.A128CBC_HS256, jose.A256CBC_HS512} {
		if c, _ := contentOf(string(enc)); c.key == len(secret) {
			k.contents = append(k.contents, enc)
		}
	}
	if k.contents == nil {
		return nil, errors.New("a symmetric key has 16, 32 or 64 octets: those of A128GCM, of A256GCM and A128CBC-HS256, of A256CBC-HS512")
	}
	return k, nil
}

// narrow takes alg of the JWK over into k: an algorithm for the key, or of a symmetric key also one for the content.
func (k *privateKey) narrow(jwk map[string]any) error {
	alg, there := jwk["alg"]
	if !there {
		return nil
	}
	name, _ := alg.(string)
	switch {
	case slices.Contains(k.algorithms, jose.KeyAlgorithm(name)):
		k.algorithms = []jose.KeyAlgorithm{jose.KeyAlgorithm(name)}
	case slices.Contains(k.contents, jose.ContentEncryption(name)):
		k.contents = []jose.ContentEncryption{jose.ContentEncryption(name)}
	default:
		return errors.New("alg is not one that is decrypted with this kind of key: RSA-OAEP-256 of RSA; ECDH-ES, ECDH-ES+A128KW and ECDH-ES+A256KW of EC; dir, or an enc of this size, of oct")
	}
	return nil
}
