package token

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

const logoutHeader = `{"alg":"RS256","kid":"rsa","typ":"logout+jwt"}`

// logoutClaims writes the payload of a good logout token with changes, as claims does.
func logoutClaims(changes map[string]string) string {
	all := map[string]string{
		"aud": `"orders-client"`, "jti": `"l1"`, "sid": `"s1"`, "exp": fmt.Sprint(testNow.Unix() + 120),
		"events": `{"http://schemas.openid.net/event/backchannel-logout":{}}`,
	}
	for name, value := range changes {
		all[name] = value
	}
	return claims(all)
}

// leaver is corp, as a provider that tells of logouts.
func leaver(t testing.TB, change func(*Provider)) *Provider {
	t.Helper()
	return corp(t, func(p *Provider) {
		p.Logout = &Logout{ClientIDs: []string{"orders-client", "stock-client"}, TokenTypes: []string{"logout+jwt", "jwt"}, HoldFor: time.Hour}
		if change != nil {
			change(p)
		}
	})
}

// TestVerifyLogout goes through every rule of OpenID Connect Back-Channel Logout 1.0 §2.6.
func TestVerifyLogout(t *testing.T) {
	at := func(seconds int64) string { return fmt.Sprint(testNow.Unix() + seconds) }
	const event = `"http://schemas.openid.net/event/backchannel-logout"`
	for _, tt := range []struct {
		name, header string
		claims       map[string]string
		want         error
	}{
		{"as it should be", logoutHeader, nil, nil},
		{"typ JWT", `{"alg":"RS256","kid":"rsa","typ":"JWT"}`, nil, nil},
		{"no typ", rs256Header, nil, nil},
		{"typ with application/, in capitals", `{"alg":"RS256","kid":"rsa","typ":"application/LOGOUT+JWT"}`, nil, nil},
		{"typ of an access token", `{"alg":"RS256","kid":"rsa","typ":"at+jwt"}`, nil, ErrTokenType},
		{"another algorithm", `{"alg":"ES256","kid":"p256","typ":"logout+jwt"}`, nil, nil},
		{"alg none", `{"alg":"none","typ":"logout+jwt"}`, nil, ErrMalformed},
		{"an algorithm that is not allowed", `{"alg":"PS512","kid":"rsa","typ":"logout+jwt"}`, nil, ErrAlgorithm},
		{"an unknown key", `{"alg":"RS256","kid":"gone","typ":"logout+jwt"}`, nil, ErrUnknownKey},
		{"crit", `{"alg":"RS256","kid":"rsa","crit":["b64"],"b64":true}`, nil, ErrMalformed},

		{"another iss", logoutHeader, map[string]string{"iss": `"https://id.example.com/realms/corp/"`}, ErrUntrustedIssuer},
		{"iss is missing", logoutHeader, map[string]string{"iss": ""}, ErrUntrustedIssuer},
		{"iss is a list", logoutHeader, map[string]string{"iss": `["` + testIssuer + `"]`}, ErrUntrustedIssuer},
		{"several audiences", logoutHeader, map[string]string{"aud": `["other","stock-client"]`}, nil},
		{"the audience of access tokens", logoutHeader, map[string]string{"aud": `"orders-api"`}, ErrAudience},
		{"aud is missing", logoutHeader, map[string]string{"aud": ""}, ErrAudience},
		{"aud is a number", logoutHeader, map[string]string{"aud": "1"}, ErrAudience},

		{"iat is missing", logoutHeader, map[string]string{"iat": ""}, ErrMalformed},
		{"iat is text", logoutHeader, map[string]string{"iat": `"now"`}, ErrMalformed},
		{"iat in the future, within the leeway", logoutHeader, map[string]string{"iat": at(30)}, nil},
		{"iat in the future", logoutHeader, map[string]string{"iat": at(31)}, ErrNotYetValid},
		{"iat long ago, within the bound", logoutHeader, map[string]string{"iat": at(-630)}, nil},
		{"iat too long ago", logoutHeader, map[string]string{"iat": at(-631)}, ErrTooOld},
		{"exp is missing", logoutHeader, map[string]string{"exp": ""}, ErrMalformed},
		{"exp has passed, within the leeway", logoutHeader, map[string]string{"exp": at(-29)}, nil},
		{"exp has passed", logoutHeader, map[string]string{"exp": at(-30)}, ErrExpired},
		{"nbf in the future", logoutHeader, map[string]string{"nbf": at(31)}, ErrNotYetValid},
		{"nbf is text", logoutHeader, map[string]string{"nbf": `"x"`}, ErrNotYetValid},

		{"events are missing", logoutHeader, map[string]string{"events": ""}, ErrTokenType},
		{"events of another kind", logoutHeader, map[string]string{"events": `{"http://schemas.openid.net/event/other":{}}`}, ErrTokenType},
		{"events is a list", logoutHeader, map[string]string{"events": `[` + event + `]`}, ErrTokenType},
		{"the event is no object", logoutHeader, map[string]string{"events": `{` + event + `:true}`}, ErrTokenType},
		{"the event holds something", logoutHeader, map[string]string{"events": `{` + event + `:{"x":1}}`}, nil},
		{"an event of Keycloak's beside it", logoutHeader, map[string]string{"events": `{` + event + `:{},"revoke_offline_access":true}`}, nil},
		{"a nonce", logoutHeader, map[string]string{"nonce": `"n"`}, ErrTokenType},
		{"a nonce that is null", logoutHeader, map[string]string{"nonce": `null`}, ErrTokenType},

		{"sub alone", logoutHeader, map[string]string{"sid": ""}, nil},
		{"sid alone", logoutHeader, map[string]string{"sub": ""}, nil},
		{"neither sub nor sid", logoutHeader, map[string]string{"sub": "", "sid": ""}, ErrMalformed},
		{"sub is a number", logoutHeader, map[string]string{"sub": "7"}, ErrMalformed},
		{"sub is empty", logoutHeader, map[string]string{"sub": `""`}, ErrMalformed},
		{"sid is null", logoutHeader, map[string]string{"sid": `null`}, ErrMalformed},
		{"sid is too long", logoutHeader, map[string]string{"sid": `"` + strings.Repeat("s", 513) + `"`}, ErrMalformed},
		{"jti is missing", logoutHeader, map[string]string{"jti": ""}, ErrMalformed},
		{"jti is a number", logoutHeader, map[string]string{"jti": "1"}, ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, key := RS256, "rsa"
			switch {
			case strings.Contains(tt.header, "ES256"):
				a, key = ES256, "p256"
			case strings.Contains(tt.header, "PS512"):
				a = PS512
			}
			p := leaver(t, func(p *Provider) { p.Algorithms = NewAlgorithms(RS256, ES256) })
			raw := sign(t, a, key, tt.header, logoutClaims(tt.claims))
			got, err := verifier(t, Config{}).VerifyLogout(t.Context(), raw, p)
			wraps(t, err, tt.want)
			if (got == nil) != (err != nil) {
				t.Errorf("token %v beside error %v", got, err)
			}
		})
	}
}

