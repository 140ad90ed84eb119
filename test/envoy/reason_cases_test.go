package envoy

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/cmd/demo"
)

// shopper writes the requests of TestReasons.
type shopper struct {
	t              *testing.T
	w              *world
	dead, stranger *demo.Issuer
	now            time.Time
	good           string   // a token that is good for anything without further requirements
	parts, other   []string // of good, and of a token with another payload
}

func newShopper(t *testing.T, w *world, dead, stranger *demo.Issuer) *shopper {
	t.Helper()
	s := &shopper{t: t, w: w, dead: dead, stranger: stranger, now: time.Now(), good: w.token(t, nil)}
	s.parts = strings.Split(s.good, ".")
	s.other = strings.Split(w.token(t, map[string]any{"sub": "root"}), ".")
	return s
}

// shown is a request for anything that needs a token, with this one.
func (s *shopper) shown(token string) call {
	return call{host: "shop.test", target: "/any", token: token}
}

func (s *shopper) with(claims map[string]any, opts ...demo.TokenOption) call {
	return s.shown(s.w.token(s.t, claims, opts...))
}

func (s *shopper) at(target string, claims map[string]any) call {
	return call{host: "shop.test", target: target, token: s.w.token(s.t, claims)}
}

// none is a request without a token.
func (s *shopper) none(target string) call { return call{host: "shop.test", target: target} }

// strict is a request to the host whose provider says more of its tokens.
func (s *shopper) strict(claims map[string]any) call {
	return call{host: "strict.test", token: s.w.token(s.t, claims)}
}

// everywhere is a request to the host whose provider takes tokens from three places.
func (s *shopper) everywhere(target string, lines ...string) call {
	return call{host: "everywhere.test", target: target, header: lines}
}

// accessCases tells who needs a token at all.
func (s *shopper) accessCases() []reasonCase {
	return []reasonCase{
		{"public", s.none("/public"), allowed("Public", "public")},
		{"public, with a token that nobody looks at", call{host: "shop.test", target: "/public", token: "x"}, allowed("Public", "public")},
		{"optional without a token", s.none("/optional"), allowed("Anonymous", "optional")},
		{"optional with a s.good token", s.at("/optional", nil), allowed("Allowed", "optional")},
		{"optional with a bad token", call{host: "shop.test", target: "/optional", token: "x"}, verdict{401, "MalformedToken", "optional", "invalid_token", ""}},
		{"a valid token", s.shown(s.good), allowed("Allowed", "any")},
		{"host with port, capitals and a final dot", call{host: "SHOP.Test.:8443", target: "/any", token: s.good}, allowed("Allowed", "any")},
		{"the scheme in capitals, two spaces", call{host: "shop.test", target: "/any", header: []string{"AUTHORIZATION: BEARER  " + s.good}}, allowed("Allowed", "any")},

		{"no token", s.none("/any"), verdict{401, "MissingToken", "any", "", ""}},
		{"another scheme", call{host: "shop.test", target: "/any", header: []string{"Authorization: Basic YTpi"}}, verdict{401, "MissingToken", "any", "", ""}},
		{"token not in the header that counts", call{host: "shop.test", target: "/any?access_token=" + s.good, header: []string{"Cookie: access_token=" + s.good}}, verdict{401, "MissingToken", "any", "", ""}},
	}
}

// malformedCases shows what is no token in good form.
func (s *shopper) malformedCases() []reasonCase {
	return []reasonCase{
		{"nothing behind the scheme", call{host: "shop.test", target: "/any", header: []string{"Authorization: Bearer"}}, malformed},
		{"not a token", s.shown("x"), malformed},
		{"bytes that are no text", s.shown(s.good[:len(s.good)-3] + "\xff\xfe\xfd"), malformed},
		{"two segments", s.shown(s.parts[0] + "." + s.parts[1]), malformed},
		{"five segments", s.shown(s.good + ".a.b"), malformed},
		{"alg none", s.shown(encode(s.t, map[string]any{"alg": "none", "typ": "at+jwt"}) + "." + s.parts[1] + "."), malformed},
		{"crit", s.with(nil, demo.WithHeader("crit", []string{"b64"})), malformed},
		{"no expiry", s.with(map[string]any{"exp": nil}), malformed},
		{"expiry as text", s.with(map[string]any{"exp": strconv.FormatInt(s.now.Add(time.Hour).Unix(), 10)}), malformed},
		{"token of more than 16 KiB", s.with(map[string]any{"pad": strings.Repeat("x", 16<<10)}), malformed},
	}
}

