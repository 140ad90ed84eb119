package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var allSentinels = []error{
	ErrAmbiguousCredential, ErrMalformed, ErrUntrustedIssuer, ErrAlgorithm, ErrUnknownKey, ErrSignature, ErrTokenType,
	ErrAudience, ErrSubject, ErrExpired, ErrNotYetValid, ErrTooOld, ErrKeysUnavailable,
}

// wraps checks that err wraps want and no other sentinel; a nil want means no error.
func wraps(t *testing.T, err, want error) {
	t.Helper()
	if want == nil {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	for _, sentinel := range allSentinels {
		if got := errors.Is(err, sentinel); got != errors.Is(want, sentinel) {
			t.Errorf("error %q: is %q: %v", err, sentinel, got)
		}
	}
}

func TestVerifyEveryAlgorithm(t *testing.T) {
	secret, err := NewHMACKeySet(testKeys()["hmac"].([]byte))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []Algorithm{RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, HS256, HS384, HS512} {
		t.Run(string(a), func(t *testing.T) {
			p := corp(t, func(p *Provider) {
				p.Algorithms = NewAlgorithms(a)
				if p.Algorithms.Symmetric() {
					p.Static = secret
				}
			})
			raw := sign(t, a, keyFor(a), fmt.Sprintf(`{"alg":%q,"kid":%q}`, a, keyFor(a)), claims(nil))
			v := verifier(t, Config{})
			if _, err := v.Verify(context.Background(), Credential{raw, bearer}, []*Provider{p}); err != nil {
				t.Fatal(err)
			}
			body, signature := raw[:strings.LastIndexByte(raw, '.')+1], raw[strings.LastIndexByte(raw, '.')+1:]
			for i := 0; i < len(signature)-1; i += 7 {
				other := byte('A')
				if signature[i] == other {
					other = 'B'
				}
				forged := body + signature[:i] + string(other) + signature[i+1:]
				_, err := v.Verify(context.Background(), Credential{forged, bearer}, []*Provider{p})
				wraps(t, err, ErrSignature)
			}
		})
	}
}

func TestVerifyHeader(t *testing.T) {
	tests := []struct {
		name, header string
		want         error
	}{
		{"typ absent", rs256Header, nil},
		{"typ JWT", `{"alg":"RS256","kid":"rsa","typ":"JWT"}`, nil},
		{"typ without case", `{"alg":"RS256","kid":"rsa","typ":"At+Jwt"}`, nil},
		{"typ with its prefix", `{"alg":"RS256","kid":"rsa","typ":"Application/at+jwt"}`, nil},
		{"typ with another prefix", `{"alg":"RS256","kid":"rsa","typ":"text/jwt"}`, ErrTokenType},
		{"typ with a path", `{"alg":"RS256","kid":"rsa","typ":"application/application/jwt"}`, ErrTokenType},
		{"typ of an ID token hint", `{"alg":"RS256","kid":"rsa","typ":"logout+jwt"}`, ErrTokenType},
		{"typ empty", `{"alg":"RS256","kid":"rsa","typ":""}`, ErrTokenType},
		{"typ with a look-alike", `{"alg":"RS256","kid":"rsa","typ":"ȷwt"}`, ErrTokenType},
		{"typ a number", `{"alg":"RS256","kid":"rsa","typ":1}`, ErrMalformed},
		{"typ null", `{"alg":"RS256","kid":"rsa","typ":null}`, ErrMalformed},
		{"no kid", `{"alg":"RS256"}`, nil},
		{"kid unknown", `{"alg":"RS256","kid":"nobody"}`, ErrUnknownKey},
		{"kid in another case", `{"alg":"RS256","kid":"RSA"}`, ErrUnknownKey},
		{"kid empty", `{"alg":"RS256","kid":""}`, ErrUnknownKey},
		{"kid of another key", `{"alg":"RS256","kid":"p256"}`, ErrAlgorithm},
		{"kid a number", `{"alg":"RS256","kid":1}`, ErrMalformed},
		{"kid null", `{"alg":"RS256","kid":null}`, ErrMalformed},
		{"kid too long", `{"alg":"RS256","kid":"` + strings.Repeat("k", 257) + `"}`, ErrMalformed},
		{"kid as long as may be", `{"alg":"RS256","kid":"` + strings.Repeat("k", 256) + `"}`, ErrUnknownKey},
		{"kid a path", `{"alg":"RS256","kid":"../../dev/null"}`, ErrUnknownKey},
		{"alg none", `{"alg":"none"}`, ErrMalformed},
		{"alg None", `{"alg":"None"}`, ErrMalformed},
		{"alg in lower case", `{"alg":"rs256","kid":"rsa"}`, ErrMalformed},
		{"alg of encryption", `{"alg":"RSA-OAEP","kid":"rsa"}`, ErrMalformed},
		{"alg an array", `{"alg":["RS256"],"kid":"rsa"}`, ErrMalformed},
		{"alg missing", `{"kid":"rsa"}`, ErrMalformed},
		{"alg as Alg", `{"Alg":"RS256","kid":"rsa"}`, ErrMalformed},
		{"alg twice", `{"alg":"RS256","alg":"RS256","kid":"rsa"}`, ErrMalformed},
		{"alg twice, once escaped", `{"alg":"RS256","\u0061lg":"none","kid":"rsa"}`, ErrMalformed},
		{"alg symmetric", `{"alg":"HS256","kid":"rsa"}`, ErrAlgorithm},
		{"crit", `{"alg":"RS256","kid":"rsa","crit":["exp"]}`, ErrMalformed},
		{"crit empty", `{"alg":"RS256","kid":"rsa","crit":[]}`, ErrMalformed},
		{"b64 true", `{"alg":"RS256","kid":"rsa","b64":true}`, ErrMalformed},
		{"zip", `{"alg":"RS256","kid":"rsa","zip":"DEF"}`, ErrMalformed},
		{"keys offered by the token", `{"alg":"RS256","kid":"rsa","jku":"https://evil.example","x5u":"https://evil.example","x5c":["x"],"jwk":{"kty":"oct"}}`, nil},
		{"not an object", `["alg","RS256"]`, ErrMalformed},
		{"trailing bytes", rs256Header + "x", ErrMalformed},
		{"two objects", rs256Header + rs256Header, ErrMalformed},
		{"byte order mark", "\ufeff" + rs256Header, ErrMalformed},
	}
	p := corp(t, nil)
	v := verifier(t, Config{CacheBytes: 1 << 20})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			raw := sign(t, RS256, "rsa", test.header, claims(nil))
			_, err := v.Verify(context.Background(), Credential{raw, bearer}, []*Provider{p})
			wraps(t, err, test.want)
		})
	}
}

