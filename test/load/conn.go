package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// streamWindow and connWindow are what Envoy grants by default.
	streamWindow, connWindow = 16 << 20, 24 << 20
	// frameHeader is the size of a frame's header (RFC 9113 §4.1).
	frameHeader = 9
	// inBuffer holds the largest frame that this client allows, with its header, and more.
	inBuffer = 64 << 10
	// lastStream is where a connection is given up for a new one, before its stream ids end.
	lastStream = 1<<31 - 1<<20
)

// stream is one Check that is under way.
type stream struct {
	id     uint32
	want   int       // verdict that is due
	start  time.Time // when it was meant to start
	reply  []byte    // data that has come, with the gRPC prefix
	unsent []byte    // data that waits for the server's window
	window int64     // what the server still takes of this stream
	opened bool      // its HEADERS are written
	status string    // grpc-status
}

// conn is one HTTP/2 connection, as an Envoy worker has one to each upstream. All that becomes due while the data of one
// read is worked through goes out in one write. It belongs to one goroutine.
type conn struct {
	authority string
	timeout   string // grpc-timeout
	net       net.Conn
	in        *bufio.Reader
	out       bytes.Buffer
	framer    *http2.Framer // from in, to out
	encoder   *hpack.Encoder
	block     bytes.Buffer // what encoder wrote
	decoder   *hpack.Decoder
	current   *stream // whose header block is decoded

	nextID        uint32
	streams       map[uint32]*stream
	order         []*stream // waiting for a window or for leave to open, in order
	free          []*stream
	maxStreams    int
	window        int64 // what the server still takes on the whole connection
	initialWindow int64 // of a stream
	unacked       uint32
	leaving       bool // the server takes no new streams here

	done func(*stream) error // called for each answered stream
}

// dial opens a connection and waits for the server's settings. Without config it is in clear text.
func dial(address string, config *tls.Config, timeout time.Duration) (*conn, error) {
	raw, err := net.Dial("tcp", address)
	if err == nil && config != nil {
		raw, err = clientTLS(raw, config)
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to the server: %w", err)
	}
	c := &conn{
		authority: "sallyport", timeout: fmt.Sprintf("%dm", timeout.Milliseconds()), net: raw, in: bufio.NewReaderSize(raw, inBuffer),
		nextID: 1, streams: map[uint32]*stream{}, maxStreams: 100, window: 65535, initialWindow: 65535,
	}
	c.framer = http2.NewFramer(&c.out, c.in)
	c.framer.SetReuseFrames()
	c.encoder = hpack.NewEncoder(&c.block)
	c.decoder = hpack.NewDecoder(4096, c.field)
	c.out.WriteString(http2.ClientPreface)
	err = errors.Join(
		c.framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow}),
		c.framer.WriteWindowUpdate(0, connWindow-65535),
		c.flush(),
	)
	if err == nil {
		err = c.readFrame() // the first one is SETTINGS
	}
	if err = errors.Join(err, c.flush()); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return c, nil
}

func clientTLS(raw net.Conn, config *tls.Config) (net.Conn, error) {
	secure := tls.Client(raw, config)
	if err := secure.Handshake(); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	if got := secure.ConnectionState().NegotiatedProtocol; got != "h2" {
		return nil, errors.Join(fmt.Errorf("the server speaks %q, not h2", got), raw.Close())
	}
	return secure, nil
}

// send starts a Check with payload, a gRPC message with its prefix, which is copied.
func (c *conn) send(payload []byte, want int, start time.Time) error {
	s := c.newStream()
	s.want, s.start = want, start
	if len(c.order) == 0 && len(c.streams) < c.maxStreams && c.window >= int64(len(payload)) && c.initialWindow >= int64(len(payload)) {
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
	return c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: c.block.Bytes(), EndHeaders: true})
}

