package docs_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// neighbour is a policy of another namespace, which lets everybody in to its own host.
const neighbour = `apiVersion: sallyport.dev/v1alpha1
kind: AuthPolicy
metadata: {name: open, namespace: neighbour}
spec: {hosts: [open.example.com], rules: [{name: everybody, access: Public}]}
`

// TestEnvoyConfigurationsServe runs the two configurations that users copy, with their addresses replaced by free ones,
// between an application and Sallyport with the policies of the tutorial for orders.example.com.
func TestEnvoyConfigurationsServe(t *testing.T) {
	alice := strings.TrimSpace(readExample(t, "tutorial/alice.jwt"))
	for _, tt := range []struct {
		config, listener, scheme string
		checks                   []exampleCheck
	}{
		{"envoy-gateway.yaml", "10000", "http", []exampleCheck{
			{name: "public", path: "/healthz", want: 200, user: "-"},
			{name: "no token", path: "/v1/orders", want: 401},
			{name: "token", path: "/v1/orders", header: http.Header{"Authorization": {"Bearer " + alice}}, want: 200, user: "alice"},
			{name: "two tokens", path: "/v1/orders", header: http.Header{"Authorization": {"Bearer " + alice, "Bearer " + alice}}, want: 400},
			{name: "a header that the client may not set", path: "/healthz", header: http.Header{"X-User": {"root"}}, want: 200, user: "-"},
			{name: "the same with an underscore", path: "/healthz", header: http.Header{"x_user": {"root"}}, want: 400},
			{name: "path is normalized", path: "/v1/..//healthz", want: 200, user: "-"},
			{name: "encoded slash", path: "/v1%2Forders", want: 400},
			{name: "a host that the gateway does not route", host: "open.example.com", path: "/", want: 404},
		}},
		{"envoy-sidecar.yaml", "8443", "https", []exampleCheck{
			{name: "public", path: "/healthz", want: 200, user: "-"},
			{name: "token", path: "/v1/orders", header: http.Header{"Authorization": {"Bearer " + alice}}, want: 200, user: "alice"},
			{name: "another tenant's public host", host: "open.example.com", path: "/v1/orders", want: 403},
			{name: "encoded slash", path: "/v1%2Forders", want: 400},
		}},
	} {
		t.Run(tt.config, func(t *testing.T) {
			edge, client := startExample(t, tt.config, tt.listener)
			for _, c := range tt.checks {
				t.Run(c.name, func(t *testing.T) { c.run(t, client, tt.scheme+"://"+edge) })
			}
		})
	}
}

// exampleCheck is a request through an example.
type exampleCheck struct {
	name, host, path string
	header           http.Header
	want             int
	user             string // that the application sees; "-": none
}

func (c exampleCheck) run(t *testing.T, client *http.Client, edge string) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, edge+c.path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "orders.example.com"
	if c.host != "" {
		req.Host = c.host
	}
	if c.header != nil {
		req.Header = c.header
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != c.want {
		t.Fatalf("status %d, want %d\n%s", resp.StatusCode, c.want, body)
	}
	if c.want == http.StatusOK && string(body) != c.user {
		t.Errorf("the application saw the user %q, want %q", body, c.user)
	}
}

// startExample starts Sallyport, an application that answers with the user that it sees, and Envoy with a configuration
// of examples. It returns the address of Envoy's listener, and a client that shows a certificate where Envoy wants one.
func startExample(t *testing.T, config, listener string) (edge string, client *http.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), tutorialTime)
	t.Cleanup(cancel)
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := strings.Join(append(r.Header.Values("x-user"), r.Header.Values("x_user")...), " and ")
		if user == "" {
			user = "-"
		}
		_, _ = io.WriteString(w, user) // the error is that of a client that is gone
	}))
	t.Cleanup(application.Close)
	dir, port := t.TempDir(), freePort(t)
	writeCertificate(t, dir)
	grpc := startSallyport(ctx, t, dir)
	_, applicationPort, _ := strings.Cut(strings.TrimPrefix(application.URL, "http://"), ":")
	text := strings.NewReplacer(
		"0.0.0.0, port_value: "+listener, "127.0.0.1, port_value: "+port,
		"port_value: 8080", "port_value: "+applicationPort,
		"socket_address: {address: 127.0.0.1, port_value: 9001}", "pipe: {path: "+grpc+"}",
		"/run/sallyport/grpc.sock", grpc,
		tlsFolder, dir,
	).Replace(readExample(t, config))
	file := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	edge = "127.0.0.1:" + port
	startProcess(ctx, t, exec.Command(envoyBinary(t), "--config-path", file, "--log-level", "warning", "--concurrency", "1",
		"--disable-hot-restart"), listening(edge))
	return edge, clientWithCertificate(t, dir)
}

// startSallyport serves the policies of the tutorial and those of a neighbour, on the socket that it returns.
func startSallyport(ctx context.Context, t *testing.T, dir string) (socket string) {
	t.Helper()
	policies := filepath.Join(dir, "policies")
	if err := os.CopyFS(policies, os.DirFS(filepath.Join(root, "examples/tutorial/policies"))); err != nil {
		t.Fatal(err)
	}
	orders := strings.ReplaceAll(readExample(t, "tutorial/policies/orders.yaml"), "hosts: [localhost]", "hosts: [orders.example.com]")
	for name, text := range map[string]string{"orders.yaml": orders, "neighbour.yaml": neighbour} {
		if err := os.WriteFile(filepath.Join(policies, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Not below dir: the path of a socket is at most 107 bytes.
	short, err := os.MkdirTemp("", "sp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	socket, admin := filepath.Join(short, "grpc.sock"), "127.0.0.1:"+freePort(t)
	startProcess(ctx, t, exec.Command(sallyportBinary(t), "serve", "--from", policies, "--grpc-address", "unix://"+socket,
		"--admin-address", admin), answering("http://"+admin+"/readyz"))
	return socket
}

// clientWithCertificate trusts whatever server it meets, which is that of this test.
func clientWithCertificate(t *testing.T, dir string) *http.Client {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}