func TestVerifyLogoutOfWrongBytes(t *testing.T) {
	p, v := leaver(t, nil), verifier(t, Config{})
	good := sign(t, RS256, "rsa", logoutHeader, logoutClaims(nil))
	other := sign(t, RS256, "rsa2", logoutHeader, logoutClaims(nil))
	for _, tt := range []struct {
		name, raw string
		want      error
	}{
		{"nothing", "", ErrMalformed},
		{"two segments", good[:strings.LastIndexByte(good, '.')], ErrMalformed},
		{"a JWE", good + ".AAAA.AAAA", ErrMalformed},
		{"a line end", good + "\n", ErrMalformed},
		{"longer than 16 KiB", strings.Repeat("A", 17<<10), ErrMalformed},
		{"a key of somebody else", other, ErrSignature},
		{"no JSON", b64([]byte(logoutHeader)) + "." + b64([]byte("x")) + ".AAAA", ErrMalformed},
		{"a member twice", sign(t, RS256, "rsa", logoutHeader, strings.Replace(logoutClaims(nil), "{", `{"jti":"l2",`, 1)), ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := v.VerifyLogout(t.Context(), tt.raw, p)
			wraps(t, err, tt.want)
		})
	}
}

// TestLogoutTokensOnly: of the types that a provider names, none is believed but those.
func TestLogoutTokensOnly(t *testing.T) {
	p := leaver(t, func(p *Provider) { p.Logout.TokenTypes = []string{"logout+jwt"} })
	v := verifier(t, Config{})
	for header, want := range map[string]error{logoutHeader: nil, rs256Header: ErrTokenType} {
		_, err := v.VerifyLogout(t.Context(), sign(t, RS256, "rsa", header, logoutClaims(nil)), p)
		wraps(t, err, want)
	}
}

// TestALogoutTokenOpensNothing: one whose typ is that of access tokens, and whose audience is theirs, is none.
func TestALogoutTokenOpensNothing(t *testing.T) {
	raw := sign(t, RS256, "rsa", rs256Header, logoutClaims(map[string]string{"aud": `"orders-api"`}))
	_, err := verifier(t, Config{}).Verify(t.Context(), Credential{raw, bearer}, []*Provider{leaver(t, nil)})
	wraps(t, err, ErrTokenType)
}

