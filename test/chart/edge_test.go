package chart_test

import (
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sigs.k8s.io/yaml"
)

// edge is an Envoy with the configuration of examples/envoy-gateway.yaml.
type edge struct{ address, admin string }

// startEdge runs the Envoy of the example in front of an application until the test ends. Of the example only addresses
// are others, and what the section on restarts of docs/envoy.md adds is there: the pods are the endpoints at sockets.
func startEdge(t *testing.T, application string, sockets []string) *edge {
	t.Helper()
	binary := os.Getenv("SALLYPORT_ENVOY")
	if binary == "" {
		t.Skip("SALLYPORT_ENVOY names no Envoy; make test does")
	}
	e := &edge{address: freeAddress(t)}
	_, port, err := net.SplitHostPort(e.address)
	if err != nil {
		t.Fatal(err)
	}
	bootstrap := example(t, "envoy-gateway.yaml", "0.0.0.0, port_value: 10000", "127.0.0.1, port_value: "+port,
		"port_value: 8080", "port_value: "+application[strings.LastIndex(application, ":")+1:])
	makeRedundant(t, bootstrap, sockets)
	bootstrap["admin"] = map[string]any{"address": map[string]any{"socket_address": map[string]any{"address": "127.0.0.1", "port_value": 0}}}
	text, err := json.Marshal(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	file, adminFile := filepath.Join(folder, "envoy.json"), filepath.Join(folder, "admin-address")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	log := new(lockedBuffer)
	cmd := exec.Command(binary, "--config-path", file, "--admin-address-path", adminFile, "--concurrency", "2", "--disable-hot-restart", "--log-level", "warning")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // Wait says it if the process is gone
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("Envoy ends with %v\n%s", err, log)
		}
	})
	eventually(t, "Envoy is ready", func() bool {
		admin, err := os.ReadFile(adminFile)
		e.admin = string(admin)
		return err == nil && answers(t.Context(), "http://"+e.admin+"/ready")
	})
	return e
}

// example is a file of examples with texts replaced, each of which must be there.
func example(t *testing.T, name string, replace ...string) map[string]any {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(string(content), replace[i]) {
			t.Fatalf("examples/%s has no %q", name, replace[i])
		}
	}
	out := map[string]any{}
	if err := yaml.Unmarshal([]byte(strings.NewReplacer(replace...).Replace(string(content))), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// makeRedundant gives a bootstrap several Sallyports, and the settings that docs/envoy.md has for that.
func makeRedundant(t *testing.T, bootstrap map[string]any, sockets []string) {
	t.Helper()
	page, err := os.ReadFile(root + "/docs/envoy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## A restart without a refused request")
	_, block, _ := strings.Cut(section, "```yaml envoy\n")
	block, _, _ = strings.Cut(block, "```")
	settings := map[string]any{}
	if err := yaml.Unmarshal([]byte(block), &settings); err != nil || settings["grpc_service"] == nil || settings["health_checks"] == nil {
		t.Fatalf("docs/envoy.md has no settings for a restart: %v\n%s", err, block)
	}
	// No verdict of a test may depend on how busy the machine is.
	visit(settings, func(node map[string]any) {
		if node["timeout"] != nil {
			node["timeout"] = "10s"
		}
	})
	var endpoints []any
	for _, socket := range sockets {
		endpoints = append(endpoints, map[string]any{"endpoint": map[string]any{"address": map[string]any{"pipe": map[string]any{"path": socket}}}})
	}
	ask := settings["grpc_service"]
	delete(settings, "grpc_service")
	settings["load_assignment"] = map[string]any{"cluster_name": "sallyport", "endpoints": []any{map[string]any{"lb_endpoints": endpoints}}}
	visit(bootstrap, func(node map[string]any) {
		switch {
		case node["grpc_service"] != nil:
			node["grpc_service"] = ask
		case node["name"] == "sallyport":
			maps.Copy(node, settings)
		}
	})
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

// healthy tells whether Envoy takes n of the pods to be well.
func (e *edge) healthy(t *testing.T, n string) bool {
	t.Helper()
	resp, err := http.Get("http://" + e.admin + "/stats?filter=^cluster.sallyport.membership_healthy$")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return err == nil && strings.TrimSpace(string(text)) == "cluster.sallyport.membership_healthy: "+n
}
