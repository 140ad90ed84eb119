package token

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// TestProvidersThatDecrypt asks who believes which token: signed, or encrypted for a key of one provider.
func TestProvidersThatDecrypt(t *testing.T) {
	const other = "https://other.example.com"
	issuedBy := func(issuer string) string {
		return sign(t, ES256, "p256", `{"alg":"ES256"}`, claims(map[string]string{"iss": `"` + issuer + `"`}))
	}
	plain := issuedBy(testIssuer)
	forP256, forRSA := sealing{sealKind: onP256, plaintext: plain}, sealing{sealKind: onRSA, plaintext: plain}
	with := func(issuer string, change func(*Provider)) *Provider {
		return corp(t, func(p *Provider) {
			p.Issuer, p.Name = issuer, issuer
			copy(p.Fingerprint[:], issuer)
			change(p)
		})
	}
	keys := func(names ...string) func(*Provider) {
		return func(p *Provider) { p.Decryption = privateSet(t, names...) }
	}
	nothing := func(*Provider) {}
	unresolved := func(p *Provider) { p.Decryption = new(PrivateKeySet) }
	required := func(p *Provider) { p.Decryption, p.EncryptedOnly = privateSet(t, "p256"), true }
	elsewhere := func(p *Provider) { p.Decryption, p.Sources = privateSet(t, "p256"), []Source{{Cookie: "token"}} }
	renamed := func(id, key string) func(*Provider) {
		return func(p *Provider) {
			p.Decryption, _ = ParsePrivateKeys(map[string][]byte{id: []byte(privateJWK(key, ""))})
		}
	}
	for _, test := range []struct {
		name    string
		raw     string
		trusted []*Provider
		want    error
	}{
		{"signed, where nothing is encrypted", plain, []*Provider{with(testIssuer, nothing)}, nil},
		{"encrypted, where nothing is decrypted", forP256.seal(t), []*Provider{with(testIssuer, nothing)}, ErrMalformed},
		{"signed, where both are taken", plain, []*Provider{with(testIssuer, keys("p256"))}, nil},
		{"encrypted, where both are taken", forP256.seal(t), []*Provider{with(testIssuer, keys("p256"))}, nil},
		{"signed, where it must be encrypted", plain, []*Provider{with(testIssuer, required)}, ErrTokenType},
		{"encrypted, where it must be", forP256.seal(t), []*Provider{with(testIssuer, required)}, nil},
		{"signed by one where another must encrypt", plain, []*Provider{with(other, required), with(testIssuer, nothing)}, nil},
		{"signed, where keys are missing", plain, []*Provider{with(testIssuer, unresolved)}, nil},
		{"encrypted, where keys are missing", forP256.seal(t), []*Provider{with(testIssuer, unresolved)}, ErrKeysUnavailable},
		{"malformed, where keys are missing", "a.b.c.d.e", []*Provider{with(testIssuer, unresolved)}, ErrMalformed},
		{"encrypted for one while keys of another are missing", forP256.seal(t), []*Provider{with(other, unresolved), with(testIssuer, keys("p256"))}, nil},
		{"encrypted for neither while keys of another are missing", forRSA.seal(t), []*Provider{with(other, unresolved), with(testIssuer, keys("p256"))}, ErrKeysUnavailable},
		{"encrypted for another key of that kid while keys of another are missing", forRSA.seal(t), []*Provider{with(other, unresolved), with(testIssuer, renamed("rsa2", "rsa"))}, ErrKeysUnavailable},
		{"encrypted for a key that is gone", forRSA.seal(t), []*Provider{with(testIssuer, keys("p256"))}, ErrUnknownKey},
		{"encrypted for the second provider", forP256.seal(t), []*Provider{with(other, keys("rsa2")), with(testIssuer, keys("p256"))}, nil},
		{"encrypted for the key of a provider that did not sign", forRSA.seal(t), []*Provider{with(other, keys("rsa2")), with(testIssuer, keys("p256"))}, ErrUntrustedIssuer},
		{"encrypted for the key of one, signed by one that takes none", forRSA.seal(t), []*Provider{with(other, keys("rsa2")), with(testIssuer, nothing)}, ErrUntrustedIssuer},
		{"encrypted for a key that both have", forP256.seal(t), []*Provider{with(other, keys("p256")), with(testIssuer, keys("p256"))}, nil},
		{"encrypted for a key that both have under other names", sealing{sealKind: onP256, plaintext: plain, header: noKid("p256")}.seal(t), []*Provider{with(other, renamed("x", "p256")), with(testIssuer, keys("p256"))}, nil},
		{"two providers call other keys the same", forP256.seal(t), []*Provider{with(other, renamed("p256", "rsa2")), with(testIssuer, keys("p256"))}, nil},
		{"the key is called otherwise", forP256.seal(t), []*Provider{with(testIssuer, renamed("p256", "p384"))}, ErrAlgorithm},
		{"another key of the same kind has the kid", forRSA.seal(t), []*Provider{with(testIssuer, renamed("rsa2", "rsa"))}, ErrMalformed},
		{"the provider's tokens stand elsewhere", forP256.seal(t), []*Provider{with(testIssuer, elsewhere), with(other, keys("rsa2"))}, ErrUnknownKey},
	} {
		t.Run(test.name, func(t *testing.T) { refusedAs(t, test.raw, test.trusted, test.want) })
	}
}

