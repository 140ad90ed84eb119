package policy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/token"
)

const opaqueWorld = `
kind: Secret
metadata: {name: client}
stringData: {secret: "s3cret\n"}
---
kind: IdentityProvider
metadata: {name: one}
spec: {issuer: "https://one.example.com", audiences: [a], introspection: {clientID: c, clientSecretRef: {name: client, key: secret}}}
---
kind: IdentityProvider
metadata: {name: two}
spec: {issuer: "https://two.example.com", audiences: [a], introspection: {clientID: c, clientSecretRef: {name: client, key: secret}}}
---
kind: IdentityProvider
metadata: {name: cookies}
spec: {issuer: "https://three.example.com", audiences: [a], tokenSources: [{cookie: {name: t}}], introspection: {clientID: c, clientSecretRef: {name: client, key: secret}}}
---
kind: IdentityProvider
metadata: {name: jwts}
spec: {issuer: "https://four.example.com", audiences: [a]}
---
`

func TestIntrospectionDefaults(t *testing.T) {
	s := compile(t, opaqueWorld, Options{})
	i := slices.IndexFunc(s.Providers(), func(p *token.Provider) bool { return p.Issuer == "https://one.example.com" })
	want := &token.Introspection{
		Issuer: "https://one.example.com", ClientID: "c", Secret: "s3cret", CacheTTL: 30 * time.Second, Timeout: 100 * time.Millisecond,
		MaxConcurrent: 32, MaxPerSecond: 200, Interval: 10 * time.Minute, MinInterval: 10 * time.Second,
	}
	if diff := cmp.Diff(want, s.Providers()[i].Introspection); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	all := compile(t, strings.ReplaceAll(opaqueWorld, "{clientID: c", "{tokens: All, clientID: c"), Options{}).Providers()[i]
	want.Signed = true
	if diff := cmp.Diff(want, all.Introspection); diff != "" || all.Fingerprint == s.Providers()[i].Fingerprint {
		t.Errorf("tokens: All, with another fingerprint (-want +got):\n%s", diff)
	}
	changed := compile(t, strings.ReplaceAll(opaqueWorld, "s3cret", "another"), Options{})
	if s.Providers()[i].Fingerprint == changed.Providers()[i].Fingerprint {
		t.Error("another secret, and the provider counts as the same")
	}
}

// A rule cannot tell whose an opaque token is where two providers introspect what stands at one place. It says so, and
// refuses.
func TestTwoProvidersThatIntrospectAtOnePlace(t *testing.T) {
	for _, tt := range []struct {
		providers string
		closed    bool
	}{
		{"one, two", true}, {"one, jwts, two", true}, {"one, jwts", false}, {"one, cookies", false}, {"two", false},
	} {
		t.Run(tt.providers, func(t *testing.T) {
			var refs string
			for name := range strings.SplitSeq(tt.providers, ", ") {
				refs += "{name: " + name + "}, "
			}
			s, report := new(Compiler).Compile(parse(t, opaqueWorld+"kind: AuthPolicy\nmetadata: {name: p}\nspec: {hosts: [a.com], identityProviders: ["+refs+"], rules: [{name: r, access: Authenticated}]}\n"), Options{})
			told := slices.ContainsFunc(problemsOf(report, "p"), func(p string) bool { return strings.Contains(p, "whose an opaque token is") })
			req, _ := NewRequest(Input{Method: "GET", Scheme: "https", Host: "a.com", Path: "/"})
			l := s.Lookup(req)
			d := l.Decide(Facts{}, Facts{})
			if closed := d.Reason == ReasonNotCompiled; told != tt.closed || closed != tt.closed {
				t.Errorf("told %v, reason %s; want closed: %v", told, d.Reason, tt.closed)
			}
		})
	}
}

// What is not known yet is not reported of rules that are tried out, and refused by those that are enforced.
func TestWhatIsUnknownIsNotReported(t *testing.T) {
	const dry = opaqueWorld + "kind: AuthPolicy\nmetadata: {name: p}\nspec: {hosts: [a.com], mode: MODE, identityProviders: [{name: one}], rules: [{name: r, access: Authenticated}]}\n"
	unknown := Facts{Err: token.ErrIntrospection, Unknown: true}
	decide := func(mode string, f Facts) Decision {
		req, _ := NewRequest(Input{Method: "GET", Scheme: "https", Host: "a.com", Path: "/"})
		l := compile(t, strings.Replace(dry, "MODE", mode, 1), Options{}).Lookup(req)
		return l.Decide(f, f)
	}
	if d := decide("DryRun", unknown); d.DryRun != nil || !d.Allow {
		t.Errorf("DryRun: %+v", d.DryRun)
	}
	if d := decide("DryRun", Facts{Err: token.ErrIntrospection}); d.DryRun == nil || d.DryRun.Reason != ReasonIntrospectionUnavailable {
		t.Errorf("known: %+v", d.DryRun)
	}
	if d := decide("Enforce", unknown); d.Allow || d.Reason != ReasonIntrospectionUnavailable {
		t.Errorf("Enforce: %+v", d.Verdict)
	}
}
