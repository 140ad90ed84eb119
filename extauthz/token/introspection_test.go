package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

// asked is a provider that introspects what stands in Authorization: Bearer.
func asked(t testing.TB, name, issuer string) *Provider {
	t.Helper()
	subject, err := ParseClaimPath("sub")
	if err != nil {
		t.Fatal(err)
	}
	return &Provider{
		Name: name, Issuer: issuer, Audiences: []string{"orders-api"}, TokenTypes: []string{"at+jwt", "jwt"}, Subject: subject,
		Sources: []Source{{Header: "authorization", Scheme: "Bearer"}}, Introspection: &Introspection{},
	}
}

func segments(texts ...string) string {
	for i, s := range texts {
		texts[i] = base64.RawURLEncoding.EncodeToString([]byte(s))
	}
	return strings.Join(texts, ".")
}

func TestOpaque(t *testing.T) {
	const corp, header = "https://id.example.com", `{"alg":"RS256"}`
	opaque, plain := asked(t, "opaque", corp), asked(t, "plain", "https://plain.example.com")
	plain.Introspection = nil
	second, elsewhere := asked(t, "second", "https://second.example.com"), asked(t, "elsewhere", "https://elsewhere.example.com")
	elsewhere.Sources = []Source{{Cookie: "session"}}
	decrypting := asked(t, "decrypting", "https://jwe.example.com")
	decrypting.Introspection, decrypting.Decryption = nil, new(PrivateKeySet)
	bearer := opaque.Sources[0]
	for _, tt := range []struct {
		name    string
		raw     string
		source  Source
		trusted []*Provider
		want    *Provider
	}{
		{"a text is asked about", "8xLOxBtZp8", bearer, []*Provider{opaque}, opaque},
		{"one with a dot, as Hydra makes them", "ory_at_a.b", bearer, []*Provider{opaque}, opaque},
		{"beside a provider of JWTs", "8xLOxBtZp8", bearer, []*Provider{plain, opaque}, opaque},
		{"beside a provider that looks elsewhere", "8xLOxBtZp8", bearer, []*Provider{elsewhere, opaque}, opaque},
		{"nobody introspects", "8xLOxBtZp8", bearer, []*Provider{plain}, nil},
		{"none that introspects looks there", "8xLOxBtZp8", Source{Cookie: "other"}, []*Provider{opaque, elsewhere}, nil},
		{"two that introspect look there", "8xLOxBtZp8", bearer, []*Provider{opaque, second}, nil},
		{"a JWT of the provider is its to verify", segments(header, `{"iss":"https://id.example.com"}`, "s"), bearer, []*Provider{opaque}, nil},
		{"a JWT of another trusted provider", segments(header, `{"iss":"https://plain.example.com"}`, "s"), bearer, []*Provider{plain, opaque}, nil},
		{"a JWT of nobody", segments(header, `{"iss":"https://evil.example.com"}`, "s"), bearer, []*Provider{opaque}, nil},
		{"a JWT whose issuer is no text", segments(header, `{"iss":1}`, "s"), bearer, []*Provider{opaque}, nil},
		{"a JWT that two parsers could read differently", segments(header, `{"iss":"a","iss":"b"}`, "s"), bearer, []*Provider{opaque}, nil},
		{"a JWT with white space in front", segments(" \n"+header, `{"iss":"x"}`, "s"), bearer, []*Provider{opaque}, nil},
		{"a JWT without issuer", segments(header, `{"sub":"x"}`, "s"), bearer, []*Provider{opaque}, opaque},
		{"three segments that are no JWT", "v4.public.abcd", bearer, []*Provider{opaque}, opaque},
		{"five segments", "a.b.c.d.e", bearer, []*Provider{opaque}, opaque},
		{"five segments where one decrypts", "a.b.c.d.e", bearer, []*Provider{opaque, decrypting}, nil},
		{"nothing", "", bearer, []*Provider{opaque}, nil},
		{"a space", "a b", bearer, []*Provider{opaque}, nil},
		{"a line end", "a\nb", bearer, []*Provider{opaque}, nil},
		{"not ASCII", "a\u00e9", bearer, []*Provider{opaque}, nil},
		{"as long as may be", strings.Repeat("a", maxTokenBytes), bearer, []*Provider{opaque}, opaque},
		{"too long", strings.Repeat("a", maxTokenBytes+1), bearer, []*Provider{opaque}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Opaque(Credential{Raw: tt.raw, Source: tt.source}, tt.trusted); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestNewIntrospected(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	p := asked(t, "p", "https://id.example.com")
	p.ClockSkew = 30 * time.Second
	scope, _ := ParseClaimPath("scope")
	p.Scopes = scope
	const rest = `"aud":"orders-api","sub":"alice","exp":1700000300`
	for _, tt := range []struct {
		name, answer string
		want         error
	}{
		{"active", `{"active":true,` + rest + `}`, nil},
		{"with its issuer", `{"active":true,"iss":"https://id.example.com",` + rest + `}`, nil},
		{"of type Bearer", `{"active":true,"token_type":"Bearer",` + rest + `}`, nil},
		{"as Keycloak answers", `{"active":true,"typ":"Bearer","token_type":"Bearer",` + rest + `}`, nil},
		{"as Hydra answers", `{"active":true,"token_use":"access_token",` + rest + `}`, nil},
		{"a JWT access token", `{"active":true,"typ":"at+jwt",` + rest + `}`, nil},
		{"not active", `{"active":false}`, ErrInactive},
		{"not active, whatever else it says", `{"active":false,` + rest + `}`, ErrInactive},
		{"active as text", `{"active":"true",` + rest + `}`, ErrIntrospection},
		{"active as number", `{"active":1,` + rest + `}`, ErrIntrospection},
		{"active twice", `{"active":false,"active":true,` + rest + `}`, ErrIntrospection},
		{"without active", `{` + rest + `}`, ErrIntrospection},
		{"in other case", `{"Active":true,` + rest + `}`, ErrIntrospection},
		{"an array", `[{"active":true}]`, ErrIntrospection},
		{"HTML", `<html>`, ErrIntrospection},
		{"nothing", ``, ErrIntrospection},
		{"something behind it", `{"active":true,` + rest + `}{}`, ErrIntrospection},
		{"not UTF-8", "{\"active\":true,\"x\":\"\xff\"," + rest + `}`, ErrIntrospection},
		{"another issuer", `{"active":true,"iss":"https://id.example.com/",` + rest + `}`, ErrUntrustedIssuer},
		{"an issuer that is null", `{"active":true,"iss":null,` + rest + `}`, ErrUntrustedIssuer},
		{"another audience", `{"active":true,"aud":"billing","sub":"alice","exp":1700000300}`, ErrAudience},
		{"without audience", `{"active":true,"sub":"alice","exp":1700000300}`, ErrAudience},
		{"without subject", `{"active":true,"aud":"orders-api","exp":1700000300}`, ErrSubject},
		{"without end", `{"active":true,"aud":"orders-api","sub":"alice"}`, ErrMalformed},
		{"an end that is text", `{"active":true,"aud":"orders-api","sub":"alice","exp":"1700000300"}`, ErrMalformed},
		{"expired", `{"active":true,"aud":"orders-api","sub":"alice","exp":1699999900}`, ErrExpired},
		{"not valid yet", `{"active":true,"nbf":1700000100,` + rest + `}`, ErrNotYetValid},
		{"a refresh token, as Keycloak says it", `{"active":true,"typ":"Refresh",` + rest + `}`, ErrTokenType},
		{"a refresh token, as Hydra says it", `{"active":true,"token_use":"refresh_token",` + rest + `}`, ErrTokenType},
		{"of a type of token that is not known", `{"active":true,"token_type":"mac",` + rest + `}`, ErrTokenType},
		{"a type that is no text", `{"active":true,"token_type":["Bearer"],` + rest + `}`, ErrTokenType},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, err := NewIntrospected(p, tt.answer, now)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if err == nil && (id.Subject != "alice" || id.Issuer != p.Issuer || id.Claims["iss"] != p.Issuer || id.Provider != p) {
				t.Errorf("identity %+v", id)
			}
		})
	}
}

// An opaque token proves the same identity as a JWT with the same claims.
func TestAnAnswerIsReadAsAJWTIs(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	p := asked(t, "p", "https://id.example.com")
	for to, name := range map[*ClaimPath]string{&p.Scopes: "scope", &p.Roles: "realm_access.roles", &p.Groups: "groups"} {
		*to, _ = ParseClaimPath(name)
	}
	claims := Claims{
		"active": true, "iss": p.Issuer, "aud": []any{"orders-api", "x"}, "sub": "alice", "exp": json.Number("1700000300"),
		"iat": json.Number("1699999999"), "scope": "a b", "realm_access": map[string]any{"roles": []any{"admin"}}, "groups": []any{"ops"},
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	want, err := NewIdentity(p, claims, now)
	if err != nil {
		t.Fatal(err)
	}
	got, err := NewIntrospected(p, string(text), now)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Identity{}, confirmation{}), cmp.Comparer(func(a, b *Provider) bool { return a == b })); diff != "" {
		t.Errorf("(-JWT +opaque):\n%s", diff)
	}
	if err := got.Check(p, now.Add(10*time.Minute)); !errors.Is(err, ErrExpired) {
		t.Errorf("later: %v, want %v", err, ErrExpired)
	}
	if err := got.Check(&Provider{Audiences: []string{"other"}}, now); !errors.Is(err, ErrAudience) {
		t.Errorf("for another audience: %v, want %v", err, ErrAudience)
	}
}

