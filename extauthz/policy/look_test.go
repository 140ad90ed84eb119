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

// TestLookBounds shows what a look may have, up to its bounds.
func TestLookBounds(t *testing.T) {
	for denied, want := range map[string]Refusal{
		`{status: 300}`: {Status: 300},
		`{status: 599}`: {Status: 599},
		`{realm: " ~"}`: {Realm: " ~"},
		`{headers: [{name: a, value: " ~"}, {name: b, value: ""}]}`:                      {Headers: []HeaderValue{{"a", " ~"}, {"b", ""}}},
		`{body: {type: ProblemJSON}}`:                                                    {},
		`{body: {type: Empty}}`:                                                          {Body: BodyEmpty},
		`{unauthenticated: {redirect: {url: "http://a/b"}}}`:                             {Redirect: &Redirect{URL: "http://a/b", HTMLOnly: true}},
		`{unauthenticated: {redirect: {url: "https://a/b?c=d", returnParameter: r_.-}}}`: {Redirect: &Redirect{URL: "https://a/b?c=d", ReturnParameter: "r_.-", HTMLOnly: true}},
	} {
		s := compile(t, corp+onHost("p", "denied: "+denied+", rules: [{name: r, access: Authenticated}]"), Options{})
		if diff := cmp.Diff(&want, get("https://a.com/").decide(t, s).Refusal); diff != "" {
			t.Errorf("%s (-want +got):\n%s", denied, diff)
		}
	}
}

// TestLookProblems shows that a look that does not compile is reported, and that the refusal stays one.
func TestLookProblems(t *testing.T) {
	for _, tt := range []struct{ name, denied, want string }{
		{"status of success", `{status: 200}`, "from 300 to 599"},
		{"status below", `{status: 299}`, "from 300 to 599"},
		{"status above", `{status: 600}`, "from 300 to 599"},
		{"header that is none", `{headers: [{name: "a b", value: x}]}`, "is no name of a header"},
		{"pseudo-header", `{headers: [{name: ":path", value: x}]}`, "is no name of a header"},
		{"header value beyond ASCII", `{headers: [{name: a, value: "\x7f"}]}`, "use printable ASCII"},
		{"header value that begins so", `{headers: [{name: a, value: "\tb"}]}`, "use printable ASCII"},
		{"realm with a backslash", `{realm: '\a'}`, "use printable ASCII"},
		{"realm with a control", `{realm: "a\tb"}`, "use printable ASCII"},
		{"realm beyond ASCII", `{realm: "é"}`, "use printable ASCII"},
		{"body without text of its own", `{body: {type: Empty, text: a}}`, "goes with type: Text only"},
		{"redirect without a host", `{unauthenticated: {redirect: {url: "https:///start"}}}`, "must be a URL"},
		{"redirect of another scheme", `{unauthenticated: {redirect: {url: "ftp://a/start"}}}`, "must be a URL"},
		{"redirect with a fragment", `{unauthenticated: {redirect: {url: "https://a/start#b"}}}`, "must be a URL"},
		{"redirect that is no URL", `{unauthenticated: {redirect: {url: "https://a/%zz"}}}`, "must be a URL"},
		{"redirect that is not printable", `{unauthenticated: {redirect: {url: "https://a/\u0085"}}}`, "must be a URL"},
		{"return parameter", `{unauthenticated: {redirect: {url: "https://a", returnParameter: "a&b"}}}`, "use letters"},
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
