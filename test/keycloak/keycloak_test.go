package keycloak

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// startWithin bounds the start of Keycloak, and patience every wait for something that is bound to happen.
	startWithin = 4 * time.Minute
	patience    = 90 * time.Second
	stopWithin  = 20 * time.Second
	adminName   = "admin" // of the database that .ci/keycloak makes
)

// server is a running Keycloak.
type server struct {
	url    string // https://127.0.0.1:port
	ca     []byte // PEM of who vouches for everything that speaks TLS here
	folder string
	client *http.Client
	cmd    *exec.Cmd
	log    output
	done   chan struct{}
	keys   int          // that tests have added
	logout net.Listener // to which Keycloak posts logout tokens; hangs up, until the test of them takes its address
}

var (
	startOnce sync.Once
	running   *server
	startErr  error
)

func TestMain(m *testing.M) {
	code := m.Run()
	if running != nil {
		if err := running.stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// keycloak is the one that all tests share; the first one to ask starts it.
func keycloak(t *testing.T) *server {
	t.Helper()
	for _, name := range []string{"SALLYPORT_ENVOY", "SALLYPORT_BIN"} {
		if os.Getenv(name) == "" {
			t.Skipf("%s names no binary; make test does", name)
		}
	}
	home := os.Getenv("SALLYPORT_KEYCLOAK")
	if home == "" {
		t.Skip("SALLYPORT_KEYCLOAK names no installation of Keycloak; make test does")
	}
	if missing, err := os.ReadFile(filepath.Join(home, "missing")); err == nil {
		t.Skip(strings.TrimSpace(string(missing)))
	}
	startOnce.Do(func() { running, startErr = startKeycloak(home) })
	if startErr != nil {
		t.Fatal(startErr)
	}
	return running
}

// startKeycloak runs the installation at home, with data of its own.
func startKeycloak(home string) (*server, error) {
	folder, err := os.MkdirTemp("", "sallyport-keycloak-")
	if err != nil {
		return nil, err
	}
	s := &server{folder: folder, done: make(chan struct{})}
	if err := s.start(home); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *server) start(home string) error {
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	if err := s.hangUp(); err != nil {
		return err
	}
	if err := s.lay(home); err != nil {
		return err
	}
	s.url = "https://127.0.0.1:" + ports[0]
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.ca)
	s.client = &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	// What bin/kc.sh runs, but with a folder of data that is not the installation's.
	s.cmd = exec.Command(filepath.Join(home, "java"), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m",
		"--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
		"--add-opens=java.base/java.security=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED",
		"-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
		"-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
		"-Dkc.home.dir="+s.folder, "-Djboss.server.config.dir="+filepath.Join(s.folder, "conf"),
		"-cp", filepath.Join(s.folder, "lib/quarkus-run.jar"), "io.quarkus.bootstrap.runner.QuarkusEntryPoint",
		"start", "--optimized", "--import-realm", "--http-host=127.0.0.1", "--https-port="+ports[0], "--http-management-port="+ports[1],
		"--https-certificate-file="+filepath.Join(s.folder, "tls.crt"), "--https-certificate-key-file="+filepath.Join(s.folder, "tls.key"),
		"--truststore-paths="+filepath.Join(s.folder, "ca.crt"), "--hostname="+s.url)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("starting Keycloak: %w", err)
	}
	go func() {
		defer close(s.done)
		_ = s.cmd.Wait() // a JVM that is asked to end says 143
	}()
	return s.awaitRealm()
}

// hangUp holds a port for the test of logouts, so that nobody else takes it meanwhile, and hangs up on whoever calls.
func (s *server) hangUp() error {
	var err error
	if s.logout, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	go func() {
		for {
			conn, err := s.logout.Accept()
			if err != nil {
				return // it was closed
			}
			_ = conn.Close()
		}
	}()
	return nil
}

// lay makes the folder that Keycloak runs in: its own data beside links into the installation.
func (s *server) lay(home string) error {
	for _, name := range []string{"lib", "conf", "providers", "themes"} {
		if err := os.Symlink(filepath.Join(home, name), filepath.Join(s.folder, name)); err != nil {
			return err
		}
	}
	if err := os.CopyFS(filepath.Join(s.folder, "data"), os.DirFS(filepath.Join(home, "data"))); err != nil {
		return err
	}
	realm, err := os.ReadFile(filepath.Join(root, "examples/keycloak/realm.json"))
	if err != nil {
		return err
	}
	realm = []byte(strings.NewReplacer(
		`"access.token.lifespan": "60"`, `"access.token.lifespan": "3"`, // so that a test sees several of them
		"https://sallyport.example.com/", "https://"+s.logout.Addr().String()+"/",
	).Replace(string(realm)))
	if err := os.MkdirAll(filepath.Join(s.folder, "data/import"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.folder, "data/import/realm.json"), realm, 0o600); err != nil {
		return err
	}
	return s.certify(s.folder)
}

// awaitRealm waits until the realm is imported.
func (s *server) awaitRealm() error {
	deadline := time.NewTimer(startWithin)
	defer deadline.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := s.client.Get(s.url + "/realms/shop")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-s.done:
			return fmt.Errorf("Keycloak ended while starting; its log ends with:\n%s", s.log.last(20))
		case <-deadline.C:
			return fmt.Errorf("Keycloak has no realm after %s: %w; its log ends with:\n%s", startWithin, err, s.log.last(20))
		}
	}
}

// stop ends Keycloak, and removes its data.
func (s *server) stop() error {
	var err error
	if s.logout != nil {
		_ = s.logout.Close() // a test may have closed it
	}
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-s.done:
		case <-time.After(stopWithin):
			err = fmt.Errorf("Keycloak had not ended after %s, and was killed", stopWithin)
			_ = s.cmd.Process.Kill()
			<-s.done
		}
	}
	return errors.Join(err, os.RemoveAll(s.folder))
}

// certify makes an authority and writes a certificate of it, for 127.0.0.1 and the hosts of the tests, to folder.
func (s *server) certify(folder string) error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of the tests"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caBytes, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames: []string{"id.example.com", "www.example.com"},
	}
	leafBytes, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	s.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caBytes})
	for name, content := range map[string][]byte{
		"ca.crt":  s.ca,
		"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leafBytes}),
		"tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// freePorts are n loopback ports that were free a moment ago.
func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer lis.Close()
		_, port, err := net.SplitHostPort(lis.Addr().String())
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}

// output is what a process wrote.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends b.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) last(lines int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := strings.Split(strings.TrimSpace(o.buf.String()), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// eventually waits until ok is true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("after %s still not: %s", patience, what)
		}
	}
}
