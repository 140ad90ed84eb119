package docs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// envoyConfigs are the configurations that users copy.
var envoyConfigs = []string{"envoy-gateway.yaml", "envoy-sidecar.yaml", "envoy-oauth2.yaml", "tutorial/envoy.yaml"}

// tlsFolder is where configurations have their certificates, and secretFolder their secrets.
const (
	tlsFolder    = "/etc/envoy/tls"
	secretFolder = "/etc/envoy/oauth2"
)

// envoyBinary is the Envoy that make test names.
func envoyBinary(t *testing.T) string {
	t.Helper()
	envoy := os.Getenv("SALLYPORT_ENVOY")
	if envoy == "" {
		t.Skip("SALLYPORT_ENVOY names no Envoy; make test does")
	}
	return envoy
}

func readExample(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestEnvoyTakesTheConfigurations(t *testing.T) {
	envoy := envoyBinary(t)
	for _, name := range envoyConfigs {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			config := strings.NewReplacer(tlsFolder, dir, secretFolder, dir).Replace(readExample(t, name))
			if config != readExample(t, name) {
				writeCertificate(t, dir)
			}
			file := filepath.Join(dir, "envoy.yaml")
			if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), envoy, "--mode", "validate", "--log-level", "warning", "--config-path", file).CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if strings.Contains(string(out), "Deprecated") {
				t.Errorf("uses something deprecated:\n%s", out)
			}
		})
	}
}

// writeCertificate writes a certificate that is its own authority, with its key.
func writeCertificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{"workload"},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"ca.crt": {Type: "CERTIFICATE", Bytes: cert}, "tls.crt": {Type: "CERTIFICATE", Bytes: cert},
		"tls.key": {Type: "PRIVATE KEY", Bytes: private}, "client-secret": {Type: "SECRET"}, "cookie-key": {Type: "SECRET"},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSettingsOfThePageAreInTheExamples looks for each setting that the page explains in one of the configurations, and
// for a comment on its line there.
func TestSettingsOfThePageAreInTheExamples(t *testing.T) {
	var rows [][]string
	for _, table := range []string{"setting of ext_authz", "setting of the HTTP connection manager"} {
		rows = append(rows, rowsUnder(t, "docs/envoy.md", table)...)
	}
	lines := strings.Split(readExample(t, "envoy-gateway.yaml")+readExample(t, "envoy-sidecar.yaml"), "\n")
	for _, row := range rows {
		setting, _, _ := strings.Cut(strings.TrimPrefix(row[0], "`"), "`")
		found, explained := false, false
		for _, line := range lines {
			if strings.Contains(line, setting+":") {
				found = true
				explained = explained || strings.Contains(line, "# ")
			}
		}
		if !found {
			t.Errorf("%s is in neither example", setting)
		}
		if !explained && setting != "transport_api_version" {
			t.Errorf("%s has no comment in the examples", setting)
		}
	}
}
