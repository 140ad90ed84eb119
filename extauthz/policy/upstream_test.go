package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/token"
)

const upstreamPolicies = corp + `
kind: AuthPolicy
metadata: {name: app}
spec:
  hosts: [a.com]
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  upstream:
    headers:
    - {name: X-User, claim: sub}
    - {name: x-groups, claim: groups}
    - {name: x-tier, expression: "claims.tier"}
    - {name: x-path, expression: "request.path"}
    token: Remove
    metadata: [{key: sub, claim: sub}, {key: number, claim: number}, {key: twice, expression: "[claims.sub, claims.sub]"}]
  rules:
  - {name: token, access: Authenticated}
  - {name: open, matches: [{path: {value: /open}}], access: Public}
  - {name: maybe, matches: [{path: {value: /maybe}}], access: Optional}
---
kind: AuthPolicy
metadata: {name: other}
spec:
  hosts: [a.com]
  mode: DryRun
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  upstream: {headers: [{name: x-other, claim: sub}]}
  rules: [{name: other, matches: [{path: {value: /other}}], access: Authenticated}]
`

func TestUpstream(t *testing.T) {
	s := compile(t, upstreamPolicies, Options{})
	everyName := []string{"x-groups", "x-other", "x-path", "x-tier", "x-user", "x_groups", "x_other", "x_path", "x_tier", "x_user"}
	without := func(names ...string) []string {
		return slices.DeleteFunc(slices.Clone(everyName), func(n string) bool { return slices.Contains(names, n) })
	}
	for _, tt := range []struct {
		name   string
		call   call
		set    map[string]string
		remove []string
	}{
		{
			name:   "claims, a list, and expressions",
			call:   get("https://a.com/x%20y").with(`{"sub":"alice","groups":["a","b"],"tier":7}`),
			set:    map[string]string{"x-user": "alice", "x-groups": "a,b", "x-tier": "7", "x-path": "/x y"},
			remove: without("x-user", "x-groups", "x-tier", "x-path"),
		},
		{
			name:   "what the token lacks is removed",
			call:   get("https://a.com/").with(`{"sub":"alice","groups":[],"tier":null}`),
			set:    map[string]string{"x-user": "alice", "x-path": "/"},
			remove: without("x-user", "x-path"),
		},
		{
			name:   "public",
			call:   get("https://a.com/open").with(`{"sub":"alice"}`),
			remove: everyName,
		},
		{
			name:   "optional, nobody there",
			call:   get("https://a.com/maybe"),
			remove: everyName,
		},
		{
			name:   "other spellings that the client sent",
			call:   get("https://a.com/open").header("x-User", "root").header("x_tier", "gold").header("x-tiers", "gold"),
			remove: append(slices.Clone(everyName), "x-User"),
		},
		{
			name:   "mixed spellings of a header that is set",
			call:   get("https://a.com/maybe").with(`{"sub":"alice"}`).header("x-user", "root").header("x_user", "root"),
			set:    map[string]string{"x-user": "alice", "x-path": "/maybe"},
			remove: without("x-user", "x-path"),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := tt.call.decide(t, s)
			if !d.Allow {
				t.Fatal(d.Verdict)
			}
			got := map[string]string{}
			for _, h := range d.Set {
				got[h.Name] = h.Value
			}
			if tt.set == nil {
				tt.set = map[string]string{}
			}
			if diff := cmp.Diff(tt.set, got); diff != "" {
				t.Errorf("set (-want +got):\n%s", diff)
			}
			remove := slices.Sorted(slices.Values(d.Remove))
			slices.Sort(tt.remove)
			if diff := cmp.Diff(tt.remove, remove); diff != "" {
				t.Errorf("remove (-want +got):\n%s", diff)
			}
			if want := []token.Source{{Header: "authorization", Scheme: "Bearer"}}; !cmp.Equal(d.RemoveToken, want) {
				t.Errorf("the token is removed from %v", d.RemoveToken)
			}
		})
	}
}

// TestUpstreamDryRunHost shows that a host that refuses nothing still lets no client speak as the application's proxy.
func TestUpstreamDryRunHost(t *testing.T) {
	s := compile(t, strings.ReplaceAll(upstreamPolicies, "hosts: [a.com]\n  identity", "hosts: [a.com]\n  mode: DryRun\n  identity"), Options{})
	d := get("https://a.com/").header("x_user", "root").decide(t, s)
	if !d.Allow || d.Reason != ReasonDryRun || len(d.Set) > 0 || !slices.Contains(d.Remove, "x-user") || !slices.Contains(d.Remove, "x_user") {
		t.Errorf("got %+v", d)
	}
	if d.DryRun == nil || d.DryRun.Reason != ReasonMissingToken || d.DryRun.Rule != "token" {
		t.Errorf("would have said %+v", d.DryRun)
	}
}