func TestParseClientKey(t *testing.T) {
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve := func(c elliptic.Curve) *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block := func(name string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: name, Bytes: der}))
	}
	pkcs8 := func(k any) string {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		return block("PRIVATE KEY", der, err)
	}
	jwk := func(k jose.JSONWebKey) string {
		out, err := k.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	sec1, err := x509.MarshalECPrivateKey(curve(elliptic.P384()))
	for _, tt := range []struct {
		name, data string
		id         string
		want       Algorithm // "": refused
	}{
		{"RSA in PKCS #8", pkcs8(strong), "", RS256},
		{"RSA in PKCS #1", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(strong), nil), "", RS256},
		{"P-256 in PKCS #8", pkcs8(curve(elliptic.P256())), "", ES256},
		{"P-384 in SEC 1", block("EC PRIVATE KEY", sec1, err), "", ES384},
		{"P-521", pkcs8(curve(elliptic.P521())), "", ES512},
		{"Ed25519", pkcs8(edwards), "", EdDSA},
		{"an RSA JWK that says how it signs", jwk(jose.JSONWebKey{Key: strong, KeyID: "a", Algorithm: "PS256", Use: "sig"}), "a", PS256},
		{"an EC JWK", jwk(jose.JSONWebKey{Key: curve(elliptic.P256()), KeyID: "b"}), "b", ES256},
		{"a JWK with an algorithm of other keys", jwk(jose.JSONWebKey{Key: strong, Algorithm: "ES256"}), "", ""},
		{"a JWK with no algorithm of signatures", jwk(jose.JSONWebKey{Key: strong, Algorithm: "RSA-OAEP"}), "", ""},
		{"a JWK for encryption", jwk(jose.JSONWebKey{Key: strong, Use: "enc"}), "", ""},
		{"a public JWK", jwk(jose.JSONWebKey{Key: &strong.PublicKey}), "", ""},
		{"a shared secret", jwk(jose.JSONWebKey{Key: []byte(strings.Repeat("s", 32))}), "", ""},
		{"P-224", pkcs8(curve(elliptic.P224())), "", ""},
		{"two keys", pkcs8(edwards) + pkcs8(strong), "", ""},
		{"a certificate", block("CERTIFICATE", []byte("x"), nil), "", ""},
		{"nothing", "", "", ""},
		{"too long", strings.Repeat(" ", maxClientKeyBytes+1), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := ParseClientKey([]byte(tt.data))
			if tt.want == "" {
				if err == nil {
					t.Errorf("taken as %+v", k.Algorithm)
				}
				return
			}
			if err != nil || k.Algorithm != tt.want || k.ID != tt.id || k.Signer == nil {
				t.Errorf("%+v, %v, want %s", k, err, tt.want)
			}
		})
	}
}

// FuzzOpaque holds on to it that no token which names an issuer, as the verifier reads it, is ever shown to a provider.
func FuzzOpaque(f *testing.F) {
	for _, raw := range []string{"8xLOxBtZp8", segments(`{"alg":"RS256"}`, `{"iss":"x"}`, "s"), segments(`{"alg":"RS256"}`, `{}`, "s"), "a.b.c.d.e"} {
		f.Add(raw)
	}
	p := asked(f, "p", "https://id.example.com")
	f.Fuzz(func(t *testing.T, raw string) {
		if Opaque(Credential{Raw: raw, Source: p.Sources[0]}, []*Provider{p}) == nil {
			return
		}
		parts, err := splitCompact(raw)
		if err != nil {
			return
		}
		if _, err := parseHeader(parts.header); err != nil {
			return
		}
		if payload, _, err := decodeObject(parts.payload, "payload"); err == nil && payload["iss"] != nil {
			t.Errorf("%q would be shown", raw)
		}
	})
}
