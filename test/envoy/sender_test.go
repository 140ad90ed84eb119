package envoy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sallyport/sallyport/cmd/demo"
)

// thumbprint is the SHA-256 of a client's certificate.
func (a *authority) thumbprint(t *testing.T, name string) [sha256.Size]byte {
	t.Helper()
	return sha256.Sum256(a.pair(t, name).Certificate[0])
}

// bound is a token that is bound to the certificate of this name.
func (w *world) bound(t *testing.T, a *authority, name string) string {
	t.Helper()
	sum := a.thumbprint(t, name)
	return w.token(t, map[string]any{"cnf": map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}})
}

// callers is an authority that has issued a certificate to the edge, and one to each of two clients.
func callers(t *testing.T) *authority {
	t.Helper()
	binary(t, "SALLYPORT_ENVOY")
	binary(t, "SALLYPORT_BIN")
	a := newAuthority(t, "callers")
	a.issue(t, "edge", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	for _, name := range []string{"alice", "thief"} {
		a.issue(t, name, &x509.Certificate{DNSNames: []string{name + ".test"}})
	}
	return a
}

// over sends a request over a connection that was made with the certificate of this name.
func (a *authority) over(t *testing.T, address, name string, c call) answer {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{
		RootCAs: a.pool, Certificates: []tls.Certificate{a.pair(t, name)}, NextProtos: []string{"http/1.1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got, err := exchange(conn, c.String())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestTokenOfACertificate: a token passes over a connection with the certificate that it is bound to, whatever a client writes
// into a header, and where Envoy does not tell the certificate it is refused.
func TestTokenOfACertificate(t *testing.T) {
	a := callers(t)
	w := newWorld(t, []string{"sender.yaml"})
	token := w.bound(t, a, "alice")
	forged := a.thumbprint(t, "alice")
	header := []string{"X-Forwarded-Client-Cert: Hash=" + hex.EncodeToString(forged[:])}
	for _, test := range []struct {
		name    string
		include bool
		caller  string
		token   string
		want    string
	}{
		{"its own", true, "alice", token, "Allowed"},
		{"again, from the cache", true, "alice", token, "Allowed"},
		{"stolen", true, "thief", token, "SenderNotProven"},
		{"not told", false, "alice", token, "SenderNotProven"},
		{"not bound, where it need not be", true, "thief", w.token(t, nil), "Allowed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := w.edge(t, demo.EnvoyConfig{TLS: a.files("edge"), Authz: demo.AuthzConfig{IncludePeerCertificate: test.include}})
			got := a.over(t, e.Address(), test.caller, call{host: "bound.test", token: test.token, header: header})
			if got.reason() != test.want {
				t.Errorf("status %d, reason %s, want %s", got.status, got.reason(), test.want)
			}
		})
	}
}

// TestTokenOfAForwardedCertificate reads X-Forwarded-Client-Cert as Envoy writes it: with SANITIZE_SET its own element only,
// with APPEND_FORWARD behind what the proxy in front has said.
func TestTokenOfAForwardedCertificate(t *testing.T) {
	a := callers(t)
	details := func(mode string) func(map[string]any) {
		return func(node map[string]any) {
			if _, isManager := node["stat_prefix"]; isManager {
				node["forward_client_cert_details"] = mode
				node["set_current_client_cert_details"] = map[string]any{"subject": true, "cert": true, "dns": true, "uri": true}
			}
		}
	}
	sum := a.thumbprint(t, "alice")
	alice := "X-Forwarded-Client-Cert: By=spiffe://a/b;Hash=" + hex.EncodeToString(sum[:]) + `;Subject="CN=alice,O=\"x\""`
	for _, test := range []struct {
		name, mode string
		hops       string
		caller     string
		header     []string
		want       string
	}{
		{"Envoy's own element", "SANITIZE_SET", "0", "alice", nil, "Allowed"},
		{"Envoy's own element, of another", "SANITIZE_SET", "0", "thief", nil, "SenderNotProven"},
		{"a forged element, which Envoy drops", "SANITIZE_SET", "0", "thief", []string{alice}, "SenderNotProven"},
		{"behind a proxy", "APPEND_FORWARD", "1", "thief", []string{alice}, "Allowed"},
		{"behind a proxy that says nothing", "APPEND_FORWARD", "1", "alice", nil, "SenderNotProven"},
		{"a forged element in front", "APPEND_FORWARD", "0", "thief", []string{alice}, "SenderNotProven"},
		{"what the proxy says is passed on", "FORWARD_ONLY", "0", "thief", []string{alice}, "Allowed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, []string{"sender.yaml"}, "--client-certificate=xfcc", "--xfcc-trusted-hops="+test.hops)
			e := startEditedEnvoy(t, demo.EnvoyConfig{
				TLS: a.files("edge"), ShowDecision: true, Upstream: w.upstream.Address(),
				Authz: demo.AuthzConfig{Address: w.sallyport.GRPCAddress(), Timeout: authzTimeout},
			}, details(test.mode))
			got := a.over(t, e.address, test.caller, call{host: "bound.test", token: w.bound(t, a, "alice"), header: test.header})
			if got.reason() != test.want {
				t.Errorf("status %d, reason %s, want %s", got.status, got.reason(), test.want)
			}
		})
	}
}

// keyHolder is a client with a key of its own.
type keyHolder struct {
	key *ecdsa.PrivateKey
	jwk map[string]any
	jkt string
}

func newKeyHolder(t *testing.T) *keyHolder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	x, y := b64(point[1:33]), b64(point[33:])
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, x, y))
	return &keyHolder{key, map[string]any{"kty": "EC", "crv": "P-256", "x": x, "y": y}, b64(sum[:])}
}