// noKid is the header of a token for an EC key, without kid.
func noKid(key string) string {
	return fmt.Sprintf(`{"alg":"ECDH-ES+A128KW","enc":"A128GCM","epk":%s}`, jwkOf(&ephemeralKey(ecKey(key)).PublicKey, ""))
}

// TestDecryptionKeysRotate takes a new key in beside the old, and the old away: what its tokens proved before is then
// forgotten by the cache too.
func TestDecryptionKeysRotate(t *testing.T) {
	before := sealing{sealKind: onRSA, plaintext: signedInside(t)}.seal(t)
	after := sealing{sealKind: onP256, plaintext: signedInside(t)}.seal(t)
	v := verifier(t, Config{CacheBytes: 1 << 20})
	for i, step := range []struct {
		keys      []string
		old, next error
	}{
		{[]string{"rsa2"}, nil, ErrUnknownKey},
		{[]string{"rsa2", "p256"}, nil, nil},
		{[]string{"p256"}, ErrUnknownKey, nil},
	} {
		p := corp(t, func(p *Provider) { p.Decryption, p.Fingerprint = privateSet(t, step.keys...), [32]byte{byte(i)} })
		for raw, want := range map[string]error{before: step.old, after: step.next} {
			for range 2 {
				_, err := v.Verify(context.Background(), Credential{raw, bearer}, []*Provider{p})
				wraps(t, err, want)
			}
		}
	}
}

// TestFewKeysAreTried bounds what one token costs that does not say which key it is for.
func TestFewKeysAreTried(t *testing.T) {
	data := map[string][]byte{}
	for i := range 6 {
		data[fmt.Sprintf("k%d", i)] = []byte(fmt.Sprintf(`{"kty":"oct","k":%q}`, b64([]byte(strings.Repeat(string(rune('a'+i)), 16)))))
	}
	set, problems := ParsePrivateKeys(data)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for i := range 6 {
		name := fmt.Sprintf("k%d", i)
		secrets := set.byID[name].material.([]byte)
		raw := sealDirectly(t, secrets, `{"alg":"dir","enc":"A128GCM"}`)
		_, err := set.Decrypt(raw)
		want := error(nil)
		if i >= maxKeysTried {
			want = ErrMalformed
		}
		wraps(t, err, want)
		_, err = set.Decrypt(sealDirectly(t, secrets, fmt.Sprintf(`{"alg":"dir","enc":"A128GCM","kid":%q}`, name)))
		wraps(t, err, nil)
	}
}

