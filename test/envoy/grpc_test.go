package envoy

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/sallyport/sallyport/cmd/demo"
)

// TestGRPC calls through Envoy with a real gRPC client.
func TestGRPC(t *testing.T) {
	w := newWorld(t, []string{"grpc.yaml"})
	e := w.edge(t, demo.EnvoyConfig{})
	conn, err := grpc.NewClient("passthrough:///"+e.Address(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("grpc.test"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	pay := w.token(t, map[string]any{"scope": "orders.pay"})
	plain := w.token(t, nil)
	for _, test := range []struct {
		name   string
		method string
		token  string
		want   codes.Code
		reason string
	}{
		{"the right scope", "/shop.v1.Checkout/Pay", pay, codes.OK, "Allowed"},
		{"no token", "/shop.v1.Checkout/Pay", "", codes.Unauthenticated, "MissingToken"},
		{"a bad token", "/shop.v1.Checkout/Pay", "x", codes.Unauthenticated, "MalformedToken"},
		{"the wrong scope", "/shop.v1.Checkout/Pay", plain, codes.PermissionDenied, "InsufficientScope"},
		{"another method of the service", "/shop.v1.Checkout/List", plain, codes.OK, "Allowed"},
		{"another service", "/shop.v1.Orders/List", pay, codes.PermissionDenied, "NoRule"},
		{"a body of text and a redirect that only browsers could use", "/shop.v1.Text/Read", plain, codes.PermissionDenied, "Denied"},
		{"the login that only browsers could use", "/shop.v1.Page/Read", "", codes.Unauthenticated, "MissingToken"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			ctx = metadata.AppendToOutgoingContext(ctx, "x-user", "root")
			if test.token != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+test.token)
			}
			before := w.upstream.Requests()
			var header, trailer metadata.MD
			err := conn.Invoke(ctx, test.method, &emptypb.Empty{}, &emptypb.Empty{}, grpc.Header(&header), grpc.Trailer(&trailer))
			got, _ := status.FromError(err)
			if got.Code() != test.want || got.Message() != "" {
				t.Errorf("status is %v with message %q, want %v without one", got.Code(), got.Message(), test.want)
			}
			// A refusal comes as headers only, which grpc-go counts among the trailers.
			if reason := first(append(header.Get("x-demo-reason"), trailer.Get("x-demo-reason")...)); reason != test.reason {
				t.Errorf("reason is %q, want %q", reason, test.reason)
			}
			if arrived := w.upstream.Requests() > before; arrived != (test.want == codes.OK) {
				t.Errorf("arrived at the application: %v", arrived)
			}
			if last := w.upstream.Last(); test.want == codes.OK && (first(last.Headers["x-user"]) != "alice" || len(last.Headers["authorization"]) > 0) {
				t.Errorf("the application received %v", last.Headers)
			}
		})
	}
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
