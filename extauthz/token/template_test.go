package token

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func caller(sub string) *Identity {
	return &Identity{Issuer: "https://id.example.com", Subject: sub, claims: Claims{
		"sub": sub, "tenant": "acme", "n": json.Number("42"), "e": json.Number("1e2"), "flag": true, "list": []any{"a"}, "empty": "", "realm": map[string]any{"name": "corp"},
	}}
}

func TestURLTemplates(t *testing.T) {
	for _, tt := range []struct {
		template, sub, want string // want "": refused
	}{
		{"https://r.example.com/users/{claims.sub}", "alice", "https://r.example.com/users/alice"},
		{"https://r.example.com/users/{identity.subject}/x", "alice", "https://r.example.com/users/alice/x"},
		{"https://r.example.com/u-{claims.sub}.json", "alice", "https://r.example.com/u-alice.json"},
		{"https://r.example.com/?u={claims.sub}&t={claims.tenant}", "a&t=root#x", "https://r.example.com/?u=a%26t%3Droot%23x&t=acme"},
		{"https://r.example.com?u={claims.sub}", "alice", "https://r.example.com?u=alice"},
		{"https://r.example.com/?i={identity.issuer}", "alice", "https://r.example.com/?i=https%3A%2F%2Fid.example.com"},
		{"https://r.example.com/{claims.n}/{claims.realm.name}", "alice", "https://r.example.com/42/corp"},
		{"https://r.example.com/{claims.sub}", "a b+c@d:e|f", "https://r.example.com/a%20b%2Bc%40d%3Ae%7Cf"},
		{"https://r.example.com/{claims.sub}", "zoë", "https://r.example.com/zo%C3%AB"},
		{"https://r.example.com/{claims.sub}/", "...", "https://r.example.com/.../"},
		{"https://r.example.com/a%2Fb/{claims.sub}", "x", "https://r.example.com/a%2Fb/x"},
		{"https://r.example.com/?flag&u={claims.sub}", "x", "https://r.example.com/?flag&u=x"},
		{"https://r.example.com/{claims.sub}", "..", ""},
		{"https://r.example.com/{claims.sub}", ".", ""},
		{"https://r.example.com/.{claims.sub}", ".", ""},
		{"https://r.example.com/%2E{claims.sub}", ".", ""},
		{"https://r.example.com/{claims.sub}{claims.sub}", ".", ""},
		{"https://r.example.com/{claims.sub}", "a/b", ""},
		{"https://r.example.com/{claims.sub}", "../admin", ""},
		{"https://r.example.com/{claims.sub}", `a\b`, ""},
		{"https://r.example.com/{claims.sub}", "a%2fb", ""},
		{"https://r.example.com/{claims.sub}", "a;b", ""},
		{"https://r.example.com/{claims.sub}", "a?b", ""},
		{"https://r.example.com/{claims.sub}", "a#b", ""},
		{"https://r.example.com/{claims.sub}", "a\nb", ""},
		{"https://r.example.com/?u={claims.sub}", "a\x00b", ""},
		{"https://r.example.com/{claims.sub}", "", ""},
		{"https://r.example.com/{claims.sub}", strings.Repeat("a", maxInserted+1), ""},
		{"https://r.example.com/{claims.sub}?u={claims.sub}", strings.Repeat("ü", maxInserted/2), ""},
		{"https://r.example.com/{claims.none}", "a", ""},
		{"https://r.example.com/{claims.flag}", "a", ""},
		{"https://r.example.com/{claims.list}", "a", ""},
		{"https://r.example.com/{claims.e}", "a", ""},
		{"https://r.example.com/{claims.realm}", "a", ""},
	} {
		t.Run(tt.template+" "+tt.sub[:min(len(tt.sub), 20)], func(t *testing.T) {
			u, err := ParseURLTemplate(tt.template)
			if err != nil {
				t.Fatal(err)
			}
			got, err := u.Fill(caller(tt.sub))
			if got != tt.want && err == nil || (err == nil) != (tt.want != "") {
				t.Errorf("%q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestURLTemplatesThatAreNone(t *testing.T) {
	for _, s := range []string{
		"", "r.example.com/x", "ftp://r.example.com/", "HTTPS://r.example.com/", "//r.example.com/", "https:///x",
		"https://{claims.host}/x", "https://r{claims.host}.example.com/x", "https://r.example.com:{claims.port}/x", "https://u:p@r.example.com/",
		"https://{claims.user}@r.example.com/", "https://r.example.com{claims.path}", "{claims.url}", "https://r.example.com/#{claims.sub}",
		"https://r.example.com/{claims.sub", "https://r.example.com/claims.sub}", "https://r.example.com/{sub}", "https://r.example.com/{claims.}",
		"https://r.example.com/{{claims.sub}}", "https://r.example.com/{}", "https://r.example.com/a\\b", "https://r.example.com/a b",
		"https://r.example.com/../x", "https://r.example.com/%2e%2e/x", "https://r.example.com/%zz", "https://r.example.com/?{claims.sub}=1",
		"https://r.example.com/?a={claims.sub}&{claims.sub}", "https://r.example.com/?a=%zz", "https://r.example.com/?a=b;c=d", "https://r.example.com/ü",
		"https://r.example.com/{claims.a/b}", "https://r.example.com/{claims.a?b}",
	} {
		if _, err := ParseURLTemplate(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

func TestTemplatesOfHeadersAndBodies(t *testing.T) {
	fill := func(s, sub string, encode func(string) (string, bool)) string {
		t.Helper()
		parsed, err := ParseTemplate(s)
		if err != nil {
			t.Fatal(err)
		}
		out, err := parsed.fill(caller(sub), encode)
		if err != nil {
			return "!"
		}
		return out
	}
	for _, tt := range []struct{ template, sub, header, body string }{
		{"user {claims.sub}", "alice", "user alice", "user alice"},
		{"{{{claims.sub}}}", "alice", "{alice}", "{alice}"},
		{"{claims.sub}", "a b", "a b", "a b"},
		{"{claims.sub}", "a\r\nx-admin: 1", "!", "a\r\nx-admin: 1"},
		{"{claims.sub}", " a", "!", " a"},
		{"{claims.sub}", "zoë", "!", "zoë"},
		{"{claims.none}", "a", "!", "!"},
	} {
		if got := fill(tt.template, tt.sub, encodeHeader); got != tt.header {
			t.Errorf("header %q of %q: %q, want %q", tt.template, tt.sub, got, tt.header)
		}
		if got := fill(tt.template, tt.sub, encodeText); got != tt.body {
			t.Errorf("body %q of %q: %q, want %q", tt.template, tt.sub, got, tt.body)
		}
	}
}

// FuzzURLTemplate states the law of URL templates: whatever the claims are, the URL that comes out has the template's scheme
// and host, as many segments, and the same parameters; and each claim is found again where the template has it.
func FuzzURLTemplate(f *testing.F) {
	for _, template := range []string{"https://r.example.com/users/{claims.sub}?t={claims.tenant}&u={claims.sub}", "http://[::1]:80/{claims.sub}.json", "https://r.example.com?x={claims.sub}", "https://r.example.com/a/{claims.sub}/b?c"} {
		for _, sub := range []string{"alice", "..", "a/b", "a&t=x", "%2e%2e", "a\x00", "ü", "@evil.example.com", ":80", "//evil", "?x", "#x", "+", "=", ";"} {
			f.Add(template, sub)
		}
	}
	f.Fuzz(func(t *testing.T, template, sub string) {
		parsed, err := ParseURLTemplate(template)
		if err != nil {
			return
		}
		id := caller(sub)
		filled, err := parsed.Fill(id)
		if err != nil {
			return
		}
		plain, err := parsed.Fill(caller("x"))
		if err != nil {
			return // of another claim
		}
		got, err := url.Parse(filled)
		if err != nil {
			t.Fatalf("%q: %v", filled, err)
		}
		want, err := url.Parse(plain)
		if err != nil {
			t.Fatalf("%q: %v", plain, err)
		}
		if got.Scheme != want.Scheme || got.Host != want.Host || got.User != nil || got.Fragment != "" || got.Opaque != "" {
			t.Errorf("%q leads elsewhere than %q", filled, plain)
		}
		gotSegments, wantSegments := strings.Split(got.EscapedPath(), "/"), strings.Split(want.EscapedPath(), "/")
		if len(gotSegments) != len(wantSegments) {
			t.Errorf("%q has other segments than %q", filled, plain)
		}
		for i, s := range gotSegments {
			if decoded, err := url.PathUnescape(s); err != nil || decoded != wantSegments[i] && (decoded == "." || decoded == "..") {
				t.Errorf("segment %d of %q: %q, %v", i, filled, decoded, err)
			}
		}
		gotQuery, err := url.ParseQuery(got.RawQuery)
		if err != nil {
			t.Fatalf("query of %q: %v", filled, err)
		}
		wantQuery, err := url.ParseQuery(want.RawQuery)
		if err != nil {
			t.Fatalf("query of %q: %v", plain, err)
		}
		for name, values := range wantQuery {
			if len(gotQuery[name]) != len(values) {
				t.Errorf("parameter %q of %q: %q, want as many as %q", name, filled, gotQuery[name], values)
			}
			if slices.Equal(values, []string{"x"}) && strings.Contains(template, name+"={claims.sub}") && gotQuery[name][0] != sub && gotQuery[name][0] != "x" {
				t.Errorf("parameter %q of %q: %q, want %q", name, filled, gotQuery[name], sub)
			}
		}
		if len(gotQuery) != len(wantQuery) {
			t.Errorf("%q has other parameters than %q", filled, plain)
		}
	})
}
