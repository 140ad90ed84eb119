package envoy

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/cmd/demo"
)

// TestLoginRedirect shows who is sent to the login, and where to.
func TestLoginRedirect(t *testing.T) {
	w := newWorld(t, []string{"browser.yaml"})
	e := w.edge(t, demo.EnvoyConfig{})
	bad := w.token(t, map[string]any{"exp": 1})
	html := "Accept: text/html,application/xhtml+xml,*/*;q=0.8"
	for _, test := range []struct {
		name string
		call call
		want int
		back string // what the login is told to return to; "": no redirect
	}{
		{"a browser", call{target: "/pages/a%20b?x=1&y=%2f", header: []string{html}}, 302, "http://site.test/pages/a%20b?x=1&y=%2f"},
		{"a browser, on a port", call{host: "site.test:8443", target: "/pages", header: []string{html}}, 302, "http://site.test:8443/pages"},
		{"HEAD", call{method: "HEAD", target: "/pages", header: []string{html}}, 302, "http://site.test/pages"},
		{"a browser with a bad token, which stays behind", call{target: "/pages?x=1&access_token=" + bad, header: []string{html}}, 302, "http://site.test/pages?x=1"},
		{"POST", call{method: "POST", target: "/pages", header: []string{html, "Content-Length: 0"}}, 401, ""},
		{"an API client", call{target: "/pages", header: []string{"Accept: application/json"}}, 401, ""},
		{"any type", call{target: "/pages", header: []string{"Accept: */*"}}, 401, ""},
		{"no Accept", call{target: "/pages"}, 401, ""},
		{"a browser with a token that is not enough", call{target: "/orders", token: w.token(t, nil), header: []string{html}}, 403, ""},
		{"a browser, where the policy has no login", call{host: "strict.test", target: "/", header: []string{html}}, 401, ""},
		{"a browser at a closed door", call{target: "/closed", header: []string{html}}, 404, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.call.host == "" {
				test.call.host = "site.test"
			}
			a := do(t, e.Address(), test.call)
			if a.status != test.want {
				t.Fatalf("status %d, reason %s, want %d", a.status, a.reason(), test.want)
			}
			location, shown := a.header.Get("Location"), a.header.Get("WWW-Authenticate")
			if test.back == "" {
				if location != "" || a.status == 401 && shown == "" {
					t.Errorf("location %q, challenge %q", location, shown)
				}
				return
			}
			u, err := url.Parse(location)
			if err != nil {
				t.Fatal(err)
			}
			back := u.Query().Get("rd")
			u.RawQuery, _, _ = strings.Cut(u.RawQuery, "&rd=")
			if diff := cmp.Diff([]string{"https://login.test/start?a=b", test.back}, []string{u.String(), back}); diff != "" {
				t.Errorf("location and what it returns to (-want +got):\n%s", diff)
			}
			if shown != "" || a.body != "" || a.header.Get("Cache-Control") != "no-store" || a.header.Get("X-Sallyport-Decision-Id") == "" {
				t.Errorf("headers %v, body %q", a.header, a.body)
			}
		})
	}
}

