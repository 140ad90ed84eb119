package extauthz

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// lookupPolicies are those of rules that read what is looked up.
const lookupPolicies = `
kind: ClusterIdentityProvider
metadata: {name: corp}
spec: {issuer: https://id.example.com, audiences: [orders-api], algorithms: [ES256], keys: {inline: '%s'}}
---
kind: AuthPolicy
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders.example.com]
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  lookups:
  - {name: one, http: {url: "https://one.example.com/{claims.sub}"}}
  - {name: two, http: {url: "https://two.example.com/{claims.sub}"}}
  - {name: info, optional: true, userInfo: {}}
  rules:
  - {name: public, matches: [{path: {type: Exact, value: /public}}], access: Public}
  - {name: plain, matches: [{path: {type: Exact, value: /plain}}], access: Authenticated}
  - {name: one, matches: [{path: {type: Exact, value: /one}}], require: {expressions: [{expression: "lookups.one.ok == true"}]}}
  - {name: both, matches: [{path: {type: Exact, value: /both}}], require: {expressions: [{expression: "lookups.one.ok == true && lookups.two.ok == true"}]}}
  - {name: info, matches: [{path: {type: Exact, value: /info}}], require: {expressions: [{expression: "!has(lookups.info) || lookups.info.ok == true"}]}}
---
kind: AuthPolicy
metadata: {name: tried, namespace: shop}
spec:
  hosts: [tried.example.com]
  mode: DryRun
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  lookups: [{name: one, http: {url: "https://one.example.com/{claims.sub}"}}]
  rules: [{name: tried, require: {expressions: [{expression: "lookups.one.ok == true"}]}}]
`

// library answers lookups by their names: with claims, an error, or a panic where it holds neither.
type library struct {
	answers map[string]any
	known   bool

	mu    sync.Mutex
	asked []string
}

func (b *library) Look(_ context.Context, l *token.Lookup, id *token.Identity, raw string) (token.Claims, error) {
	name := l.Name[strings.LastIndexByte(l.Name, '/')+1:]
	b.mu.Lock()
	b.asked = append(b.asked, name)
	b.mu.Unlock()
	if id.Subject != "alice" || strings.Count(raw, ".") != 2 {
		return nil, token.ErrLookup
	}
	switch answer := b.answers[name].(type) {
	case token.Claims:
		return answer, nil
	case error:
		return nil, answer
	}
	panic("the library burns")
}

func (b *library) Recall(l *token.Lookup, id *token.Identity, raw string) (token.Claims, bool, error) {
	if !b.known {
		return nil, false, nil
	}
	answer, err := b.Look(context.Background(), l, id, raw)
	return answer, true, err
}

func lookupWorld(t testing.TB, b *library) *world {
	t.Helper()
	w := newWorld(t, func(c *Config) {
		if b != nil {
			c.Looker = b
		}
	})
	w.snapshot.Store(compileSound(t, strings.Replace(lookupPolicies, "%s", worldJWKS(t), 1), policy.Options{}))
	return w
}

func TestLookups(t *testing.T) {
	yes, no := token.Claims{"ok": true}, token.Claims{"ok": false}
	for _, tt := range []struct {
		name, path string
		answers    map[string]any
		reason     policy.Reason
		asked      []string
	}{
		{"found", "/one", map[string]any{"one": yes}, policy.ReasonAllowed, []string{"one"}},
		{"found, and it says no", "/one", map[string]any{"one": no}, policy.ReasonExpressionFailed, []string{"one"}},
		{"failed", "/one", map[string]any{"one": token.ErrLookup}, policy.ReasonLookupFailed, []string{"one"}},
		{"panicked", "/one", nil, policy.ReasonLookupFailed, []string{"one"}},
		{"both", "/both", map[string]any{"one": yes, "two": yes}, policy.ReasonAllowed, []string{"one", "two"}},
		{"the second failed", "/both", map[string]any{"one": yes, "two": token.ErrLookup}, policy.ReasonLookupFailed, []string{"one", "two"}},
		{"the first panicked", "/both", map[string]any{"two": yes}, policy.ReasonLookupFailed, []string{"one", "two"}},
		{"optional, found", "/info", map[string]any{"info": no}, policy.ReasonExpressionFailed, []string{"info"}},
		{"optional, failed", "/info", map[string]any{"info": token.ErrLookup}, policy.ReasonAllowed, []string{"info"}},
		{"nothing is read", "/plain", nil, policy.ReasonAllowed, nil},
		{"nobody looks at a token", "/public", nil, policy.ReasonPublic, nil},
		{"no rule", "/none", nil, policy.ReasonNoRule, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &library{answers: tt.answers}
			w := lookupWorld(t, b)
			out := w.check(t, ask("GET", "https://orders.example.com"+tt.path, "authorization: Bearer "+mint(t, nil)))
			if got := meta(out, "reason"); got != string(tt.reason) {
				t.Errorf("reason %s, want %s", got, tt.reason)
			}
			if diff := cmp.Diff(tt.asked, b.asked, cmpopts.SortSlices(strings.Compare)); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNothingIsLookedUpForATokenThatIsRefused(t *testing.T) {
	b := &library{}
	w := lookupWorld(t, b)
	for _, line := range []string{"authorization: Bearer x", "authorization: Bearer " + mint(t, nil) + "A", "x-none: y"} {
		if out := w.check(t, ask("GET", "https://orders.example.com/one", line)); meta(out, "decision") != "Deny" || b.asked != nil {
			t.Errorf("%s for %.30s, asked %q", meta(out, "reason"), line, b.asked)
		}
	}
}

func TestLookupsWithoutLooker(t *testing.T) {
	out := lookupWorld(t, nil).check(t, ask("GET", "https://orders.example.com/one", "authorization: Bearer "+mint(t, nil)))
	if got := meta(out, "reason"); got != "LookupFailed" {
		t.Errorf("reason %s", got)
	}
}

// Rules that are tried out wait for nobody: what they would say is reported once it is known.
func TestLookupsOfDryRunRules(t *testing.T) {
	b := &library{answers: map[string]any{"one": token.Claims{"ok": false}}}
	w := lookupWorld(t, b)
	for _, known := range []bool{false, true} {
		b.known = known
		out := w.check(t, ask("GET", "https://tried.example.com/", "authorization: Bearer "+mint(t, nil)))
		reported, there := out.GetDynamicMetadata().GetFields()["dryRun"]
		if meta(out, "decision") != "Allow" || there != known {
			t.Errorf("known %v: %s, reported %v", known, meta(out, "decision"), reported)
		}
		if known && reported.GetStructValue().GetFields()["reason"].GetStringValue() != "ExpressionFailed" {
			t.Errorf("reported %v", reported)
		}
	}
}
