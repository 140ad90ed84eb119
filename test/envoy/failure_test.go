package envoy

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sallyport/sallyport/cmd/demo"
)

// TestWithoutSallyport shows what Envoy makes of a Sallyport that is not there: with failure_mode_allow every request
// passes, which is why it stays off.
func TestWithoutSallyport(t *testing.T) {
	w := newWorld(t, []string{"guarded.yaml"})
	closed := w.edge(t, demo.EnvoyConfig{})
	open := w.edge(t, demo.EnvoyConfig{Authz: demo.AuthzConfig{FailureModeAllow: true}})
	request := call{host: "guarded.test", target: "/"}
	for name, e := range map[string]*demo.Envoy{"off": closed, "on": open} {
		if a := do(t, e.Address(), request); a.reason() != "MissingToken" {
			t.Errorf("failure mode allow %s: status %d, reason %s while Sallyport runs", name, a.status, a.reason())
		}
	}
	if err := w.sallyport.Stop(); err != nil {
		t.Fatal(err)
	}
	if a := do(t, closed.Address(), request); a.status != http.StatusForbidden || a.header.Get("x-demo-decision") != "" {
		t.Errorf("failure mode allow off: status %d, decision %q", a.status, a.header.Get("x-demo-decision"))
	}
	if a := do(t, open.Address(), request); a.status != http.StatusOK {
		t.Errorf("failure mode allow on: status %d", a.status)
	}
}

// TestNoBytesOfAClientCauseAnError sends garbage through an Envoy that lets requests pass when Sallyport errs: so
// nothing that a client can send may make it err.
func TestNoBytesOfAClientCauseAnError(t *testing.T) {
	w := newWorld(t, []string{"guarded.yaml"}, "--client-address=xff")
	for _, raw := range []bool{false, true} {
		t.Run(map[bool]string{false: "headers as a map", true: "headers raw"}[raw], func(t *testing.T) {
			e := w.edge(t, demo.EnvoyConfig{
				UseRemoteAddress: true, HeadersWithUnderscores: "ALLOW",
				Authz: demo.AuthzConfig{FailureModeAllow: true, EncodeRawHeaders: raw},
			})
			judged := sendGarbage(t, e.Address(), w.token(t, nil))
			t.Logf("%d requests were judged", judged)
			if judged < 40 {
				t.Errorf("Sallyport has judged %d requests only", judged)
			}
			if n := w.upstream.Requests(); n != 0 {
				t.Errorf("%d requests reached the application", n)
			}
			for _, counter := range []string{"error", "failure_mode_allowed", "timeout"} {
				if n := authzCounter(t, e, counter); n != 0 {
					t.Errorf("Envoy counts %d of ext_authz's %s", n, counter)
				}
			}
			if n := authzCounter(t, e, "denied"); n < judged {
				t.Errorf("Envoy counts %d denied only, of %d", n, judged)
			}
			if strings.Contains(w.sallyport.Log(), "panic") {
				t.Error("Sallyport has panicked")
			}
		})
	}
}

// sendGarbage sends all there is, and returns how many requests Sallyport has refused.
func sendGarbage(t *testing.T, address, token string) int {
	t.Helper()
	var judged atomic.Int64
	senders := newCrowd()
	try := func(name string, send func() (status int, decision string, err error)) {
		senders.run(func() {
			status, decision, err := send()
			if err != nil {
				return // Envoy has closed the connection, or the stream: nothing has passed
			}
			if status == http.StatusOK || decision == "Allow" {
				t.Errorf("%s passed with status %d", name, status)
			}
			if decision == "Deny" {
				judged.Add(1)
			}
		})
	}
	for name, text := range garbage(token) {
		try(name, func() (int, string, error) {
			a, err := send(address, text)
			return a.status, a.header.Get("x-demo-decision"), err
		})
	}
	for name, fields := range garbageHTTP2(token) {
		try(name+" over HTTP/2", func() (int, string, error) {
			a, err := sendHTTP2(address, fields...)
			return a.status, a.header.Get("x-demo-decision"), err
		})
	}
	senders.running.Wait()
	return int(judged.Load())
}

