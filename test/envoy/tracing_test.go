package envoy

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"sigs.k8s.io/yaml"

	"github.com/sallyport/sallyport/cmd/demo"
)

// checkSpan is what Envoy calls the span of its question to Sallyport.
const checkSpan = "async envoy.service.auth.v3.Authorization.Check egress"

// collector keeps the spans that Envoy and Sallyport send it.
type collector struct {
	collectorv1.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans []span
}

// span is one with the name of the service that it is of.
type span struct {
	service string
	*tracev1.Span
}

// Export implements the collector's service.
func (c *collector) Export(_ context.Context, in *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, from := range in.ResourceSpans {
		var service string
		for _, a := range from.Resource.Attributes {
			if a.Key == "service.name" {
				service = a.Value.GetStringValue()
			}
		}
		for _, scope := range from.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, span{service, s})
			}
		}
	}
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

// find returns the spans of a service with this name.
func (c *collector) find(service, name string) (found []span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.service == service && s.Name == name {
			found = append(found, s)
		}
	}
	return found
}

func startCollector(t *testing.T) (c *collector, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c = &collector{}
	server := grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(server, c)
	go func() { _ = server.Serve(listener) }() // nil once it is stopped
	t.Cleanup(server.Stop)
	return c, listener.Addr().String()
}

// tracerOfThePage are the settings that docs/envoy.md has for traces: of the HTTP connection manager, and clusters.
func tracerOfThePage(t *testing.T) (manager map[string]any, clusters []any) {
	t.Helper()
	page, err := os.ReadFile("../../docs/envoy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Traces\n")
	_, block, _ := strings.Cut(section, "```yaml envoy\n")
	block, _, _ = strings.Cut(block, "```")
	first, second, _ := strings.Cut(block, "# in clusters\n")
	if err := errors.Join(yaml.Unmarshal([]byte(first), &manager), yaml.Unmarshal([]byte(second), &clusters)); err != nil || len(clusters) != 1 {
		t.Fatalf("%d clusters, %v in:\n%s", len(clusters), err, block)
	}
	return manager, clusters
}

// startTracer runs an Envoy with the tracer of the page, which sends each span to collector at once. percent are sampled of
// what no client decides.
func startTracer(t *testing.T, config demo.EnvoyConfig, collector string, percent int) *editedEnvoy {
	t.Helper()
	manager, clusters := tracerOfThePage(t)
	visit(manager, func(node map[string]any) {
		if node["random_sampling"] != nil {
			node["random_sampling"] = map[string]any{"value": percent}
		}
	})
	visit(clusters, func(node map[string]any) {
		if node["socket_address"] != nil {
			maps.Copy(node, socket(collector))
		}
	})
	return startEditedEnvoy(t, config, func(node map[string]any) {
		if node["stat_prefix"] == "edge" {
			maps.Copy(node, manager)
		}
		if there, ok := node["clusters"].([]any); ok {
			node["clusters"] = append(there, clusters...)
		}
		if node["static_resources"] != nil {
			node["layered_runtime"] = map[string]any{"layers": []any{map[string]any{
				"name": "test", "static_layer": map[string]any{"tracing.opentelemetry.min_flush_spans": 1},
			}}}
		}
	})
}

// Names of Sallyport's spans.
const (
	checkName = "envoy.service.auth.v3.Authorization/Check"
	waitName  = "wait for keys"
)

// TestTracing follows requests through Envoys with a tracer. Where Envoy samples, the span of the Check is the child of that
// of Envoy's question, and what the Check waited for the child of that; where it does not, there is none.
func TestTracing(t *testing.T) {
	seen, at := startCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+at)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	w := newWorld(t, []string{"reasons.yaml"}, "--tracing")
	sendTraced(t, w, at)
	eventually(t, "the spans are there", func() bool {
		return len(seen.find("edge", checkSpan)) > 0 && len(seen.find("sallyport", checkName)) > 0 && len(seen.find("sallyport", waitName)) > 0
	})
	asks, checks, waits := seen.find("edge", checkSpan), seen.find("sallyport", checkName), seen.find("sallyport", waitName)
	if len(asks) != 1 || len(checks) != 1 || len(waits) != 1 {
		t.Fatalf("Envoy has %v, Sallyport %v and %v", asks, checks, waits)
	}
	check := checks[0]
	isChild(t, check, asks[0])
	isChild(t, waits[0], check)
	about := map[string]string{}
	for _, a := range check.Attributes {
		about[a.Key] = a.Value.GetStringValue()
	}
	if about["sallyport.reason"] != "UnknownKey" || about["sallyport.policy"] != "shop/shop" ||
		check.Kind != tracev1.Span_SPAN_KIND_SERVER || check.Status.GetCode() == tracev1.Status_STATUS_CODE_ERROR {
		t.Errorf("the span says %v: %v", about, check)
	}
}

// sendTraced sends requests of which Envoy samples the last one alone, which waits for keys that do not come.
func sendTraced(t *testing.T, w *world, collector string) {
	t.Helper()
	config := demo.EnvoyConfig{Upstream: w.upstream.Address(), ShowDecision: true, Authz: demo.AuthzConfig{
		Address: w.sallyport.GRPCAddress(), Timeout: authzTimeout,
	}}
	always, never := startTracer(t, config, collector, 100).address, startTracer(t, config, collector, 0).address
	without := w.edge(t, demo.EnvoyConfig{}).Address()
	sampled := []string{"traceparent: 00-11111111111111111111111111111111-2222222222222222-01"}
	unsampled := []string{"traceparent: 00-11111111111111111111111111111111-2222222222222222-00"}
	good := w.token(t, nil)
	for _, tt := range []struct {
		name, address string
		header        []string
	}{
		{"Envoy samples nothing", never, nil},
		{"a client cannot have more sampled", never, sampled},
		{"a client can have less sampled", always, unsampled},
		{"what a client says to an Envoy without a tracer", without, sampled},
	} {
		if a := do(t, tt.address, call{host: "shop.test", target: "/any", token: good, header: tt.header}); a.reason() != "Allowed" {
			t.Fatalf("%s: status %d, reason %s", tt.name, a.status, a.reason())
		}
	}
	w.issuer.SetFault(demo.Fault{Hang: true})
	stranger := w.token(t, nil, demo.WithHeader("kid", "nobody"))
	if a := do(t, always, call{host: "shop.test", target: "/any", token: stranger}); a.reason() != "UnknownKey" {
		t.Fatalf("status %d, reason %s", a.status, a.reason())
	}
}

// isChild: of the same trace, with parent as its parent, and within it.
func isChild(t *testing.T, s, parent span) {
	t.Helper()
	if !bytes.Equal(s.TraceId, parent.TraceId) || !bytes.Equal(s.ParentSpanId, parent.SpanId) {
		t.Errorf("%v is no child of %v", s, parent)
	}
	if s.StartTimeUnixNano < parent.StartTimeUnixNano || s.EndTimeUnixNano > parent.EndTimeUnixNano {
		t.Errorf("%v does not lie within %v", s, parent)
	}
}
