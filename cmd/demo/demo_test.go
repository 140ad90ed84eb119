package demo

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestUpstreamEchoesWhatItReceived(t *testing.T) {
	upstream, err := StartUpstream()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := upstream.Close(); err != nil {
			t.Error(err)
		}
	}()
	c := newCaller()
	defer c.close()
	tests := []struct {
		name string
		r    request
		want Echo
	}{
		{
			name: "HTTP/1.1, with the path as it was sent",
			r:    request{method: "GET", path: "/a/%2e%2e//b?c=%20d", headers: map[string]string{"X-Some": "thing"}},
			want: Echo{Method: "GET", Host: host, Path: "/a/%2e%2e//b", Query: "c=%20d", Protocol: "HTTP/1.1"},
		},
		{
			name: "a gRPC call",
			r:    request{method: "gRPC", path: "/a.B/C", headers: map[string]string{"X-Some": "thing"}},
			want: Echo{Method: "POST", Host: host, Path: "/a.B/C", Protocol: "HTTP/2.0"},
		},
	}
	for n, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			resp, err := c.call(t.Context(), upstream.Address(), test.r, "t")
			if err != nil {
				t.Fatal(err)
			}
			if test.r.method == "gRPC" && resp.trailer.Get("Grpc-Status") != "0" {
				t.Errorf("trailers are %v", resp.trailer)
			}
			got := upstream.Last()
			if got := []string{first(got.Headers["x-some"]), first(got.Headers["authorization"])}; !cmp.Equal(got, []string{"thing", "Bearer t"}) {
				t.Errorf("headers are %q", got)
			}
			got.Headers = nil
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("echo (-want +got):\n%s", diff)
			}
			if upstream.Requests() != n+1 {
				t.Errorf("%d requests, want %d", upstream.Requests(), n+1)
			}
		})
	}
}

// The doorman lets everybody in, so most rows are wrong: the demo has to notice.
func TestTheDemoNoticesAWrongVerdict(t *testing.T) {
	envoyBin(t)
	_, address := startDoorman(t, "tcp", "127.0.0.1:0")
	e, upstream := startEnvoy(t, EnvoyConfig{ShowDecision: true, Authz: AuthzConfig{Address: address, Timeout: 5 * time.Second}})
	w := &world{issuer: startIssuer(t), upstream: upstream, envoy: e}
	tokens, err := mint(w.issuer)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = w.send(t.Context(), &out, tokens)
	if err == nil {
		t.Fatalf("no error for:\n%s", out.String())
	}
	for _, want := range []string{"GET /v1/orders (nobody)", "gRPC /shop.v1.Checkout/Pay (nobody)", "saw:user alice, token"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %q: %v", want, err)
		}
	}
	if rows := strings.Count(out.String(), "\n"); rows != len(requests)+1 {
		t.Errorf("the table has %d lines:\n%s", rows, out.String())
	}
}

func TestRun(t *testing.T) {
	bin := os.Getenv("SALLYPORT_BIN")
	if bin == "" {
		t.Skip("SALLYPORT_BIN names no Sallyport; make test does")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out bytes.Buffer
	if err := Run(ctx, &out, Options{Envoy: envoyBin(t), Sallyport: bin}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	t.Log("\n" + out.String())
	if !strings.Contains(out.String(), "came out as expected") {
		t.Errorf("the table does not end well:\n%s", out.String())
	}
}