// tokenCases shows what a token in good form may lack.
func (s *shopper) tokenCases() []reasonCase {
	return []reasonCase{
		{"another issuer", s.shown(mint(s.t, s.stranger, nil)), invalidToken("UntrustedIssuer")},
		{"issuer with a final slash", s.with(map[string]any{"iss": s.w.issuer.URL() + "/"}), invalidToken("UntrustedIssuer")},
		{"algorithm that the provider does not allow", s.with(nil, demo.SignedWith("ES256")), invalidToken("AlgorithmNotAllowed")},
		{"unknown key", s.with(nil, demo.WithHeader("kid", "nobody")), invalidToken("UnknownKey")},
		{"bad signature", s.shown(s.parts[0] + "." + s.other[1] + "." + s.parts[2]), invalidToken("InvalidSignature")},
		{"another type", s.with(nil, demo.WithHeader("typ", "logout+jwt")), invalidToken("InvalidTokenType")},
		{"no type counts as JWT", s.with(nil, demo.WithHeader("typ", nil)), allowed("Allowed", "any")},
		{"another audience", s.with(map[string]any{"aud": "bank"}), invalidToken("InvalidAudience")},
		{"no audience", s.with(map[string]any{"aud": nil}), invalidToken("InvalidAudience")},
		{"one of several audiences", s.with(map[string]any{"aud": []string{"bank", "shop"}}), allowed("Allowed", "any")},
		{"no subject", s.with(map[string]any{"sub": nil}), invalidToken("InvalidSubject")},
		{"expired", s.with(map[string]any{"exp": s.now.Add(-time.Minute).Unix(), "iat": s.now.Add(-time.Hour).Unix()}), invalidToken("TokenExpired")},
		{"expired within the skew of clocks", s.with(map[string]any{"exp": s.now.Add(10*time.Minute).Unix() - 600 + 5}), allowed("Allowed", "any")},
		{"not yet valid", s.with(map[string]any{"nbf": s.now.Add(time.Hour).Unix()}), invalidToken("TokenNotYetValid")},
		{"issued in the future", s.with(map[string]any{"iat": s.now.Add(time.Hour).Unix(), "exp": s.now.Add(2 * time.Hour).Unix()}), invalidToken("TokenNotYetValid")},
		{"lives too long", s.strict(map[string]any{"exp": s.now.Add(3 * time.Hour).Unix(), "email_verified": true}), invalidToken("TokenTooOld")},
		{"no time of issue where its age counts", s.strict(map[string]any{"iat": nil, "email_verified": true}), malformed},
		{"claim validation fails", s.strict(map[string]any{"email_verified": false}), invalidToken("ClaimValidationFailed")},
		{"claim of the validation is absent", s.strict(nil), invalidToken("ClaimValidationFailed")},
		{"claim validation holds", s.strict(map[string]any{"email_verified": true}), allowed("Allowed", "any")},
		{"keys cannot be had", call{host: "dead.test", token: mint(s.t, s.dead, nil)}, verdict{503, "KeysUnavailable", "any", "none", ""}},
		{"no token, where keys cannot be had", call{host: "dead.test"}, verdict{401, "MissingToken", "any", "", ""}},
	}
}

// requirementCases shows what a valid token may lack.
func (s *shopper) requirementCases() []reasonCase {
	return []reasonCase{
		{"scopes", s.at("/orders", map[string]any{"scope": "a orders.list orders.read"}), allowed("Allowed", "orders")},
		{"one scope is missing", s.at("/orders", map[string]any{"scope": "orders.read"}), verdict{403, "InsufficientScope", "orders", "insufficient_scope", "orders.list orders.read"}},
		{"role", s.at("/roles", map[string]any{"roles": []string{"admin"}}), allowed("Allowed", "roles")},
		{"role is missing", s.at("/roles", map[string]any{"roles": []string{"administrator"}}), verdict{403, "InsufficientClaims", "roles", "insufficient_scope", ""}},
		{"own profile", s.at("/users/alice/x", nil), allowed("Allowed", "profile")},
		{"own profile, encoded", s.at("/users/%61lice/x", nil), allowed("Allowed", "profile")},
		{"profile of another", s.at("/users/bob", nil), verdict{403, "InsufficientClaims", "profile", "insufficient_scope", ""}},
		{"expression", s.at("/gold", map[string]any{"tier": "gold"}), allowed("Allowed", "gold")},
		{"expression is false", s.at("/gold", map[string]any{"tier": "tin"}), verdict{403, "ExpressionFailed", "gold", "insufficient_scope", ""}},
		{"expression over an absent claim", s.at("/gold", nil), verdict{403, "ExpressionFailed", "gold", "insufficient_scope", ""}},
	}
}

