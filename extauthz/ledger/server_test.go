package ledger

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// server is a real Redis, from Debian's package.
type server struct {
	t    *testing.T
	args []string
	cmd  *exec.Cmd
}

// startServer starts one with this configuration, on a Unix socket and on address where that is not empty.
func startServer(t *testing.T, dir string, config ...string) *server {
	t.Helper()
	root := os.Getenv("SALLYPORT_SERVERS")
	program := filepath.Join(root, "usr/bin/redis-server")
	if _, err := os.Stat(program); root == "" || err != nil {
		t.Skip("SALLYPORT_SERVERS has no usr/bin/redis-server: make redis unpacks it")
	}
	file := filepath.Join(dir, "redis.conf")
	lines := append([]string{"save \"\"", "appendonly no", "daemonize no", "dir " + dir}, config...)
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, args: []string{program, file}}
	s.start()
	t.Cleanup(s.kill)
	return s
}

// start runs the program; it listens a little later.
func (s *server) start() {
	s.t.Helper()
	root := os.Getenv("SALLYPORT_SERVERS")
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	libs, _ := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu"))
	s.cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libs, ":"))
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill() // it may be gone
		_ = s.cmd.Wait()         // says that it was killed
		s.cmd = nil
	}
}

// freePort is one that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	_, port, err := net.SplitHostPort(lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// certificate writes a certificate for 127.0.0.1 that has signed itself, and its key.
func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "store"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
