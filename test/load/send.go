package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// sampledEvery is the number of Checks of which one is of a trace that is sampled.
const sampledEvery = 100

// maxFrame is the largest frame that every server takes (RFC 9113 §4.2).
const maxFrame = 16384

// send starts a Check with payload, a gRPC message with its prefix, which is copied.
func (c *conn) send(payload []byte, want int, start time.Time) error {
	s := c.newStream()
	s.want, s.start = want, start
	if len(c.order) == 0 && len(c.streams) < c.maxStreams && !c.leaving && c.window >= int64(len(payload)) && c.initialWindow >= int64(len(payload)) {
		if err := c.open(s); err != nil {
			return err
		}
		c.window -= int64(len(payload))
		s.window -= int64(len(payload))
		return c.framer.WriteData(s.id, true, payload)
	}
	s.unsent = append(s.unsent, payload...)
	c.order = append(c.order, s)
	return c.sendWaiting()
}

func (c *conn) newStream() *stream {
	if n := len(c.free); n > 0 {
		s := c.free[n-1]
		c.free = c.free[:n-1]
		*s = stream{reply: s.reply[:0], unsent: s.unsent[:0]}
		return s
	}
	return &stream{}
}

// open writes the HEADERS of s.
func (c *conn) open(s *stream) error {
	s.id, s.window, s.opened = c.nextID, c.initialWindow, true
	c.nextID += 2
	c.leaving = c.leaving || c.nextID > lastStream
	c.streams[s.id] = s
	if c.expires {
		c.opened = append(c.opened, s.id)
	}
	c.block.Reset()
	for _, f := range [...][2]string{
		{":method", "POST"}, {":path", "/envoy.service.auth.v3.Authorization/Check"}, {":authority", c.authority}, {":scheme", "http"},
		{"te", "trailers"}, {"grpc-timeout", c.timeout}, {"content-type", "application/grpc"},
		{"x-envoy-internal", "true"}, {"x-forwarded-for", "10.0.3.7"},
	} {
		if err := c.encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return err
		}
	}
	if c.traced {
		if err := c.encoder.WriteField(hpack.HeaderField{Name: "traceparent", Value: c.traceparent()}); err != nil {
			return err
		}
	}
	return c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: c.block.Bytes(), EndHeaders: true})
}

// traceparent is what an Envoy with a tracer says of the trace that a Check belongs to.
func (c *conn) traceparent() string {
	flags := 0
	if c.begun%sampledEvery == 0 {
		flags = 1
	}
	c.begun++
	return fmt.Sprintf("00-%016x%016x-%016x-%02x", rand.Uint64(), rand.Uint64()|1, rand.Uint64()|1, flags)
}

// sendWaiting sends what waits, in order, as far as the windows and the bound of streams let it.
func (c *conn) sendWaiting() error {
	for len(c.order) > 0 {
		s := c.order[0]
		if !s.opened {
			if len(c.streams) >= c.maxStreams || c.leaving {
				return nil
			}
			if err := c.open(s); err != nil {
				return err
			}
		}
		n := min(int64(len(s.unsent)), c.window, s.window, maxFrame)
		if n <= 0 {
			return nil
		}
		chunk := s.unsent[:n]
		s.unsent = s.unsent[n:]
		c.window -= n
		s.window -= n
		if err := c.framer.WriteData(s.id, len(s.unsent) == 0, chunk); err != nil {
			return err
		}
		if len(s.unsent) == 0 {
			c.order = c.order[1:]
		}
	}
	return nil
}

// expire gives up, as Envoy does after its timeout, all Checks that were meant to start before then, and tells how many.
func (c *conn) expire(then time.Time) (n int, err error) {
	for len(c.order) > 0 && c.order[0].start.Before(then) {
		if !c.order[0].opened { // an opened one is found below
			n++
		}
		c.order = c.order[1:]
	}
	for len(c.opened) > 0 {
		s := c.streams[c.opened[0]]
		if s != nil && !s.start.Before(then) {
			break
		}
		c.opened = c.opened[1:]
		if s == nil {
			continue
		}
		n++
		c.canceled = true
		delete(c.streams, s.id)
		if err := c.framer.WriteRSTStream(s.id, http2.ErrCodeCancel); err != nil {
			return n, err
		}
	}
	return n, c.sendWaiting()
}

// busy tells how many Checks have no answer yet.
func (c *conn) busy() int {
	n := len(c.streams)
	for _, s := range c.order {
		if !s.opened {
			n++
		}
	}
	return n
}
