package extauthz

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

func TestRemoveCookie(t *testing.T) {
	for _, tt := range []struct{ name, header, want string }{
		{"absent", "a=1; b=2", "a=1; b=2"},
		{"alone", "tok=x", ""},
		{"first", "tok=x; a=1", "a=1"},
		{"last", "a=1; tok=x", "a=1"},
		{"between", "a=1; tok=x; b=2", "a=1; b=2"},
		{"twice", "tok=x; a=1; tok=y", "a=1"},
		{"spaces as they were", "a=1;b=2;  c=3; tok=x;d=4", "a=1;b=2;  c=3;d=4"},
		{"blanks around the name", "a=1; tok =x;\ttok=y", "a=1"},
		{"two fields, joined", "a=1,tok=x", "a=1"},
		{"two fields, the first goes", "tok=x,a=1; b=2", "a=1; b=2"},
		{"a comma in another's value", "a=1,2; tok=x", "a=1,2"},
		{"quotes and equals signs", `a="x=y"; tok=x; b==`, `a="x=y"; b==`},
		{"without a value", "tok; a=1", "a=1"},
		{"another case", "TOK=x; a=1", "TOK=x; a=1"},
		{"a longer name", "xtok=1; tok2=2; tok=3", "xtok=1; tok2=2"},
		{"the name as a value", "a=tok; tok=x", "a=tok"},
		{"empty", "", ""},
		{"nothing but separators is left", ";; tok=x ;;", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := removeCookie(tt.header, "tok"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// cookiesOf are the cookies of a header, without the blanks and separators between them.
func cookiesOf(header string) []string {
	var out []string
	for _, pair := range strings.FieldsFunc(header, func(r rune) bool { return r == ';' || r == ',' }) {
		if pair = strings.Trim(pair, " \t"); pair != "" {
			out = append(out, pair)
		}
	}
	return out
}

// FuzzRemoveCookie: no cookie of the name is left, and all others are, unchanged and in order.
func FuzzRemoveCookie(f *testing.F) {
	f.Add("a=1; tok=x; b=2", "tok")
	f.Add("tok=x,a=1;tok", "tok")
	f.Add(" ;, tok\t=;=;", "a")
	f.Add("0,0,0", "0")
	f.Fuzz(func(t *testing.T, header, name string) {
		if name == "" || strings.ContainsAny(name, "=;, \t") {
			return
		}
		nameOf := func(pair string) string {
			key, _, _ := strings.Cut(pair, "=")
			return strings.Trim(key, " \t")
		}
		want := slices.DeleteFunc(cookiesOf(header), func(pair string) bool { return nameOf(pair) == name })
		got := removeCookie(header, name)
		if !slices.Equal(want, cookiesOf(got)) {
			t.Errorf("removing %q from %q gives %q", name, header, got)
		}
		if len(want) == len(cookiesOf(header)) && got != header {
			t.Errorf("nothing to remove, but %q became %q", header, got)
		}
	})
}

func TestRemoveTokens(t *testing.T) {
	bearer := token.Source{Header: "authorization", Scheme: "Bearer"}
	plain := token.Source{Header: "x-token"}
	cookie := token.Source{Cookie: "tok"}
	query := token.Source{QueryParameter: "access_token"}
	for _, tt := range []struct {
		name    string
		sources []token.Source
		query   string
		headers map[string]string
		set     []policy.HeaderValue
		remove  []string
		cookie  string // as it is set; "" for not
		path    string // as it is set; "" for not
	}{
		{name: "nothing there", sources: []token.Source{bearer, plain, cookie, query}, query: "a=1", headers: map[string]string{"cookie": "a=1"}},
		{name: "bearer", sources: []token.Source{bearer}, headers: map[string]string{"authorization": "bearer  x"}, remove: []string{"authorization"}},
		{name: "bearer without a token", sources: []token.Source{bearer}, headers: map[string]string{"authorization": "Bearer"}, remove: []string{"authorization"}},
		{name: "another scheme stays", sources: []token.Source{bearer}, headers: map[string]string{"authorization": "Basic x"}},
		{name: "a scheme that begins alike stays", sources: []token.Source{bearer}, headers: map[string]string{"authorization": "Bearerx y"}},
		{name: "bearer behind another scheme", sources: []token.Source{bearer}, headers: map[string]string{"authorization": "Basic x, Bearer y"}, remove: []string{"authorization"}},
		{name: "plain header", sources: []token.Source{plain}, headers: map[string]string{"x-token": "x"}, remove: []string{"x-token"}},
		{name: "a header that is set is overwritten already", sources: []token.Source{plain}, headers: map[string]string{"x-token": "x"}, set: []policy.HeaderValue{{Name: "x-token", Value: "y"}}},
		{name: "named twice", sources: []token.Source{plain, plain}, headers: map[string]string{"x-token": "x"}, remove: []string{"x-token"}},
		{name: "one cookie among others", sources: []token.Source{cookie}, headers: map[string]string{"cookie": "a=1; tok=x; b=2"}, cookie: "a=1; b=2"},
		{name: "one Cookie field among others", sources: []token.Source{cookie}, headers: map[string]string{"cookie": "a=1,tok=x,b=2"}, cookie: "a=1; b=2"},
		{name: "a comma elsewhere is of its cookie", sources: []token.Source{cookie}, headers: map[string]string{"cookie": "a=1,2; tok=x; b=2"}, cookie: "a=1,2; b=2"},
		{name: "two cookies of two sources", sources: []token.Source{cookie, {Cookie: "b"}}, headers: map[string]string{"cookie": "a=1; tok=x; b=2"}, cookie: "a=1"},
		{name: "the only cookie", sources: []token.Source{cookie}, headers: map[string]string{"cookie": "tok=x"}, remove: []string{"cookie"}},
		{name: "query", sources: []token.Source{query}, query: "z=1&access_token=x&a&b=%20", path: "/?z=1&a&b=%20"},
		{name: "query, in other spellings", sources: []token.Source{query}, query: "access%5Ftoken=x&access_token=y&%61ccess_token&access_token=z", path: "/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, reason := policy.NewRequest(policy.Input{Method: "GET", Host: "a.example.com", Path: "/?" + tt.query, Headers: policy.FieldsOf(tt.headers)})
			if reason != "" {
				t.Fatal(reason)
			}
			var out answer
			removeTokens(&out, req, &policy.Decision{RemoveToken: tt.sources, Set: tt.set})
			if d := cmp.Diff(tt.remove, out.remove); d != "" {
				t.Error("headers", d)
			}
			set := map[string]string{}
			for _, h := range out.headers {
				set[h.Name] = h.Value
			}
			if got := set[":path"]; got != tt.path {
				t.Errorf("path %q, want %q", got, tt.path)
			}
			if got := set["cookie"]; got != tt.cookie {
				t.Errorf("cookie %q, want %q", got, tt.cookie)
			}
		})
	}
}

// TestTokenIsRemovedFromEverywhere goes through the whole server, on a public rule too, where nobody looks at a token.
func TestTokenIsRemovedFromEverywhere(t *testing.T) {
	w := newWorld(t, nil)
	out := w.check(t, ask("GET", "https://orders.example.com/healthz?access_token=x&b=1", "authorization: Bearer y", "cookie: a=1; access_token=z"))
	ok := out.GetOkResponse()
	if !slices.Contains(ok.GetHeadersToRemove(), "authorization") || headersOf(t, ok.GetHeaders())["cookie"] != "a=1" ||
		headersOf(t, ok.GetHeaders())[":path"] != "/healthz?b=1" {
		t.Errorf("got %v", ok)
	}
}

// FuzzRemoveParameter: no reader of queries finds the parameter any more, and all others are there, unchanged and in
// order; and where there was nothing to remove, not a byte has changed.
func FuzzRemoveParameter(f *testing.F) {
	f.Add("z=1&access_token=x&a&b=%20", "access_token")
	f.Add("access%5Ftoken=x&&access_token", "access_token")
	f.Add("a+b=1&a%20b=2&a%2bb=3", "a b")
	f.Add("%zz=1&%=2;tok=3", "tok")
	f.Fuzz(func(t *testing.T, query, name string) {
		if name == "" || !isPrintable(name) || strings.ContainsAny(name, "&=;%+ ") {
			return
		}
		got := removeParameter(query, name)
		left, _ := url.ParseQuery(got)
		if left.Has(name) {
			t.Errorf("net/url finds %q in %q, of %q", name, got, query)
		}
		req, reason := policy.NewRequest(policy.Input{Method: "GET", Host: "a.example.com", Path: "/?" + got})
		if reason == "" {
			cred, err := token.Extract(req, []*token.Provider{{Sources: []token.Source{{QueryParameter: name}}}})
			if err != nil || cred.Raw != "" {
				t.Errorf("a token is left in %q, of %q: %v", got, query, err)
			}
		}
		var want []string
		for pair := range strings.SplitSeq(query, "&") {
			key, _, _ := strings.Cut(pair, "=")
			if decoded, err := url.QueryUnescape(key); key != name && (err != nil || decoded != name) {
				want = append(want, pair)
			}
		}
		if strings.Join(want, "&") != got {
			t.Errorf("removing %q from %q gives %q", name, query, got)
		}
	})
}
