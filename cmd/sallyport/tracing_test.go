package main

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/sallyport/sallyport/extauthz/ledger"
	"github.com/sallyport/sallyport/extauthz/token"
)

// sampledBy is a context in which a proxy has begun a trace, and samples it or not.
func sampledBy(ctx context.Context, flags trace.TraceFlags) context.Context {
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: flags, Remote: true,
	}))
}

// collector keeps what it is sent.
type collector struct {
	collectorv1.UnimplementedTraceServiceServer
	mu      sync.Mutex
	apiKeys []string
	spans   []string // service, scope and name
}

func (c *collector) Export(ctx context.Context, in *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.apiKeys = append(c.apiKeys, metadata.ValueFromIncomingContext(ctx, "api-key")...)
	for _, from := range in.ResourceSpans {
		service := ""
		for _, a := range from.Resource.Attributes {
			if a.Key == "service.name" || a.Key == "team" {
				service += a.Value.GetStringValue() + " "
			}
		}
		for _, scope := range from.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, service+scope.Scope.Name+" "+s.Name)
			}
		}
	}
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

// TestSpansReachTheCollectorOfTheEnvironment: what OpenTelemetry's variables say, and all that is left when the server ends.
func TestSpansReachTheCollectorOfTheEnvironment(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, server := &collector{}, grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(server, c)
	go func() { _ = server.Serve(listener) }() // nil once it is stopped
	t.Cleanup(server.Stop)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+listener.Addr().String())
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=k")
	t.Setenv("OTEL_SERVICE_NAME", "gate")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "team=platform")

	traced, err := newTracing(testr.New(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	for _, flags := range []trace.TraceFlags{trace.FlagsSampled, 0, trace.FlagsSampled} {
		_, span := traced.forChecks().Start(sampledBy(t.Context(), flags), "check")
		span.End()
	}
	_, root := traced.forChecks().Start(t.Context(), "of nobody")
	root.End()
	traced.close()
	span := "gate platform " + tracerName + " check"
	if diff := cmp.Diff([]string{span, span}, c.spans); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"k"}, c.apiKeys); diff != "" {
		t.Errorf("headers (-want +got)\n%s", diff)
	}
	if n := testutil.ToFloat64(traced.spans.sent); n != 2 {
		t.Errorf("%v spans are counted", n)
	}
}

func TestTracingEnvironment(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{name: "nothing"},
		{name: "a URL", env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector:4317"}},
		{name: "a target of gRPC", env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "collector:4317"}},
		{name: "an address that is no URL", env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "10.0.0.1:4317"}, want: "OTEL_EXPORTER_OTLP_ENDPOINT"},
		{name: "the same for traces", env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "10.0.0.1:4317"}, want: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"},
		{name: "gRPC", env: map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}},
		{name: "HTTP", env: map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, want: "OTEL_EXPORTER_OTLP_PROTOCOL"},
		{name: "HTTP for the rest", env: map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := checkTracingEnvironment(func(name string) string { return tt.env[name] })
			if (err != nil) != (tt.want != "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want one about %q", err, tt.want)
			}
		})
	}
}

func TestAttributesThatCannotBeReadEndTheStart(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "team")
	if _, err := newTracing(testr.New(t), prometheus.NewRegistry()); !errors.As(err, new(usageError)) {
		t.Errorf("got %v", err)
	}
}

func TestTracingIsOffByDefault(t *testing.T) {
	s := testService(t, "")
	if s.tracing != nil || s.tracing.forChecks() != nil || s.tracing.waits("keys", "sallyport.provider") != nil || s.tracing.proofs(s.store) != s.store.proofs {
		t.Error("there is tracing without --tracing")
	}
	if on := testService(t, "", "--tracing"); on.tracing.forChecks() == nil {
		t.Error("there is none with it")
	}
}

// keptTracing makes spans that the returned function ends and returns.
func keptTracing(t *testing.T) (*tracing, func() tracetest.SpanStubs) {
	t.Helper()
	kept := &keeper{}
	traced, err := newTracingTo(kept, logr.Discard(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return traced, func() tracetest.SpanStubs {
		traced.close()
		return kept.spans
	}
}

// keeper is an exporter that keeps what it is given beyond its own end.
type keeper struct{ spans tracetest.SpanStubs }

func (k *keeper) ExportSpans(_ context.Context, list []sdktrace.ReadOnlySpan) error {
	k.spans = append(k.spans, tracetest.SpanStubsFromReadOnlySpans(list)...)
	return nil
}

func (*keeper) Shutdown(context.Context) error { return nil }

// TestWaitsAreSpans: of those whose Check is traced.
func TestWaitsAreSpans(t *testing.T) {
	traced, spans := keptTracing(t)
	wait := traced.waits("introspection", "sallyport.provider")
	ctx, check := traced.forChecks().Start(sampledBy(t.Context(), trace.FlagsSampled), "check")
	wait(ctx, "shop/corp")("Active", false)
	wait(ctx, "shop/corp")("Timeout", true)
	wait(sampledBy(t.Context(), 0), "shop/corp")("Active", false)
	wait(t.Context(), "shop/corp")("Active", false)
	got := spans()
	if len(got) != 2 {
		t.Fatalf("%d spans", len(got))
	}
	for i, want := range []map[string]string{
		{"sallyport.provider": "shop/corp", "sallyport.result": "Active"},
		{"sallyport.provider": "shop/corp", "sallyport.result": "Timeout", "error.type": "Timeout"},
	} {
		s, about := got[i], map[string]string{}
		for _, a := range s.Attributes {
			about[string(a.Key)] = a.Value.String()
		}
		if diff := cmp.Diff(want, about); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if s.Name != "wait for introspection" || s.Parent.SpanID() != check.SpanContext().SpanID() || (s.Status.Code == codes.Error) != (i == 1) {
			t.Errorf("got %+v", s)
		}
	}
}

// useFunc is a ledger.Proofs.
type useFunc func() error

func (f useFunc) Use(context.Context, [32]byte, time.Time) error { return f() }

func TestWaitsForTheSharedStoreAreSpans(t *testing.T) {
	traced, spans := keptTracing(t)
	var answer error
	p := traced.proofs(&store{shared: &ledger.Shared{}, proofs: useFunc(func() error { return answer })})
	ctx, _ := traced.forChecks().Start(sampledBy(t.Context(), trace.FlagsSampled), "check")
	for _, answer = range []error{nil, token.ErrReplayed, token.ErrLedger} {
		if err := p.Use(ctx, [32]byte{}, time.Time{}); !errors.Is(err, answer) || (err == nil) != (answer == nil) {
			t.Errorf("%v has become %v", answer, err)
		}
	}
	var failed []bool
	for _, s := range spans() {
		failed = append(failed, s.Status.Code == codes.Error)
	}
	if diff := cmp.Diff([]bool{false, false, true}, failed); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