func TestWhatALogoutRevokes(t *testing.T) {
	now := testNow.Add(300 * time.Millisecond)
	ends := testNow.Add(time.Hour + 2*time.Minute)
	for _, tt := range []struct {
		name   string
		claims map[string]string
		want   Revocation
	}{
		{"a session", nil, Revocation{By: RevokedBySession, Value: "s1"}},
		{"a session without subject", map[string]string{"sub": ""}, Revocation{By: RevokedBySession, Value: "s1"}},
		{"a subject, until the second of the logout", map[string]string{"sid": ""},
			Revocation{By: RevokedBySubject, Value: "alice", IssuedBefore: testNow.Add(-9 * time.Second)}},
		{"a subject, with a fraction", map[string]string{"sid": "", "iat": fmt.Sprint(testNow.Unix()-10) + ".9"},
			Revocation{By: RevokedBySubject, Value: "alice", IssuedBefore: testNow.Add(-9 * time.Second)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := leaver(t, func(p *Provider) { p.Namespace = "shop" })
			got, err := verifier(t, Config{}).VerifyLogout(t.Context(), sign(t, RS256, "rsa", logoutHeader, logoutClaims(tt.claims)), p)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Scope, tt.want.Expires = RevocationScope{testIssuer, "shop"}, ends
			if r := got.Revocation(now); r != tt.want {
				t.Errorf("got %+v, want %+v", r, tt.want)
			}
			if back, err := DecodeRevocation(tt.want.Encode()); err != nil || back != tt.want {
				t.Errorf("kept as %s: %+v, %v", tt.want.Encode(), back, err)
			}
		})
	}
}

func TestDecodeRevocation(t *testing.T) {
	for _, text := range []string{
		``, `{}`, `null`, `[]`, `{"iss":"a"}`, `{"iss":"a","jti":"b"}x`, `{"iss":"a","jti":"b"} `, `{"iss":"a","jti":"b","sid":"c"}`,
		`{"jti":"b"}`, `{"iss":"a","jti":"b","audience":"c"}`, `{"iss":"a","jti":"b","exp":-1}`, `{"iss":"a","jti":1}`,
	} {
		if r, err := DecodeRevocation([]byte(text)); err == nil {
			t.Errorf("%q is read as %+v", text, r)
		}
	}
	for _, text := range []string{`{"iss":"a","jti":"b"}`, `{"iss":"a","before":1}`, `{"iss":"a","ns":"n","sub":"b","before":1,"exp":2}`} {
		r, err := DecodeRevocation([]byte(text))
		if err != nil || string(r.Encode()) != text {
			t.Errorf("%q is read as %+v, %v", text, r, err)
		}
	}
}

// FuzzLogout's law: of all byte strings only the logout tokens that were issued are believed; and of all payloads with a good
// signature only those that name who has left, within the bounds of what is kept.
func FuzzLogout(f *testing.F) {
	p, v := leaver(f, nil), verifier(f, Config{})
	issued := map[string]bool{}
	for _, change := range []map[string]string{nil, {"sid": ""}, {"sub": ""}, {"aud": `["a","stock-client"]`}} {
		raw := sign(f, EdDSA, "ed", `{"alg":"EdDSA"}`, logoutClaims(change))
		issued[raw] = true
		f.Add(raw, logoutClaims(change))
	}
	f.Add(sign(f, EdDSA, "ed", `{"alg":"EdDSA"}`, claims(nil)), claims(nil))
	f.Add("..", `{"events":{"http://schemas.openid.net/event/backchannel-logout":{}},"sub":""}`)
	f.Fuzz(func(t *testing.T, raw, payload string) {
		if _, err := v.VerifyLogout(context.Background(), raw, p); (err == nil) != issued[raw] {
			t.Fatalf("issued: %v, error: %v", issued[raw], err)
		} else if err != nil {
			oneSentinel(t, err)
		}
		got, err := v.VerifyLogout(context.Background(), sign(t, EdDSA, "ed", `{"alg":"EdDSA"}`, payload), p)
		if err != nil {
			oneSentinel(t, err)
			return
		}
		var c map[string]any // names compare exactly, unlike those of a struct
		if err := json.Unmarshal([]byte(payload), &c); err != nil {
			t.Fatal(err)
		}
		_, nonce := c["nonce"]
		events, _ := c["events"].(map[string]any)
		if c["iss"] != testIssuer || c["jti"] == nil || c["sid"] == nil && c["sub"] == nil || events[logoutEvent] == nil || nonce {
			t.Fatalf("believed: %s", payload)
		}
		r := got.Revocation(testNow)
		if r.Value == "" || len(r.Value) > maxLogoutValue || !r.Expires.After(testNow) || r.Value != c["sid"] && r.Value != c["sub"] {
			t.Fatalf("revokes %+v", r)
		}
	})
}
