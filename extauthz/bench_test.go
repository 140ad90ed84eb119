package extauthz

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/protobuf/proto"

	"github.com/sallyport/sallyport/extauthz/token"
)

// usualRequest is some 2 KB of CheckRequest, with a warm token and fifteen headers.
func usualRequest(b *testing.B, w *world) *authv3.CheckRequest {
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

// BenchmarkCheck is a whole Check without the network, with a warm token.
func BenchmarkCheck(b *testing.B) {
	w := newWorld(b, nil)
	in := usualRequest(b, w)
	b.ReportAllocs()
	for b.Loop() {
		if out, err := w.Check(context.Background(), in); err != nil || out.GetOkResponse() == nil {
			b.Fatal(out, err)
		}
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
	in := usualRequest(b, w)
	b.ReportAllocs()
	for b.Loop() {
		if out, err := w.Check(context.Background(), in); err != nil || out.GetOkResponse() == nil {
			b.Fatal(out, err)
		}
	}
}

// BenchmarkCheckRefused is the answer to a request without a token.
func BenchmarkCheckRefused(b *testing.B) {
	w := newWorld(b, nil)
	in := ask("GET", "https://orders.example.com/v1/orders/17")
	b.ReportAllocs()
	for b.Loop() {
		if out, err := w.Check(context.Background(), in); err != nil || out.GetDeniedResponse() == nil {
			b.Fatal(out, err)
		}
	}
}

// BenchmarkCheckCodec adds decoding and encoding.
func BenchmarkCheckCodec(b *testing.B) {
	w := newWorld(b, nil)
	c := newCodec()
	data, err := c.Marshal(usualRequest(b, w))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		in := new(authv3.CheckRequest)
		if err := c.Unmarshal(data, in); err != nil {
			b.Fatal(err)
		}
		out, err := w.Check(context.Background(), in)
		if err != nil {
			b.Fatal(err)
		}
		buffers, err := c.Marshal(out)
		if err != nil {
			b.Fatal(err)
		}
		buffers.Free()
	}
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