// authzCounter reads one of ext_authz's counters; 0 where Envoy has not counted yet.
func authzCounter(t *testing.T, e *demo.Envoy, name string) int {
	t.Helper()
	resp, err := http.Get(e.AdminURL() + "/stats?filter=ext_authz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(body), "ext_authz.ok:") {
		t.Fatalf("Envoy counts nothing of ext_authz: %s", body)
	}
	sum := 0
	for line := range strings.Lines(string(body)) {
		if counter, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && strings.HasSuffix(counter, "ext_authz."+name) {
			n, err := strconv.Atoi(value)
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}

const allBytes = "\x01\x02\x08\x0b\x1b\x7f\x80\x9f\xa0\xbf\xc0\xc1\xc2\xe0\xed\xa0\x80\xf0\xf4\x90\xf5\xfe\xff"

// textBytes are those that may stand in a header field, and are no text in UTF-8.
const textBytes = "\x80\x9f\xa0\xbf\xc0\xc1\xc2\xe0\xed\xa0\x80\xf0\xf4\x90\xf5\xfe\xff"

// garbage are requests for the guarded host, none of which may pass.
func garbage(token string) map[string]string {
	all := map[string]string{}
	add := func(name string, c call) {
		if c.host == "" {
			c.host = "guarded.test"
		}
		all[name] = c.String()
	}
	for _, name := range []string{
		"X-Any", "Cookie", "Authorization", "Accept", "Origin", "Content-Type", "X-Forwarded-For", "X-Request-Id", "Referer",
		"X-User", "x_user", "User-Agent", "X-Forwarded-Proto", "X-Forwarded-Host", "Access-Control-Request-Method", "Via",
		"X-Forwarded-Client-Cert", "traceparent", "Grpc-Timeout", "X-Envoy-Original-Path", "Sallyport-Scope", "X-Envoy-Upstream-Rq-Timeout-Ms",
	} {
		for kind, value := range map[string]string{
			"bytes that are no text": textBytes, "control characters": allBytes, "50 KiB": strings.Repeat("x", 50<<10),
			"50 KiB that are no text": strings.Repeat("\xff", 50<<10), "10000 separators": strings.Repeat(",;= ", 10000),
			"nothing": "", "quotes": strings.Repeat(`"\`, 100), "percents": strings.Repeat("%", 3000), "an a with a b": strings.Repeat("a", 5000) + "b",
		} {
			add(name+" holds "+kind, call{target: "/t/1?q=1", header: []string{name + ": " + value}})
			add(name+" holds the scheme, and "+kind, call{target: "/?access_token=", header: []string{name + ": Bearer " + value}})
		}
	}
	for name, target := range garbageTargets() {
		add(name, call{target: target})
		add(name+", with a token", call{target: target, token: token})
		add(name+", as a preflight", call{method: "OPTIONS", target: target, header: []string{"Origin: \xff", "Access-Control-Request-Method: \xff"}})
	}
	for i, host := range garbageHosts() {
		add(fmt.Sprintf("host %d, %.20q", i, host), call{host: host, target: "/t/1?q=1", token: token})
	}
	for _, method := range []string{"M-SEARCH", "PRI", "get", "TRACE", "CONNECT", "PROPFIND", strings.Repeat("A", 300), "\xff", "GET\x00"} {
		add("method "+method, call{method: method, target: "/"})
	}
	var many []string
	for i := range 98 {
		many = append(many, fmt.Sprintf("x-%d: %s", i, textBytes))
	}
	add("98 headers", call{target: "/", header: many})
	for _, line := range []string{
		"Upgrade: websocket\r\nConnection: Upgrade", "Expect: 100-continue", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5",
		"Content-Length: -1", "Content-Length: 99999999999999999999", ": x", "\xff: x", "x y: z", "no colon", " folded", "X-Any: a\r\n folded",
		"Host: other.test", "Connection: x-any, authorization", "X-HTTP-Method-Override: OPTIONS", "X-Original-URL: /public", "X-Rewrite-URL: /public",
	} {
		add("line "+line, call{target: "/", header: []string{line}})
	}
	all["HTTP/1.0 without a host"] = "GET / HTTP/1.0\r\n\r\n"
	all["no host"] = "GET / HTTP/1.1\r\n\r\n"
	all["an empty host"] = "GET / HTTP/1.1\r\nHost:\r\n\r\n"
	return all
}

func garbageTargets() map[string]string {
	return map[string]string{
		"raw bytes in the path": "/" + textBytes, "raw bytes in the query": "/?q=" + textBytes, "escapes of no text": "/%ff%fe%c0%af?q=%ff",
		"50 KiB of path": "/" + strings.Repeat("a", 50<<10), "50 KiB of query": "/?" + strings.Repeat("a", 50<<10),
		"20000 segments": strings.Repeat("/a", 20000), "20000 slashes": strings.Repeat("/", 20000), "10000 dots": strings.Repeat("/..", 10000),
		"10000 parameters": "/t/1?" + strings.Repeat("q&", 10000), "10000 escapes": "/" + strings.Repeat("%41", 10000),
		"a query of separators": "/t/1?" + strings.Repeat("&=;?", 5000), "bad escapes": "/%?%=%&%zz", "only a question mark": "/?",
		"an encoded name of the token": "/?access%5ftoken=x", "many tokens": "/?" + strings.Repeat("access_token=x&", 1000),
		"a token of 50 KiB": "/?access_token=" + strings.Repeat("a.", 25<<10), "asterisk": "*", "authority": "guarded.test:80", "nothing": "",
		"absolute": "http://guarded.test/", "absolute, with bytes": "http://guarded.test/" + textBytes, "absolute, no path": "http://guarded.test?x",
		"absolute, another scheme": "ftp://guarded.test/", "scheme only": "http://", "absolute with user": "http://a:b@guarded.test/",
	}
}

func garbageHosts() []string {
	return []string{
		"guarded.test:99999", "guarded.test:", "guarded.test:x", ":80", "[::1]", "[::1", "[fe80::1%25eth0]", "[::ffff:1.2.3.4]:80", "1.2.3.4", "a..b", ".", "..",
		"-", "-.guarded.test", "*", "*.guarded.test", "%67uarded.test", "guarded.test%00", "guarded.test\x00", "pröt.guarded.test", textBytes,
		strings.Repeat("a", 5000), strings.Repeat("a.", 5000) + "guarded.test", "guarded.test,guarded.test", "guarded.test/", "guarded.test ", "\tguarded.test",
		"http://guarded.test", "a@guarded.test", "guarded.test\\", "guarded.test#", "guarded.test?x", "GUARDED.TEST.", "guarded.test..", "_.guarded.test",
		"xn--a.guarded.test", "K.guarded.test", "localhost", "\"guarded.test\"", "guarded.test;x",
	}
}

// garbageHTTP2 are requests that HTTP/1.1 has no words for.
func garbageHTTP2(token string) map[string][]field {
	plain := []field{{":method", "GET"}, {":scheme", "http"}, {":authority", "guarded.test"}, {":path", "/"}}
	all := map[string][]field{
		"no authority":          {plain[0], plain[1], plain[3]},
		"host for authority":    {plain[0], plain[1], plain[3], {"host", "guarded.test"}},
		"host beside authority": append(plain, field{"host", "other.test"}),
		"no path":               plain[:3], "no method": plain[1:], "no scheme": {plain[0], plain[2], plain[3]},
		"two paths":                append(plain, field{":path", "/public"}),
		"two authorities":          append(plain, field{":authority", "other.test"}),
		"an unknown pseudo-header": append(plain, field{":protocol", "websocket"}),
		"a name in capitals":       append(plain, field{"X-Any", "x"}),
		"a name with a space":      append(plain, field{"x any", "x"}),
		"cookie crumbs":            append(plain, field{"cookie", "a=1"}, field{"cookie", "access_token=" + token}, field{"cookie", "access_token=x"}),
		"connect":                  {{":method", "CONNECT"}, {":authority", "guarded.test:443"}},
	}
	for i, name := range []string{":method", ":scheme", ":authority", ":path", "x-any", "cookie", "authorization", "te", "content-type"} {
		for kind, value := range map[string]string{
			"bytes that are no text": textBytes, "control characters": allBytes, "a NUL": "a\x00b", "a line feed": "a\nx-user: root", "nothing": "",
			"50 KiB": strings.Repeat("x", 50<<10), "a slash and bytes": "/" + textBytes, "spaces": " / ", "guarded": "guarded.test" + textBytes,
			"an escape": "/%ff", "a fragment": "/#x", "a backslash": `/\..\x`,
		} {
			fields := append([]field{}, plain...)
			switch {
			case i < 4:
				fields[i].value = value
			default:
				fields = append(fields, field{name, value})
			}
			all[name+" holds "+kind] = fields
		}
	}
	return all
}
