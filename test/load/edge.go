package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	texttemplate "text/template"
)

//go:embed edge.yaml.tmpl
var edgeTemplate string

// startEnvoy runs an Envoy with a listener for each way, and returns their addresses in that order.
func (b *bench) startEnvoy(ctx context.Context, name string, ways []wayFilters, more string) (*server, []string, error) {
	s, err := start(ctx, "Envoy", b.serverCPUs, how{}, func(s *server) ([]string, error) {
		s.admin, s.readyPath = s.address, "/ready"
		file := filepath.Join(b.dir, name+".yaml")
		return []string{b.envoy, "--config-path", file, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"},
			writeEdge(file, s.admin, b.minter.jwks(), ways, more)
	})
	if err != nil {
		return nil, nil, err
	}
	addresses, err := listeners(ctx, s, len(ways))
	if err != nil {
		return nil, nil, errors.Join(err, s.stop())
	}
	return s, addresses, nil
}

// writeEdge writes Envoy's configuration.
func writeEdge(file, admin, keySet string, ways []wayFilters, more string) error {
	parsed, err := texttemplate.New("edge").Funcs(texttemplate.FuncMap{
		"json":    func(v any) (string, error) { out, err := json.Marshal(v); return string(out), err },
		"claim":   func(name, value string) any { return struct{ Name, Value string }{name, value} },
		"address": envoyAddress, "target": func(address string) string { return strings.Replace(address, unixScheme, "unix:", 1) },
	}).Parse(edgeTemplate)
	if err != nil {
		return fmt.Errorf("reading the template of Envoy's configuration: %w", err)
	}
	_, adminPort, err := net.SplitHostPort(admin)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	err = parsed.Execute(&text, map[string]any{
		"AdminPort": adminPort, "Ways": ways, "Issuer": issuer, "Audience": audience, "KeySet": keySet, "More": more,
	})
	if err != nil {
		return fmt.Errorf("writing Envoy's configuration: %w", err)
	}
	return os.WriteFile(file, text.Bytes(), 0o600)
}

// envoyAddress is address, host:port or unix:///path, as Envoy's configuration has it.
func envoyAddress(address string) (string, error) {
	if path, ok := strings.CutPrefix(address, unixScheme); ok {
		return fmt.Sprintf("{pipe: {path: %q}}", path), nil
	}
	host, port, err := net.SplitHostPort(address)
	return fmt.Sprintf("{socket_address: {address: %s, port_value: %s}}", host, port), err
}

// listeners asks Envoy where its n listeners are.
func listeners(ctx context.Context, s *server, n int) ([]string, error) {
	text, err := s.get(ctx, "/listeners?format=json")
	if err != nil {
		return nil, fmt.Errorf("asking Envoy for its listeners: %w", err)
	}
	var told struct {
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
	if err := json.Unmarshal([]byte(text), &told); err != nil {
		return nil, fmt.Errorf("reading Envoy's listeners: %w", err)
	}
	byName := map[string]string{}
	for _, l := range told.Statuses {
		byName[l.Name] = net.JoinHostPort(l.Local.Socket.Address, fmt.Sprint(l.Local.Socket.Port))
	}
	addresses := make([]string, n)
	for i := range addresses {
		if addresses[i] = byName[fmt.Sprintf("way-%d", i)]; addresses[i] == "" {
			return nil, fmt.Errorf("listener way-%d is not open: %s", i, s.log)
		}
	}
	return addresses, nil
}
