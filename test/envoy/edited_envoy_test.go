package envoy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/sallyport/sallyport/cmd/demo"
)

// editedEnvoy is an Envoy whose bootstrap says more than demo.EnvoyConfig has words for.
type editedEnvoy struct{ address, admin string }

// startEditedEnvoy runs an Envoy until the test ends, with the bootstrap of config after edit has seen each object in it.
func startEditedEnvoy(t *testing.T, config demo.EnvoyConfig, edit func(node map[string]any)) *editedEnvoy {
	t.Helper()
	bin := binary(t, "SALLYPORT_ENVOY")
	e := &editedEnvoy{}
	folder := t.TempDir()
	adminFile := filepath.Join(folder, "admin-address")
	cmd := exec.Command(bin, "--config-path", writeBootstrap(t, folder, config, edit), "--admin-address-path", adminFile,
		"--concurrency", "2", "--disable-hot-restart", "--log-level", "warning")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // Wait says it if the process is gone
		if err := cmd.Wait(); err != nil {
			t.Errorf("Envoy ended badly: %v\n%s", err, tail(log.String(), 15))
		}
	})
	eventually(t, "Envoy is ready", func() bool {
		admin, err := os.ReadFile(adminFile)
		e.admin = string(admin)
		return err == nil && e.counter(t, "server.live") == 1
	})
	if _, e.address, _ = strings.Cut(e.ask(t, "/listeners"), "edge::"); e.address == "" {
		t.Fatal("Envoy does not say where it listens")
	}
	e.address = strings.TrimSpace(e.address)
	return e
}

func writeBootstrap(t *testing.T, folder string, config demo.EnvoyConfig, edit func(node map[string]any)) (file string) {
	t.Helper()
	text, err := config.YAML()
	if err != nil {
		t.Fatal(err)
	}
	var bootstrap map[string]any
	if err := yaml.Unmarshal(text, &bootstrap); err != nil {
		t.Fatal(err)
	}
	visit(bootstrap, edit)
	if text, err = json.Marshal(bootstrap); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(folder, "envoy.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// socket is an address as Envoy writes it.
func socket(address string) map[string]any {
	host, port, _ := net.SplitHostPort(address)
	return map[string]any{"socket_address": map[string]any{"address": host, "port_value": json.Number(port)}}
}

// visit calls see with every object below node.
func visit(node any, see func(map[string]any)) {
	switch node := node.(type) {
	case map[string]any:
		see(node)
		for _, child := range node {
			visit(child, see)
		}
	case []any:
		for _, child := range node {
			visit(child, see)
		}
	}
}

// counter is one of Envoy's numbers; -1 while it does not tell.
func (e *editedEnvoy) counter(t *testing.T, name string) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscanf(strings.TrimSpace(e.ask(t, "/stats?filter=^"+name+"$")), name+": %d", &n); err != nil {
		return -1
	}
	return n
}

// ask is what the admin interface answers; "" where it does not.
func (e *editedEnvoy) ask(t *testing.T, path string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.admin+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(resp.Body); err != nil {
		return ""
	}
	return text.String()
}
