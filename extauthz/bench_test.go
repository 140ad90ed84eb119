package extauthz

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/golang-jwt/jwt/v5"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/sallyport/sallyport/extauthz/token"
)

// usualRequest is some 2 KB of CheckRequest, with a warm token and fifteen headers.
func usualRequest(b testing.TB, w *world) *authv3.CheckRequest {
	b.Helper()
	now := w.cfg.Now().Unix()
	tok := mint(b, jwt.MapClaims{"scope": "orders.read audit", "iat": now - 60, "exp": now + 3600, "pad": strings.Repeat("x", 480)})
	headers := []string{
		":authority: orders.example.com", ":method: GET", ":path: /v1/orders/17?expand=items", ":scheme: https",
		"authorization: Bearer " + tok, "user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "accept: application/json",
		"accept-encoding: gzip, deflate, br", "accept-language: en-GB,en;q=0.9", "cookie: session=0123456789abcdef; theme=dark",
		"x-forwarded-for: 10.1.2.3", "x-forwarded-proto: https", "x-request-id: 5c2d8c3a-4a71-4a0b-b1a0-8d3c9d1f7f21",
		"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "cache-control: no-cache",
	}
	in := ask("GET", "https://orders.example.com/v1/orders/17?expand=items", headers...)
	out := w.check(b, in)
	if meta(out, "reason") != "Allowed" {
		b.Fatalf("not allowed: %v", out)
	}
	b.Logf("CheckRequest of %d bytes", proto.Size(in))
	return in
}

// answers benchmarks a whole Check without the network, from bytes to bytes.
func (w *world) answers(b *testing.B, in *authv3.CheckRequest, reason string) {
	w.answersIn(context.Background(), b, in, reason)
}

// answersIn is answers for a call with the metadata of ctx.
func (w *world) answersIn(ctx context.Context, b *testing.B, in *authv3.CheckRequest, reason string) {
	data, err := proto.Marshal(in)
	if err != nil {
		b.Fatal(err)
	}
	if out, err := w.checkBytes(ctx, data); err != nil || meta(out, "reason") != reason {
		b.Fatal(out, err)
	}
	received := mem.BufferSlice{mem.SliceBuffer(data)}
	c := newCodec()
	receive := func(v any) error { return c.Unmarshal(received, v) }
	b.ReportAllocs()
	for b.Loop() {
		out, err := w.handle(ctx, receive)
		if err != nil {
			b.Fatal(err)
		}
		written, err := c.Marshal(out)
		if err != nil {
			b.Fatal(err)
		}
		written.Free()
	}
}

// BenchmarkCheck has a warm token.
func BenchmarkCheck(b *testing.B) {
	w := newWorld(b, nil)
	w.answers(b, usualRequest(b, w), "Allowed")
}

// BenchmarkCheckTraced is BenchmarkCheck with tracing: where the proxy samples the trace, where it does not, and where it says
// nothing of one.
func BenchmarkCheckTraced(b *testing.B) {
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(tracetest.NewNoopExporter()))
	defer func() {
		if err := provider.Shutdown(context.Background()); err != nil {
			b.Error(err)
		}
	}()
	w := newWorld(b, func(c *Config) { c.Tracer = provider.Tracer("") })
	for name, traceparent := range map[string]string{"sampled": sampledParent, "unsampled": unsampledParent, "none": ""} {
		b.Run(name, func(b *testing.B) {
			w.answersIn(calledWith("traceparent", traceparent), b, usualRequest(b, w), "Allowed")
		})
	}
}

// BenchmarkCheckCold verifies the signature each time.
func BenchmarkCheckCold(b *testing.B) {
	w := newWorld(b, func(c *Config) {
		v, err := token.NewVerifier(token.Config{Keys: noKeys{}, Now: c.Now})
		if err != nil {
			b.Fatal(err)
		}
		c.Verifier = v
	})
	w.answers(b, usualRequest(b, w), "Allowed")
}

// BenchmarkCheckRefused is the answer to a request without a token.
func BenchmarkCheckRefused(b *testing.B) {
	w := newWorld(b, nil)
	w.answers(b, ask("GET", "https://orders.example.com/v1/orders/17"), "MissingToken")
}

// BenchmarkDecode compares the reading of a CheckRequest with that of the generated code.
func BenchmarkDecode(b *testing.B) {
	data, err := proto.Marshal(usualRequest(b, newWorld(b, nil)))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("own", func(b *testing.B) {
		r := new(reading)
		b.ReportAllocs()
		for b.Loop() {
			if r.readRequest(data); !r.readable {
				b.Fatal("not readable")
			}
		}
	})
	b.Run("generated", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := proto.Unmarshal(data, new(authv3.CheckRequest)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkCheckLoopback is the whole way over a connection, client included, sixteen in flight.
func BenchmarkCheckLoopback(b *testing.B) {
	w := newWorld(b, nil)
	conn, _ := w.serve(b)
	client := authv3.NewAuthorizationClient(conn)
	in := usualRequest(b, w)
	var failed atomic.Pointer[error]
	b.ReportAllocs()
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := client.Check(context.Background(), in); err != nil {
				failed.Store(&err)
				return
			}
		}
	})
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}
}
