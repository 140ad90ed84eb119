package idp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"

	"github.com/sallyport/sallyport/extauthz/token"
)

// outcome syncs p once and returns the keys, the status and what was logged.
func outcome(t *testing.T, p *token.Provider, config Config) (*token.KeySet, Status, string) {
	t.Helper()
	var mu sync.Mutex
	var logged strings.Builder
	config.Log = funcr.New(func(prefix, args string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(&logged, prefix, args)
	}, funcr.Options{Verbosity: 10})
	k, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	k.Sync([]*token.Provider{p})
	if err := k.WaitTried(t.Context()); err != nil {
		t.Fatal(err)
	}
	set, err := k.Keys(t.Context(), p, nil)
	if (set == nil) != errors.Is(err, token.ErrKeysUnavailable) {
		t.Errorf("Keys = %v, %v", set, err)
	}
	status := k.Status(p)
	k.Close()
	if err != nil && strings.Contains(err.Error(), secret) {
		t.Errorf("the error tells what was fetched: %v", err)
	}
	return set, status, logged.String()
}

// checkFailure holds a failed attempt against the law that only its kind is told.
func checkFailure(t *testing.T, want Reason, status Status, logged string) {
	t.Helper()
	var failed *FetchError
	if status.Reason != want || !errors.As(status.Err, &failed) || failed.Reason != want {
		t.Errorf("reason %q, error %v, want %q", status.Reason, status.Err, want)
	}
	if meanings[status.Reason] == "" {
		t.Errorf("reason %q has no meaning", status.Reason)
	}
	if told := fmt.Sprintf("%+v %v %s", status, status.Err, logged); strings.Contains(told, secret) {
		t.Errorf("what was fetched is told: %s", told)
	}
	if !strings.Contains(logged, string(want)) {
		t.Errorf("the log does not name the reason: %s", logged)
	}
}

func TestFaultsOfAnswers(t *testing.T) {
	good := jwks(t, secret)
	tests := []struct {
		name    string
		handler http.HandlerFunc
		timeout time.Duration
		want    Reason // empty: keys
	}{
		{name: "key set", handler: write(200, "application/jwk-set+json", good)},
		{name: "content type does not matter", handler: write(200, "text/html", good)},
		{name: "gzip", handler: encoded("gzip", compressed(t, good))},
		{name: "identity", handler: encoded("identity", good)},
		{name: "never answers", handler: hang, timeout: 100 * time.Millisecond, want: Timeout},
		{name: "slow drip", handler: drip, timeout: 100 * time.Millisecond, want: Timeout},
		{name: "breaks off", handler: breakOff, want: ConnectionFailed},
		{name: "500", handler: write(500, "application/json", good), want: BadStatus},
		{name: "503", handler: write(503, "text/plain", []byte(secret)), want: BadStatus},
		{name: "404", handler: write(404, "application/json", good), want: BadStatus},
		{name: "403", handler: write(403, "application/json", good), want: BadStatus},
		{name: "201", handler: write(201, "application/json", good), want: BadStatus},
		{name: "204", handler: write(204, "application/json", nil), want: BadStatus},
		{name: "304", handler: write(304, "application/json", nil), want: BadStatus},
		{name: "300", handler: redirectTo(300, "/"+secret), want: BadStatus},
		{name: "HTML", handler: write(200, "text/html", []byte("<html>"+secret+"</html>")), want: InvalidDocument},
		{name: "empty body", handler: write(200, "application/json", nil), want: InvalidDocument},
		{name: "not a key set", handler: write(200, "application/json", []byte(`{"`+secret+`":1}`)), want: InvalidDocument},
		{name: "keys is no array", handler: write(200, "application/json", []byte(`{"keys":"`+secret+`"}`)), want: InvalidDocument},
		{name: "cut off", handler: write(200, "application/json", good[:len(good)/2]), want: InvalidDocument},
		{name: "empty set", handler: write(200, "application/json", []byte(`{"keys":[]}`)), want: NoUsableKeys},
		{name: "only a shared secret", handler: write(200, "application/json", []byte(`{"keys":[{"kty":"oct","kid":"`+secret+`","k":"emFuemliYXJ6YW56aWJhcnphbnppYmFyemFuemliYXI"}]}`)), want: NoUsableKeys},
		{name: "10 MiB", handler: write(200, "application/json", bytes.Repeat([]byte(secret), 10<<20/len(secret))), want: TooLarge},
		{name: "10 MiB in chunks", handler: pour(10 << 20), want: TooLarge},
		{name: "spaces up to the bound", handler: write(200, "application/json", append(bytes.Repeat([]byte(" "), maxKeySet-len(good)), good...))},
		{name: "a byte over the bound", handler: write(200, "application/json", append(bytes.Repeat([]byte(" "), maxKeySet-len(good)+1), good...)), want: TooLarge},
		{name: "gzip bomb", handler: encoded("gzip", compressed(t, bytes.Repeat([]byte(" "), 64<<20))), want: TooLarge},
		{name: "gzip of nothing, a million times", handler: encoded("gzip", bytes.Repeat(compressed(t, nil), 1<<20/20)), want: TooLarge},
		{name: "gzip that seems whole where the bound cuts it off", handler: encoded("gzip", gzipBeyondTheBound(t, good)), want: TooLarge},
		{name: "not gzip", handler: encoded("gzip", good), want: InvalidDocument},
		{name: "damaged gzip", handler: encoded("gzip", append(compressed(t, good)[:40], bytes.Repeat([]byte{0xff}, 200)...)), want: InvalidDocument},
		{name: "unasked encoding", handler: encoded("br", good), want: InvalidDocument},
		{name: "header beyond the bound", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Large", strings.Repeat(secret, 64<<10/len(secret)))
			_, _ = w.Write(good)
		}, want: ConnectionFailed},
		{name: "redirect without Location", handler: redirectTo(302, ""), want: RedirectRefused},
		{name: "redirect to itself for ever", handler: redirectTo(302, "/"+secret), want: RedirectRefused},
		{name: "redirect to http", handler: redirectTo(301, "http://127.0.0.1/"+secret), want: RedirectRefused},
		{name: "redirect to no URL", handler: redirectTo(307, "https://%zz"+secret), want: RedirectRefused},
		{name: "redirect to a file", handler: redirectTo(308, "file:///"+secret), want: RedirectRefused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, p := identityProvider(t, tt.handler)
			set, status, logged := outcome(t, p, Config{AllowLoopback: true, FetchTimeout: tt.timeout})
			if tt.want != "" {
				checkFailure(t, tt.want, status, logged)
				return
			}
			if status.Err != nil || !status.Ready || status.LastSuccess.IsZero() {
				t.Fatalf("status %+v, want keys", status)
			}
			wantKeyIDs(t, set, secret)
			if strings.Contains(logged, secret) {
				t.Errorf("what was fetched is logged: %s", logged)
			}
		})
	}
}

