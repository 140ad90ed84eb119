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
	expires       bool      // expire will be called, so that opened is kept
	opened        []uint32  // ids of streams as they were opened; some are answered
	canceled      bool      // some stream was given up, so that frames of it may still come
	order         []*stream // waiting for a window or for leave to open, in order
	free          []*stream
	maxStreams    int
	window        int64 // what the server still takes on the whole connection
	initialWindow int64 // of a stream
	unacked       uint32
	leaving       bool // the server takes no new streams here
	written       int  // writes so far
	traced        bool // each stream belongs to a trace
	begun         int  // streams that do, so far

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

// flush writes all that is due.
func (c *conn) flush() error {
	if c.out.Len() == 0 {
		return nil
	}
	c.written++
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
		if c.streams[f.StreamID] == nil && c.canceled {
			return nil
		}
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
	if s == nil && c.canceled {
		return nil
	}
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
	if s == nil && !c.canceled {
		return fmt.Errorf("headers of stream %d, which is not open", id)
	}
	// Those of a stream that was given up are read too, for the sake of the table of headers.
	c.current = s
	if s == nil {
		c.current = &stream{}
	}
	if _, err := c.decoder.Write(block); err != nil {
		return fmt.Errorf("reading the server's headers: %w", err)
	}
	if err := c.decoder.Close(); err != nil || !end || s == nil {
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
