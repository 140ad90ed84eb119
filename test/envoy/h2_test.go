package envoy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// field is a header field of HTTP/2, pseudo-headers included, with whatever bytes.
type field struct{ name, value string }

// sendHTTP2 sends one request over a connection of its own, with the fields as they stand, and reads one answer. The
// error says that there was none.
func sendHTTP2(address string, fields ...field) (answer, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return answer{}, err
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		return answer{}, err
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		return answer{}, err
	}
	if err := writeFields(framer, fields); err != nil {
		return answer{}, err
	}
	return readAnswer(framer)
}

// writeFields writes the fields in frames that are small enough for any peer.
func writeFields(framer *http2.Framer, fields []field) error {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range fields {
		if err := encoder.WriteField(hpack.HeaderField{Name: f.name, Value: f.value}); err != nil {
			return err
		}
	}
	const most = 16 << 10
	part := block.Next(most)
	err := framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: part, EndStream: true, EndHeaders: block.Len() == 0,
	})
	for err == nil && block.Len() > 0 {
		part = block.Next(most)
		err = framer.WriteContinuation(1, block.Len() == 0, part)
	}
	return err
}

// readAnswer reads the frames of one answer; those of the connection are passed over.
func readAnswer(framer *http2.Framer) (a answer, err error) {
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return answer{}, err
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			a.header = http.Header{}
			for _, f := range frame.Fields {
				a.header.Add(f.Name, f.Value)
			}
			if a.status, err = strconv.Atoi(frame.PseudoValue("status")); err != nil || frame.StreamEnded() {
				return a, err
			}
		case *http2.DataFrame:
			a.body += string(frame.Data())
			if frame.StreamEnded() {
				return a, nil
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return answer{}, errors.New("Envoy has refused the stream")
		}
	}
}