func TestVerifyPayload(t *testing.T) {
	at := func(offset int64) string { return fmt.Sprint(testNow.Unix() + offset) }
	type changes = map[string]string
	tests := []struct {
		name    string
		changes changes
		edit    func(*Provider)
		want    error
	}{
		{"good", nil, nil, nil},
		{"iss missing", changes{"iss": ""}, nil, ErrMalformed},
		{"iss an array", changes{"iss": `["` + testIssuer + `"]`}, nil, ErrMalformed},
		{"iss null", changes{"iss": `null`}, nil, ErrMalformed},
		{"iss with a slash more", changes{"iss": `"` + testIssuer + `/"`}, nil, ErrUntrustedIssuer},
		{"iss in another case", changes{"iss": `"` + strings.ToUpper(testIssuer) + `"`}, nil, ErrUntrustedIssuer},
		{"iss empty", changes{"iss": `""`}, nil, ErrUntrustedIssuer},
		{"iss empty like the provider's", changes{"iss": `""`}, func(p *Provider) { p.Issuer = "" }, ErrUntrustedIssuer},
		{"aud in an array", changes{"aud": `["x","stock-api"]`}, nil, nil},
		{"aud another", changes{"aud": `"other"`}, nil, ErrAudience},
		{"aud in another case", changes{"aud": `"Orders-API"`}, nil, ErrAudience},
		{"aud a prefix", changes{"aud": `"orders-api/v1"`}, nil, ErrAudience},
		{"aud with blanks", changes{"aud": `"orders-api stock-api"`}, nil, ErrAudience},
		{"aud missing", changes{"aud": ""}, nil, ErrAudience},
		{"aud null", changes{"aud": "null"}, nil, ErrAudience},
		{"aud empty array", changes{"aud": "[]"}, nil, ErrAudience},
		{"aud a number", changes{"aud": "1"}, nil, ErrMalformed},
		{"aud partly strings", changes{"aud": `["orders-api",1]`}, nil, ErrMalformed},
		{"aud from another claim", changes{"aud": `"x"`, "client_id": `"orders-api"`}, func(p *Provider) { p.AudienceClaim = path(t, "client_id") }, nil},
		{"aud where another claim is asked", nil, func(p *Provider) { p.AudienceClaim = path(t, "client_id") }, ErrAudience},
		{"no audience configured", nil, func(p *Provider) { p.Audiences = nil }, ErrAudience},
		{"sub missing", changes{"sub": ""}, nil, ErrSubject},
		{"sub empty", changes{"sub": `""`}, nil, ErrSubject},
		{"sub a number", changes{"sub": `7`}, nil, ErrSubject},
		{"sub from client_id", changes{"sub": "", "client_id": `"job"`}, func(p *Provider) { p.Subject = path(t, "client_id") }, nil},
		{"paths left out", nil, func(p *Provider) { p.Subject, p.AudienceClaim = ClaimPath{}, ClaimPath{} }, nil},
		{"exp missing", changes{"exp": ""}, nil, ErrMalformed},
		{"exp a string", changes{"exp": `"9999999999"`}, nil, ErrMalformed},
		{"exp null", changes{"exp": `null`}, nil, ErrMalformed},
		{"exp past within the skew", changes{"exp": at(-29)}, nil, nil},
		{"exp past by the skew", changes{"exp": at(-30)}, nil, ErrExpired},
		{"exp past with a skew over a minute", changes{"exp": at(-60)}, func(p *Provider) { p.ClockSkew = time.Hour }, ErrExpired},
		{"exp past with a negative skew", changes{"exp": at(1)}, func(p *Provider) { p.ClockSkew = -time.Hour }, nil},
		{"exp with a fraction", changes{"exp": at(-30) + ".5"}, nil, nil},
		{"exp the last second", changes{"exp": "253402300799"}, nil, nil},
		{"exp past the last second", changes{"exp": "253402300800"}, nil, ErrMalformed},
		{"exp 1e300", changes{"exp": "1e300"}, nil, ErrMalformed},
		{"exp 1e999", changes{"exp": "1e999"}, nil, ErrMalformed},
		{"exp with many digits", changes{"exp": strings.Repeat("9", 400)}, nil, ErrMalformed},
		{"exp as 18e8+300", changes{"exp": "1.8000003e9"}, nil, nil},
		{"exp negative", changes{"exp": "-1"}, nil, ErrMalformed},
		{"exp minus zero", changes{"exp": "-0"}, nil, ErrMalformed},
		{"nbf ahead within the skew", changes{"nbf": at(30)}, nil, nil},
		{"nbf ahead", changes{"nbf": at(31)}, nil, ErrNotYetValid},
		{"nbf 1e300", changes{"nbf": "1e300"}, nil, ErrMalformed},
		{"nbf null", changes{"nbf": "null"}, nil, ErrMalformed},
		{"iat ahead within the skew", changes{"iat": at(30)}, nil, nil},
		{"iat ahead", changes{"iat": at(31)}, nil, ErrNotYetValid},
		{"iat missing", changes{"iat": ""}, nil, nil},
		{"iat a string", changes{"iat": `"1"`}, nil, ErrMalformed},
		{"iat missing under maxTokenAge", changes{"iat": ""}, func(p *Provider) { p.MaxTokenAge = time.Hour }, ErrMalformed},
		{"exp minus iat at maxTokenAge", nil, func(p *Provider) { p.MaxTokenAge = 310 * time.Second }, nil},
		{"exp minus iat over maxTokenAge", nil, func(p *Provider) { p.MaxTokenAge = 309 * time.Second }, ErrTooOld},
		{"now minus iat at maxTokenAge", changes{"iat": at(-100), "exp": at(-29)}, func(p *Provider) { p.MaxTokenAge = 100 * time.Second }, nil},
		{"now minus iat over maxTokenAge", changes{"iat": at(-100), "exp": at(-29)}, func(p *Provider) { p.MaxTokenAge = 99 * time.Second }, ErrTooOld},
		{"exp at the end of time under maxTokenAge", changes{"exp": "253402300799", "iat": "0"}, func(p *Provider) { p.MaxTokenAge = time.Hour }, ErrTooOld},
		{"type not wanted", nil, func(p *Provider) { p.TokenTypes = []string{"at+jwt"} }, ErrTokenType},
		{"algorithm not wanted", nil, func(p *Provider) { p.Algorithms = NewAlgorithms(ES256) }, ErrAlgorithm},
		{"place not the provider's", nil, func(p *Provider) { p.Sources = []Source{{Cookie: "t"}} }, ErrUntrustedIssuer},
		{"no keys", nil, func(p *Provider) { p.Static = nil }, ErrKeysUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := corp(t, test.edit)
			raw := sign(t, RS256, "rsa", rs256Header, claims(test.changes))
			v := verifier(t, Config{CacheBytes: 1 << 20})
			for _, round := range []string{"first", "again"} {
				_, err := v.Verify(context.Background(), Credential{raw, bearer}, []*Provider{p})
				wraps(t, err, test.want)
				if err != nil && (strings.Contains(err.Error(), "alice") || strings.Contains(err.Error(), "example.com")) {
					t.Errorf("%s: the error tells a claim: %v", round, err)
				}
			}
		})
	}
}

