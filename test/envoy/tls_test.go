package envoy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/sallyport/sallyport/cmd/demo"
)

// guardedWorld is a world whose Sallyport wants a certificate of Envoy. before is whose certificates are in force at
// first, after is another authority.
type guardedWorld struct {
	*world
	before, after *authority
	cert, key, ca string // the files that Sallyport reads
}

func newGuardedWorld(t *testing.T) *guardedWorld {
	t.Helper()
	binary(t, "SALLYPORT_ENVOY")
	binary(t, "SALLYPORT_BIN")
	mounted := t.TempDir()
	g := &guardedWorld{
		before: newAuthority(t, "before"), after: newAuthority(t, "after"),
		cert: filepath.Join(mounted, "tls.crt"), key: filepath.Join(mounted, "tls.key"), ca: filepath.Join(mounted, "ca.crt"),
	}
	for _, a := range []*authority{g.before, g.after} {
		a.issue(t, "sallyport", &x509.Certificate{DNSNames: []string{"sallyport.test"}})
		a.issue(t, "envoy", &x509.Certificate{DNSNames: []string{"envoy.test"}})
	}
	g.mount(t, g.before)
	g.world = newWorld(t, []string{"reasons.yaml"}, "--tls-cert-file", g.cert, "--tls-key-file", g.key, "--client-ca-file", g.ca)
	return g
}

// mount puts the files of an authority where Sallyport reads them, one after the other.
func (g *guardedWorld) mount(t *testing.T, a *authority) {
	t.Helper()
	copyFile(t, a.files("sallyport").CertFile, g.cert)
	copyFile(t, a.files("sallyport").KeyFile, g.key)
	copyFile(t, a.files("sallyport").CAFile, g.ca)
}

// through starts an Envoy with these files, and returns the status of a request through it that is to be allowed.
func (g *guardedWorld) through(t *testing.T, files *demo.TLSFiles) func() int {
	t.Helper()
	e := g.edge(t, demo.EnvoyConfig{Authz: demo.AuthzConfig{TLS: files, ServerName: "sallyport.test"}})
	request := call{host: "shop.test", target: "/any", token: g.token(t, nil)}
	return func() int { return do(t, e.Address(), request).status }
}

// TestMutualTLS has Envoy and Sallyport prove to each other who they are.
func TestMutualTLS(t *testing.T) {
	g := newGuardedWorld(t)
	bare, mixed := *g.before.files("envoy"), *g.after.files("envoy")
	bare.CertFile, bare.KeyFile = "", ""
	mixed.CAFile = g.before.files("envoy").CAFile
	for _, test := range []struct {
		name  string
		files *demo.TLSFiles
		want  int
	}{
		{"Envoy with its certificate", g.before.files("envoy"), http.StatusOK},
		{"Envoy with no certificate", &bare, http.StatusForbidden},
		{"Envoy with a certificate of another authority", &mixed, http.StatusForbidden},
		{"Envoy that trusts another authority", g.after.files("envoy"), http.StatusForbidden},
		{"Envoy without TLS", nil, http.StatusForbidden},
	} {
		t.Run(test.name, func(t *testing.T) {
			if status := g.through(t, test.files)(); status != test.want {
				t.Errorf("status %d, want %d", status, test.want)
			}
		})
	}
}

// TestTLSFilesAreFollowed gives Sallyport new files while it runs: new connections use them, and those that are open
// stay.
func TestTLSFilesAreFollowed(t *testing.T) {
	g := newGuardedWorld(t)
	steady := g.through(t, g.before.files("envoy"))
	if status := steady(); status != http.StatusOK {
		t.Fatalf("status %d before", status)
	}
	g.mount(t, g.after)
	address := g.sallyport.GRPCAddress()
	eventually(t, "the new certificate is served", func() bool { return serves(address, g.after, g.after) == nil })
	if err := serves(address, g.before, g.before); err == nil {
		t.Error("the certificate of before is served still")
	}
	if err := serves(address, g.after, g.before); err == nil {
		t.Error("a client of the authority of before is let in still")
	}
	if status := steady(); status != http.StatusOK {
		t.Errorf("status %d over the connection that was open", status)
	}
	if status := g.through(t, g.after.files("envoy"))(); status != http.StatusOK {
		t.Errorf("status %d for an Envoy with the new files", status)
	}
}

// serves is nil if a client with a certificate of one authority finds a server with one of the other healthy.
func serves(address string, server, client *authority) error {
	pair, err := tls.LoadX509KeyPair(client.files("envoy").CertFile, client.files("envoy").KeyFile)
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		RootCAs: server.pool, Certificates: []tls.Certificate{pair}, ServerName: "sallyport.test",
	})))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err = healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
	return err
}

// TestUnixSocket has Envoy ask over a Unix socket, which a Sallyport that was killed has left behind once.
func TestUnixSocket(t *testing.T) {
	folder, err := os.MkdirTemp("", "sallyport-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	w := newWorld(t, []string{"reasons.yaml"})
	start := func() *demo.Sallyport {
		return startSallyport(t, demo.SallyportConfig{From: []string{w.folder}, GRPCAddress: "unix://" + filepath.Join(folder, "s")})
	}
	s := start()
	e := w.edge(t, demo.EnvoyConfig{Authz: demo.AuthzConfig{Address: s.GRPCAddress()}})
	request := call{host: "shop.test", target: "/any", token: w.token(t, nil)}
	if a := do(t, e.Address(), request); a.reason() != "Allowed" {
		t.Errorf("status %d, reason %s", a.status, a.reason())
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if a := do(t, e.Address(), request); a.status != http.StatusForbidden {
		t.Errorf("status %d without Sallyport", a.status)
	}
	start()
	eventually(t, "Envoy has found the new Sallyport", func() bool { return do(t, e.Address(), request).reason() == "Allowed" })
}
