package extauthz

import (
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// codec is the standard protobuf codec, but for what would make a gRPC error of a Check: a CheckRequest that cannot be
// decoded becomes an empty one, which is refused as an invalid request, and a CheckResponse that cannot be encoded
// becomes a refusal. Other messages keep their errors.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	err := c.CodecV2.Unmarshal(data, v)
	if in, ok := v.(*authv3.CheckRequest); ok && err != nil {
		in.Reset()
		return nil
	}
	return err
}

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	out, err := c.CodecV2.Marshal(v)
	if _, ok := v.(*authv3.CheckResponse); ok && err != nil {
		plain := check{id: newDecisionID(), decision: refuse(policy.ReasonInternalError)}
		return c.CodecV2.Marshal(plain.response())
	}
	return out, err
}
