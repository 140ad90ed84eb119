package envoy

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sallyport/sallyport/cmd/demo"
)

// pathForms are the ways in which an Envoy may rewrite paths before it asks.
var pathForms = []struct {
	name  string
	paths demo.PathConfig
}{
	{"as sent", demo.PathConfig{}},
	{"normalized", demo.PathConfig{Normalize: true}},
	{"normalized and merged", demo.PathConfig{Normalize: true, MergeSlashes: true}},
	{"merged only", demo.PathConfig{MergeSlashes: true}},
	{"escaped slashes rejected", demo.PathConfig{Normalize: true, MergeSlashes: true, EscapedSlashes: "REJECT_REQUEST"}},
	{"escaped slashes redirected", demo.PathConfig{Normalize: true, MergeSlashes: true, EscapedSlashes: "UNESCAPE_AND_REDIRECT"}},
	{"escaped slashes unescaped", demo.PathConfig{Normalize: true, MergeSlashes: true, EscapedSlashes: "UNESCAPE_AND_FORWARD"}},
	{"escaped slashes unescaped, not normalized", demo.PathConfig{EscapedSlashes: "UNESCAPE_AND_FORWARD"}},
}

// tricks are targets that some server reads as /admin, or below.
var tricks = []string{
	"/admin", "/admin/", "/admin/users", "/admin?x", "/admin/?x=/../..", "/admin?", "/admin/users/", "/admin/%75sers",
	"//admin", "///admin", "//admin//", "/admin//", "/admin//users", "/x//../admin", "/.//admin", "//../admin",
	"/./admin", "/././admin", "/admin/.", "/admin/./", "/x/../admin", "/x/y/../../admin", "/x/../admin/..;/admin",
	"/../admin", "/../../admin", "/x/..//admin", "/admin/../admin", "/admin/x/..", "/x/../../admin",
	"/%61dmin", "/%61%64%6d%69%6e", "/admi%6e", "/%41dmin", "/%2561dmin", "/%25%36%31dmin", "/%252561dmin",
	"/admin%2f", "/admin%2F", "/admin%2fusers", "/%2fadmin", "/%2Fadmin", "/x%2f..%2fadmin", "/x%2F..%2Fadmin",
	"/x/..%2fadmin", "/x%2f../admin", "/.%2fadmin", "/%2e%2fadmin", "/%2f%2fadmin", "/x%252f..%252fadmin", "/admin%252f",
	"/admin;x", "/admin;", "/admin;x=y", "/admin;x/users", "/;/admin", "/;x/admin", "/x;/../admin", "/x/..;/admin",
	"/x/..;y=z/admin", "/.;/admin", "/admin;/", "/admin%3b", "/admin%3Bx", "/x/..%3b/admin", "/%3b/admin", "/admin;x?y",
	"/admin%00", "/admin%00/users", "/admin%00.html", "/admin%01", "/admin%0a", "/admin%0d%0a", "/admin%7f", "/%00/admin",
	"/ADMIN", "/Admin", "/aDMIN/users", `\admin`, `/\admin`, `/x\..\admin`, `/x/..\admin`, `/admin\`, `/admin\users`,
	"/%5cadmin", "/x%5c..%5cadmin", "/x/..%5cadmin", "/admin%5c", "/admin%5Cusers", "/x%255c..%255cadmin",
	"/%2e/admin", "/%2e%2e/admin", "/x/%2e%2e/admin", "/x/.%2e/admin", "/x/%2E./admin", "/x/%252e%252e/admin",
	"/x/%25%32%65%25%32%65/admin", "/x/%c0%ae%c0%ae/admin", "/%c0%afadmin", "/x/%e0%80%ae%e0%80%ae/admin",
	"/x/%f0%80%80%ae%f0%80%80%ae/admin", "/x%c0%2f..%c0%2fadmin", "/admin%c0%80", "/x/%u002e%u002e/admin", "/%u0061dmin",
	"/admin%", "/admin%2", "/admin%zz", "/%zz/../admin", "/admin%20", "/admin%09", "/admin+", "/admin.", "/admin..",
	"/admin/..;/", "/x#/../admin", "/admin#x", "/#/admin", "/admin%23x", "/x%23/../admin", "/admin%3fx", "/x%3f/../admin",
	"/x?/../admin", "/x?/admin", "/?/../admin", "/x?%2e%2e/admin", "/x&/../admin", "/.../admin", "/x/.../admin",
	"http://HOST/admin", "http://HOST//admin", "http://HOST/x/../admin", "http://HOST/%61dmin", "HTTP://HOST/admin",
	"http://HOST/admin;x", "http://user@HOST/admin", "https://HOST/admin", "http://HOST:80/admin", "http://HOST",
	"admin", "./admin", "HOST/admin", "*", "/%ef%bc%8fadmin", "/x/%ef%bc%8e%ef%bc%8e/admin", "/%e2%80%ae/admin",
	"/admin%e2%80%8b", "/admi%6E%2Fx", "/x%5C%2e%2e%5Cadmin", "/x/%2e%2e%2e/admin", "/x/..%00/admin", "/x/..%01/admin",
	"/x/%2e%2e;/admin", "/x/%2e%2e%3b/admin", "/x/.;a=b/../admin", "/;/../admin", "/x%2f%2e%2e%2fadmin", "/x/%2e%2e\\admin",
}

// TestPathTricks shows that no spelling of /admin gets past the rule for it, however Envoy and the application read
// paths: what reaches the application is no resource below /admin in any reading that servers are known for.
func TestPathTricks(t *testing.T) {
	w := newWorld(t, []string{"paths.yaml"})
	user := w.token(t, map[string]any{"roles": []string{"user"}})
	admin := w.token(t, map[string]any{"roles": []string{"admin"}})
	for _, form := range pathForms {
		t.Run(form.name, func(t *testing.T) {
			e := w.edge(t, demo.EnvoyConfig{Paths: form.paths})
			for _, host := range []string{"open.test", "keep.test", "read.test"} {
				checkGate(t, e.Address(), host, user, admin)
				passed := 0
				for _, trick := range tricks {
					target := strings.ReplaceAll(trick, "HOST", host)
					for _, shown := range []string{"", user} {
						if checkTrick(t, e.Address(), call{host: host, target: target, token: shown}) {
							passed++
						}
					}
				}
				if passed == 0 {
					t.Errorf("%s: not one request passed, so this shows nothing", host)
				}
			}
		})
	}
}

// TestPathTricksOverHTTP2 says the same in HTTP/2, whose paths are no part of a line and may hold whatever bytes.
func TestPathTricksOverHTTP2(t *testing.T) {
	w := newWorld(t, []string{"paths.yaml"})
	e := w.edge(t, demo.EnvoyConfig{})
	var passed atomic.Int64
	senders := newCrowd()
	for _, host := range []string{"open.test", "keep.test"} {
		for _, trick := range append(slices.Clone(tricks), "/ /../admin", "/x y/../admin", "/x\t/../admin", "/\xc0\xae\xc0\xae/admin", " /admin", "/admin ") {
			c := call{host: host, target: strings.ReplaceAll(trick, "HOST", host)}
			senders.run(func() {
				a, err := sendHTTP2(e.Address(), field{":method", "GET"}, field{":scheme", "http"}, field{":authority", host}, field{":path", c.target})
				if err == nil && checkPassed(t, c, a) {
					passed.Add(1)
				}
			})
		}
	}
	senders.running.Wait()
	if passed.Load() == 0 {
		t.Error("not one request passed, so this shows nothing")
	}
}

// TestHostIsOne shows that the host that Sallyport judges is the host that the application gets, whatever a client
// writes into the several places for it.
func TestHostIsOne(t *testing.T) {
	w := newWorld(t, []string{"paths.yaml"})
	e := w.edge(t, demo.EnvoyConfig{})
	const open, closed = "open.test", "read.test"
	get := []field{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}}
	sent := map[string]func() (answer, error){
		"two authorities": func() (answer, error) {
			return sendHTTP2(e.Address(), append(get, field{":authority", open}, field{":authority", closed})...)
		},
		"host beside authority": func() (answer, error) {
			return sendHTTP2(e.Address(), append(get, field{":authority", open}, field{"host", closed})...)
		},
		"authority beside host": func() (answer, error) {
			return sendHTTP2(e.Address(), append(get, field{":authority", closed}, field{"host", open})...)
		},
		"only host": func() (answer, error) { return sendHTTP2(e.Address(), append(get, field{"host", open})...) },
	}
	for name, c := range map[string]call{
		"plain": {host: open, target: "/"}, "capitals, port and dot": {host: "OPEN.test.:80", target: "/"},
		"absolute": {host: closed, target: "http://" + open + "/"}, "absolute, the other way": {host: open, target: "http://" + closed + "/"},
		"two hosts": {host: open + "\r\nHost: " + closed, target: "/"}, "two hosts in one": {host: open + "," + closed, target: "/"},
		"folded": {host: open + "\r\n " + closed, target: "/"}, "user": {host: open + "@" + closed, target: "/"},
		"forwarded":            {host: closed, target: "/", header: []string{"X-Forwarded-Host: " + open, "Forwarded: host=" + open, "X-Host: " + open, "X-Original-Host: " + open}},
		"absolute with a user": {host: closed, target: "http://" + open + "@" + closed + "/"}, "a colon": {host: open + ":" + closed, target: "/"},
	} {
		sent[name] = func() (answer, error) { return send(e.Address(), c.String()) }
	}
	passed := 0
	for name, try := range sent {
		a, err := try()
		if err != nil || !a.passed() {
			continue
		}
		passed++
		host, _, _ := strings.Cut(a.echo(t).Host, ":")
		if strings.ToLower(strings.TrimSuffix(host, ".")) != open {
			t.Errorf("%s: the rule of %s let a request in that the application takes for one to %s", name, open, a.echo(t).Host)
		}
	}
	if passed < 3 {
		t.Errorf("%d requests passed only", passed)
	}
}

// checkGate sees that the gate is one: closed to users, and open to admins.
func checkGate(t *testing.T, address, host, user, admin string) {
	t.Helper()
	for _, target := range []string{"/admin", "/admin/", "/admin/users", "/%61dmin/users"} {
		if a := do(t, address, call{host: host, target: target, token: user}); a.reason() != "InsufficientClaims" {
			t.Errorf("%s%s with a user's token: status %d, reason %s", host, target, a.status, a.reason())
		}
		if a := do(t, address, call{host: host, target: target, token: admin}); !a.passed() || a.rule() != "admin" {
			t.Errorf("%s%s with an admin's token: status %d, reason %s, rule %s", host, target, a.status, a.reason(), a.rule())
		}
	}
	if a := do(t, address, call{host: host, target: "/x/y", token: user}); !a.passed() {
		t.Errorf("%s/x/y: status %d, reason %s", host, a.status, a.reason())
	}
}

// checkTrick sends a request that is no admin's, and tells whether it passed.
func checkTrick(t *testing.T, address string, c call) bool {
	t.Helper()
	a, err := send(address, c.String())
	if err != nil {
		return false // Envoy has closed the connection: nothing has passed
	}
	return checkPassed(t, c, a)
}

// checkPassed sees that what passed is no resource below /admin, and tells whether anything did.
func checkPassed(t *testing.T, c call, a answer) bool {
	t.Helper()
	if !a.passed() {
		if a.header.Get("x-demo-decision") == "Allow" {
			t.Errorf("%s%s was allowed, and answered with %d", c.host, c.target, a.status)
		}
		return false
	}
	got, err := a.readEcho()
	if err != nil {
		t.Errorf("%s%s passed: %v", c.host, c.target, err)
		return false
	}
	for _, reading := range readings(got.Path, c.host == "keep.test") {
		if reading == "/admin" || strings.HasPrefix(reading, "/admin/") {
			t.Errorf("%s%s (token %t) reached the application as %s, which some server reads as %s; rule %s",
				c.host, c.target, c.token != "", got.Path, reading, a.rule())
		}
	}
	return true
}

// readings are the resources that servers make of a path. They decode it up to three times, cut it at a NUL, drop path
// parameters, take a backslash for a slash, and resolve dots and double slashes, in any combination. Servers that keep
// an encoded slash as data do so in each.
func readings(raw string, keepSlash bool) []string {
	all := []string{raw}
	add := func(change func(string) string) {
		for _, p := range slices.Clone(all) {
			if changed := change(p); !slices.Contains(all, changed) {
				all = append(all, changed)
			}
		}
	}
	steps := []func(string) string{dropParameters, cutAtNUL, backslashToSlash, resolve}
	for range 3 {
		for _, step := range steps {
			add(step)
		}
		add(func(p string) string { return decode(p, keepSlash) })
	}
	for _, step := range steps {
		add(step)
	}
	return all
}

func dropParameters(p string) string {
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}

func cutAtNUL(p string) string {
	before, _, _ := strings.Cut(p, "\x00")
	return before
}

func backslashToSlash(p string) string { return strings.ReplaceAll(p, `\`, "/") }

func resolve(p string) string { return path.Clean("/" + p) }

func decode(p string, keepSlash bool) string {
	if keepSlash {
		p = strings.NewReplacer("%2f", "%252f", "%2F", "%252F").Replace(p)
	}
	if decoded, err := url.PathUnescape(p); err == nil {
		return decoded
	}
	return p
}

// TestReadings shows that the oracle of these tests knows the tricks.
func TestReadings(t *testing.T) {
	for _, raw := range []string{
		"/admin", "//admin", "/x/..;/admin", "/%2561dmin", "/admin%00x", `/x\..\admin`, "/x%2f..%2fadmin", "/admin;x", "/x/%252e%252e/admin",
	} {
		if !slices.Contains(readings(raw, false), "/admin") {
			t.Errorf("%s is not read as /admin, but as %q", raw, readings(raw, false))
		}
	}
	for _, raw := range []string{"/", "/x", "/administrator", "/x/admin", "/ADMIN", "/admin%2fx"} {
		if slices.Contains(readings(raw, true), "/admin") {
			t.Errorf("%s is read as /admin", raw)
		}
	}
}

// checkLaw sees that a request that passed was read by Sallyport as exactly the segments that the application gets.
func checkLaw(t *testing.T, address, target, token string) (reached string, ok bool) {
	t.Helper()
	a, err := send(address, call{host: "read.test", target: target, token: token}.String())
	if err != nil || a.status != http.StatusOK {
		return "", false
	}
	got := a.echo(t)
	decoded, err := url.PathUnescape(got.Path)
	if err != nil {
		t.Errorf("%q reached the application as %q, which cannot be decoded", target, got.Path)
	}
	if read := first(got.Headers["x-path"]); read != decoded {
		t.Errorf("%q: Sallyport has judged %q, the application reads %q", target, read, decoded)
	}
	if resolve(decoded) != decoded && resolve(decoded)+"/" != decoded {
		t.Errorf("%q reached the application as %q, which is not the only way to write it", target, got.Path)
	}
	return got.Path, true
}