// TestDecryptionsAreCounted shows each counter move, and none for a token that no provider would decrypt.
func TestDecryptionsAreCounted(t *testing.T) {
	v := verifier(t, Config{})
	sealed := sealing{sealKind: onP256, plaintext: signedInside(t)}.seal(t)
	missing := corp(t, func(p *Provider) { p.Decryption = new(PrivateKeySet) })
	ask := func(raw string, p *Provider) {
		_, err := v.Verify(context.Background(), Credential{raw, bearer}, []*Provider{p})
		if err == nil && !strings.HasPrefix(raw, sealed[:9]) {
			t.Errorf("%q passes", raw)
		}
	}
	p := corp(t, func(p *Provider) { p.Decryption = privateSet(t, "p256", "rsa2") })
	ask(sealed, corp(t, nil))
	ask(sealed, missing)
	ask(sealed, p)
	ask(sealed, p)
	ask(sealed[:len(sealed)-4]+"AAAA", p)
	ask(sealing{sealKind: onRSA, plaintext: "x", header: `{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"old"}`}.seal(t), p)
	ask(sealing{sealKind: onRSA, plaintext: "x", header: `{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"p256"}`}.seal(t), p)
	if got, want := v.Decryptions(), (Decryptions{Succeeded: 2, Failed: 1, UnknownKey: 1, AlgorithmNotAllowed: 1, KeysUnavailable: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestOnlyEncryptedTokensPayForDecryption counts allocations, which do not depend on the machine: a signed token has as many
// where its provider decrypts as where it does not, and one from the cache has none, encrypted or not.
func TestOnlyEncryptedTokensPayForDecryption(t *testing.T) {
	inside := signedInside(t)
	sealed := sealing{sealKind: onP256, plaintext: inside}.seal(t)
	count := func(p *Provider, raw string, cacheBytes int64) float64 {
		v, trusted := verifier(t, Config{CacheBytes: cacheBytes}), []*Provider{p}
		return testing.AllocsPerRun(50, func() {
			if _, err := v.Verify(context.Background(), Credential{raw, bearer}, trusted); err != nil {
				t.Error(err)
			}
		})
	}
	if without, with := count(corp(t, nil), inside, 0), count(sealedCorp(t, nil), inside, 0); without != with {
		t.Errorf("a signed token takes %v allocations, and %v where encrypted ones are taken too", without, with)
	}
	for _, raw := range []string{inside, sealed} {
		if n := count(sealedCorp(t, nil), raw, 1<<20); n != 0 {
			t.Errorf("a token from the cache takes %v allocations", n)
		}
	}
}

// TestTheKeyNarrowsTheAlgorithm gives keys with an alg of their own: a token with another is not decrypted, though the key
// could.
func TestTheKeyNarrowsTheAlgorithm(t *testing.T) {
	for _, test := range []struct {
		alg  string // of the key
		kind sealKind
		want error
	}{
		{"ECDH-ES+A128KW", onP256, nil},
		{"ECDH-ES", onP256, ErrAlgorithm},
		{"ECDH-ES", onCBC, nil},
		{"RSA-OAEP-256", onRSA, nil},
		{"dir", sealKind{"dir", "A256GCM", "sym32"}, nil},
		{"A256GCM", sealKind{"dir", "A256GCM", "sym32"}, nil},
		{"A256GCM", sealKind{"dir", "A128CBC-HS256", "sym32"}, ErrAlgorithm},
		{"A128CBC-HS256", sealKind{"dir", "A128CBC-HS256", "sym32"}, nil},
	} {
		set, problems := ParsePrivateKeys(map[string][]byte{test.kind.key: []byte(privateJWK(test.kind.key, fmt.Sprintf(`"alg":%q`, test.alg)))})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		_, err := set.Decrypt(sealing{sealKind: test.kind, plaintext: "any bytes"}.seal(t))
		wraps(t, err, test.want)
	}
}
