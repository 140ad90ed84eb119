package demo

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// EnvoyConfig is what an Envoy in front of an application is told. Only Upstream and Authz.Address are required; every
// other zero value is Envoy's own default, and what it does not name, such as the listener's host, is loopback.
type EnvoyConfig struct {
	Bin         string // path of the binary
	Port        int    // of the listener; 0: one that is free
	Concurrency int    // worker threads; 0: 1
	Upstream    string // host:port of an application that speaks HTTP/1.1, and HTTP/2 without TLS for gRPC
	Authz       AuthzConfig
	Paths       PathConfig

	// HeadersWithUnderscores is ALLOW (Envoy's default), REJECT_REQUEST or DROP_HEADER.
	HeadersWithUnderscores string
	// UseRemoteAddress and TrustedHops say whose address Envoy reports: use_remote_address, xff_num_trusted_hops.
	UseRemoteAddress bool
	TrustedHops      int
	// TLS makes the listener speak TLS; with CAFile, clients need a certificate of that authority.
	TLS *TLSFiles
	// ShowDecision adds the DecisionHeaders to every response.
	ShowDecision bool
}

// AuthzConfig is how Envoy asks Sallyport.
type AuthzConfig struct {
	Address    string    // host:port, or unix:///path
	TLS        *TLSFiles // nil: no TLS. With CertFile, Envoy shows that certificate
	ServerName string    // SNI, and no more: Envoy checks the chain only

	Timeout                time.Duration // 0: Envoy's own, 200 ms
	FailureModeAllow       bool
	EncodeRawHeaders       bool
	IncludePeerCertificate bool
	AllowedHeaders         []string          // the only headers that Sallyport sees; nil: all
	ContextExtensions      map[string]string // such as sallyport-scope
	InitialMetadata        map[string]string // the same, as gRPC metadata
}

// PathConfig is what Envoy does to a path before it asks.
type PathConfig struct {
	Normalize, MergeSlashes bool
	// EscapedSlashes is KEEP_UNCHANGED, REJECT_REQUEST, UNESCAPE_AND_REDIRECT or UNESCAPE_AND_FORWARD; "": the default.
	EscapedSlashes string
}

// TLSFiles are paths of PEM files; each may be "".
type TLSFiles struct{ CertFile, KeyFile, CAFile string }

// DecisionHeaders returns the response headers that show a decision, each with the key of the dynamic metadata that it
// shows, or its path of keys with ":" between them. Envoy leaves out those that are not there.
func DecisionHeaders() map[string]string {
	return map[string]string{
		"x-demo-decision": "decision", "x-demo-reason": "reason", "x-demo-policy": "policy", "x-demo-rule": "rule",
		"x-demo-decision-id": "decisionID", "x-demo-dry-run-decision": "dryRun:decision",
		"x-demo-dry-run-reason": "dryRun:reason", "x-demo-dry-run-policy": "dryRun:policy",
	}
}

//go:embed envoy.yaml.tmpl
var envoyTemplate string

// YAML returns the bootstrap configuration.
func (c EnvoyConfig) YAML() ([]byte, error) {
	parsed, err := template.New("envoy").Funcs(template.FuncMap{
		"json": asJSON, "assignment": assignment, "decisionHeaders": DecisionHeaders,
		"seconds": func(d time.Duration) string { return fmt.Sprintf("%.3fs", d.Seconds()) },
	}).Parse(envoyTemplate)
	if err != nil {
		return nil, fmt.Errorf("reading Envoy's template: %w", err)
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, c); err != nil {
		return nil, fmt.Errorf("writing Envoy's configuration: %w", err)
	}
	return out.Bytes(), nil
}

// asJSON quotes v, which makes it YAML as well.
func asJSON(v any) (string, error) {
	out, err := json.Marshal(v)
	return string(out), err
}

// assignment is the load_assignment of a cluster with one endpoint.
func assignment(cluster, address string) (string, error) {
	type object = map[string]any
	var endpoint object
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		endpoint = object{"pipe": object{"path": path}}
	} else {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return "", err
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return "", fmt.Errorf("port of %q: %w", address, err)
		}
		endpoint = object{"socket_address": object{"address": host, "port_value": number}}
	}
	return asJSON(object{"cluster_name": cluster, "endpoints": []object{{
		"lb_endpoints": []object{{"endpoint": object{"address": endpoint}}},
	}}})
}
