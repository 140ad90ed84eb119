package token

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A provider that wants to be asked about its own JWTs is, but only about those that it may have issued and that are in
// time. What else the token says, or leaves out, is for the answer to say.
func TestVerifyLeavesSignedTokensToTheProvider(t *testing.T) {
	p := corp(t, func(p *Provider) { p.Introspection = &Introspection{Signed: true} })
	other := corp(t, func(p *Provider) {
		p.Issuer, p.Fingerprint, p.Introspection = "https://other.example.com", [32]byte{2}, &Introspection{}
	})
	light := map[string]string{"aud": "", "sub": ""}
	for _, tt := range []struct {
		name, raw string
		want      error // nil: p is to be asked
	}{
		{"a token that says all", sign(t, RS256, "rsa", rs256Header, claims(nil)), nil},
		{"one without audience and subject", sign(t, RS256, "rsa", rs256Header, claims(light)), nil},
		{"for somebody else", sign(t, RS256, "rsa", rs256Header, claims(map[string]string{"aud": `"billing"`})), nil},
		{"forged", sign(t, RS256, "rsa2", rs256Header, claims(nil)), ErrSignature},
		{"of an unknown key", sign(t, RS256, "rsa", `{"alg":"RS256","kid":"nobody"}`, claims(nil)), ErrUnknownKey},
		{"expired", sign(t, RS256, "rsa", rs256Header, claims(map[string]string{"exp": "1"})), ErrExpired},
		{"without end", sign(t, RS256, "rsa", rs256Header, claims(map[string]string{"exp": ""})), ErrMalformed},
		{"not valid yet", sign(t, RS256, "rsa", rs256Header, claims(map[string]string{"nbf": "4000000000"})), ErrNotYetValid},
		{"of another type", sign(t, RS256, "rsa", `{"alg":"RS256","kid":"rsa","typ":"logout+jwt"}`, claims(nil)), ErrTokenType},
		{"of a stranger", sign(t, RS256, "rsa", rs256Header, claims(map[string]string{"iss": `"https://evil.example.com"`})), ErrUntrustedIssuer},
		{"of a provider that is not asked about those", sign(t, RS256, "rsa", rs256Header, claims(map[string]string{"iss": `"https://other.example.com"`, "aud": ""})), ErrAudience},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := verifier(t, Config{CacheBytes: 1 << 20})
			for _, time := range []string{"the first time", "from memory"} {
				id, err := v.Verify(context.Background(), Credential{tt.raw, bearer}, []*Provider{other, p})
				var ask *AskError
				if id != nil || errors.As(err, &ask) != (tt.want == nil) || ask != nil && ask.Provider != p {
					t.Fatalf("%s: %v, %v", time, id, err)
				}
				if want := tt.want; want == nil {
					wraps(t, err, ErrIntrospection)
				} else {
					wraps(t, err, want)
				}
			}
		})
	}
}

// What is remembered of such a token is its signature: times are judged each time, and no provider that takes a JWT at
// its word takes it for an identity.
func TestVerifyRemembersOnlyTheSignatureOfTokensToAskAbout(t *testing.T) {
	now := testNow
	v := verifier(t, Config{CacheBytes: 1 << 20, Now: func() time.Time { return now }})
	p := corp(t, func(p *Provider) { p.Introspection = &Introspection{Signed: true} })
	cred := Credential{sign(t, RS256, "rsa", rs256Header, claims(nil)), bearer}
	for range 2 {
		_, err := v.Verify(context.Background(), cred, []*Provider{p})
		wraps(t, err, ErrIntrospection)
	}
	if _, _, hits, misses := v.CacheStats(); hits != 1 || misses != 1 {
		t.Errorf("%d hits, %d misses", hits, misses)
	}
	now = testNow.Add(331 * time.Second)
	_, err := v.Verify(context.Background(), cred, []*Provider{p})
	wraps(t, err, ErrExpired)

	now = testNow
	changed := corp(t, func(p *Provider) { p.Fingerprint = [32]byte{9} }) // as an edit of its object makes it
	id, err := v.Verify(context.Background(), cred, []*Provider{changed})
	if err != nil || id.Subject != "alice" {
		t.Errorf("the provider is no longer asked: %v, %v", id, err)
	}
}
