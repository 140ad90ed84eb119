package envoy

import (
	"context"
	"encoding/hex"
	"net"
	"sync"
	"testing"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

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

func (s span) trace() string { return hex.EncodeToString(s.TraceId) }

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

// traceTo has Envoy trace every request that no client says something else of, and send each span at once.
func traceTo(node map[string]any, collector string) {
	if node["stat_prefix"] == "edge" {
		node["tracing"] = map[string]any{"provider": map[string]any{
			"name": "envoy.tracers.opentelemetry",
			"typed_config": map[string]any{
				"@type":        "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
				"grpc_service": map[string]any{"envoy_grpc": map[string]any{"cluster_name": "collector"}, "timeout": "5s"},
				"service_name": "envoy",
			},
		}}
	}
	if clusters, ok := node["clusters"].([]any); ok {
		node["clusters"] = append(clusters, map[string]any{
			"name": "collector", "type": "STATIC",
			"load_assignment": map[string]any{"cluster_name": "collector", "endpoints": []any{
				map[string]any{"lb_endpoints": []any{map[string]any{"endpoint": map[string]any{"address": socket(collector)}}}},
			}},
			"typed_extension_protocol_options": map[string]any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": map[string]any{
				"@type":                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
				"explicit_http_config": map[string]any{"http2_protocol_options": map[string]any{}},
			}},
		})
	}
	if node["static_resources"] != nil {
		node["layered_runtime"] = map[string]any{"layers": []any{map[string]any{
			"name": "test", "static_layer": map[string]any{"tracing.opentelemetry.min_flush_spans": 1},
		}}}
	}
}

// TestTracing follows requests through Envoy with a tracer of its own: where Envoy samples, the span of a Check is the
// child of Envoy's question and of its trace, and what the Check waited for is the child of that; where it does not, there is
// none. What the client says in headers that only Sallyport reads, which are those of the request, makes none either.
func TestTracing(t *testing.T) {
	seen, at := startCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+at)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	w := newWorld(t, []string{"reasons.yaml"}, "--tracing")
	config := demo.EnvoyConfig{Upstream: w.upstream.Address(), ShowDecision: true, Authz: demo.AuthzConfig{
		Address: w.sallyport.GRPCAddress(), Timeout: authzTimeout,
	}}
	traced := startEditedEnvoy(t, config, func(node map[string]any) { traceTo(node, at) })
	untraced := w.edge(t, demo.EnvoyConfig{})

	const unsampled, sampled = "11111111111111111111111111111111", "22222222222222222222222222222222"
	parent := func(trace, flags string) []string {
		return []string{"traceparent: 00-" + trace + "-3333333333333333-" + flags}
	}
	get := func(address string, c call, want string) {
		t.Helper()
		c.host, c.target = "shop.test", "/any"
		if a := do(t, address, c); a.reason() != want {
			t.Fatalf("status %d, reason %s, want %s", a.status, a.reason(), want)
		}
	}
	good := w.token(t, nil)
	get(untraced.Address(), call{token: good, header: parent(sampled, "01")}, "Allowed")
	get(traced.address, call{token: good, header: parent(unsampled, "00")}, "Allowed")
	w.issuer.SetFault(demo.Fault{Hang: true})
	get(traced.address, call{token: w.token(t, nil, demo.WithHeader("kid", "nobody"))}, "UnknownKey")

	const check, wait = "envoy.service.auth.v3.Authorization/Check", "wait for keys"
	eventually(t, "the spans are there", func() bool {
		return len(seen.find("envoy", checkSpan)) > 0 && len(seen.find("sallyport", check)) > 0 && len(seen.find("sallyport", wait)) > 0
	})
	asks, checks, waits := seen.find("envoy", checkSpan), seen.find("sallyport", check), seen.find("sallyport", wait)
	if len(asks) != 1 || len(checks) != 1 || len(waits) != 1 {
		t.Fatalf("Envoy has %v, Sallyport %v and %v", asks, checks, waits)
	}
	ask, mine, waited := asks[0], checks[0], waits[0]
	if mine.trace() != ask.trace() || string(mine.ParentSpanId) != string(ask.SpanId) {
		t.Errorf("%v is no child of %v", mine, ask)
	}
	if waited.trace() != ask.trace() || string(waited.ParentSpanId) != string(mine.SpanId) {
		t.Errorf("%v is no child of %v", waited, mine)
	}
	if mine.Kind != tracev1.Span_SPAN_KIND_SERVER || mine.StartTimeUnixNano < ask.StartTimeUnixNano || mine.EndTimeUnixNano > ask.EndTimeUnixNano {
		t.Errorf("%v does not lie within %v", mine, ask)
	}
	about := map[string]string{}
	for _, a := range mine.Attributes {
		about[a.Key] = a.Value.GetStringValue()
	}
	if about["sallyport.reason"] != "UnknownKey" || about["sallyport.policy"] != "shop/shop" || mine.Status.GetCode() == tracev1.Status_STATUS_CODE_ERROR {
		t.Errorf("the span says %v, status %v", about, mine.Status)
	}
	if n := w.upstream.Requests(); n != 2 {
		t.Errorf("%d requests reached the application, want the 2 that were allowed", n)
	}
}
