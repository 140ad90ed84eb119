package keycloak

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/cmd/demo"
)

const (
	root = "../.."
	page = "docs/keycloak.md"
	// authzTimeout and askTimeout are far above the defaults, so that no verdict depends on a busy machine.
	authzTimeout = 10 * time.Second
	askTimeout   = "5s"
)

// world is a Sallyport with the objects of a page, an application and an Envoy between it and the clients.
type world struct {
	*server
	upstream  *demo.Upstream
	sallyport *demo.Sallyport
	address   string // at which Sallyport listens; "": any
	envoy     *demo.Envoy
}

// newWorld starts one with the objects of the page, in which each pair of edits replaces a text by another.
func newWorld(t *testing.T, edits ...string) *world {
	t.Helper()
	w := &world{server: keycloak(t)}
	w.startUpstream(t)
	w.startSallyport(t, strings.NewReplacer(edits...).Replace(strings.Join(blocks(t, page, "yaml"), "---\n")))
	w.startEnvoy(t)
	return w
}

// startEnvoy starts an Envoy that asks the Sallyport of w.
func (w *world) startEnvoy(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var err error
	w.envoy, err = demo.StartEnvoy(ctx, demo.EnvoyConfig{
		Bin: os.Getenv("SALLYPORT_ENVOY"), Upstream: w.upstream.Address(), ShowDecision: true,
		Authz: demo.AuthzConfig{Address: w.sallyport.GRPCAddress(), Timeout: authzTimeout},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.envoy.Stop(); err != nil {
			t.Error(err)
		}
	})
}

func (w *world) startUpstream(t *testing.T) {
	t.Helper()
	var err error
	if w.upstream, err = demo.StartUpstream(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.upstream.Close() }) // a connection that Envoy still holds is cut
}

// startSallyport serves objects of a page, whose provider is the Keycloak of the tests, until the test or the next
// startSallyport ends it.
func (w *world) startSallyport(t *testing.T, objects string, args ...string) {
	t.Helper()
	objects = strings.NewReplacer(
		"issuer: https://id.example.com", "tls: {caConfigMapKeyRef: {name: authority, key: ca.crt}}\n  issuer: "+w.url,
		"introspection:", "introspection:\n    timeout: "+askTimeout,
		"userInfo: {}", "userInfo: {}\n    timeout: "+askTimeout,
	).Replace(objects)
	folder := t.TempDir()
	authority := object{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": object{"name": "authority", "namespace": "shop"},
		"data": object{"ca.crt": string(w.ca)},
	}
	text, err := json.Marshal(authority)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"page.yaml": objects, "authority.yaml": string(text)} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w.sallyport, err = demo.StartSallyport(ctx, demo.SallyportConfig{Bin: os.Getenv("SALLYPORT_BIN"), From: []string{folder}, GRPCAddress: w.address, Args: args})
	if err != nil {
		t.Fatal(err)
	}
	running := w.sallyport
	t.Cleanup(func() {
		select {
		case <-running.Done():
			return // the test has ended it, and has seen how
		default:
		}
		if err := running.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("Sallyport's log:\n%s", running.Log())
		}
	})
}

// answer is what came back through Envoy.
type answer struct {
	status int
	reason string
	header http.Header
	echo   demo.Echo // what the application received, where it was reached
}

// get asks for a path of a host below example.com with a token; "" for none.
func (w *world) get(t *testing.T, host, path, token string) answer {
	t.Helper()
	a, err := w.tryGet(host, path, token)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (w *world) tryGet(host, path, token string) (answer, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+w.envoy.Address()+path, nil)
	if err != nil {
		return answer{}, err
	}
	req.Host = host + ".example.com"
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	return read(resp)
}

func read(resp *http.Response) (answer, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, reason: resp.Header.Get("x-demo-reason"), header: resp.Header}
	if a.status == http.StatusOK {
		err = json.Unmarshal(body, &a.echo)
	}
	return a, err
}

// want asks, and checks the reason.
func (w *world) want(t *testing.T, host, path, token, reason string) answer {
	t.Helper()
	a := w.get(t, host, path, token)
	if a.reason != reason {
		t.Errorf("%s.example.com%s: %d %s, want %s", host, path, a.status, a.reason, reason)
	}
	return a
}

// clientTo reaches hosts by name at the addresses that are given, over TLS, and nothing else but loopback.
func (s *server) clientTo(hosts map[string]string) *http.Client {
	transport := s.client.Transport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if to, ok := hosts[address]; ok {
			address = to
		}
		if !strings.HasPrefix(address, "127.0.0.1:") {
			return nil, &net.AddrError{Err: "this test has no such host", Addr: address}
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: transport.TLSClientConfig.RootCAs}
	return &http.Client{Timeout: patience, Transport: transport}
}
