package token

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func BenchmarkVerify(b *testing.B) {
	for _, mode := range []string{"cached", "uncached"} {
		for _, a := range []Algorithm{RS256, ES256, EdDSA, HS256} {
			b.Run(mode+"/"+string(a), func(b *testing.B) {
				config := Config{}
				if mode == "cached" {
					config.CacheBytes = 16 << 20
				}
				v, trusted := verifier(b, config), []*Provider{benchProvider(b, a)}
				cred := Credential{sign(b, a, keyFor(a), fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"at+jwt"}`, a, keyFor(a)), benchClaims()), bearer}
				ctx := context.Background()
				b.ReportAllocs()
				b.SetBytes(int64(len(cred.Raw)))
				for b.Loop() {
					if _, err := v.Verify(ctx, cred, trusted); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkVerifyEncrypted is what an encrypted token costs, whose inside is signed with ES256; and what one costs that is
// only signed, where the provider takes both.
func BenchmarkVerifyEncrypted(b *testing.B) {
	inside := sign(b, ES256, "p256", `{"alg":"ES256","kid":"p256","typ":"at+jwt"}`, benchClaims())
	for _, mode := range []string{"cached", "uncached"} {
		for _, kind := range []sealKind{onRSA, onP256, onCBC, direct, {alg: "signed"}} {
			b.Run(mode+"/"+kind.String(), func(b *testing.B) {
				config, raw := Config{}, inside
				if mode == "cached" {
					config.CacheBytes = 16 << 20
				}
				if kind.key != "" {
					raw = sealing{sealKind: kind, plaintext: inside}.seal(b)
				}
				v, trusted := verifier(b, config), []*Provider{sealedCorp(b, nil)}
				ctx := context.Background()
				b.ReportAllocs()
				for b.Loop() {
					if _, err := v.Verify(ctx, Credential{raw, bearer}, trusted); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkVerifyParallel is the warm path over many tokens and all cores.
func BenchmarkVerifyParallel(b *testing.B) {
	v, trusted := verifier(b, Config{CacheBytes: 64 << 20}), []*Provider{benchProvider(b, HS256)}
	creds := make([]Credential, 1000)
	for i := range creds {
		payload := strings.Replace(benchClaims(), "f81d4fae", fmt.Sprintf("%08d", i), 1)
		creds[i] = Credential{sign(b, HS256, "hmac", `{"alg":"HS256","kid":"hmac"}`, payload), bearer}
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := v.Verify(context.Background(), creds[i%len(creds)], trusted); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkExtract(b *testing.B) {
	p := []*Provider{{Sources: []Source{bearer, {Cookie: "sid"}}}}
	var r Carrier = fixed{}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Extract(r, p); err != nil {
			b.Fatal(err)
		}
	}
}

func benchProvider(b *testing.B, a Algorithm) *Provider {
	return corp(b, func(p *Provider) {
		if NewAlgorithms(a).Symmetric() {
			p.Algorithms = NewAlgorithms(a)
			p.Static = mustSet(b, jwks(jwk("hmac", `"kid":"hmac"`)), true)
		}
	})
}

// benchClaims is a payload of about 450 bytes, which makes an RS256 token of about 1 000.
func benchClaims() string {
	return claims(map[string]string{
		"jti":                `"f81d4fae-7dec-11d0-a765-00a0c91e6bf6"`,
		"azp":                `"orders-web"`,
		"scope":              `"openid profile orders.read orders.write"`,
		"realm_access":       `{"roles":["customer","default-roles-corp","offline_access"]}`,
		"groups":             `["shop","shop/eu"]`,
		"email":              `"alice@example.com"`,
		"email_verified":     `true`,
		"preferred_username": `"alice"`,
		"name":               `"Alice Example"`,
	})
}