// What two JSON parsers read in two ways is refused, although the signature is right.
func TestVerifyStrictPayload(t *testing.T) {
	good := claims(nil)
	tests := []struct{ name, payload string }{
		{"a claim twice", strings.Replace(good, `"sub":"alice"`, `"sub":"alice","sub":"root"`, 1)},
		{"a claim twice below", strings.TrimSuffix(good, "}") + `,"a":[{"b":{"c":1,"c":2}}]}`},
		{"lone surrogate", strings.TrimSuffix(good, "}") + `,"a":"\ud800"}`},
		{"invalid UTF-8", strings.TrimSuffix(good, "}") + ",\"a\":\"\xff\"}"},
		{"too deep", strings.TrimSuffix(good, "}") + `,"a":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`},
		{"an array", "[" + good + "]"},
		{"trailing brace", good + "}"},
		{"empty", " "},
	}
	p := corp(t, nil)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			raw := sign(t, RS256, "rsa", rs256Header, test.payload)
			_, err := verifier(t, Config{}).Verify(context.Background(), Credential{raw, bearer}, []*Provider{p})
			wraps(t, err, ErrMalformed)
		})
	}
}

func TestVerifyIdentity(t *testing.T) {
	p := corp(t, nil)
	raw := sign(t, ES256, "p256", `{"alg":"ES256","kid":"p256"}`, claims(map[string]string{
		"aud":          `["orders-api","x"]`,
		"nbf":          "1799999000.25",
		"scope":        `"orders.read  orders.write\tx"`,
		"realm_access": `{"roles":["admin user","dev"]}`,
		"groups":       `"ops sre"`,
		"n":            `12345678901234567890`,
	}))
	got, err := verifier(t, Config{}).Verify(context.Background(), Credential{raw, bearer}, []*Provider{p})
	if err != nil {
		t.Fatal(err)
	}
	if got.Provider != p {
		t.Error("another provider")
	}
	got.Provider = nil
	want := &Identity{
		Issuer: testIssuer, Subject: "alice", Audiences: []string{"orders-api", "x"},
		Scopes: []string{"orders.read", "orders.write\tx"}, Roles: []string{"admin user", "dev"}, Groups: []string{"ops sre"},
		Claims: Claims{
			"iss": testIssuer, "sub": "alice", "aud": []any{"orders-api", "x"},
			"exp": json.Number("1800000300"), "iat": json.Number("1799999990"), "nbf": json.Number("1799999000.25"),
			"scope": "orders.read  orders.write\tx", "groups": "ops sre", "n": json.Number("12345678901234567890"),
			"realm_access": map[string]any{"roles": []any{"admin user", "dev"}},
		},
		IssuedAt: testNow.Add(-10 * time.Second), NotBefore: time.Unix(1799999000, 250_000_000), Expiry: testNow.Add(300 * time.Second),
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Identity{})); diff != "" {
		t.Error(diff)
	}
}

