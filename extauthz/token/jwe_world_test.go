package token

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	josecipher "github.com/go-jose/go-jose/v4/cipher"
)

// secrets are the symmetric keys of the world, by their kids.
var secrets = map[string][]byte{
	"sym16": []byte(strings.Repeat("k", 16)), "sym32": []byte(strings.Repeat("k", 32)), "sym64": []byte(strings.Repeat("k", 64)),
}

// sealKinds are every algorithm with every content encryption and the keys of the world that fit.
var sealKinds = func() (out []sealKind) {
	for _, enc := range []string{"A128GCM", "A256GCM", "A128CBC-HS256", "A256CBC-HS512"} {
		c, _ := contentOf(enc)
		out = append(out, sealKind{"RSA-OAEP-256", enc, "rsa2"}, sealKind{"dir", enc, fmt.Sprintf("sym%d", c.key)})
		for _, alg := range []string{"ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW"} {
			for _, key := range []string{"p256", "p384", "p521"} {
				out = append(out, sealKind{alg, enc, key})
			}
		}
	}
	return out
}()

// sealKind is one way to encrypt, for a key of the world.
type sealKind struct{ alg, enc, key string }

func (k sealKind) String() string { return k.alg + "/" + k.enc + "/" + k.key }

// sealing is a JWE in the making: each part may be altered before it is sealed with the rest, as whoever encrypts could.
type sealing struct {
	sealKind
	// header is JSON; "" means that of the kind, with the members of more behind it.
	header, more string
	// epk is JSON; "" means that of the ephemeral key.
	epk       string
	plaintext string
	iv, tag   func([]byte) []byte // nil: as they are
	wrapped   func([]byte) []byte
}

// seal encrypts by the primitives alone, without go-jose's opinion of what a JWE is. Nothing but RSA draws anything.
func (s sealing) seal(t testing.TB) string {
	t.Helper()
	c, ok := contentOf(s.enc)
	if !ok {
		c = content{key: 24, iv: 12, tag: 16, block: 1} // A192GCM
	}
	cek, wrapped, epk := s.contentKey(t, c)
	if s.epk != "" {
		epk = s.epk
	}
	if epk != "" {
		epk = `,"epk":` + epk
	}
	header := s.header
	if header == "" {
		header = fmt.Sprintf(`{"alg":%q,"enc":%q,"kid":%q%s%s}`, s.alg, s.enc, s.key, epk, comma(s.more))
	}
	protected := b64([]byte(header))
	var aead cipher.AEAD
	var err error
	if c.block == 1 {
		var block cipher.Block
		if block, err = aes.NewCipher(cek); err == nil {
			aead, err = cipher.NewGCM(block)
		}
	} else {
		aead, err = josecipher.NewCBCHMAC(cek, aes.NewCipher)
	}
	if err != nil {
		t.Fatal(err)
	}
	iv := []byte(strings.Repeat("i", c.iv))
	sealed := aead.Seal(nil, iv, []byte(s.plaintext), []byte(protected))
	end := len(sealed) - c.tag
	return strings.Join([]string{
		protected, b64(altered(s.wrapped, wrapped)), b64(altered(s.iv, iv)), b64(sealed[:end]), b64(altered(s.tag, sealed[end:])),
	}, ".")
}

func comma(members string) string {
	if members == "" {
		return ""
	}
	return "," + members
}

func altered(by func([]byte) []byte, b []byte) []byte {
	if by == nil {
		return b
	}
	return by(b)
}

// contentKey is the key of the content, how it stands in the token, and the epk.
func (s sealing) contentKey(t testing.TB, c content) (cek, wrapped []byte, epk string) {
	t.Helper()
	cek = []byte(strings.Repeat("c", c.key))
	switch key := decryptionKey(s.key).(type) {
	case []byte:
		return key, nil, ""
	case *rsa.PrivateKey:
		wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &key.PublicKey, cek, nil)
		if err != nil {
			t.Fatal(err)
		}
		return cek, wrapped, ""
	case *ecdsa.PrivateKey:
		ephemeral := ephemeralKey(key)
		point := jwkOf(&ephemeral.PublicKey, "")
		if s.alg == "ECDH-ES" {
			return josecipher.DeriveECDHES(s.enc, nil, nil, ephemeral, &key.PublicKey, c.key), nil, point
		}
		size := 16
		if s.alg == "ECDH-ES+A256KW" {
			size = 32
		}
		block, err := aes.NewCipher(josecipher.DeriveECDHES(s.alg, nil, nil, ephemeral, &key.PublicKey, size))
		if err != nil {
			t.Fatal(err)
		}
		if wrapped, err = josecipher.KeyWrap(block, cek); err != nil {
			t.Fatal(err)
		}
		return cek, wrapped, point
	}
	t.Fatalf("no key %q", s.key)
	return nil, nil, ""
}

