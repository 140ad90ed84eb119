package paths

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/sallyport/sallyport/cmd/demo"
)

// object is one in Envoy's configuration.
type object = map[string]any

// listener is one way in which an Envoy asks.
type listener struct {
	name  string
	paths demo.PathConfig
	raw   bool // encode_raw_headers
}

// modes are what an Envoy may do to a path before it asks.
var modes = []listener{
	{name: "none"},
	{name: "normalize", paths: demo.PathConfig{Normalize: true}},
	{name: "merge", paths: demo.PathConfig{Normalize: true, MergeSlashes: true}},
	{name: "unescape", paths: demo.PathConfig{Normalize: true, MergeSlashes: true, EscapedSlashes: "UNESCAPE_AND_FORWARD"}},
}

// judgedHeader is the response header with the path as Sallyport has read it.
const judgedHeader = "x-judged"

// startEnvoy runs one Envoy with these listeners in front of these applications, each of which has the hosts that begin
// with its name. It returns the address of each listener.
func startEnvoy(t *testing.T, authz string, listeners []listener, applications map[string]string, zones []string) map[string]string {
	t.Helper()
	bin := envoyBinary(t)
	dir := t.TempDir()
	config, adminFile := filepath.Join(dir, "envoy.json"), filepath.Join(dir, "admin-address")
	write(t, config, bootstrap(t, authz, listeners, applications, zones))
	p := start(t, "Envoy", exec.Command(bin, "--config-path", config, "--admin-address-path", adminFile,
		"--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"))
	var addresses map[string]string
	p.await(t, func() error {
		admin, err := os.ReadFile(adminFile)
		if err != nil {
			return err
		}
		addresses, err = listenerAddresses("http://"+string(admin), len(listeners))
		return err
	})
	return addresses
}

// envoyBinary is the path of Envoy; the test is skipped where there is none.
func envoyBinary(t *testing.T) string {
	t.Helper()
	bin := os.Getenv("SALLYPORT_ENVOY")
	if bin == "" {
		t.Skip("SALLYPORT_ENVOY names no binary; make test does")
	}
	return bin
}

// bootstrap is the configuration of the demo for each listener, put together.
func bootstrap(t *testing.T, authz string, listeners []listener, applications map[string]string, zones []string) string {
	t.Helper()
	var whole object
	var edges []any
	for _, l := range listeners {
		text, err := demo.EnvoyConfig{
			Upstream: "127.0.0.1:9", Paths: l.paths, ShowDecision: true,
			Authz: demo.AuthzConfig{Address: authz, Timeout: 20 * time.Second, EncodeRawHeaders: l.raw},
		}.YAML()
		if err != nil {
			t.Fatal(err)
		}
		whole = object{}
		if err := yaml.Unmarshal(text, &whole); err != nil {
			t.Fatal(err)
		}
		edge := whole["static_resources"].(object)["listeners"].([]any)[0].(object)
		edge["name"] = l.name
		route(edge, slices.Sorted(maps.Keys(applications)), zones)
		edges = append(edges, edge)
	}
	static := whole["static_resources"].(object)
	static["listeners"] = edges
	clusters := static["clusters"].([]any)
	for name, address := range applications {
		clusters = append(clusters, cluster(name, address))
	}
	static["clusters"] = clusters
	text, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// route sends name.zone.test to the application of that name.
func route(edge object, applications, zones []string) {
	chain := edge["filter_chains"].([]any)[0].(object)
	manager := chain["filters"].([]any)[0].(object)["typed_config"].(object)
	routes := manager["route_config"].(object)
	all := routes["virtual_hosts"].([]any)
	first := all[0].(object)
	for _, name := range applications {
		host := maps.Clone(first)
		var domains []string
		for _, zone := range zones {
			domains = append(domains, name+"."+zone+".test")
		}
		host["name"], host["domains"] = name, domains
		host["routes"] = []object{{"match": object{"prefix": "/"}, "route": object{"cluster": name}}}
		judged := object{"header": object{"key": judgedHeader, "value": "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:path)%"}}
		host["response_headers_to_add"] = append(slices.Clone(first["response_headers_to_add"].([]any)), judged)
		all = append(all, host)
	}
	routes["virtual_hosts"] = all
}

func cluster(name, address string) object {
	host, port, _ := net.SplitHostPort(address)
	number, _ := strconv.Atoi(port)
	socket := object{"socket_address": object{"address": host, "port_value": number}}
	endpoints := []object{{"lb_endpoints": []object{{"endpoint": object{"address": socket}}}}}
	return object{"name": name, "type": "STATIC", "load_assignment": object{"cluster_name": name, "endpoints": endpoints}}
}

// listenerAddresses asks Envoy where it listens; an error while it is not ready.
func listenerAddresses(admin string, n int) (map[string]string, error) {
	if _, err := ask(admin + "/ready"); err != nil {
		return nil, err
	}
	text, err := ask(admin + "/listeners?format=json")
	if err != nil {
		return nil, err
	}
	var all struct {
		Statuses []struct {
			Name  string `json:"name"`
			Local struct {
				Socket struct {
					Address string `json:"address"`
					Port    int    `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	addresses := map[string]string{}
	for _, l := range all.Statuses {
		if l.Local.Socket.Port != 0 {
			addresses[l.Name] = net.JoinHostPort(l.Local.Socket.Address, strconv.Itoa(l.Local.Socket.Port))
		}
	}
	if len(addresses) != n {
		return nil, errors.New("not every listener has its port yet")
	}
	return addresses, nil
}

func ask(url string) ([]byte, error) {
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}