// Half a list, or a list of the wrong things, is no list.
func TestVerifyMappedClaimOfWrongType(t *testing.T) {
	p := corp(t, nil)
	for _, value := range []string{`7`, `true`, `null`, `{"a":"b"}`, `["admin",1]`, `[["admin"]]`} {
		raw := sign(t, RS256, "rsa", rs256Header, claims(map[string]string{
			"scope": value, "groups": value, "realm_access": `{"roles":` + value + `}`,
		}))
		got, err := verifier(t, Config{}).Verify(context.Background(), Credential{raw, bearer}, []*Provider{p})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Scopes)+len(got.Roles)+len(got.Groups) > 0 {
			t.Errorf("%s: scopes %q, roles %q, groups %q", value, got.Scopes, got.Roles, got.Groups)
		}
	}
}

// The issuer alone does not choose: a token of one provider at the place of another is refused, and keys of
// one provider do not verify for another.
func TestVerifyPicksByIssuerAndPlace(t *testing.T) {
	a := corp(t, nil)
	b := corp(t, func(p *Provider) {
		p.Name, p.Fingerprint, p.Issuer = "IdentityProvider/shop/customers", [32]byte{2}, "https://customers.example.com"
		p.Sources = []Source{{Cookie: "session"}}
		p.Static = mustSet(t, jwks(jwk("rsa2", `"kid":"rsa"`)), false)
	})
	ofA := sign(t, RS256, "rsa", rs256Header, claims(nil))
	ofB := sign(t, RS256, "rsa2", rs256Header, claims(map[string]string{"iss": `"https://customers.example.com"`}))
	forged := sign(t, RS256, "rsa2", rs256Header, claims(nil))
	tests := []struct {
		name string
		cred Credential
		want error
	}{
		{"a at its place", Credential{ofA, bearer}, nil},
		{"a in the place of b", Credential{ofA, Source{Cookie: "session"}}, ErrUntrustedIssuer},
		{"b at its place", Credential{ofB, Source{Cookie: "session"}}, nil},
		{"b in the place of a", Credential{ofB, bearer}, ErrUntrustedIssuer},
		{"issuer of a, key of b", Credential{forged, bearer}, ErrSignature},
		{"scheme in another case", Credential{ofA, Source{Header: "authorization", Scheme: "BEARER"}}, nil},
		{"no place", Credential{Raw: ofA}, ErrUntrustedIssuer},
		{"none shown", Credential{}, ErrMalformed},
	}
	v := verifier(t, Config{CacheBytes: 1 << 20})
	for _, test := range append(tests, tests...) {
		t.Run(test.name, func(t *testing.T) {
			_, err := v.Verify(context.Background(), test.cred, []*Provider{b, a})
			wraps(t, err, test.want)
		})
	}
}