func TestFaultsOfConnections(t *testing.T) {
	good := write(200, "application/json", jwks(t, "a"))
	_, foreign := certify(t, "localhost", time.Now().Add(time.Hour))
	plain := httptest.NewServer(good)
	defer plain.Close()
	tests := []struct {
		name    string
		change  func(*token.Remote)
		config  Config
		want    Reason // empty: keys
		timeout time.Duration
	}{
		{name: "sound", change: func(*token.Remote) {}},
		{name: "nobody listens", change: func(r *token.Remote) { r.URL = "https://" + unused(t) }, want: ConnectionFailed},
		{name: "no such name", change: func(r *token.Remote) { r.URL = "https://" + secret + ".invalid/" }, want: ConnectionFailed},
		{name: "hangs in the handshake", change: func(r *token.Remote) { r.URL = "https://" + blackHole(t) }, want: Timeout, timeout: 100 * time.Millisecond},
		{name: "no TLS", change: func(r *token.Remote) { r.URL = strings.Replace(plain.URL, "http:", "https:", 1) }, want: TLSFailed},
		{name: "authority of another", change: func(r *token.Remote) { r.RootCAs = foreign }, want: TLSFailed},
		{name: "authority of nobody", change: func(r *token.Remote) { r.RootCAs = nil }, want: TLSFailed},
		{name: "bundle without certificates", change: func(r *token.Remote) { r.RootCAs = []byte("none") }, want: InvalidCABundle},
		{name: "empty bundle", change: func(r *token.Remote) { r.RootCAs = []byte{} }, want: InvalidCABundle},
		{name: "http", change: func(r *token.Remote) { r.URL = plain.URL }, want: InvalidURL},
		{name: "http where allowed", change: func(r *token.Remote) { r.URL, r.AllowHTTP = plain.URL, true }},
		{name: "no URL", change: func(r *token.Remote) { r.URL = "" }, want: InvalidURL},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, p := identityProvider(t, good)
			tt.change(p.Remote)
			_, status, logged := outcome(t, p, Config{AllowLoopback: true, FetchTimeout: tt.timeout})
			if tt.want != "" {
				checkFailure(t, tt.want, status, logged)
			} else if status.Err != nil || !status.Ready {
				t.Errorf("status %+v, want keys", status)
			}
		})
	}
}

func TestCertificates(t *testing.T) {
	tests := []struct {
		name     string
		dns      string
		notAfter time.Time
		version  uint16
		want     Reason
	}{
		{name: "sound", dns: "localhost", notAfter: time.Now().Add(time.Hour), version: tls.VersionTLS13},
		{name: "TLS 1.2", dns: "localhost", notAfter: time.Now().Add(time.Hour), version: tls.VersionTLS12},
		{name: "expired", dns: "localhost", notAfter: time.Now().Add(-time.Hour), version: tls.VersionTLS13, want: TLSFailed},
		{name: "not valid yet", dns: "localhost", notAfter: time.Now().Add(96 * time.Hour), version: tls.VersionTLS13, want: TLSFailed},
		{name: "for another name", dns: "other.example.com", notAfter: time.Now().Add(time.Hour), version: tls.VersionTLS13, want: TLSFailed},
		{name: "TLS 1.1", dns: "localhost", notAfter: time.Now().Add(time.Hour), version: tls.VersionTLS11, want: TLSFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			certificate, bundle := certify(t, tt.dns, tt.notAfter)
			server := serve(t, write(200, "application/json", jwks(t, "a")), &tls.Config{
				Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS10, MaxVersion: tt.version,
			})
			p := &token.Provider{Name: "p", Remote: &token.Remote{URL: server.URL, RootCAs: bundle, StaleFor: time.Hour}}
			_, status, logged := outcome(t, p, Config{AllowLoopback: true})
			if tt.want != "" {
				checkFailure(t, tt.want, status, logged)
			} else if status.Err != nil {
				t.Errorf("status %+v, want keys", status)
			}
		})
	}
}