func TestUpstreamValues(t *testing.T) {
	s := compile(t, upstreamPolicies, Options{})
	for _, tt := range []struct{ name, claims, want string }{
		{"newline", `{"sub":"a\nb"}`, "UpstreamValueInvalid token"},
		{"C1 control", `{"sub":"a\u0085b"}`, "UpstreamValueInvalid token"},
		{"space around", `{"sub":"alice "}`, "UpstreamValueInvalid token"},
		{"too long", `{"sub":"` + strings.Repeat("a", maxUpstreamValue+1) + `"}`, "UpstreamValueInvalid token"},
		{"as long as may be", `{"sub":"` + strings.Repeat("a", maxUpstreamValue) + `"}`, "allow token"},
		{"space in front", `{"sub":" alice"}`, "UpstreamValueInvalid token"},
		{"an empty element would be none", `{"sub":"a","groups":["b",""]}`, "UpstreamValueInvalid token"},
		{"an object in a list", `{"sub":"a","groups":["b",{}]}`, "UpstreamValueInvalid token"},
		{"list from an expression, plain", `{"sub":"a","tier":["x","y"]}`, "allow token"},
		{"list from an expression, with an empty element", `{"sub":"a","tier":["x",""]}`, "UpstreamValueInvalid token"},
		{"list from an expression, with an object", `{"sub":"a","tier":["x",{}]}`, "UpstreamValueInvalid token"},
		{"object from an expression", `{"sub":"a","tier":{}}`, "UpstreamValueInvalid token"},
		{"object", `{"sub":"a","groups":{"a":1}}`, "UpstreamValueInvalid token"},
		{"a comma in an element would be two", `{"sub":"a","groups":["b,admin"]}`, "UpstreamValueInvalid token"},
		{"a list in a list", `{"sub":"a","groups":[["b"]]}`, "UpstreamValueInvalid token"},
		{"a comma in a text is a comma", `{"sub":"Doe, John"}`, "allow token"},
		{"not ASCII", `{"sub":"Zoë"}`, "allow token"},
		{"number with its digits", `{"sub":"a","tier":9007199254740993}`, "allow token"},
		{"list from an expression", `{"sub":"a","tier":["x","y,z"]}`, "UpstreamValueInvalid token"},
		{"too much in sum", `{"sub":"` + strings.Repeat("a", 2000) + `","groups":["` + strings.Repeat("b", 2000) + `"],"tier":"` + strings.Repeat("c", 2000) + `"}`, "allow token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := said(get("https://a.com/").with(tt.claims).decide(t, s).Verdict); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	long := "/" + strings.Repeat("d", 2000)
	sum := get("https://a.com" + long).with(`{"sub":"` + strings.Repeat("a", 2040) + `","groups":["` + strings.Repeat("b", 2040) + `"],"tier":"` + strings.Repeat("c", 2040) + `"}`)
	if got := said(sum.decide(t, s).Verdict); got != "allow token" {
		t.Errorf("just below the sum: %q", got)
	}
	long = "/" + strings.Repeat("d", 2046)
	sum = get("https://a.com" + long).with(`{"sub":"` + strings.Repeat("a", 2048) + `","groups":["` + strings.Repeat("b", 2048) + `"],"tier":"` + strings.Repeat("c", 2048) + `"}`)
	if got := said(sum.decide(t, s).Verdict); got != "UpstreamValueInvalid token" {
		t.Errorf("above the sum: %q", got)
	}
}

func TestUpstreamMetadata(t *testing.T) {
	s := compile(t, upstreamPolicies, Options{})
	d := get("https://a.com/").with(`{"sub":"alice","number":{"a":[1,true,null]}}`).decide(t, s)
	want := []MetadataValue{
		{"sub", "alice"},
		{"number", map[string]any{"a": []any{float64(1), true, nil}}},
		{"twice", []any{"alice", "alice"}},
	}
	if diff := cmp.Diff(want, d.Metadata); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

func TestUpstreamProblems(t *testing.T) {
	for _, tt := range []struct{ name, upstream, want string }{
		{"host", `{headers: [{name: Host, claim: sub}]}`, "may not be set"},
		{"hop by hop", `{headers: [{name: Transfer-Encoding, claim: sub}]}`, "may not be set"},
		{"Envoy's own", `{headers: [{name: x-envoy-original-path, claim: sub}]}`, "may not be set"},
		{"forwarded, with underscores", `{headers: [{name: x_forwarded_for, claim: sub}]}`, "may not be set"},
		{"name with a blank", `{headers: [{name: "x user", claim: sub}]}`, "is no name of a header"},
		{"Envoy's own, with underscores", `{headers: [{name: x_envoy_x, claim: sub}]}`, "may not be set"},
		{"neither claim nor expression", `{headers: [{name: x-user}]}`, "exactly one of claim and expression"},
		{"metadata without a key", `{metadata: [{key: "", claim: sub}]}`, "is missing"},
		{"metadata twice", `{metadata: [{key: a, claim: sub}, {key: a, claim: iss}]}`, "stands here twice"},
		{"pseudo-header", `{headers: [{name: ":path", claim: sub}]}`, "is no name of a header"},
		{"twice in two spellings", `{headers: [{name: x-user, claim: sub}, {name: X_User, claim: sub}]}`, "stands here twice"},
		{"claim and expression", `{headers: [{name: x-user, claim: sub, expression: "claims.sub"}]}`, "exactly one of claim and expression"},
		{"expression of an object", `{headers: [{name: x-user, expression: "claims"}]}`, "must evaluate to string"},
		{"metadata of our own", `{metadata: [{key: reason, claim: sub}]}`, "take another"},
		{"token", `{token: Drop}`, "must be Forward or Remove"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, r := new(Compiler).Compile(parse(t, corp+`
kind: AuthPolicy
metadata: {name: p}
spec:
  hosts: [a.com]
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  upstream: `+tt.upstream+`
  rules:
  - {name: token, access: Authenticated}
  - {name: open, matches: [{path: {value: /open}}], access: Public}
`), Options{})
			if got := problemsOf(r, "p"); !slices.ContainsFunc(got, func(p string) bool { return strings.Contains(p, tt.want) }) {
				t.Errorf("problems %q, want %q", got, tt.want)
			}
			if got := said(get("https://a.com/").with(`{"sub":"a"}`).decide(t, s).Verdict); got != "NotCompiled token" {
				t.Errorf("a rule with a token says %q", got)
			}
			if got := said(get("https://a.com/open").decide(t, s).Verdict); got != "Public open" {
				t.Errorf("a public rule says %q", got)
			}
		})
	}
}
