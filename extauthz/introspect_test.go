package extauthz

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// opaquePolicies are those of a provider whose tokens may be opaque, and of rules that are only tried out.
const opaquePolicies = `
kind: Secret
metadata: {name: client, namespace: shop}
stringData: {secret: s3cret}
---
kind: IdentityProvider
metadata: {name: corp, namespace: shop}
spec:
  issuer: https://id.example.com
  audiences: [orders-api]
  algorithms: [ES256]
  keys: {inline: '%s'}
  claimValidationRules: [{expression: "claims.sub != 'banned'", message: banned}]
  introspection: {endpoint: "https://id.example.com/introspect", clientID: sallyport, clientSecretRef: {name: client, key: secret}}
---
kind: AuthPolicy
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders.example.com]
  identityProviders: [{name: corp}]
  rules:
  - {name: public, matches: [{path: {type: Exact, value: /healthz}}], access: Public}
  - {name: optional, matches: [{path: {type: Exact, value: /optional}}], access: Optional}
  - {name: orders, require: {scopes: [orders.read]}}
---
kind: AuthPolicy
metadata: {name: tried, namespace: shop}
spec:
  hosts: [tried.example.com]
  mode: DryRun
  identityProviders: [{name: corp}]
  rules: [{name: tried, access: Authenticated}]
`

// asker answers as a provider would that knows the tokens of its map: by claims in JSON, or with an error.
type asker struct {
	t       testing.TB
	answers map[string]any
	asked   []string
	known   bool
}

func (a *asker) Introspect(_ context.Context, raw string, p *token.Provider) (*token.Identity, error) {
	a.asked = append(a.asked, strings.Clone(raw))
	if p.Issuer != "https://id.example.com" {
		a.t.Errorf("%s is asked", p.Name)
	}
	switch answer := a.answers[raw].(type) {
	case error:
		return nil, answer
	case string:
		return token.NewIntrospected(p, answer, worldNow)
	}
	return nil, nil
}

func (a *asker) Recall(raw string, p *token.Provider) (*token.Identity, bool, error) {
	if !a.known {
		return nil, false, nil
	}
	id, err := a.Introspect(context.Background(), raw, p)
	return id, true, err
}

// opaqueWorld is a server with these policies, whose provider answers a.
func opaqueWorld(t testing.TB, a *asker) *world {
	t.Helper()
	a.t = t
	w := newWorld(t, func(c *Config) {
		if a.answers != nil {
			c.Introspector = a
		}
	})
	w.snapshot.Store(compileSound(t, strings.Replace(opaquePolicies, "%s", worldJWKS(t), 1), policy.Options{}))
	return w
}