// sendWaiting sends what waits, in order, as far as the windows and the bound of streams let it.
func (c *conn) sendWaiting() error {
	for len(c.order) > 0 {
		s := c.order[0]
		if !s.opened {
			if len(c.streams) >= c.maxStreams {
				return nil
			}
			if err := c.open(s); err != nil {
				return err
			}
		}
		n := min(int64(len(s.unsent)), c.window, s.window, 16384)
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

// flush writes all that is due.
func (c *conn) flush() error {
	if c.out.Len() == 0 {
		return nil
	}
	_, err := c.net.Write(c.out.Bytes())
	c.out.Reset()
	return err
}

// await blocks until a whole frame is there, or until deadline unless that is zero; false: it passed.
func (c *conn) await(deadline time.Time) (bool, error) {
	if c.whole() {
		return true, nil
	}
	if err := c.net.SetReadDeadline(deadline); err != nil {
		return false, err
	}
	head, err := c.in.Peek(frameHeader)
	if err == nil {
		_, err = c.in.Peek(frameHeader + frameLength(head))
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	return err == nil, err
}

// whole tells whether a whole frame is buffered.
func (c *conn) whole() bool {
	if c.in.Buffered() < frameHeader {
		return false
	}
	head, err := c.in.Peek(frameHeader)
	return err == nil && c.in.Buffered() >= frameHeader+frameLength(head)
}

func frameLength(head []byte) int { return int(binary.BigEndian.Uint32(head) >> 8) }

// readFrame reads one frame, and does what it asks for.
func (c *conn) readFrame() error {
	frame, err := c.framer.ReadFrame()
	if err != nil {
		return fmt.Errorf("reading from the server: %w", err)
	}
	switch f := frame.(type) {
	case *http2.DataFrame:
		return c.data(f)
	case *http2.HeadersFrame:
		return c.headers(f.StreamID, f.HeaderBlockFragment(), f.HeadersEnded(), f.StreamEnded())
	case *http2.SettingsFrame:
		return c.settings(f)
	case *http2.WindowUpdateFrame:
		return c.windowUpdate(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			return c.framer.WritePing(true, f.Data)
		}
	case *http2.GoAwayFrame:
		c.leaving = true
		if f.ErrCode != http2.ErrCodeNo {
			return fmt.Errorf("the server gave the connection up: %s: %q", f.ErrCode, f.DebugData())
		}
	case *http2.RSTStreamFrame:
		return fmt.Errorf("the server reset a stream: %s", f.ErrCode)
	case *http2.ContinuationFrame, *http2.PushPromiseFrame:
		return fmt.Errorf("the server sent %s, which no gRPC server has a need for", frame.Header().Type)
	}
	return nil
}

func (c *conn) data(f *http2.DataFrame) error {
	if c.unacked += f.Length; c.unacked >= connWindow/2 {
		if err := c.framer.WriteWindowUpdate(0, c.unacked); err != nil {
			return err
		}
		c.unacked = 0
	}
	s := c.streams[f.StreamID]
	if s == nil {
		return fmt.Errorf("data of stream %d, which is not open", f.StreamID)
	}
	s.reply = append(s.reply, f.Data()...)
	if f.StreamEnded() {
		return errors.New("the server ended a stream without trailers")
	}
	return nil
}

func (c *conn) headers(id uint32, block []byte, whole, end bool) error {
	if !whole {
		return errors.New("the server's headers do not fit into one frame")
	}
	s := c.streams[id]
	if s == nil {
		return fmt.Errorf("headers of stream %d, which is not open", id)
	}
	c.current = s
	if _, err := c.decoder.Write(block); err != nil {
		return fmt.Errorf("reading the server's headers: %w", err)
	}
	if err := c.decoder.Close(); err != nil || !end {
		return err
	}
	delete(c.streams, id)
	if len(c.order) > 0 {
		if err := c.sendWaiting(); err != nil {
			return err
		}
	}
	err := c.done(s)
	c.free = append(c.free, s)
	return err
}

// field takes one decoded header field.
func (c *conn) field(f hpack.HeaderField) {
	switch f.Name {
	case "grpc-status":
		c.current.status = f.Value
	case ":status":
		if f.Value != "200" {
			c.current.status = "HTTP " + f.Value
		}
	}
}

func (c *conn) settings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	err := f.ForeachSetting(func(s http2.Setting) error {
		switch s.ID {
		case http2.SettingInitialWindowSize:
			for _, open := range c.streams {
				open.window += int64(s.Val) - c.initialWindow
			}
			c.initialWindow = int64(s.Val)
		case http2.SettingMaxConcurrentStreams:
			c.maxStreams = int(min(s.Val, 1<<30))
		case http2.SettingHeaderTableSize:
			c.encoder.SetMaxDynamicTableSizeLimit(s.Val)
		}
		return nil
	})
	return errors.Join(err, c.framer.WriteSettingsAck(), c.sendWaiting())
}

func (c *conn) windowUpdate(f *http2.WindowUpdateFrame) error {
	if f.StreamID == 0 {
		c.window += int64(f.Increment)
	} else if s := c.streams[f.StreamID]; s != nil {
		s.window += int64(f.Increment)
	}
	return c.sendWaiting()
}