func TestRedirects(t *testing.T) {
	var others atomic.Int32
	other, _ := identityProvider(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { others.Add(1) }))
	good := write(200, "application/json", jwks(t, "a"))
	tests := []struct {
		name  string
		hops  []string // Location of the first answer, the second, …; HOST is the server's own, PORT its port
		wants Reason
	}{
		{name: "one relative", hops: []string{"/moved"}},
		{name: "three, one of them absolute", hops: []string{"/a", "https://HOST/b?c=d", "e#f"}},
		{name: "four", hops: []string{"/a", "/b", "/c", "/d"}, wants: RedirectRefused},
		{name: "another port", hops: []string{other.URL}, wants: RedirectRefused},
		{name: "another name for the same server", hops: []string{"https://localhost:PORT/"}, wants: RedirectRefused},
		{name: "another host without a scheme", hops: []string{"//localhost:PORT/"}, wants: RedirectRefused},
		{name: "another scheme", hops: []string{"http://HOST/"}, wants: RedirectRefused},
		{name: "user information", hops: []string{"https://user:pass@HOST/"}, wants: RedirectRefused},
		{name: "another host after a good one", hops: []string{"/a", other.URL}, wants: RedirectRefused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var hop int
			_, p := identityProvider(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Referer") != "" || r.Header.Get("Cookie") != "" || r.Header.Get("Authorization") != "" {
					t.Errorf("request tells too much: %v", r.Header)
				}
				if hop == len(tt.hops) {
					good(w, r)
					return
				}
				_, port, _ := net.SplitHostPort(r.Host)
				location := strings.NewReplacer("HOST", r.Host, "PORT", port).Replace(tt.hops[hop])
				hop++
				w.Header().Set("Set-Cookie", "a=b")
				redirectTo(http.StatusFound, location)(w, r)
			}))
			_, status, logged := outcome(t, p, Config{AllowLoopback: true})
			if tt.wants != "" {
				checkFailure(t, tt.wants, status, logged)
			} else if status.Err != nil {
				t.Errorf("status %+v, want keys", status)
			}
		})
	}
	if got := others.Load(); got != 0 {
		t.Errorf("the other host was asked %d times", got)
	}
}

func TestLoopbackIsNotDialledUnlessAllowed(t *testing.T) {
	var asked atomic.Int32
	server, p := identityProvider(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	port := strings.TrimPrefix(server.URL, "https://127.0.0.1:")
	for _, host := range []string{"127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"} {
		t.Run(host, func(t *testing.T) {
			p.Remote.URL = "https://" + host + ":" + port + "/keys"
			_, status, logged := outcome(t, p, Config{})
			checkFailure(t, AddressRefused, status, logged)
		})
	}
	if asked.Load() != 0 {
		t.Error("the server was asked")
	}
}

// roundTripper is a func as an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestBodyAfterTheDeadlineDoesNotCount(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	u := &url.URL{Scheme: "https", Host: "id.example.com"}
	body, err := get(ctx, roundTripper(func(*http.Request) (*http.Response, error) {
		cancel()
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("whole"))}, nil
	}), u, acceptKeySet, maxKeySet)
	if body != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("get = %q, %v, want %v", body, err, context.Canceled)
	}
}

func TestNoProxyIsUsed(t *testing.T) {
	transport := newFetcher(&token.Remote{}, false).transport(t.Context())
	if transport.Proxy != nil {
		t.Error("a proxy would resolve and dial in our place")
	}
}

func TestOriginIgnoresSpelling(t *testing.T) {
	tests := []struct {
		name, a, b string
		same       bool
	}{
		{name: "case", a: "https://ID.example.com/a", b: "https://id.example.com/b", same: true},
		{name: "default port", a: "https://id.example.com", b: "https://id.example.com:443", same: true},
		{name: "default port of http", a: "http://id.example.com:80", b: "http://id.example.com", same: true},
		{name: "other port", a: "https://id.example.com", b: "https://id.example.com:8443"},
		{name: "other host", a: "https://id.example.com", b: "https://id.example.com.evil.example"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, errA := url.Parse(tt.a)
			b, errB := url.Parse(tt.b)
			if errA != nil || errB != nil {
				t.Fatal(errA, errB)
			}
			if got := origin(a) == origin(b); got != tt.same {
				t.Errorf("%s and %s are one origin: %t, want %t", origin(a), origin(b), got, tt.same)
			}
		})
	}
}
