package keycloak

import (
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	sessionsPage = "docs/browser-sessions.md"
	site         = "https://www.example.com"
)

// newSite starts the configuration of examples/envoy-oauth2.yaml, between browsers and an application, with the objects
// of the page. It returns where browsers find it.
func newSite(t *testing.T) (*world, map[string]string) {
	t.Helper()
	w := &world{server: keycloak(t)}
	w.startUpstream(t)
	objects := strings.Join(blocks(t, sessionsPage, "yaml"), "---\n")
	w.startSallyport(t, strings.ReplaceAll(objects, "{name: x-session, claim: sid}", "{name: x-session, claim: sid}, {name: x-token, claim: jti}"))
	ports, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	edge := "127.0.0.1:" + ports[0]
	w.startExample(t, edge)
	return w, map[string]string{"www.example.com:443": edge}
}

// startExample runs Envoy with the example, whose addresses are replaced by those of the test.
func (w *world) startExample(t *testing.T, edge string) {
	t.Helper()
	example, err := os.ReadFile(filepath.Join(root, "examples/envoy-oauth2.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	port := func(address string) string {
		_, port, err := net.SplitHostPort(strings.TrimPrefix(address, "https://"))
		if err != nil {
			t.Fatal(err)
		}
		return port
	}
	config := strings.NewReplacer(
		"0.0.0.0, port_value: 10443", "127.0.0.1, port_value: "+port(edge),
		"port_value: 8080", "port_value: "+port(w.upstream.Address()),
		"port_value: 9001", "port_value: "+port(w.sallyport.GRPCAddress()),
		"address: id.example.com, port_value: 443", "address: 127.0.0.1, port_value: "+port(w.url),
		"https://id.example.com", w.url,
		"/etc/ssl/certs/ca-certificates.crt", filepath.Join(w.folder, "ca.crt"),
		"/etc/envoy/tls", w.folder, "/etc/envoy/oauth2", dir,
		"timeout: 0.5s", "timeout: 10s", "timeout: 5s", "timeout: 30s", // the machine may be busy
	).Replace(string(example))
	for name, content := range map[string]string{
		"client-secret": "w3b", "cookie-key": "32 bytes that only a test may use", "envoy.yaml": config,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log output
	cmd := exec.Command(os.Getenv("SALLYPORT_ENVOY"), "--config-path", filepath.Join(dir, "envoy.yaml"), "--log-level", "warning",
		"--concurrency", "1", "--disable-hot-restart")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("Envoy's log ends with:\n%s", log.last(20))
		}
	})
	eventually(t, "Envoy listens", func() bool {
		conn, err := net.DialTimeout("tcp", edge, time.Second)
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	})
}

// visit opens a page of the site, and returns what the application received, where it was reached.
func (b *browser) visit(t *testing.T, path string) shown {
	t.Helper()
	at := b.open(t, site+path)
	if at.status == http.StatusOK && strings.HasPrefix(at.url.String(), site) {
		if err := json.Unmarshal([]byte(at.body), &at.echo); err != nil {
			t.Fatalf("%s: %v in %s", at.url, err, at.body)
		}
	}
	return at
}

// asksForPassword tells whether the browser has landed on the login of Keycloak.
func (at shown) asksForPassword() bool { return strings.Contains(at.body, `name="password"`) }

// told is what the application was told in a header.
func (at shown) told(name string) string { return strings.Join(at.echo.Headers[name], ",") }