func TestOpaqueTokens(t *testing.T) {
	const good = `{"active":true,"sub":"alice","aud":"orders-api","scope":"orders.read","exp":4102444800}`
	unnamed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"a"}`)) + ".c2ln"
	answers := map[string]any{
		"good": good, "banned": strings.Replace(good, "alice", "banned", 1), "scopeless": strings.Replace(good, "orders.read", "x", 1),
		"inactive": `{"active":false}`, "down": token.ErrIntrospection, "other": strings.Replace(good, "orders-api", "billing", 1), unnamed: good,
	}
	for _, tt := range []struct {
		name, url, token string
		reason           policy.Reason
		asked            bool
	}{
		{"good", "https://orders.example.com/", "good", policy.ReasonAllowed, true},
		{"on Optional", "https://orders.example.com/optional", "good", policy.ReasonAllowed, true},
		{"a JWT without issuer", "https://orders.example.com/", unnamed, policy.ReasonAllowed, true},
		{"inactive", "https://orders.example.com/", "inactive", policy.ReasonTokenInactive, true},
		{"inactive, on Optional", "https://orders.example.com/optional", "inactive", policy.ReasonTokenInactive, true},
		{"the provider is down", "https://orders.example.com/", "down", policy.ReasonIntrospectionUnavailable, true},
		{"for somebody else", "https://orders.example.com/", "other", policy.ReasonInvalidAudience, true},
		{"claim validation", "https://orders.example.com/", "banned", policy.ReasonClaimValidationFailed, true},
		{"requirements", "https://orders.example.com/", "scopeless", policy.ReasonInsufficientScope, true},
		{"an answer that is neither", "https://orders.example.com/", "nothing", policy.ReasonMalformedToken, true},
		{"nobody looks on Public", "https://orders.example.com/healthz", "good", policy.ReasonPublic, false},
		{"nobody is asked for a host of nobody", "https://else.example.com/", "good", policy.ReasonNoPolicy, false},
		{"a JWT is verified", "https://orders.example.com/", mint(t, jwt.MapClaims{"scope": "orders.read"}), policy.ReasonAllowed, false},
		{"a JWT that is forged", "https://orders.example.com/", mint(t, nil) + "A", policy.ReasonInvalidSignature, false},
		{"a JWT that has expired", "https://orders.example.com/", mint(t, jwt.MapClaims{"exp": 1}), policy.ReasonTokenExpired, false},
		{"a JWT of another issuer", "https://orders.example.com/", mint(t, jwt.MapClaims{"iss": "https://evil.example.com"}), policy.ReasonUntrustedIssuer, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := &asker{answers: answers}
			w := opaqueWorld(t, a)
			out := w.check(t, ask("GET", tt.url, "authorization: Bearer "+tt.token))
			if got := meta(out, "reason"); got != string(tt.reason) {
				t.Errorf("reason %s, want %s", got, tt.reason)
			}
			if len(a.asked) > 0 != tt.asked || tt.asked && a.asked[0] != tt.token {
				t.Errorf("asked about %q, want %v", a.asked, tt.asked)
			}
			if strings.Contains(w.logged(), "alice") || tt.asked && strings.Contains(w.logged(), unnamed) {
				t.Error("the log tells of the token")
			}
		})
	}
}

// A provider that says tokens: All is asked about its JWTs too, once they are verified, and its answer counts.
func TestSignedTokensThatAreAskedAbout(t *testing.T) {
	const good = `{"active":true,"sub":"alice","aud":"orders-api","scope":"orders.read","exp":4102444800}`
	light, revoked, down := mint(t, jwt.MapClaims{"aud": nil, "sub": nil}), mint(t, jwt.MapClaims{"scope": "orders.read"}), mint(t, jwt.MapClaims{"jti": "1"})
	bound := mint(t, jwt.MapClaims{"cnf": map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}})
	answers := map[string]any{"opaque": good, light: good, bound: good, revoked: `{"active":false}`, down: token.ErrIntrospection}
	for _, tt := range []struct {
		name, token string
		reason      policy.Reason
		asked       bool
	}{
		{"one that says little", light, policy.ReasonAllowed, true},
		{"one that was revoked, whatever it says", revoked, policy.ReasonTokenInactive, true},
		{"one that nobody can be asked about", down, policy.ReasonIntrospectionUnavailable, true},
		{"one that is forged", mint(t, nil) + "A", policy.ReasonInvalidSignature, false},
		{"one that has expired", mint(t, jwt.MapClaims{"exp": 1}), policy.ReasonTokenExpired, false},
		{"one of another issuer", mint(t, jwt.MapClaims{"iss": "https://evil.example.com"}), policy.ReasonUntrustedIssuer, false},
		{"one that is bound, of which the answer does not say it", bound, policy.ReasonSenderNotProven, true},
		{"one that is no JWT", "opaque", policy.ReasonAllowed, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := &asker{answers: answers}
			w := opaqueWorld(t, a)
			w.snapshot.Store(compileSound(t, strings.NewReplacer("%s", worldJWKS(t), "introspection: {", "introspection: {tokens: All, ").Replace(opaquePolicies), policy.Options{}))
			for range 2 { // the second time from the cache of verified tokens
				a.asked = nil
				if got := meta(w.check(t, ask("GET", "https://orders.example.com/", "authorization: Bearer "+tt.token)), "reason"); got != string(tt.reason) {
					t.Errorf("reason %s, want %s", got, tt.reason)
				}
				if len(a.asked) > 0 != tt.asked || tt.asked && a.asked[0] != tt.token {
					t.Errorf("asked about %q, want %v", a.asked, tt.asked)
				}
			}
		})
	}
}

func TestOpaqueTokensWithoutIntrospector(t *testing.T) {
	w := opaqueWorld(t, &asker{})
	if got := meta(w.check(t, ask("GET", "https://orders.example.com/", "authorization: Bearer good")), "reason"); got != "IntrospectionUnavailable" {
		t.Errorf("reason %s", got)
	}
}

// Rules that are tried out wait for nobody: what they would say is reported once it is known.
func TestOpaqueTokensOfDryRunRules(t *testing.T) {
	a := &asker{answers: map[string]any{"good": `{"active":false}`}}
	w := opaqueWorld(t, a)
	for _, known := range []bool{false, true} {
		a.known = known
		out := w.check(t, ask("GET", "https://tried.example.com/", "authorization: Bearer good"))
		reported, there := out.GetDynamicMetadata().GetFields()["dryRun"]
		if meta(out, "decision") != "Allow" || there != known {
			t.Errorf("known %v: %s, reported %v", known, meta(out, "decision"), reported)
		}
		if known && reported.GetStructValue().GetFields()["reason"].GetStringValue() != "TokenInactive" {
			t.Errorf("reported %v", reported)
		}
	}
}
