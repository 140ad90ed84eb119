package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLook shows that the nearest field wins, and of two that are equally near the one under unauthenticated.
func TestLook(t *testing.T) {
	s := compile(t, corp+`
kind: AuthPolicy
metadata: {name: p}
spec:
  hosts: [a.com]
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  denied:
    realm: shop
    body: {type: Text, text: sorry}
    headers: [{name: X-Help, value: docs}]
    unauthenticated: {status: 302, redirect: {url: "https://login.example.com/start", returnParameter: rd}}
  rules:
  - {name: plain, matches: [{path: {value: /plain}}], require: {scopes: [a]}}
  - {name: hidden, matches: [{path: {value: /hidden}}], require: {scopes: [a]}, denied: {status: 404}}
  - {name: own, matches: [{path: {value: /own}}], require: {scopes: [a]}, denied: {realm: mine, body: {type: Empty}, headers: [], unauthenticated: {status: 401, redirect: {url: "https://other.example.com/", onlyFor: Any}}}}
`, Options{})
	headers := []HeaderValue{{"x-help", "docs"}}
	login := &Redirect{URL: "https://login.example.com/start", ReturnParameter: "rd", HTMLOnly: true}
	for _, tt := range []struct {
		name string
		call call
		want *Refusal
	}{
		{"policy", get("https://a.com/plain").with(`{"sub":"a"}`), &Refusal{Body: BodyText, Text: "sorry", Realm: "shop", Headers: headers}},
		{"policy, no token", get("https://a.com/plain"), &Refusal{Status: 302, Body: BodyText, Text: "sorry", Realm: "shop", Headers: headers, Redirect: login}},
		{"rule", get("https://a.com/hidden").with(`{"sub":"a"}`), &Refusal{Status: 404, Body: BodyText, Text: "sorry", Realm: "shop", Headers: headers}},
		{"rule, no token", get("https://a.com/hidden"), &Refusal{Status: 404, Body: BodyText, Text: "sorry", Realm: "shop", Headers: headers, Redirect: login}},
		{"every field", get("https://a.com/own").with(`{"sub":"a"}`), &Refusal{Body: BodyEmpty, Realm: "mine", Headers: []HeaderValue{}}},
		{"every field, no token", get("https://a.com/own"), &Refusal{Status: 401, Body: BodyEmpty, Realm: "mine", Headers: []HeaderValue{}, Redirect: &Redirect{URL: "https://other.example.com/"}}},
		{"no rule, one policy", get("https://a.com/none"), &Refusal{Body: BodyText, Text: "sorry", Realm: "shop", Headers: headers}},
		{"no policy", get("https://b.com/"), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.call.decide(t, s).Refusal); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestLookProblems shows that a look that does not compile is reported, and that the refusal stays one.
func TestLookProblems(t *testing.T) {
	for _, tt := range []struct{ name, denied, want string }{
		{"status of success", `{status: 200}`, "from 300 to 599"},
		{"header of ours", `{headers: [{name: WWW-Authenticate, value: x}]}`, "is written by Sallyport"},
		{"header value", `{headers: [{name: a, value: "b\nc"}]}`, "use printable ASCII"},
		{"body", `{body: {type: HTML}}`, "must be ProblemJSON, Text or Empty"},
		{"text of no Text", `{body: {text: a}}`, "goes with type: Text only"},
		{"realm", `{realm: "a\"b"}`, "use printable ASCII"},
		{"redirect", `{unauthenticated: {redirect: {url: "javascript:alert(1)"}}}`, "must be a URL"},
		{"redirect for", `{unauthenticated: {redirect: {url: "https://a", onlyFor: Browser}}}`, "must be HTML or Any"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, r := new(Compiler).Compile(parse(t, corp+`
kind: AuthPolicy
metadata: {name: p}
spec:
  hosts: [a.com]
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  denied: `+tt.denied+`
  rules: [{name: token, access: Authenticated}]
`), Options{})
			if got := problemsOf(r, "p"); !slices.ContainsFunc(got, func(p string) bool { return strings.Contains(p, tt.want) }) {
				t.Errorf("problems %q, want %q", got, tt.want)
			}
			if got := said(get("https://a.com/").decide(t, s).Verdict); got != "MissingToken token" {
				t.Errorf("without a token: %q", got)
			}
			if got := said(get("https://a.com/").with(`{"sub":"a"}`).decide(t, s).Verdict); got != "allow token" {
				t.Errorf("with a token: %q", got)
			}
		})
	}
}
