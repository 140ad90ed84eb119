package demo

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"
)

// doorman allows every request but those with the header x-refuse, and remembers what it was asked.
type doorman struct {
	authv3.UnimplementedAuthorizationServer
	asked    chan *authv3.CheckRequest
	metadata chan metadata.MD
}

func (d *doorman) Check(ctx context.Context, req *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	d.asked <- req
	d.metadata <- md
	shown := func(decision, reason string) *structpb.Struct {
		return &structpb.Struct{Fields: map[string]*structpb.Value{
			"decision": structpb.NewStringValue(decision), "reason": structpb.NewStringValue(reason),
		}}
	}
	if _, refuse := req.GetAttributes().GetRequest().GetHttp().GetHeaders()["x-refuse"]; refuse {
		return &authv3.CheckResponse{
			Status:          &status.Status{Code: int32(codes.PermissionDenied)},
			DynamicMetadata: shown("Deny", "Asked"),
			HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
				Status: &typev3.HttpStatus{Code: typev3.StatusCode_Forbidden},
			}},
		}, nil
	}
	return &authv3.CheckResponse{
		Status:          &status.Status{Code: int32(codes.OK)},
		DynamicMetadata: shown("Allow", "Polite"),
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers: []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "x-user", Value: "alice"}}},
		}},
	}, nil
}

// startDoorman serves a doorman on a network ("tcp" or "unix") and an address.
func startDoorman(t *testing.T, network, address string, opts ...grpc.ServerOption) (d *doorman, listening string) {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	d = &doorman{asked: make(chan *authv3.CheckRequest, 64), metadata: make(chan metadata.MD, 64)}
	server := grpc.NewServer(opts...)
	authv3.RegisterAuthorizationServer(server, d)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return d, listener.Addr().String()
}

// envoyBin is the Envoy to test with.
func envoyBin(t *testing.T) string {
	t.Helper()
	bin := os.Getenv("SALLYPORT_ENVOY")
	if bin == "" {
		t.Skip("SALLYPORT_ENVOY names no Envoy; make test does")
	}
	return bin
}

func startEnvoy(t *testing.T, config EnvoyConfig) (*Envoy, *Upstream) {
	t.Helper()
	config.Bin = envoyBin(t)
	upstream, err := StartUpstream()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = upstream.Close() })
	config.Upstream = upstream.Address()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e, err := StartEnvoy(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	return e, upstream
}

