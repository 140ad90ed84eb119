package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/sallyport/sallyport/extauthz/idp"
	"github.com/sallyport/sallyport/extauthz/ledger"
	"github.com/sallyport/sallyport/extauthz/token"
)

const (
	// flushTimeout bounds sending the spans that are left when the server ends. With a drain of 20 s it leaves room in the
	// 30 s that Kubernetes gives a pod to end.
	flushTimeout = 3 * time.Second
	// tracerName is the scope of Sallyport's spans.
	tracerName = "github.com/sallyport/sallyport"
)

// tracing makes spans of Checks that a proxy samples, and sends them to a collector. A nil one traces nothing.
type tracing struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	spans    *spans
	log      logr.Logger
}

// newTracing makes one that sends to where the environment says, by the variables of OpenTelemetry. It does not dial before
// there are spans: a collector that is away holds up nobody.
func newTracing(log logr.Logger, reg prometheus.Registerer) (*tracing, error) {
	if err := checkTracingEnvironment(os.Getenv); err != nil {
		return nil, usageError{fmt.Errorf("--tracing: %w", err)}
	}
	// What OpenTelemetry itself has to say, such as of a certificate that it cannot read.
	otel.SetLogger(log)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Error(err, "Tracing is not as it should be") }))
	exporter, err := otlptracegrpc.New(context.Background())
	if err != nil {
		return nil, usageError{fmt.Errorf("--tracing: %w", err)}
	}
	return newTracingTo(exporter, log, reg)
}

// newTracingTo makes one that sends to exporter.
func newTracingTo(exporter sdktrace.SpanExporter, log logr.Logger, reg prometheus.Registerer) (*tracing, error) {
	from, err := resource.New(context.Background(), resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(attribute.String("service.name", "sallyport"), attribute.String("service.version", version)),
		resource.WithFromEnv())
	if err != nil {
		return nil, usageError{fmt.Errorf("--tracing: OTEL_RESOURCE_ATTRIBUTES: %w", err)}
	}
	t := &tracing{log: log}
	if t.spans, err = newSpans(exporter, log, reg); err != nil {
		return nil, err
	}
	t.provider = sdktrace.NewTracerProvider(
		sdktrace.WithResource(from),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())), // who samples is the proxy
		sdktrace.WithSpanProcessor(t.spans),
	)
	t.tracer = t.provider.Tracer(tracerName, trace.WithInstrumentationVersion(version))
	return t, nil
}

// checkTracingEnvironment finds what the exporter would pass over with a line in the log, and send the spans elsewhere.
func checkTracingEnvironment(getenv func(string) string) error {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		if _, err := url.Parse(getenv(name)); err != nil {
			return fmt.Errorf("%s: must be a URL, such as http://collector:4317", name)
		}
	}
	const protocol = "OTEL_EXPORTER_OTLP_PROTOCOL"
	if p := cmp.Or(getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), getenv(protocol)); p != "" && p != "grpc" {
		return fmt.Errorf("%s %q: must be grpc, or not be set", protocol, p)
	}
	return nil
}

// forChecks makes the spans of Checks; nil: there are none.
func (t *tracing) forChecks() trace.Tracer {
	if t == nil {
		return nil
	}
	return t.tracer
}

// waits makes a span of each wait of a traced Check; nil: there are none. what is waited for, and attribute names it. The
// question itself may be one of several Checks, so it belongs to no trace, and who is asked is not told of any.
func (t *tracing) waits(what string, attribute attribute.Key) idp.OnWait {
	if t == nil {
		return nil
	}
	return func(ctx context.Context, name string) func(string, bool) {
		return t.wait(ctx, what, attribute.String(name))
	}
}

func (t *tracing) wait(ctx context.Context, what string, about ...attribute.KeyValue) (over func(result string, failed bool)) {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return func(string, bool) {}
	}
	_, span := t.tracer.Start(ctx, "wait for "+what, trace.WithAttributes(about...))
	return func(result string, failed bool) {
		span.SetAttributes(attribute.String("sallyport.result", result))
		if failed {
			span.SetAttributes(attribute.String("error.type", result))
			span.SetStatus(codes.Error, result)
		}
		span.End()
	}
}

// proofs are those of s; a traced Check that waits for the shared store has a span of that.
func (t *tracing) proofs(s *store) ledger.Proofs {
	if t == nil || s.shared == nil {
		return s.proofs
	}
	return &tracedProofs{s.proofs, t}
}

type tracedProofs struct {
	ledger.Proofs
	tracing *tracing
}

// Use implements ledger.Proofs.
func (p *tracedProofs) Use(ctx context.Context, key [32]byte, until time.Time) error {
	over := p.tracing.wait(ctx, "shared store")
	err := p.Proofs.Use(ctx, key, until)
	if err == nil || errors.Is(err, token.ErrReplayed) {
		over("Success", false)
	} else {
		over("Failure", true)
	}
	return err
}

// close sends the spans that are left, for a while.
func (t *tracing) close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.Error(err, "The last spans were not sent", "spans", t.spans.waiting.Load())
	}
	t.spans.tellAll()
}
