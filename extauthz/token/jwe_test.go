package token

import (
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

// TestEncryptedTokens encrypts one token in every way there is, by the primitives and by go-jose: each proves the
// identity of the token inside, and once more out of the cache.
func TestEncryptedTokens(t *testing.T) {
	trusted := []*Provider{sealedCorp(t, nil)}
	inside := signedInside(t)
	want, err := verifier(t, Config{}).Verify(context.Background(), Credential{inside, bearer}, trusted)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range sealKinds {
		t.Run(kind.String(), func(t *testing.T) {
			v := verifier(t, Config{CacheBytes: 1 << 20})
			ours := sealing{sealKind: kind, plaintext: inside}.seal(t)
			for _, raw := range []string{ours, joseEncrypt(t, kind, kind.key, inside), joseEncrypt(t, kind, "", inside)} {
				for range 2 {
					id, err := v.Verify(context.Background(), Credential{raw, bearer}, trusted)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(want.Claims(), id.Claims()); diff != "" || id.Provider != trusted[0] || !id.Expiry.Equal(want.Expiry) {
						t.Errorf("another identity: %s", diff)
					}
				}
			}
			if entries, _, hits, misses := v.CacheStats(); entries != 3 || hits != 3 || misses != 3 {
				t.Errorf("%d tokens in the cache, %d hits, %d misses", entries, hits, misses)
			}
			if d := v.Decryptions(); d != (Decryptions{Succeeded: 3}) {
				t.Errorf("decrypted more than once a token: %+v", d)
			}
			// What our own sealing makes is a JWE for others too, or its mutations would show nothing.
			object, err := jose.ParseEncryptedCompact(ours, []jose.KeyAlgorithm{jose.KeyAlgorithm(kind.alg)}, []jose.ContentEncryption{jose.ContentEncryption(kind.enc)})
			if err != nil {
				t.Fatal(err)
			}
			if plaintext, err := object.Decrypt(decryptionKey(kind.key)); err != nil || string(plaintext) != inside {
				t.Errorf("go-jose reads %q, %v", plaintext, err)
			}
		})
	}
}

// TestPointsAreCheckedBeforeAnyKey: a point off its curve is refused by its own look, and not because decrypting fails.
func TestPointsAreCheckedBeforeAnyKey(t *testing.T) {
	zero := strings.Repeat("A", 43)
	for _, point := range []string{`"x":"` + zero + `","y":"` + zero + `"`, `"x":"` + zero[1:] + `E","y":"` + zero[1:] + `E"`, `"x":"AA","y":"AA"`} {
		raw := sealing{sealKind: onP256, plaintext: signedInside(t), epk: `{"kty":"EC","crv":"P-256",` + point + `}`}.seal(t)
		_, err := parseEncrypted(raw)
		wraps(t, err, ErrMalformed)
	}
}

// deflated is a text as zip DEF makes it.
func deflated(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var (
	onP256 = sealKind{"ECDH-ES+A128KW", "A128GCM", "p256"}
	onRSA  = sealKind{"RSA-OAEP-256", "A256GCM", "rsa2"}
	direct = sealKind{"dir", "A128GCM", "sym16"}
	onCBC  = sealKind{"ECDH-ES", "A128CBC-HS256", "p256"}
)

// TestEncryptedHeaders alters the header, and encrypts soundly under it, as anybody could who has the public key.
func TestEncryptedHeaders(t *testing.T) {
	inside := signedInside(t)
	p256 := jwk("p256", "")
	header := func(alg, enc, more string) string {
		return fmt.Sprintf(`{"alg":%q,"enc":%q,"kid":"p256","epk":%s%s}`, alg, enc, jwkOf(&ephemeralKey(ecKey("p256")).PublicKey, ""), comma(more))
	}
	x, y := strings.Repeat("A", 43), strings.Repeat("A", 43)
	tests := []struct {
		name string
		sealing
		want error
	}{
		{"as it should be", sealing{sealKind: onP256}, nil},
		{"cty JWT", sealing{sealKind: onP256, more: `"cty":"JWT"`}, nil},
		{"cty in the long form", sealing{sealKind: onP256, more: `"cty":"application/jwt"`}, nil},
		{"typ of the outside is not judged", sealing{sealKind: onP256, more: `"typ":"JOSE"`}, nil},
		{"x5t is not read", sealing{sealKind: onP256, more: `"x5t":"AAAA"`}, nil},
		{"another cty", sealing{sealKind: onP256, more: `"cty":"text/plain"`}, ErrMalformed},
		{"cty that is no string", sealing{sealKind: onP256, more: `"cty":["JWT"]`}, ErrMalformed},
		{"typ that is no string", sealing{sealKind: onP256, more: `"typ":1`}, ErrMalformed},
		{"crit", sealing{sealKind: onP256, more: `"crit":["exp"]`}, ErrMalformed},
		{"crit, empty", sealing{sealKind: onP256, more: `"crit":[]`}, ErrMalformed},
		{"b64", sealing{sealKind: onP256, more: `"b64":true`}, ErrMalformed},
		{"zip", sealing{sealKind: onP256, more: `"zip":"DEF"`, plaintext: deflated(t, inside)}, ErrMalformed},
		{"zip, a bomb", sealing{sealKind: onP256, more: `"zip":"DEF"`, plaintext: deflated(t, strings.Repeat("A", 8<<20))}, ErrMalformed},
		{"zip that says nothing", sealing{sealKind: onP256, more: `"zip":""`}, ErrMalformed},
		{"jku", sealing{sealKind: onP256, more: `"jku":"https://evil.example.com"`}, ErrMalformed},
		{"x5u", sealing{sealKind: onP256, more: `"x5u":"https://evil.example.com"`}, ErrMalformed},
		{"x5c", sealing{sealKind: onP256, more: `"x5c":["AAAA"]`}, ErrMalformed},
		{"jwk", sealing{sealKind: onP256, more: `"jwk":` + p256}, ErrMalformed},
		{"a member twice", sealing{sealKind: onP256, more: `"alg":"ECDH-ES+A128KW"`}, ErrMalformed},
		{"kid twice", sealing{sealKind: onP256, more: `"kid":"rsa2"`}, ErrMalformed},
		{"kid that is no string", sealing{sealKind: onRSA, header: `{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":1}`}, ErrMalformed},
		{"kid over 256 bytes", sealing{sealKind: onRSA, header: `{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"` + strings.Repeat("k", 257) + `"}`}, ErrMalformed},
		{"kid of no key", sealing{sealKind: onRSA, header: `{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"old"}`}, ErrUnknownKey},
		{"kid in another case", sealing{sealKind: onRSA, header: `{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"RSA2"}`}, ErrUnknownKey},
		{"kid of a key of another type", sealing{sealKind: onRSA, header: `{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"p256"}`}, ErrAlgorithm},
		{"kid of a key of another size", sealing{sealKind: direct, header: `{"alg":"dir","enc":"A128GCM","kid":"sym32"}`}, ErrAlgorithm},
		{"kid of a key of another curve", sealing{sealKind: onP256, header: strings.Replace(header("ECDH-ES+A128KW", "A128GCM", ""), `"kid":"p256"`, `"kid":"p384"`, 1)}, ErrAlgorithm},
		{"no kid", sealing{sealKind: onRSA, header: `{"alg":"RSA-OAEP-256","enc":"A256GCM"}`}, nil},
		{"no JSON", sealing{sealKind: onRSA, header: `{"alg":"RSA-OAEP-256",}`}, ErrMalformed},
		{"not an object", sealing{sealKind: onRSA, header: `[]`}, ErrMalformed},
		{"no alg", sealing{sealKind: onRSA, header: `{"enc":"A256GCM"}`}, ErrMalformed},
		{"no enc", sealing{sealKind: onRSA, header: `{"alg":"RSA-OAEP-256"}`}, ErrMalformed},
		{"alg of SHA-1", sealing{sealKind: onRSA, header: `{"alg":"RSA-OAEP","enc":"A256GCM"}`}, ErrMalformed},
		{"alg RSA1_5", sealing{sealKind: onRSA, header: `{"alg":"RSA1_5","enc":"A256GCM"}`}, ErrMalformed},
		{"alg of a password", sealing{sealKind: direct, header: `{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":1000000000,"p2s":"AAAA"}`}, ErrMalformed},
		{"alg A128KW", sealing{sealKind: direct, header: `{"alg":"A128KW","enc":"A128GCM"}`}, ErrMalformed},
		{"alg A128GCMKW", sealing{sealKind: direct, header: `{"alg":"A128GCMKW","enc":"A128GCM"}`}, ErrMalformed},
		{"alg of a signature", sealing{sealKind: direct, header: `{"alg":"HS256","enc":"A128GCM"}`}, ErrMalformed},
		{"alg none", sealing{sealKind: direct, header: `{"alg":"none","enc":"A128GCM"}`}, ErrMalformed},
		{"alg in another case", sealing{sealKind: direct, header: `{"alg":"DIR","enc":"A128GCM"}`}, ErrMalformed},
		{"enc in another case", sealing{sealKind: direct, header: `{"alg":"dir","enc":"a128gcm"}`}, ErrMalformed},
		{"enc A192GCM", sealing{sealKind: sealKind{"RSA-OAEP-256", "A192GCM", "rsa2"}}, ErrMalformed},
		{"ECDH-ES+A192KW", sealing{sealKind: onP256, header: header("ECDH-ES+A192KW", "A128GCM", "")}, ErrMalformed},
		{"another alg than the key was wrapped for", sealing{sealKind: onP256, header: header("ECDH-ES+A256KW", "A128GCM", "")}, ErrMalformed},
		{"no epk", sealing{sealKind: onP256, header: `{"alg":"ECDH-ES+A128KW","enc":"A128GCM","kid":"p256"}`}, ErrMalformed},
		{"epk that is no object", sealing{sealKind: onP256, epk: `"p256"`}, ErrMalformed},
		{"epk with a private key", sealing{sealKind: onP256, epk: privateJWK("p256", "")}, ErrMalformed},
		{"epk with a certificate", sealing{sealKind: onP256, epk: jwk("p256", `"x5c":["AAAA"]`)}, ErrMalformed},
		{"epk with a member more", sealing{sealKind: onP256, epk: jwkOf(&ephemeralKey(ecKey("p256")).PublicKey, `"use":"enc"`)}, ErrMalformed},
		{"epk of another curve", sealing{sealKind: onP256, epk: jwk("p384", "")}, ErrAlgorithm},
		{"epk of RSA", sealing{sealKind: onP256, epk: jwk("rsa", "")}, ErrMalformed},
		{"epk off the curve", sealing{sealKind: onP256, epk: `{"kty":"EC","crv":"P-256","x":"` + x[:42] + `E","y":"` + y[:42] + `E"}`}, ErrMalformed},
		{"epk of zeros, the point at infinity for some", sealing{sealKind: onP256, epk: `{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + y + `"}`}, ErrMalformed},
		{"epk with a short coordinate", sealing{sealKind: onP256, epk: `{"kty":"EC","crv":"P-256","x":"AA","y":"` + y + `"}`}, ErrMalformed},
		{"apu that is no base64url", sealing{sealKind: onP256, more: `"apu":"+"`}, ErrMalformed},
		{"apv that is no string", sealing{sealKind: onP256, more: `"apv":1`}, ErrMalformed},
		{"apu that was not agreed on", sealing{sealKind: onP256, more: `"apu":"AAAA"`}, ErrMalformed},
	}
	trusted := []*Provider{sealedCorp(t, nil)}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.plaintext == "" {
				test.plaintext = inside
			}
			refusedAs(t, test.seal(t), trusted, test.want)
		})
	}
}

// refusedAs wants a verdict, also of a verifier with a cache, twice.
func refusedAs(t *testing.T, raw string, trusted []*Provider, want error) {
	t.Helper()
	v := verifier(t, Config{CacheBytes: 1 << 20})
	for range 2 {
		id, err := v.Verify(context.Background(), Credential{raw, bearer}, trusted)
		wraps(t, err, want)
		if (id == nil) != (want != nil) {
			t.Errorf("identity %v", id)
		}
	}
}

// TestEncryptedSizes gives parts of a token another length, which a lenient reader might cut or fill.
func TestEncryptedSizes(t *testing.T) {
	longer := func(b []byte) []byte { return append(slices.Clone(b), 0) }
	shorter := func(b []byte) []byte { return b[:len(b)-1] }
	none := func([]byte) []byte { return nil }
	one := func([]byte) []byte { return []byte{1} }
	trusted := []*Provider{sealedCorp(t, nil)}
	for _, kind := range []sealKind{onP256, onRSA, direct, onCBC} {
		for name, by := range map[string]func([]byte) []byte{"longer": longer, "shorter": shorter, "none": none, "one byte": one} {
			s := sealing{sealKind: kind, plaintext: signedInside(t)}
			for _, part := range []struct {
				name string
				of   *func([]byte) []byte
			}{{"iv", &s.iv}, {"tag", &s.tag}, {"encrypted key", &s.wrapped}} {
				empty := part.name == "encrypted key" && (kind == direct || kind == onCBC)
				if empty && (name == "shorter" || name == "none") {
					continue
				}
				*part.of = by
				t.Run(kind.String()+", "+part.name+" "+name, func(t *testing.T) {
					raw := s.seal(t)
					refusedAs(t, raw, trusted, ErrMalformed)
					// Only the size of a key encrypted with RSA depends on a key.
					if _, err := parseEncrypted(raw); err == nil && (kind != onRSA || part.name != "encrypted key") {
						t.Error("a key is tried")
					}
				})
				*part.of = nil
			}
		}
	}
	t.Run("a ciphertext that is no whole blocks", func(t *testing.T) {
		raw := sealing{sealKind: onCBC, plaintext: signedInside(t)}.seal(t)
		parts := strings.Split(raw, ".")
		parts[3] = parts[3][:len(parts[3])-len(parts[3])%4-4]
		if _, err := parseEncrypted(strings.Join(parts, ".")); err == nil {
			t.Error("a key is tried")
		}
	})
	// As a number, the encrypted key is the same without the octets of zero in front of it.
	t.Run("RSA without a leading zero", func(t *testing.T) {
		for {
			short := false
			s := sealing{sealKind: onRSA, plaintext: signedInside(t), wrapped: func(b []byte) []byte {
				if short = b[0] == 0; short {
					return b[1:]
				}
				return b
			}}
			if raw := s.seal(t); short {
				refusedAs(t, raw, trusted, ErrMalformed)
				return
			}
		}
	})
	t.Run("too long", func(t *testing.T) {
		raw := sealing{sealKind: direct, plaintext: sign(t, ES256, "p256", `{"alg":"ES256"}`, claims(map[string]string{"pad": `"` + strings.Repeat("x", 12<<10) + `"`}))}.seal(t)
		refusedAs(t, raw, trusted, ErrMalformed)
		if _, err := trusted[0].Decryption.Decrypt(raw); err == nil || !strings.Contains(err.Error(), "16 KiB") {
			t.Errorf("error %v", err)
		}
	})
}

// TestInsideAnEncryptedToken encrypts what is no token, or none that passes: encryption adds no trust to it.
func TestInsideAnEncryptedToken(t *testing.T) {
	inside := signedInside(t)
	for _, test := range []struct {
		name, plaintext string
		want            error
	}{
		{"nothing", "", ErrMalformed},
		{"claims alone", claims(nil), ErrMalformed},
		{"an unsecured token", b64([]byte(`{"alg":"none"}`)) + "." + b64([]byte(claims(nil))) + ".", ErrMalformed},
		{"a token with a line feed", inside + "\n", ErrMalformed},
		{"two tokens", inside + inside, ErrMalformed},
		{"an encrypted token", sealing{sealKind: onP256, plaintext: inside}.seal(t), ErrMalformed},
		{"a token with zip", sign(t, ES256, "p256", `{"alg":"ES256","zip":"DEF"}`, claims(nil)), ErrMalformed},
		{"another signer", sign(t, RS256, "rsa2", rs256Header, claims(nil)), ErrSignature},
		{"another issuer", sign(t, ES256, "p256", `{"alg":"ES256"}`, claims(map[string]string{"iss": `"https://evil.example.com"`})), ErrUntrustedIssuer},
		{"another audience", sign(t, ES256, "p256", `{"alg":"ES256"}`, claims(map[string]string{"aud": `"x"`})), ErrAudience},
		{"expired", sign(t, ES256, "p256", `{"alg":"ES256"}`, claims(map[string]string{"exp": "1"})), ErrExpired},
		{"another type", sign(t, ES256, "p256", `{"alg":"ES256","typ":"logout+jwt"}`, claims(nil)), ErrTokenType},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, kind := range []sealKind{onP256, direct} {
				refusedAs(t, sealing{sealKind: kind, plaintext: test.plaintext}.seal(t), []*Provider{sealedCorp(t, nil)}, test.want)
			}
		})
	}
}

// TestDecryptionTellsNothing breaks tokens in every part that a key is applied to. What is said is the same, word for word.
func TestDecryptionTellsNothing(t *testing.T) {
	flip := func(b []byte) []byte {
		b = slices.Clone(b)
		if len(b) > 0 {
			b[len(b)-1] ^= 1
		}
		return b
	}
	p := sealedCorp(t, nil)
	for _, kind := range sealKinds {
		for _, s := range []sealing{{tag: flip}, {iv: flip}, {wrapped: flip}} {
			s.sealKind, s.plaintext = kind, signedInside(t)
			want := errUndecryptable().Error()
			if s.wrapped != nil && (s.alg == "dir" || s.alg == "ECDH-ES") {
				want = "" // there is no encrypted key to break
			}
			got := ""
			if _, err := p.Decryption.Decrypt(s.seal(t)); err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("%s: %q, want %q", kind, got, want)
			}
		}
	}
}