// TestBrowserSession follows a person from the login to the end of the session, which outlives its access tokens.
func TestBrowserSession(t *testing.T) {
	w, hosts := newSite(t)
	b := w.newBrowser(t, hosts)
	at := b.visit(t, "/orders?page=2")
	if !at.asksForPassword() {
		t.Fatalf("no login, but %d at %s:\n%s", at.status, at.url, at.body)
	}
	if at = b.login(t, at, "alice"); at.url.String() != site+"/orders?page=2" || at.status != http.StatusOK {
		t.Fatalf("after the login: %d at %s:\n%s", at.status, at.url, at.body)
	}

	b.client.Jar.SetCookies(at.url, []*http.Cookie{{Name: "theme", Value: "dark"}}) // as the application does
	tokens, session := map[string]bool{}, ""
	eventually(t, "the access token was replaced three times", func() bool {
		at := b.visit(t, "/orders")
		if at.status != http.StatusOK || at.told("x-user") != "alice" {
			t.Fatalf("within the session: %d at %s, user %q:\n%s", at.status, at.url, at.told("x-user"), at.body)
		}
		if session == "" {
			session = at.told("x-session")
		}
		if at.told("x-session") != session {
			t.Fatalf("another session: %q, after %q", at.told("x-session"), session)
		}
		if at.told("authorization") != "" || at.told("cookie") != "theme=dark" {
			t.Fatalf("the application received more than its own cookie: %q", at.echo.Headers)
		}
		tokens[at.told("x-token")] = true
		return len(tokens) > 3
	})
	if !slices.Equal(b.forms, []string{"password"}) {
		t.Errorf("the session asked for %q", b.forms)
	}
	if at := b.visit(t, "/admin"); at.status != http.StatusOK {
		t.Errorf("an administrator: %d", at.status)
	}

	thief := w.newBrowser(t, hosts)
	thief.client.Jar.SetCookies(at.url, b.client.Jar.Cookies(at.url))
	if at := b.visit(t, "/signout"); !at.asksForPassword() {
		t.Errorf("after signing out: %d at %s:\n%s", at.status, at.url, at.body)
	}
	if at := b.visit(t, "/orders"); !at.asksForPassword() {
		t.Errorf("a page after signing out: %d at %s", at.status, at.url)
	}
	eventually(t, "copied cookies are worth nothing", func() bool { return thief.visit(t, "/orders").asksForPassword() })
}

// TestBrowserSessionThatIsEnded shows what an administrator's word does, and what a person may not do.
func TestBrowserSessionThatIsEnded(t *testing.T) {
	w, hosts := newSite(t)
	b := w.newBrowser(t, hosts)
	if at := b.login(t, b.visit(t, "/"), "bob"); at.status != http.StatusOK {
		t.Fatalf("after the login: %d at %s:\n%s", at.status, at.url, at.body)
	}
	if at := b.visit(t, "/admin"); at.status != http.StatusForbidden {
		t.Errorf("a page for administrators: %d", at.status)
	}
	w.endSessions(t, "bob")
	eventually(t, "the session has ended", func() bool { return b.visit(t, "/").asksForPassword() })
}

// TestRequestsBesideASession shows requests that are no browser's, or that show a token of their own.
func TestRequestsBesideASession(t *testing.T) {
	w, hosts := newSite(t)
	b := w.newBrowser(t, hosts)
	if at := b.login(t, b.visit(t, "/"), "alice"); at.status != http.StatusOK {
		t.Fatalf("after the login: %d at %s:\n%s", at.status, at.url, at.body)
	}
	service := w.byCredentials(t, "nightly")
	for _, test := range []struct {
		name   string
		header map[string]string
		with   *browser
		want   int
		user   string
	}{
		{"a script without a session", nil, w.newBrowser(t, hosts), 401, ""},
		{"a script with a session", nil, b, 200, "alice"},
		{"a program with a token", map[string]string{"Authorization": "Bearer " + service}, w.newBrowser(t, hosts), 200, "service-account-nightly"},
		{"a forged token", map[string]string{"Authorization": "Bearer " + altered(service)}, w.newBrowser(t, hosts), 401, ""},
		{"a forged token beside a session", map[string]string{"Authorization": "Bearer " + altered(service)}, b, 401, ""},
		{"a password beside a session, which Envoy drops", map[string]string{"Authorization": "Basic YTpi"}, b, 200, "alice"},
		{"a header that only Sallyport may set", map[string]string{"X-User": "root"}, b, 200, "alice"},
		{"cookies that were made up", map[string]string{"Cookie": "BearerToken=x; OauthHMAC=y; OauthExpires=4102444800"}, w.newBrowser(t, hosts), 401, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, site+"/orders", nil)
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range maps.All(test.header) {
				req.Header.Set(name, value)
			}
			req.Header.Set("Accept", "application/json")
			resp, err := test.with.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			a, err := read(resp)
			if err != nil || a.status != test.want {
				t.Fatalf("status %d, want %d: %v", a.status, test.want, err)
			}
			if got := strings.Join(a.echo.Headers["x-user"], ","); got != test.user {
				t.Errorf("the application was told the user %q, want %q", got, test.user)
			}
		})
	}
}