// lines are the header fields of a request to uri with a token and its proof.
func (k *keyHolder) lines(t *testing.T, uri, token, nonce string) []string {
	t.Helper()
	sum := sha256.Sum256([]byte(token))
	claims := jwt.MapClaims{
		"jti": rand.Text(), "htm": "GET", "htu": uri, "iat": time.Now().Unix(), "ath": base64.RawURLEncoding.EncodeToString(sum[:]),
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	proof := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	proof.Header["typ"], proof.Header["jwk"] = "dpop+jwt", k.jwk
	raw, err := proof.SignedString(k.key)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"Authorization: DPoP " + token, "DPoP: " + raw}
}

// TestDPoP goes the way of a client: it is told a nonce, and passes with it once for each proof.
func TestDPoP(t *testing.T) {
	w := newWorld(t, []string{"sender.yaml"})
	e := w.edge(t, demo.EnvoyConfig{})
	k, thief := newKeyHolder(t), newKeyHolder(t)
	token := w.token(t, map[string]any{"cnf": map[string]any{"jkt": k.jkt}})
	const uri = "http://bound.test/orders"
	with := func(lines ...string) answer {
		return do(t, e.Address(), call{host: "bound.test", target: "/orders?a=b", header: lines})
	}

	told := with(k.lines(t, uri, token, "")...)
	nonce := told.header.Get("DPoP-Nonce")
	challenge := told.header.Get("WWW-Authenticate")
	if told.status != 401 || told.reason() != "ProofNonceRequired" || nonce == "" || !strings.HasPrefix(challenge, `DPoP error="use_dpop_nonce", algs="`) {
		t.Fatalf("status %d, reason %s, nonce %q, challenge %q", told.status, told.reason(), nonce, challenge)
	}
	lines := k.lines(t, uri, token, nonce)
	got := with(lines...)
	if !got.passed() || got.header.Get("DPoP-Nonce") != "" {
		t.Fatalf("with the nonce: status %d, reason %s, another nonce %q", got.status, got.reason(), got.header.Get("DPoP-Nonce"))
	}
	for name := range got.echo(t).Headers {
		if strings.EqualFold(name, "DPoP") || strings.EqualFold(name, "Authorization") {
			t.Errorf("the application sees %s", name)
		}
	}
	for _, test := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"the same proof again", lines, "ProofReplayed"},
		{"another proof", k.lines(t, uri, token, nonce), "Allowed"},
		{"two proofs", append(k.lines(t, uri, token, nonce), k.lines(t, uri, token, nonce)[1]), "InvalidProof"},
		{"no proof", lines[:1], "InvalidProof"},
		{"as Bearer", []string{"Authorization: Bearer " + token}, "SenderNotProven"},
		{"stolen", thief.lines(t, uri, token, nonce), "SenderNotProven"},
		{"for another path", k.lines(t, uri+"/7", token, nonce), "InvalidProof"},
		{"for another scheme", k.lines(t, "https://bound.test/orders", token, nonce), "InvalidProof"},
	} {
		if got := with(test.lines...); got.reason() != test.want {
			t.Errorf("%s: status %d, reason %s, want %s", test.name, got.status, got.reason(), test.want)
		}
	}

	// Where the application gets the token, it gets the proof.
	forwarded := do(t, e.Address(), call{host: "plain.test", header: k.lines(t, "http://plain.test/", token, "")})
	if !forwarded.passed() || len(forwarded.echo(t).Headers["dpop"]) == 0 {
		t.Errorf("status %d, reason %s, the application sees %v", forwarded.status, forwarded.reason(), forwarded.echo(t).Headers)
	}
}

