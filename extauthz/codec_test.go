package extauthz

import (
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	return proto.Unmarshal(data.Materialize(), v.(proto.Message))
}

// TestUndecodableCheckRequestIsRefused: an error would let the request pass under failure_mode_allow.
func TestUndecodableCheckRequestIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	conn, _ := w.serve(t)
	good, err := proto.Marshal(ask("GET", "https://orders.example.com/healthz"))
	if err != nil {
		t.Fatal(err)
	}
	nest := func(b []byte, fields ...protowire.Number) []byte {
		for _, f := range fields {
			b = append(protowire.AppendTag(nil, f, protowire.BytesType), protowire.AppendBytes(nil, b)...)
		}
		return b
	}
	for _, tt := range []struct {
		name string
		body []byte
		want string
	}{
		{"as it should be", good, "Public"},
		{"no bytes", []byte{}, "InvalidRequest"},
		{"invalid UTF-8 in the path", append(good[:len(good):len(good)], nest([]byte("/\xff"), 4, 2, 4, 1)...), "InvalidRequest"},
		{"cut off", good[:len(good)-3], "InvalidRequest"},
		{"noise", []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "InvalidRequest"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := new(authv3.CheckResponse)
			err := conn.Invoke(t.Context(), authv3.Authorization_Check_FullMethodName, tt.body, out, grpc.ForceCodecV2(rawCodec{}))
			if err != nil || meta(out, "reason") != tt.want {
				t.Errorf("got %q %v, want %q", meta(out, "reason"), err, tt.want)
			}
			if tt.want == "InvalidRequest" && out.GetDeniedResponse().GetStatus().GetCode() != 400 {
				t.Errorf("status %v", out.GetDeniedResponse().GetStatus())
			}
		})
	}
}

func TestCodecKeepsOtherErrors(t *testing.T) {
	c := newCodec()
	if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer{0xff}}, new(healthv1.HealthCheckRequest)); err == nil {
		t.Error("a health request that cannot be decoded passes")
	}
	if _, err := c.Marshal(&healthv1.HealthCheckRequest{Service: "\xff"}); err == nil {
		t.Error("a message that cannot be encoded passes")
	}
}

func TestUnencodableAnswerBecomesARefusal(t *testing.T) {
	out := (&check{id: "I", decision: policy.Decision{Verdict: policy.Verdict{Allow: true, Rule: "\xff"}}}).response()
	if meta(out, "reason") != "InternalError" || meta(out, "decisionID") != "I" || out.GetDeniedResponse().GetStatus().GetCode() != 503 {
		t.Errorf("got %v", out)
	}
}

// TestLargeMessagePasses: a message above gRPC's default of 4 MiB would be an error.
func TestLargeMessagePasses(t *testing.T) {
	w := newWorld(t, nil)
	conn, _ := w.serve(t)
	in := ask("GET", "https://orders.example.com/healthz")
	in.Attributes.Request.Http.Body = strings.Repeat("x", 8<<20)
	out, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), in)
	if err != nil || meta(out, "reason") != "Public" {
		t.Errorf("got %v %v", out, err)
	}
}