func get(t *testing.T, client *http.Client, url string, headers map[string]string) reply {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	got, err := do(client, req)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestEnvoyAsksAndShowsTheDecision(t *testing.T) {
	envoyBin(t)
	d, address := startDoorman(t, "tcp", "127.0.0.1:0")
	e, upstream := startEnvoy(t, EnvoyConfig{
		ShowDecision: true,
		Authz: AuthzConfig{
			Address: address, Timeout: 5 * time.Second,
			ContextExtensions: map[string]string{"sallyport-scope": "namespace/shop"},
			InitialMetadata:   map[string]string{"sallyport-scope": "service/shop/orders"},
		},
	})

	resp := get(t, http.DefaultClient, "http://"+e.Address()+"/v1/%2e%2e/a?b=%20", nil)
	var echo Echo
	if err := json.Unmarshal([]byte(resp.body), &echo); err != nil {
		t.Fatalf("upstream's answer %q: %v", resp.body, err)
	}
	if diff := cmp.Diff([]string{"alice", "/v1/%2e%2e/a", "b=%20", "Allow", "Polite"}, []string{
		first(echo.Headers["x-user"]), echo.Path, echo.Query,
		resp.header.Get("x-demo-decision"), resp.header.Get("x-demo-reason"),
	}); diff != "" {
		t.Errorf("allowed request (-want +got):\n%s", diff)
	}
	asked := <-d.asked
	if got := asked.GetAttributes().GetContextExtensions()["sallyport-scope"]; got != "namespace/shop" {
		t.Errorf("context extension is %q", got)
	}
	if got := first((<-d.metadata)["sallyport-scope"]); got != "service/shop/orders" {
		t.Errorf("initial metadata is %q", got)
	}

	resp = get(t, http.DefaultClient, "http://"+e.Address()+"/", map[string]string{"x-refuse": "please"})
	if diff := cmp.Diff([]string{"403", "Deny", "Asked"}, []string{
		strconv.Itoa(resp.status), resp.header.Get("x-demo-decision"), resp.header.Get("x-demo-reason"),
	}); diff != "" {
		t.Errorf("refused request (-want +got):\n%s", diff)
	}
	if got := upstream.Requests(); got != 1 {
		t.Errorf("the upstream received %d requests, want 1", got)
	}
}

func TestEnvoyTakesEachOption(t *testing.T) {
	envoyBin(t)
	tests := []struct {
		name   string
		config EnvoyConfig
		path   string
		header map[string]string
		want   func(*authv3.AttributeContext_HttpRequest) (got, want string)
	}{
		{
			name:   "normalization decodes dot segments",
			config: EnvoyConfig{Paths: PathConfig{Normalize: true, MergeSlashes: true, EscapedSlashes: "UNESCAPE_AND_FORWARD"}},
			path:   "/a/%2e%2e//b%2Fc",
			want:   func(r *authv3.AttributeContext_HttpRequest) (string, string) { return r.GetPath(), "/b/c" },
		},
		{
			name:   "headers with underscores are dropped",
			config: EnvoyConfig{HeadersWithUnderscores: "DROP_HEADER"},
			path:   "/", header: map[string]string{"x_user": "root"},
			want: func(r *authv3.AttributeContext_HttpRequest) (string, string) { return r.GetHeaders()["x_user"], "" },
		},
		{
			name:   "only allowed headers are shown",
			config: EnvoyConfig{Authz: AuthzConfig{AllowedHeaders: []string{"x-seen"}}},
			path:   "/", header: map[string]string{"x-seen": "yes", "x-hidden": "yes"},
			want: func(r *authv3.AttributeContext_HttpRequest) (string, string) {
				return r.GetHeaders()["x-seen"] + r.GetHeaders()["x-hidden"], "yes"
			},
		},
		{
			name:   "headers come raw",
			config: EnvoyConfig{Authz: AuthzConfig{EncodeRawHeaders: true}},
			path:   "/", header: map[string]string{"x-raw": "value"},
			want: func(r *authv3.AttributeContext_HttpRequest) (string, string) {
				for _, h := range r.GetHeaderMap().GetHeaders() {
					if h.GetKey() == "x-raw" {
						return string(h.GetRawValue()), "value"
					}
				}
				return "", "value"
			},
		},
		{
			name:   "the address comes from x-forwarded-for",
			config: EnvoyConfig{UseRemoteAddress: true, TrustedHops: 1, Concurrency: 2},
			path:   "/", header: map[string]string{"x-forwarded-for": "203.0.113.7"},
			want: func(r *authv3.AttributeContext_HttpRequest) (string, string) {
				return r.GetHeaders()["x-envoy-external-address"], "203.0.113.7"
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, address := startDoorman(t, "unix", filepath.Join(t.TempDir(), "s"))
			test.config.Authz.Address, test.config.Authz.Timeout = "unix://"+address, 5*time.Second
			e, _ := startEnvoy(t, test.config)
			if resp := get(t, http.DefaultClient, "http://"+e.Address()+test.path, test.header); resp.status != http.StatusOK {
				t.Fatalf("status %d: %s", resp.status, resp.body)
			}
			asked := <-d.asked
			if got, want := test.want(asked.GetAttributes().GetRequest().GetHttp()); got != want {
				t.Errorf("got %q, want %q; Envoy asked %v", got, want, asked)
			}
		})
	}
}

func TestEnvoyWithoutSallyport(t *testing.T) {
	envoyBin(t)
	nobody, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		allow bool
		want  int
	}{
		{name: "refuses by default", allow: false, want: http.StatusForbidden},
		{name: "allows with failure mode allow", allow: true, want: http.StatusOK},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, _ := startEnvoy(t, EnvoyConfig{Authz: AuthzConfig{Address: nobody, FailureModeAllow: test.allow}})
			if resp := get(t, http.DefaultClient, "http://"+e.Address()+"/", nil); resp.status != test.want {
				t.Errorf("status %d, want %d", resp.status, test.want)
			}
		})
	}
}

func TestStartEnvoySaysWhyItDoesNot(t *testing.T) {
	bin := envoyBin(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e, err := StartEnvoy(ctx, EnvoyConfig{
		Bin: bin, Upstream: "127.0.0.1:1", HeadersWithUnderscores: "SHOUT", Authz: AuthzConfig{Address: "127.0.0.1:1"},
	})
	if err == nil {
		t.Fatalf("Envoy started on %s with a configuration that is wrong", e.Address())
	}
	t.Log(err)
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
