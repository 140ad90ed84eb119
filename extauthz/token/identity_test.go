package token

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"
)

// A provider that accepts no type of token has no identities.
func TestNewIdentityWithoutTokenTypes(t *testing.T) {
	object, err := parseObject(claims(nil))
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewIdentity(corp(t, func(p *Provider) { p.TokenTypes = nil }), object, testNow)
	wraps(t, err, ErrTokenType)
}

func TestNewIdentity(t *testing.T) {
	path := func(s string) ClaimPath {
		p, err := ParseClaimPath(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := &Provider{
		Issuer: "https://id.example.com", Audiences: []string{"orders-api"}, TokenTypes: []string{"at+jwt"},
		Scopes: path("scope"), Roles: path("realm_access.roles"), Groups: path("groups"), MaxTokenAge: time.Hour,
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		name  string
		with  map[string]any // added to the claims; nil removes one
		want  error
		roles []string
	}{
		{"whole", map[string]any{"realm_access": map[string]any{"roles": []any{"admin"}}}, nil, []string{"admin"}},
		{"issuer", map[string]any{"iss": "https://id.example.com/"}, ErrUntrustedIssuer, nil},
		{"audience", map[string]any{"aud": []any{"other"}}, ErrAudience, nil},
		{"no audience", map[string]any{"aud": nil}, ErrAudience, nil},
		{"no subject", map[string]any{"sub": nil}, ErrSubject, nil},
		{"expired", map[string]any{"exp": json.Number("1767323045")}, ErrExpired, nil},
		{"no expiry", map[string]any{"exp": nil}, ErrMalformed, nil},
		{"not yet", map[string]any{"nbf": json.Number("1767330000")}, ErrNotYetValid, nil},
		{"lives too long", map[string]any{"exp": json.Number("1767400000")}, ErrTooOld, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			claims := Claims{
				"iss": p.Issuer, "sub": "alice", "aud": "orders-api", "scope": "a b",
				"iat": json.Number("1767323000"), "exp": json.Number("1767323345"),
			}
			for k, v := range tt.with {
				if claims[k] = v; v == nil {
					delete(claims, k)
				}
			}
			id, err := NewIdentity(p, claims, now)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if err == nil && (id.Provider != p || id.Subject != "alice" || !slices.Equal(id.Scopes, []string{"a", "b"}) || !slices.Equal(id.Roles, tt.roles)) {
				t.Errorf("got %+v", id)
			}
		})
	}
}