// placeCases shows refusals that no token changes.
func (s *shopper) placeCases() []reasonCase {
	return []reasonCase{
		{"source not allowed", s.none("/far"), forbidden("SourceNotAllowed", "far")},
		{"source not allowed, whatever the client says", call{host: "shop.test", target: "/far", header: []string{"X-Forwarded-For: 10.1.2.3", "X-Real-IP: 10.1.2.3"}}, forbidden("SourceNotAllowed", "far")},
		{"source allowed", s.none("/near"), allowed("Public", "near")},
		{"denied", s.at("/denied", nil), forbidden("Denied", "denied")},
		{"rule that does not compile", s.at("/broken", map[string]any{"tier": "gold"}), forbidden("NotCompiled", "broken")},
		{"no rule for the path", s.at("/elsewhere", nil), forbidden("NoRule", "")},
		{"no rule for the method", call{method: "PUT", host: "shop.test", target: "/orders", token: s.good}, forbidden("NoRule", "")},
		{"no policy for the host", call{host: "bank.test", target: "/any", token: s.good}, forbidden("NoPolicy", "")},
		{"no policy for a host below", call{host: "www.shop.test", target: "/any", token: s.good}, forbidden("NoPolicy", "")},
		{"header match over two fields", call{host: "shop.test", target: "/versioned", header: []string{"X-Version: é", "X-Version: 2"}}, allowed("Public", "versioned")},
		{"header match fails", call{host: "shop.test", target: "/versioned", header: []string{"X-Version: 2"}}, forbidden("NoRule", "")},
	}
}

// requestCases shows requests that could be read in two ways, or not at all.
func (s *shopper) requestCases() []reasonCase {
	return []reasonCase{
		{"two Host fields", call{host: "shop.test\r\nHost: bank.test", target: "/public"}, verdict{400, "InvalidRequest", "", "invalid_request", ""}},
		{"host with a user", call{host: "shop.test@bank.test", target: "/public"}, verdict{400, "InvalidRequest", "", "invalid_request", ""}},
		{"ambiguous path", s.none("/public//x"), verdict{400, "AmbiguousRequest", "", "invalid_request", ""}},
		{"ambiguous query parameter", s.none("/tenant?id=1&id=2"), verdict{400, "AmbiguousRequest", "", "invalid_request", ""}},
		{"query parameter", s.none("/tenant?id=1&x"), allowed("Public", "tenant")},
		{"another query parameter", s.none("/tenant?id=2"), forbidden("NoRule", "")},
		{"two Authorization fields", call{host: "shop.test", target: "/any", token: s.good, header: []string{"Authorization: Bearer " + s.good}}, ambiguous},
		{"two Authorization fields, one of another scheme", call{host: "shop.test", target: "/any", token: s.good, header: []string{"Authorization: Basic YTpi"}}, ambiguous},
		{"joined Authorization", s.shown(s.good + ",Bearer " + s.good), ambiguous},
		{"header and query", s.everywhere("/?access_token="+s.good, "Authorization: Bearer "+s.good), ambiguous},
		{"header and cookie", s.everywhere("/", "Cookie: access_token="+s.good, "Authorization: Bearer "+s.good), ambiguous},
		{"two cookies of the name", s.everywhere("/", "Cookie: access_token="+s.good+"; access_token="+s.good), ambiguous},
		{"two Cookie fields with the name", s.everywhere("/", "Cookie: access_token="+s.good, "Cookie: access_token="+s.good), ambiguous},
		{"two query parameters of the name", s.everywhere("/?access_token=" + s.good + "&access_token=" + s.good), ambiguous},
		{"query parameter with an encoded name", s.everywhere("/?access%5ftoken=" + s.good), ambiguous},
		{"two Cookie fields, one with the token", s.everywhere("/", "Cookie: a=1", "Cookie: access_token="+s.good), allowed("Allowed", "any")},
		{"the token's cookie among others", s.everywhere("/", "Cookie: a=1; access_token="+s.good+"; b=2"), allowed("Allowed", "any")},
		{"query", s.everywhere("/?a=1&access_token=" + s.good), allowed("Allowed", "any")},
	}
}

// upstreamCases shows claims that no header can carry.
func (s *shopper) upstreamCases() []reasonCase {
	return []reasonCase{
		{"claim with a line feed for a header", s.at("/any", map[string]any{"tier": "gold\nx-user: root"}), forbidden("UpstreamValueInvalid", "any")},
		{"claim with a NUL for a header", s.at("/any", map[string]any{"tier": "gold\x00"}), forbidden("UpstreamValueInvalid", "any")},
		{"claim too long for a header", s.at("/any", map[string]any{"tier": strings.Repeat("x", 3000)}), forbidden("UpstreamValueInvalid", "any")},
		{"claim that is an object for a header", s.at("/any", map[string]any{"tier": map[string]any{"a": 1}}), forbidden("UpstreamValueInvalid", "any")},
	}
}

// encode writes part of a token that nobody has signed.
func encode(t *testing.T, part map[string]any) string {
	t.Helper()
	text, err := json.Marshal(part)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}
