package extauthz

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// authority is a CA of the tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

// issue makes a certificate for loopback, good for servers and clients, and its key, both in PEM.
func (a *authority) issue(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, k.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func tlsFiles(t *testing.T) TLSFiles {
	dir := t.TempDir()
	return TLSFiles{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), ClientCA: filepath.Join(dir, "ca.crt")}
}

func TestTLS(t *testing.T) {
	servers, clients, others := newAuthority(t, "servers"), newAuthority(t, "clients"), newAuthority(t, "others")
	files := tlsFiles(t)
	install := func(serial int64) {
		cert, key := servers.issue(t, serial)
		writeFile(t, files.Cert, cert)
		writeFile(t, files.Key, key)
	}
	install(10)
	writeFile(t, files.ClientCA, clients.pem())
	served, err := NewTLS(files, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *Config) { c.TLS = served.Config() })
	lis, err := Listen("127.0.0.1:0", 0)
	if err != nil {
		t.Fatal(err)
	}
	w.serveOn(t, lis)

	// ask connects anew and returns the serial number of the server's certificate, 0 where the server hung up.
	connect := func(client *authority, change func(*tls.Config)) int64 {
		cfg := &tls.Config{RootCAs: servers.pool(), NextProtos: []string{"h2"}}
		if client != nil {
			pair, err := tls.X509KeyPair(client.issue(t, 99))
			if err != nil {
				t.Fatal(err)
			}
			cfg.Certificates = []tls.Certificate{pair}
		}
		if change != nil {
			change(cfg)
		}
		var mu sync.Mutex
		serial := int64(0)
		cfg.VerifyConnection = func(s tls.ConnectionState) error {
			mu.Lock()
			defer mu.Unlock()
			serial = s.PeerCertificates[0].SerialNumber.Int64()
			return nil
		}
		conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), ask("GET", "https://orders.example.com/healthz")); err != nil {
			return 0
		}
		mu.Lock()
		defer mu.Unlock()
		return serial
	}
	expect := func(what string, got, want int64) {
		t.Helper()
		if got != want {
			t.Errorf("%s: certificate %d, want %d", what, got, want)
		}
	}
	reload := func(changed, good bool) {
		t.Helper()
		if got, err := served.Reload(); got != changed || (err == nil) != good {
			t.Errorf("Reload: %v %v", got, err)
		}
	}
	expect("a client of the authority", connect(clients, nil), 10)
	expect("a client of another", connect(others, nil), 0)
	expect("a client without a certificate", connect(nil, nil), 0)
	expect("TLS 1.2", connect(clients, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), 10)
	expect("TLS 1.1", connect(clients, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 }), 0)

	reload(false, true)
	install(11)
	reload(true, true)
	expect("after the certificate changed", connect(clients, nil), 11)

	_, key := servers.issue(t, 12)
	writeFile(t, files.Key, key)
	reload(false, false)
	expect("a key that does not fit", connect(clients, nil), 11)
	install(13)
	writeFile(t, files.ClientCA, []byte("not PEM"))
	reload(false, false)
	expect("a bad client CA beside a good pair", connect(clients, nil), 11)
	writeFile(t, files.ClientCA, others.pem())
	reload(true, true)
	expect("a client of the new authority", connect(others, nil), 13)
	expect("a client of the old one", connect(clients, nil), 0)
	if err := os.Remove(files.Cert); err != nil {
		t.Fatal(err)
	}
	reload(false, false)
	expect("a file that is gone", connect(others, nil), 13)
}

// TestTLSSpeaksHTTP2Only: a client that does not ask for HTTP/2 gets no byte of it.
func TestTLSSpeaksHTTP2Only(t *testing.T) {
	servers := newAuthority(t, "servers")
	files := tlsFiles(t)
	files.ClientCA = ""
	cert, key := servers.issue(t, 1)
	writeFile(t, files.Cert, cert)
	writeFile(t, files.Key, key)
	served, err := NewTLS(files, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *Config) { c.TLS = served.Config() })
	lis, err := Listen("127.0.0.1:0", 0)
	if err != nil {
		t.Fatal(err)
	}
	w.serveOn(t, lis)
	for _, tt := range []struct {
		name   string
		protos []string
		want   bool
	}{{"HTTP/2", []string{"h2"}, true}, {"HTTP/1.1", []string{"http/1.1"}, false}, {"nothing", nil, false}} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", lis.Addr().String(), &tls.Config{RootCAs: servers.pool(), NextProtos: tt.protos})
			if err != nil {
				if tt.want {
					t.Error(err)
				}
				return
			}
			defer conn.Close()
			n, err := conn.Read(make([]byte, 1)) // the server speaks first: SETTINGS
			if (n > 0) != tt.want {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
}

func TestNewTLSRefuses(t *testing.T) {
	ca := newAuthority(t, "a")
	cert, key := ca.issue(t, 1)
	otherCert, _ := ca.issue(t, 2)
	for _, tt := range []struct {
		name                string
		cert, key, clientCA []byte
	}{
		{"another's key", otherCert, key, ca.pem()},
		{"an empty certificate", nil, key, ca.pem()},
		{"an empty client CA", cert, key, nil},
		{"a key among the client CAs", cert, key, append(ca.pem(), key...)},
		{"half a client CA", cert, key, append(ca.pem(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw[:100]})...)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := tlsFiles(t)
			writeFile(t, files.Cert, tt.cert)
			writeFile(t, files.Key, tt.key)
			writeFile(t, files.ClientCA, tt.clientCA)
			if _, err := NewTLS(files, logr.Discard()); err == nil {
				t.Error("no error")
			}
		})
	}
	if _, err := NewTLS(TLSFiles{Cert: "a"}, logr.Discard()); err == nil {
		t.Error("a certificate without a key is taken")
	}
}

func TestTLSRunFollowsTheFiles(t *testing.T) {
	ca := newAuthority(t, "a")
	files := tlsFiles(t)
	files.ClientCA = ""
	install := func(serial int64) {
		cert, key := ca.issue(t, serial)
		writeFile(t, files.Cert, cert)
		writeFile(t, files.Key, key)
	}
	install(1)
	var mu sync.Mutex
	var lines []string
	served, err := NewTLS(files, funcr.New(func(_, args string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, args)
	}, funcr.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	logged := func(part string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return strings.Contains(strings.Join(lines, "\n"), part)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		served.Run(ctx, time.Millisecond)
		close(ended)
	}()
	writeFile(t, files.Cert, []byte("x"))
	until(t, "the fault is told", logged("cannot be used"))
	install(2)
	until(t, "the change is told", logged("have changed"))
	cancel()
	<-ended
	if got := served.current.Load().Certificates[0].Leaf.SerialNumber.Int64(); got != 2 {
		t.Errorf("certificate %d is in force", got)
	}
}