// ephemeralKey is the same each time, which nobody should do but a test.
func ephemeralKey(of *ecdsa.PrivateKey) *ecdsa.PrivateKey {
	size := (of.Params().BitSize + 7) / 8
	k, err := ecdsa.ParseRawPrivateKey(of.Curve, append(make([]byte, 2), strings.Repeat("e", size-2)...))
	if err != nil {
		panic(err)
	}
	return k
}

// decryptionKey is the key of this name.
func decryptionKey(name string) any {
	if secret, ok := secrets[name]; ok {
		return secret
	}
	return testKeys()[name]
}

// encryptionKey is what others encrypt with.
func encryptionKey(name string) any {
	switch k := decryptionKey(name).(type) {
	case *rsa.PrivateKey:
		return &k.PublicKey
	case *ecdsa.PrivateKey:
		return &k.PublicKey
	default:
		return k
	}
}

// privateJWK writes the private key of this name with more members behind it.
func privateJWK(name, more string) string {
	switch k := decryptionKey(name).(type) {
	case *rsa.PrivateKey:
		u := func(n *big.Int) string { return b64(n.Bytes()) }
		return jwkOf(&k.PublicKey, fmt.Sprintf(`"d":%q,"p":%q,"q":%q%s`, u(k.D), u(k.Primes[0]), u(k.Primes[1]), comma(more)))
	case *ecdsa.PrivateKey:
		d, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		return jwkOf(&k.PublicKey, fmt.Sprintf(`"d":%q%s`, b64(d), comma(more)))
	case []byte:
		return fmt.Sprintf(`{"kty":"oct","k":%q%s}`, b64(k), comma(more))
	}
	panic("no such key: " + name)
}

// jwkOf writes a public key.
func jwkOf(public any, more string) string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf(`{"kty":"RSA","n":%q,"e":"AQAB"%s}`, b64(k.N.Bytes()), comma(more))
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		half := len(point) / 2
		return fmt.Sprintf(`{"kty":"EC","crv":%q,"x":%q,"y":%q%s}`, k.Params().Name, b64(point[1:half+1]), b64(point[half+1:]), comma(more))
	}
	panic("no such key")
}

func pemOf(t testing.TB, name string) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(testKeys()[name])
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// privateSet holds these keys, each with its name as kid.
func privateSet(t testing.TB, names ...string) *PrivateKeySet {
	t.Helper()
	data := map[string][]byte{}
	for _, name := range names {
		data[name] = []byte(privateJWK(name, ""))
	}
	set, problems := ParsePrivateKeys(data)
	if len(problems) > 0 || set.Len() != len(names) {
		t.Fatal(problems)
	}
	return set
}

// sealedCorp is the provider of the world with every key that decrypts.
func sealedCorp(t testing.TB, change func(*Provider)) *Provider {
	t.Helper()
	return corp(t, func(p *Provider) {
		p.Decryption = privateSet(t, "rsa2", "p256", "p384", "p521", "sym16", "sym32", "sym64")
		if change != nil {
			change(p)
		}
	})
}

// signedInside is a good token of the world, to be encrypted.
func signedInside(t testing.TB) string {
	return sign(t, ES256, "p256", `{"alg":"ES256","kid":"p256"}`, claims(nil))
}

// joseEncrypt encrypts as go-jose does.
func joseEncrypt(t testing.TB, k sealKind, kid, plaintext string) string {
	t.Helper()
	options := (&jose.EncrypterOptions{}).WithContentType("JWT")
	e, err := jose.NewEncrypter(jose.ContentEncryption(k.enc), jose.Recipient{Algorithm: jose.KeyAlgorithm(k.alg), Key: encryptionKey(k.key), KeyID: kid}, options)
	if err != nil {
		t.Fatal(err)
	}
	object, err := e.Encrypt([]byte(plaintext))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := object.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func ecKey(name string) *ecdsa.PrivateKey { return testKeys()[name].(*ecdsa.PrivateKey) }

// sealDirectly encrypts a good token with this key, under GCM.
func sealDirectly(t testing.TB, secret []byte, header string) string {
	t.Helper()
	block, err := aes.NewCipher(secret)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	protected, iv := b64([]byte(header)), []byte(strings.Repeat("i", aead.NonceSize()))
	sealed := aead.Seal(nil, iv, []byte(signedInside(t)), []byte(protected))
	end := len(sealed) - aead.Overhead()
	return strings.Join([]string{protected, "", b64(iv), b64(sealed[:end]), b64(sealed[end:])}, ".")
}

func rsaKeyOfWorld(name string) *rsa.PrivateKey { return testKeys()[name].(*rsa.PrivateKey) }