// TestDPoPBehindTLS: the proxy in front of Envoy ends TLS, and the proof is for https.
func TestDPoPBehindTLS(t *testing.T) {
	w := newWorld(t, []string{"sender.yaml"}, "--public-scheme=https")
	e := w.edge(t, demo.EnvoyConfig{})
	k := newKeyHolder(t)
	token := w.token(t, map[string]any{"cnf": map[string]any{"jkt": k.jkt}})
	for uri, want := range map[string]string{"https://plain.test/": "Allowed", "http://plain.test/": "InvalidProof"} {
		if got := do(t, e.Address(), call{host: "plain.test", header: k.lines(t, uri, token, "")}); got.reason() != want {
			t.Errorf("%s: reason %s, want %s", uri, got.reason(), want)
		}
	}
}

// startRedis starts a Redis of Debian on a Unix socket, and returns it with a function that starts it again.
func startRedis(t *testing.T) (socket string, redis func() *exec.Cmd) {
	t.Helper()
	root := os.Getenv("SALLYPORT_SERVERS")
	program := filepath.Join(root, "usr/bin/redis-server")
	if _, err := os.Stat(program); root == "" || err != nil {
		t.Skip("SALLYPORT_SERVERS has no usr/bin/redis-server: make redis unpacks it")
	}
	dir, err := os.MkdirTemp("", "sallyport-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	libs, _ := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu"))
	return socket, func() *exec.Cmd {
		cmd := exec.Command(program, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir)
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libs, ":"))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill() // the test may have ended it
			_ = cmd.Wait()
		})
		return cmd
	}
}

// TestReplicasShareProofs: a proof that one replica has seen is refused by the other; without the store both refuse.
func TestReplicasShareProofs(t *testing.T) {
	socket, start := startRedis(t)
	redis := start()
	key := filepath.Join(t.TempDir(), "nonce.key")
	if err := os.WriteFile(key, []byte(rand.Text()+rand.Text()), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--shared-store=unix://" + socket, "--shared-store-timeout=5s", "--dpop-nonce-key-file=" + key}
	w := newWorld(t, []string{"sender.yaml"}, args...)
	second := startSallyport(t, demo.SallyportConfig{From: []string{w.folder}, Args: args})
	one, two := w.edge(t, demo.EnvoyConfig{}), w.edge(t, demo.EnvoyConfig{Authz: demo.AuthzConfig{Address: second.GRPCAddress()}})
	k := newKeyHolder(t)
	token := w.token(t, map[string]any{"cnf": map[string]any{"jkt": k.jkt}})
	const uri = "http://bound.test/"
	ask := func(e *demo.Envoy, lines []string) answer {
		return do(t, e.Address(), call{host: "bound.test", header: lines})
	}
	nonce := ask(one, k.lines(t, uri, token, "")).header.Get("DPoP-Nonce")
	good := func() []string { return k.lines(t, uri, token, nonce) }

	eventually(t, "both have the store", func() bool { return ask(one, good()).passed() && ask(two, good()).passed() })
	lines := good()
	if got := ask(one, lines); !got.passed() {
		t.Errorf("status %d, reason %s", got.status, got.reason())
	}
	if got := ask(two, lines); got.reason() != "ProofReplayed" {
		t.Errorf("at the other replica: status %d, reason %s", got.status, got.reason())
	}
	if err := redis.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = redis.Wait() // says that it was killed
	for name, e := range map[string]*demo.Envoy{"one": one, "two": two} {
		if got := ask(e, good()); got.status != 503 || got.reason() != "ProofStoreUnavailable" {
			t.Errorf("%s, without the store: status %d, reason %s", name, got.status, got.reason())
		}
		if got := do(t, e.Address(), call{host: "bound.test", token: w.token(t, nil)}); !got.passed() {
			t.Errorf("%s, a token that is not bound: status %d, reason %s", name, got.status, got.reason())
		}
	}
	start()
	eventually(t, "both have found the store again", func() bool { return ask(one, good()).passed() && ask(two, good()).passed() })
}
