package extauthz

import (
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/extauthz/policy"
)

const html = "accept: text/html,application/xhtml+xml;q=0.9"

func TestRedirect(t *testing.T) {
	for _, tt := range []struct {
		name, method, url string
		headers           []string
		back              string // "" for no redirect
	}{
		{"a browser", "GET", "https://web.example.com/a/b?x=1&y=%20", []string{html}, "https://web.example.com/a/b?x=1&y=%20"},
		{"HEAD", "HEAD", "https://web.example.com/", []string{html}, "https://web.example.com/"},
		{"a port", "GET", "https://Web.Example.COM:8443/", []string{html}, "https://web.example.com:8443/"},
		{"an invalid token", "GET", "https://web.example.com/", []string{html, "authorization: Bearer x"}, "https://web.example.com/"},
		{"a token in the query stays behind", "GET", "https://web.example.com/?a=1&access_token=x&b=2", []string{html}, "https://web.example.com/?a=1&b=2"},
		{"letters to escape", "GET", "https://web.example.com/a?next=https://evil.example/%0d%0a&x=a b\r\nx", []string{html}, "https://web.example.com/a?next=https://evil.example/%0d%0a&x=a b\r\nx"},
		{"two slashes are ambiguous, not a host", "GET", "https://web.example.com//evil.example/", []string{html}, ""},
		{"POST", "POST", "https://web.example.com/", []string{html}, ""},
		{"a script", "GET", "https://web.example.com/", []string{"accept: application/json"}, ""},
		{"no Accept", "GET", "https://web.example.com/", nil, ""},
		{"a gRPC caller", "GET", "https://web.example.com/", []string{html, "content-type: application/grpc"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, nil)
			out := w.check(t, ask(tt.method, tt.url, tt.headers...)).GetDeniedResponse()
			h := headersOf(t, out.GetHeaders())
			if tt.back == "" {
				if h["location"] != "" || isRedirect(int32(out.GetStatus().GetCode())) {
					t.Fatalf("redirected: %v", out)
				}
				return
			}
			if out.GetStatus().GetCode() != 302 || out.GetBody() != "" || h["www-authenticate"] != "" || h["cache-control"] != "no-store" {
				t.Errorf("got %v", out)
			}
			if strings.ContainsAny(h["location"], "\r\n ") {
				t.Fatalf("%q would break the header", h["location"])
			}
			u, err := url.Parse(h["location"])
			if err != nil {
				t.Fatal(err)
			}
			if got := u.Query(); u.Host != "login.example.com" || got.Get("client") != "web" || got.Get("rd") != tt.back || len(got) != 2 {
				t.Errorf("to %s, back to %q, want %q", u.Host, got.Get("rd"), tt.back)
			}
		})
	}
}

func TestLocation(t *testing.T) {
	for _, tt := range []struct {
		name, scheme, path string
		redirect           policy.Redirect
		status             int32
		want               string
		wantStatus         int32
	}{
		{"no return parameter", "https", "/", policy.Redirect{URL: "https://l/"}, 0, "https://l/", 302},
		{"first parameter", "http", "/", policy.Redirect{URL: "https://l/", ReturnParameter: "rd"}, 0, "https://l/?rd=http%3A%2F%2F%5B2001%3Adb8%3A%3A1%5D%3A80%2F", 302},
		{"a status of its own", "http", "/", policy.Redirect{URL: "https://l/"}, 303, "https://l/", 303},
		{"a status that is no redirect", "http", "/", policy.Redirect{URL: "https://l/"}, 404, "https://l/", 302},
		{"a scheme that is none", "javascript", "/", policy.Redirect{URL: "https://l/", ReturnParameter: "rd"}, 0, "https://l/", 302},
		{"too long to return to", "https", "/" + strings.Repeat("a", maxReturnURL), policy.Redirect{URL: "https://l/", ReturnParameter: "rd"}, 0, "https://l/", 302},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := policy.Input{Method: "POST", Scheme: tt.scheme, Host: "[2001:db8::1]:80", Path: tt.path}
			req, reason := policy.NewRequest(in)
			if reason != "" {
				t.Fatal(reason)
			}
			c := check{req: req, decision: refuse(policy.ReasonMissingToken)}
			c.input = in
			c.decision.Refusal = &policy.Refusal{Status: tt.status, Redirect: &tt.redirect}
			out := c.response().GetDeniedResponse()
			if got := headersOf(t, out.GetHeaders())["location"]; got != tt.want || int32(out.GetStatus().GetCode()) != tt.wantStatus {
				t.Errorf("got %d %q", out.GetStatus().GetCode(), got)
			}
		})
	}
}
