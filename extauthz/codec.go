package extauthz

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// codec reads CheckRequests and writes answers without the generated code; other messages, those of health checks, go
// the standard way. Bytes that are no CheckRequest are not its error: they become a request that is refused.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if in, ok := v.(*check); ok {
		in.receive(data)
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if out, ok := v.(mem.Buffer); ok {
		return mem.BufferSlice{out}, nil
	}
	return c.CodecV2.Marshal(v)
}
