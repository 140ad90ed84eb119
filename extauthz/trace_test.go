package extauthz

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/sallyport/sallyport/extauthz/token"
)

// The contexts of a trace that a proxy sends.
const (
	traceID         = "4bf92f3577b34da6a3ce929d0e0e4736"
	proxySpan       = "00f067aa0ba902b7"
	sampledParent   = "00-" + traceID + "-" + proxySpan + "-01"
	unsampledParent = "00-" + traceID + "-" + proxySpan + "-00"
)

// calledWith is the context of a call with metadata, pairs of names and values; an empty value is left out.
func calledWith(pairs ...string) context.Context {
	md := metadata.MD{":authority": {"sallyport"}, "user-agent": {"envoy"}, "content-type": {"application/grpc"}}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			md.Append(pairs[i], pairs[i+1])
		}
	}
	return metadata.NewIncomingContext(context.Background(), md)
}

// tracedWorld is a world whose spans are kept.
func tracedWorld(t *testing.T, change func(*Config)) (*world, *tracetest.InMemoryExporter) {
	t.Helper()
	kept := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(kept))
	return newWorld(t, func(c *Config) {
		c.Tracer = provider.Tracer("")
		if change != nil {
			change(c)
		}
	}), kept
}

// checkIn asks in a call with the metadata of ctx, from memory that is poisoned afterwards.
func (w *world) checkIn(ctx context.Context, t *testing.T, in *authv3.CheckRequest) *authv3.CheckResponse {
	t.Helper()
	data, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.checkBytes(ctx, data)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTheProxySaysWhatIsTraced(t *testing.T) {
	for _, tt := range []struct {
		name     string
		metadata []string
		want     bool
		state    string
	}{
		{name: "sampled", metadata: []string{"traceparent", sampledParent}, want: true},
		{name: "sampled with a random id", metadata: []string{"traceparent", strings.TrimSuffix(sampledParent, "01") + "03"}, want: true},
		{name: "with a state", metadata: []string{"traceparent", sampledParent, "tracestate", "a=1,b=2"}, want: true, state: "a=1,b=2"},
		{name: "with two lines of state", metadata: []string{"traceparent", sampledParent, "tracestate", "a=1", "tracestate", "b=2"}, want: true, state: "a=1,b=2"},
		{name: "with a malformed state", metadata: []string{"traceparent", sampledParent, "tracestate", "="}, want: true},
		{name: "a later version", metadata: []string{"traceparent", "cc" + sampledParent[2:] + "-more"}, want: true},
		{name: "not sampled", metadata: []string{"traceparent", unsampledParent}},
		{name: "none"},
		{name: "a state alone", metadata: []string{"tracestate", "a=1"}},
		{name: "two", metadata: []string{"traceparent", sampledParent, "traceparent", sampledParent}},
		{name: "the forbidden version", metadata: []string{"traceparent", "ff" + sampledParent[2:]}},
		{name: "upper case", metadata: []string{"traceparent", strings.ToUpper(sampledParent)}},
		{name: "no trace", metadata: []string{"traceparent", "00-00000000000000000000000000000000-" + proxySpan + "-01"}},
		{name: "no span", metadata: []string{"traceparent", "00-" + traceID + "-0000000000000000-01"}},
		{name: "cut short", metadata: []string{"traceparent", sampledParent[:len(sampledParent)-1]}},
		{name: "too long", metadata: []string{"traceparent", sampledParent + "-01"}},
		{name: "no hexadecimal", metadata: []string{"traceparent", strings.Replace(sampledParent, "4bf9", "4bg9", 1)}},
		{name: "B3", metadata: []string{"b3", traceID + "-" + proxySpan + "-1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, kept := tracedWorld(t, nil)
			// What the client says of a trace stands in the request that is checked.
			in := ask("GET", "https://orders.example.com/healthz", "traceparent: 00-11111111111111111111111111111111-2222222222222222-01")
			if out := w.checkIn(calledWith(tt.metadata...), t, in); meta(out, "decision") != "Allow" {
				t.Fatalf("got %v", out)
			}
			spans := kept.GetSpans()
			if !tt.want {
				if len(spans) > 0 {
					t.Errorf("there is a span: %+v", spans)
				}
				return
			}
			if len(spans) != 1 {
				t.Fatalf("%d spans", len(spans))
			}
			s := spans[0]
			if s.Name != checkMethod || s.SpanKind != trace.SpanKindServer || s.Status.Code != codes.Unset || !s.StartTime.Equal(worldNow) || !s.EndTime.Equal(worldNow) {
				t.Errorf("got %+v", s)
			}
			if s.Parent.SpanID().String() != proxySpan || !s.Parent.IsRemote() || s.SpanContext.TraceID().String() != traceID || s.SpanContext.SpanID() == s.Parent.SpanID() {
				t.Errorf("%v is a child of %v", s.SpanContext, s.Parent)
			}
			if got := s.SpanContext.TraceState().String(); got != tt.state {
				t.Errorf("the state is %q, want %q", got, tt.state)
			}
		})
	}
}

// attributesOf are those of the one span, but for what each span has.
func attributesOf(t *testing.T, kept *tracetest.InMemoryExporter) (map[string]string, tracetest.SpanStub) {
	t.Helper()
	spans := kept.GetSpans()
	if len(spans) != 1 {
		t.Fatalf("%d spans", len(spans))
	}
	out := map[string]string{}
	for _, a := range spans[0].Attributes {
		out[string(a.Key)] = a.Value.String()
	}
	for _, a := range aboutCheck {
		if got := out[string(a.Key)]; got != a.Value.String() {
			t.Errorf("%s is %q, want %q", a.Key, got, a.Value.String())
		}
		delete(out, string(a.Key))
	}
	return out, spans[0]
}

func TestSpanOfACheck(t *testing.T) {
	page, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	const secretQuery = "access=mellon"
	bearer := func(claims jwt.MapClaims) string { return "authorization: Bearer " + mint(t, claims) }
	for _, tt := range []struct {
		name   string
		in     *authv3.CheckRequest
		change func(*Config)
		want   map[string]string
		failed bool
	}{
		{
			name: "allowed", in: ask("GET", "https://orders.example.com/v1/orders/17?"+secretQuery, bearer(jwt.MapClaims{"scope": "orders.read audit"})),
			want: map[string]string{"sallyport.decision": "Allow", "sallyport.reason": "Allowed", "sallyport.policy": "shop/orders", "sallyport.rule": "orders"},
		}, {
			name: "a refusal is no error", in: ask("GET", "https://orders.example.com/v1?"+secretQuery),
			want: map[string]string{
				"sallyport.decision": "Deny", "sallyport.reason": "MissingToken", "sallyport.policy": "shop/orders", "sallyport.rule": "orders",
				"sallyport.response.status_code": "401",
			},
		}, {
			name: "the status that the client sees", in: ask("GET", "https://orders.example.com/users/bob", bearer(nil)),
			want: map[string]string{
				"sallyport.decision": "Deny", "sallyport.reason": "InsufficientClaims", "sallyport.policy": "shop/orders", "sallyport.rule": "profile",
				"sallyport.response.status_code": "404",
			},
		}, {
			name: "no policy", in: ask("GET", "https://nobody.example.com/"),
			want: map[string]string{"sallyport.decision": "Deny", "sallyport.reason": "NoPolicy", "sallyport.response.status_code": "403"},
		}, {
			name: "a rule that is tried out", in: ask("GET", "https://dry.example.com/"),
			want: map[string]string{
				"sallyport.decision": "Allow", "sallyport.reason": "DryRun",
				"sallyport.dry_run.decision": "Deny", "sallyport.dry_run.reason": "MissingToken", "sallyport.dry_run.policy": "shop/dry", "sallyport.dry_run.rule": "all",
			},
		}, {
			name: "keys that cannot be had", in: ask("GET", "https://far.example.com/", bearer(jwt.MapClaims{"iss": "https://far.example.com"})), failed: true,
			want: map[string]string{
				"sallyport.decision": "Deny", "sallyport.reason": "KeysUnavailable", "sallyport.policy": "shop/far", "sallyport.rule": "all",
				"sallyport.response.status_code": "503", "error.type": "KeysUnavailable",
			},
		}, {
			name: "a panic", in: ask("GET", "https://orders.example.com/v1", bearer(nil)), failed: true,
			change: func(c *Config) {
				c.Verifier = verifierFunc(func(context.Context) (*token.Identity, error) { panic("a fault of ours") })
			},
			want: map[string]string{
				"sallyport.decision": "Deny", "sallyport.reason": "InternalError", "sallyport.response.status_code": "503", "error.type": "InternalError",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, kept := tracedWorld(t, tt.change)
			out := w.checkIn(calledWith("traceparent", sampledParent), t, tt.in)
			got, span := attributesOf(t, kept)
			tt.want["sallyport.decision_id"] = meta(out, "decisionID")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if failed := span.Status.Code == codes.Error; failed != tt.failed || failed && span.Status.Description != got["sallyport.reason"] {
				t.Errorf("the status is %+v", span.Status)
			}
			for _, a := range span.Attributes {
				if !strings.Contains(string(page), "`"+string(a.Key)+"`") {
					t.Errorf("docs/operating.md lacks %s", a.Key)
				}
			}
			all := fmt.Sprintf("%+v", span)
			for _, secret := range []string{"alice", "mellon", "orders/17", "bob", "example.com", "10.1.2.3", "eyJ", "a fault of ours"} {
				if strings.Contains(all, secret) {
					t.Errorf("the span tells %q: %s", secret, all)
				}
			}
		})
	}
}

// TestQuestionsAreAskedInTheSpan: whoever waits in a Check finds its span in the context; in one that is not traced there
// is none.
func TestQuestionsAreAskedInTheSpan(t *testing.T) {
	for traceparent, want := range map[string]bool{sampledParent: true, unsampledParent: false} {
		var during trace.SpanContext
		w, kept := tracedWorld(t, func(c *Config) {
			c.Verifier = verifierFunc(func(ctx context.Context) (*token.Identity, error) {
				during = trace.SpanContextFromContext(ctx)
				return nil, token.ErrExpired
			})
		})
		w.checkIn(calledWith("traceparent", traceparent), t, ask("GET", "https://orders.example.com/v1", "authorization: Bearer x"))
		if during.IsSampled() != want {
			t.Errorf("%s: in the Check there is %+v", traceparent, during)
		}
		if spans := kept.GetSpans(); want && (len(spans) != 1 || !spans[0].SpanContext.Equal(during)) {
			t.Errorf("the Check has %+v, and its questions %+v", spans, during)
		}
	}
}

// TestSpansDoNotPassToOtherChecks: the room of a Check is used again.
func TestSpansDoNotPassToOtherChecks(t *testing.T) {
	w, kept := tracedWorld(t, nil)
	in := ask("GET", "https://orders.example.com/healthz")
	for range 3 {
		w.checkIn(calledWith("traceparent", sampledParent), t, in)
		w.checkIn(calledWith(), t, in)
	}
	if n := len(kept.GetSpans()); n != 3 {
		t.Errorf("%d spans of 3 Checks that are traced", n)
	}
}

// TestChecksThatAreNotTracedPayForOneHeader at most.
func TestChecksThatAreNotTracedPayForOneHeader(t *testing.T) {
	plain := newWorld(t, nil)
	traced, _ := tracedWorld(t, nil)
	allocations := func(w *world, traceparent string) float64 {
		in, ctx := ask("GET", "https://orders.example.com/healthz"), calledWith("traceparent", traceparent)
		return testing.AllocsPerRun(200, func() {
			if _, err := w.Check(ctx, in); err != nil {
				t.Fatal(err)
			}
		})
	}
	without, none := allocations(plain, sampledParent), allocations(traced, "")
	unsampled, sampled := allocations(traced, unsampledParent), allocations(traced, sampledParent)
	// The race detector has pools forget at random, which moves the mean by one; a span takes more than ten.
	if none > without+2 || unsampled > without+3 || sampled < without+8 {
		t.Errorf("%v allocations without tracing, %v with it, %v where the trace is not sampled, %v where it is", without, none, unsampled, sampled)
	}
}

// TestTracingThroughGRPC: the metadata of a real call.
func TestTracingThroughGRPC(t *testing.T) {
	w, kept := tracedWorld(t, nil)
	conn, _ := w.serve(t)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", sampledParent, "tracestate", "a=1")
	if _, err := authv3.NewAuthorizationClient(conn).Check(ctx, ask("GET", "https://orders.example.com/healthz")); err != nil {
		t.Fatal(err)
	}
	if _, span := attributesOf(t, kept); span.Parent.SpanID().String() != proxySpan || span.SpanContext.TraceState().String() != "a=1" {
		t.Errorf("got %+v", span)
	}
}
