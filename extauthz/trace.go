package extauthz

import (
	"context"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// checkMethod names the span of a Check, as OpenTelemetry's conventions for gRPC want it.
const checkMethod = "envoy.service.auth.v3.Authorization/Check"

// aboutCheck is what each span of a Check says alike: to gRPC every decision is a success.
var aboutCheck = []attribute.KeyValue{
	attribute.String("rpc.system.name", "grpc"),
	attribute.String("rpc.method", checkMethod),
	attribute.String("rpc.response.status_code", "OK"),
}

// usualAttributes is how many a span has where no DryRun rule has a say.
const usualAttributes = 8

// trace begins the span of c where the proxy samples the trace that the Check belongs to, and returns the context in which
// the Check goes on. What the proxy says stands in the metadata of the call. The headers of the request that is checked are
// a client's own word, and are not asked.
func (s *Server) trace(ctx context.Context, c *check) context.Context {
	if s.cfg.Tracer == nil {
		return ctx
	}
	parent := metadata.ValueFromIncomingContext(ctx, "traceparent")
	if len(parent) != 1 || !saysSampled(parent[0]) {
		return ctx
	}
	traced := propagation.TraceContext{}.Extract(ctx, callMetadata{ctx})
	if !trace.SpanContextFromContext(traced).IsSampled() {
		return ctx // it is malformed
	}
	traced, c.span = s.cfg.Tracer.Start(traced, checkMethod, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(c.start))
	return traced
}

// saysSampled looks at the one bit of a traceparent (W3C Trace Context §3.2) that tells most Checks from those that are
// traced. Whether the rest of it is well formed is seen later.
func saysSampled(traceparent string) bool {
	const lastOfFlags = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") - 1
	return len(traceparent) > lastOfFlags && strings.IndexByte("13579bdf", traceparent[lastOfFlags]) >= 0
}

// callMetadata lets a propagator read the metadata of the call that ctx belongs to. What stands there several times is one
// list.
type callMetadata struct{ ctx context.Context }

// Get implements propagation.TextMapCarrier.
func (m callMetadata) Get(key string) string {
	return strings.Join(metadata.ValueFromIncomingContext(m.ctx, key), ",")
}

// Set implements propagation.TextMapCarrier. Nothing is sent back.
func (callMetadata) Set(string, string) {}

// Keys implements propagation.TextMapCarrier.
func (callMetadata) Keys() []string { return []string{"traceparent", "tracestate"} }

// ended ends the span of a Check. All that it tells is Sallyport's own word or that of whoever wrote the policies: nothing
// of the request or its token is in it. A refusal is no error of the server's, unless it could not decide.
func ended(span trace.Span, id string, d *policy.Decision, status int32, now time.Time) {
	about := append(make([]attribute.KeyValue, 0, usualAttributes), aboutCheck...)
	about = append(about, attribute.String("sallyport.decision_id", id))
	about = appendVerdict(about, &verdictKeys, &d.Verdict)
	if status != 0 {
		about = append(about, attribute.Int("sallyport.response.status_code", int(status)))
	}
	if d.DryRun != nil {
		about = appendVerdict(about, &dryRunKeys, d.DryRun)
	}
	if d.Reason.Status() == http.StatusServiceUnavailable {
		about = append(about, attribute.String("error.type", string(d.Reason)))
		span.SetStatus(codes.Error, string(d.Reason))
	}
	span.SetAttributes(about...)
	span.End(trace.WithTimestamp(now))
}

// keysOfVerdict are those of the attributes that tell of a verdict.
type keysOfVerdict struct{ decision, reason, policy, rule attribute.Key }

var (
	verdictKeys = keysOfVerdict{"sallyport.decision", "sallyport.reason", "sallyport.policy", "sallyport.rule"}
	dryRunKeys  = keysOfVerdict{"sallyport.dry_run.decision", "sallyport.dry_run.reason", "sallyport.dry_run.policy", "sallyport.dry_run.rule"}
)

// appendVerdict leaves out what v does not know, as where no rule was found.
func appendVerdict(to []attribute.KeyValue, k *keysOfVerdict, v *policy.Verdict) []attribute.KeyValue {
	to = append(to, k.decision.String(decisionWord(v.Allow)), k.reason.String(string(v.Reason)))
	if v.Policy != "" {
		to = append(to, k.policy.String(v.Policy))
	}
	if v.Rule != "" {
		to = append(to, k.rule.String(v.Rule))
	}
	return to
}