// TestDeniedLook shows what a policy may change of a refusal.
func TestDeniedLook(t *testing.T) {
	w := newWorld(t, []string{"browser.yaml"})
	e := w.edge(t, demo.EnvoyConfig{})
	token := w.token(t, nil)
	a := do(t, e.Address(), call{host: "site.test", target: "/orders", token: token})
	got := []string{a.header.Get("X-Help"), a.header.Get("Content-Type"), strings.TrimSpace(a.body), a.header.Get("WWW-Authenticate")}
	want := []string{
		"ask the shop", "text/plain; charset=utf-8", "not for you",
		`Bearer realm="site", error="insufficient_scope", scope="orders.read"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the refusal of the rule (-want +got):\n%s", diff)
	}
	a = do(t, e.Address(), call{host: "site.test", target: "/closed", token: token})
	if a.status != 404 || a.body != "" || a.header.Get("WWW-Authenticate") != "" || a.header.Get("Content-Type") != "" {
		t.Errorf("the hidden door: status %d, headers %v, body %q", a.status, a.header, a.body)
	}
}

// TestPreflight shows that where a policy says so a CORS preflight needs no token, and only that.
func TestPreflight(t *testing.T) {
	w := newWorld(t, []string{"browser.yaml"})
	e := w.edge(t, demo.EnvoyConfig{})
	const origin, get = "Origin: https://site.test", "Access-Control-Request-Method: GET"
	for _, test := range []struct {
		name string
		call call
		want string
	}{
		{"of a request that has a rule", call{target: "/orders", header: []string{origin, get}}, "Preflight"},
		{"of a method that has no rule", call{target: "/orders", header: []string{origin, "Access-Control-Request-Method: PUT"}}, "NoRule"},
		{"of a path that has no rule", call{target: "/elsewhere", header: []string{origin, get}}, "NoRule"},
		{"of a closed door", call{target: "/closed", header: []string{origin, get}}, "Denied"},
		{"of an ambiguous path", call{target: "/orders/%2e%2e/x", header: []string{origin, get}}, "AmbiguousRequest"},
		{"without Origin", call{target: "/orders", header: []string{get}}, "NoRule"},
		{"without the method that it announces", call{target: "/pages", header: []string{origin}}, "MissingToken"},
		{"that announces two methods", call{target: "/pages", header: []string{origin, get, get}}, "MissingToken"},
		{"with another method", call{method: "GET", target: "/orders", header: []string{origin, get}}, "MissingToken"},
		{"where the policy does not say so", call{host: "strict.test", target: "/", header: []string{origin, get}}, "MissingToken"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.call.host == "" {
				test.call.host = "site.test"
			}
			if test.call.method == "" {
				test.call.method = http.MethodOptions
			}
			if a := do(t, e.Address(), test.call); a.reason() != test.want || a.passed() != (test.want == "Preflight") {
				t.Errorf("status %d, reason %s, want %s", a.status, a.reason(), test.want)
			}
		})
	}
}

// TestDryRun shows that rules that are tried change no verdict, and that their own stands beside it.
func TestDryRun(t *testing.T) {
	w := newWorld(t, []string{"browser.yaml"})
	e := w.edge(t, demo.EnvoyConfig{})
	read := w.token(t, map[string]any{"scope": "orders.read"})
	never := w.token(t, map[string]any{"scope": "orders.read orders.never"})
	type words struct{ decision, reason, policy, dryDecision, dryReason, dryPolicy string }
	for _, test := range []struct {
		name string
		call call
		want words
	}{
		{
			"allowed, and would be refused", call{target: "/orders", token: read},
			words{"Allow", "Allowed", "shop/site", "Deny", "InsufficientScope", "shop/tried"},
		},
		{
			"allowed, and would be", call{target: "/orders", token: never},
			words{"Allow", "Allowed", "shop/site", "Allow", "Allowed", "shop/site"},
		},
		{
			"refused, and would be", call{target: "/orders", token: w.token(t, nil)},
			words{"Deny", "InsufficientScope", "shop/site", "Deny", "InsufficientScope", "shop/site"},
		},
		{"no rule that is tried", call{target: "/pages", token: read}, words{"Allow", "Allowed", "shop/site", "", "", ""}},
		{
			"a host with nothing else: would be refused", call{host: "trial.test", target: "/orders"},
			words{"Allow", "DryRun", "", "Deny", "MissingToken", "shop/trial"},
		},
		{
			"a host with nothing else: would be allowed", call{host: "trial.test", target: "/orders", token: read},
			words{"Allow", "DryRun", "", "Allow", "Allowed", "shop/trial"},
		},
		{
			"a host with nothing else: no rule", call{host: "trial.test", target: "/elsewhere"},
			words{"Allow", "DryRun", "", "Deny", "NoRule", ""},
		},
		{
			"a host with nothing else: ambiguous path", call{host: "trial.test", target: "/orders//x"},
			words{"Allow", "DryRun", "", "Deny", "AmbiguousRequest", ""},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.call.host == "" {
				test.call.host = "site.test"
			}
			a := do(t, e.Address(), test.call)
			h := a.header
			got := words{
				h.Get("x-demo-decision"), a.reason(), h.Get("x-demo-policy"),
				h.Get("x-demo-dry-run-decision"), h.Get("x-demo-dry-run-reason"), h.Get("x-demo-dry-run-policy"),
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(words{})); diff != "" {
				t.Errorf("verdicts (-want +got):\n%s", diff)
			}
			if a.passed() != (test.want.decision == "Allow") {
				t.Errorf("status %d", a.status)
			}
		})
	}
}

// TestServeDryRun shows that with --dry-run nothing is refused, that the log and the metadata say what would be, and
// that identity headers are nobody's but Sallyport's all the same.
func TestServeDryRun(t *testing.T) {
	w := newWorld(t, []string{"reasons.yaml"}, "--dry-run")
	e := w.edge(t, demo.EnvoyConfig{})
	for _, test := range []struct {
		call call
		dry  string
	}{
		{call{host: "shop.test", target: "/any"}, "MissingToken"},
		{call{host: "shop.test", target: "/denied"}, "Denied"},
		{call{host: "shop.test", target: "//x"}, "AmbiguousRequest"},
		{call{host: "shop.test", target: "/broken", token: w.token(t, nil)}, "NotCompiled"},
		{call{host: "bank.test", target: "/any"}, "NoPolicy"},
		{call{host: "a,b", target: "/any"}, "InvalidRequest"},
		{call{host: "shop.test", target: "/any", token: w.token(t, nil)}, "Allowed"},
	} {
		test.call.header = []string{"X-User: root", "x_user: root"}
		a := do(t, e.Address(), test.call)
		if dry := a.header.Get("x-demo-dry-run-reason"); !a.passed() || a.reason() != "DryRun" || dry != test.dry {
			t.Errorf("%s%s: status %d, reason %s, dry run %s, want 200, DryRun, %s", test.call.host, test.call.target, a.status, a.reason(), dry, test.dry)
			continue
		}
		if test.call.host == "shop.test" {
			if left := identityHeaders(a.echo(t)); len(left) > 0 {
				t.Errorf("%s: the application received %q", test.call.target, left)
			}
		}
	}
	if !strings.Contains(w.sallyport.Log(), "Request would be refused") {
		t.Error("the log does not say what would be refused")
	}
}
