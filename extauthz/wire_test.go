package extauthz

import (
	"context"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// poolable is a capacity at which grpc-go gives memory back to its pool.
const poolable = 4 << 10

// poison is a pool that overwrites what is given back: whoever still looks at it sees.
type poison struct{}

func (poison) Get(n int) *[]byte { return new(make([]byte, n)) }
func (poison) Put(b *[]byte) {
	for i := range *b {
		(*b)[i] = '!'
	}
}

// Check asks the server for the answer to a message of the generated code, without a connection, and overwrites the
// message once it has answered.
func (w *world) Check(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	data, err := proto.Marshal(in)
	if err != nil {
		return nil, err
	}
	return w.checkBytes(ctx, data)
}

func (w *world) checkBytes(ctx context.Context, data []byte) (*authv3.CheckResponse, error) {
	received := append(make([]byte, 0, len(data)+poolable), data...)
	reply, err := w.handle(ctx, func(c any) error {
		buffer := mem.NewBuffer(&received, poison{})
		defer buffer.Free() // as grpc-go does
		return newCodec().Unmarshal(mem.BufferSlice{buffer}, c)
	})
	if err != nil {
		return nil, err
	}
	written, err := newCodec().Marshal(reply)
	if err != nil {
		return nil, err
	}
	defer written.Free()
	out := new(authv3.CheckResponse)
	return out, proto.Unmarshal(written.Materialize(), out)
}

// response is what the generated code reads of the answer of c.
func (c *check) response() *authv3.CheckResponse {
	buffer := c.written()
	defer buffer.Free()
	out := new(authv3.CheckResponse)
	if err := proto.Unmarshal(buffer.ReadOnlyData(), out); err != nil {
		panic(err)
	}
	return out
}

// readOf is what is read of a message that the generated code writes.
func readOf(t testing.TB, in *authv3.CheckRequest) *reading {
	t.Helper()
	data, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	r := new(reading)
	r.readRequest(data)
	return r
}