func TestVerifyAsksOnceForNewerKeys(t *testing.T) {
	old := mustSet(t, jwks(jwk("rsa2", `"kid":"old"`)), false)
	fresh := mustSet(t, jwks(jwk("rsa", `"kid":"rsa"`), jwk("rsa2", `"kid":"old"`)), false)
	down := errors.New("connection refused")
	tests := []struct {
		name, header string
		first, later *KeySet
		firstErr     error
		laterErr     error
		asked        int
		want         error
	}{
		{"known kid", rs256Header, fresh, nil, nil, nil, 0, nil},
		{"unknown kid, newer set has it", rs256Header, old, fresh, nil, nil, 1, nil},
		{"unknown kid, same set", rs256Header, old, old, nil, nil, 1, ErrUnknownKey},
		{"unknown kid, newer set without it", `{"alg":"RS256","kid":"x"}`, old, fresh, nil, nil, 1, ErrUnknownKey},
		{"bad signature", `{"alg":"RS256","kid":"old"}`, old, fresh, nil, nil, 0, ErrSignature},
		{"bad signature without a kid", `{"alg":"RS256"}`, old, fresh, nil, nil, 0, ErrSignature},
		{"no key set", rs256Header, nil, nil, ErrKeysUnavailable, nil, 0, ErrKeysUnavailable},
		{"an error of another kind", rs256Header, nil, nil, down, nil, 0, ErrKeysUnavailable},
		{"nothing at all", rs256Header, nil, nil, nil, nil, 0, ErrKeysUnavailable},
		{"keys lost meanwhile", rs256Header, old, nil, nil, fmt.Errorf("x: %w", ErrKeysUnavailable), 1, ErrKeysUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			asked := 0
			source := keyFunc(func(after *KeySet) (*KeySet, error) {
				if after == nil {
					return test.first, test.firstErr
				}
				if after != test.first {
					t.Error("asked for newer keys than a set that was not handed out")
				}
				asked++
				return test.later, test.laterErr
			})
			p := corp(t, func(p *Provider) { p.Static, p.Remote = nil, &Remote{} })
			raw := sign(t, RS256, "rsa", test.header, claims(nil))
			_, err := verifier(t, Config{Keys: source}).Verify(context.Background(), Credential{raw, bearer}, []*Provider{p})
			wraps(t, err, test.want)
			if asked != test.asked {
				t.Errorf("asked %d times for newer keys, want %d", asked, test.asked)
			}
		})
	}
}

func TestNewVerifierRefusesNegativeCache(t *testing.T) {
	if _, err := NewVerifier(Config{CacheBytes: -1}); err == nil {
		t.Error("a negative size was accepted")
	}
	v, err := NewVerifier(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if entries, bytes, hits, misses := v.CacheStats(); entries != 0 || bytes != 0 || hits != 0 || misses != 0 {
		t.Error("a verifier without a cache counts")
	}
}
