package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// collector takes spans as an OpenTelemetry collector does, counts them and drops them.
type collector struct {
	address string
	server  *grpc.Server
	ended   chan error
	spans   atomic.Int64
}

func startCollector() (*collector, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the collector: %w", err)
	}
	c := &collector{address: listener.Addr().String(), ended: make(chan error, 1)}
	c.server = grpc.NewServer(grpc.ForceServerCodecV2(spanCodec{}), grpc.UnknownServiceHandler(c.export))
	go func() { c.ended <- c.server.Serve(listener) }()
	return c, nil
}

// environment is what makes Sallyport send its spans here. often: ten times a second instead of each five seconds, so that
// most of what that costs falls into the rounds that made the spans.
func (c *collector) environment(often bool) []string {
	out := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + c.address}
	if often {
		out = append(out, "OTEL_BSP_SCHEDULE_DELAY=100")
	}
	return out
}

func (c *collector) export(_ any, call grpc.ServerStream) error {
	var n int64
	if err := call.RecvMsg(&n); err != nil {
		return err
	}
	c.spans.Add(n)
	return call.SendMsg(nil)
}

func (c *collector) stop() error {
	c.server.Stop()
	if err := <-c.ended; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("the collector: %w", err)
	}
	return nil
}

// spanCodec is a codec that makes of a request the number of its spans, each of which has one decision id, and of every
// answer an empty one.
type spanCodec struct{}

// Name implements encoding.CodecV2.
func (spanCodec) Name() string { return proto.Name }

// Unmarshal implements encoding.CodecV2.
func (spanCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*int64) = int64(bytes.Count(data.Materialize(), []byte("sallyport.decision_id")))
	return nil
}

// Marshal implements encoding.CodecV2.
func (spanCodec) Marshal(any) (mem.BufferSlice, error) { return nil, nil }
