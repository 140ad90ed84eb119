// Command allowall answers every Check with OK and looks at nothing: what standard grpc-go, standard protobuf and Go's
// own garbage collector settings cost. The load test holds Sallyport against it. With -bare it does not even decode, which
// leaves what no server on grpc-go can go below.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

func main() {
	address := flag.String("address", "127.0.0.1:9001", "where to listen: host:port, or unix:///path")
	bare := flag.Bool("bare", false, "not even decode: what grpc-go alone costs, with stream workers and a constant answer")
	flag.Parse()
	var opts []grpc.ServerOption
	if *bare {
		opts = []grpc.ServerOption{grpc.ForceServerCodecV2(bytesOnly{}), grpc.NumStreamWorkers(32)}
	}
	if err := serve(*address, opts); err != nil {
		fmt.Fprintln(os.Stderr, "allowall:", err)
		os.Exit(1)
	}
}

func serve(address string, opts []grpc.ServerOption) error {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		network, address = "unix", path
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	server := grpc.NewServer(opts...)
	authv3.RegisterAuthorizationServer(server, allowAll{})
	return server.Serve(listener)
}

type allowAll struct {
	authv3.UnimplementedAuthorizationServer
}

// Check implements the authorization service.
func (allowAll) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{
		Status:       &status.Status{},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}},
	}, nil
}

// bytesOnly is a codec that looks at no message: requests stay undecoded, and every answer is allowed.
type bytesOnly struct{}

// allowed is the CheckResponse that allowAll returns, on the wire.
var allowed = mem.SliceBuffer{0x0a, 0, 0x1a, 0}

// Name implements encoding.CodecV2.
func (bytesOnly) Name() string { return proto.Name }

// Unmarshal implements encoding.CodecV2.
func (bytesOnly) Unmarshal(mem.BufferSlice, any) error { return nil }

// Marshal implements encoding.CodecV2.
func (bytesOnly) Marshal(any) (mem.BufferSlice, error) { return mem.BufferSlice{allowed}, nil }
