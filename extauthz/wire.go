package extauthz

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// errWire: the bytes are no CheckRequest.
var errWire = errors.New("not a CheckRequest in protobuf")

// maxRawFields bounds the header fields of one request before those of one name are joined: far above the 100 that Envoy
// lets through by default. They are compared with each other.
const maxRawFields = 1024

// message is what is read of a CheckRequest. Its texts share memory with the bytes that were read.
//
// A CheckRequest of usual size is 2 KB, and the generated code takes longer to decode it than all else that a Check does.
// So this walks the bytes and keeps what is asked for, by the rules of protobuf: fields come in any order, of a field that
// stands there twice the last one counts, a message that stands there twice is merged, and what is not known, or is of
// another wire type, is skipped. A text that is no UTF-8 is an error. FuzzWire holds it against the generated code.
type message struct {
	method, scheme, host, path, query string
	size                              int64
	// headers, raw and context are as they were sent; in a map each name stands once.
	headers, context policy.Fields
	raw              []rawField
	// peer is the address of the connection to the proxy; empty where it is not an IP address's socket.
	peer string
	// source and destination are the principals of the two ends.
	source, destination string
}

// rawField is an entry of header_map.
type rawField struct{ name, text, bytes string }

// maxRoom bounds the lists that are kept for the next request.
const maxRoom = 128

// emptied is the room of list, without what was in it; nil where that is more than a usual request needs.
func emptied[S ~[]E, E any](list S) S {
	if cap(list) > maxRoom {
		return nil
	}
	clear(list)
	return list[:0]
}

// reset forgets everything but the room for lists.
func (m *message) reset() {
	*m = message{headers: emptied(m.headers), context: emptied(m.context), raw: emptied(m.raw)}
}

// read reads a CheckRequest. After an error m is empty.
func (m *message) read(data []byte) error {
	m.reset()
	c := cursor{rest: data}
	for c.next() {
		if c.is(1) {
			m.attributes(&c)
		}
	}
	if !c.bad {
		return nil
	}
	m.reset()
	return errWire
}

func (m *message) attributes(in *cursor) {
	c := in.inner()
	for c.next() {
		switch {
		case c.is(1):
			m.peerOf(&c, &m.source, &m.peer)
		case c.is(2):
			m.peerOf(&c, &m.destination, new(string)) // the address is of no use, but has to be one
		case c.is(4):
			m.request(&c)
		case c.is(10):
			m.context = c.entry(m.context)
		}
	}
	in.bad = in.bad || c.bad
}

// peerCertificate reads the certificate of the source of a CheckRequest, and nothing else: few Checks ask for it, and for
// those it is read when they do. It is empty where there is none, or where its text is no UTF-8. The bytes are those of a
// CheckRequest that was read.
func peerCertificate(data []byte) string {
	var out string
	request := cursor{rest: data}
	for request.next() {
		if !request.is(1) {
			continue
		}
		attributes := request.inner()
		for attributes.next() {
			if !attributes.is(1) {
				continue
			}
			source := attributes.inner()
			for source.next() {
				if source.is(5) {
					out = source.text()
				}
			}
			attributes.bad = attributes.bad || source.bad
		}
		request.bad = request.bad || attributes.bad
	}
	if request.bad {
		return ""
	}
	return out
}

// peerOf reads one end of the connection.
func (m *message) peerOf(in *cursor, principal, address *string) {
	c := in.inner()
	for c.next() {
		switch {
		case c.is(1):
			readAddress(&c, address)
		case c.is(4):
			*principal = c.text()
		}
	}
	in.bad = in.bad || c.bad
}

// readAddress reads an Address, of which one form counts, the last.
func readAddress(in *cursor, address *string) {
	c := in.inner()
	for c.next() {
		switch {
		case c.is(1):
			s := c.inner()
			for s.next() {
				if s.is(2) {
					*address = s.text()
				}
			}
			c.bad = c.bad || s.bad
		case c.is(2), c.is(3):
			*address = ""
		}
	}
	in.bad = in.bad || c.bad
}

func (m *message) request(in *cursor) {
	c := in.inner()
	for c.next() {
		if c.is(2) {
			m.http(&c)
		}
	}
	in.bad = in.bad || c.bad
}

func (m *message) http(in *cursor) {
	c := in.inner()
	for c.next() {
		if c.number == 9 && c.wire == protowire.VarintType {
			m.size = int64(c.varint)
			continue
		}
		if c.wire != protowire.BytesType {
			continue
		}
		switch c.number {
		case 2:
			m.method = c.text()
		case 3:
			m.headers = c.entry(m.headers)
		case 4:
			m.path = c.text()
		case 5:
			m.host = c.text()
		case 6:
			m.scheme = c.text()
		case 7:
			m.query = c.text()
		case 13:
			m.headerMap(&c)
		}
	}
	in.bad = in.bad || c.bad
}

func (m *message) headerMap(in *cursor) {
	c := in.inner()
	for c.next() {
		if !c.is(1) {
			continue
		}
		if len(m.raw) == maxRawFields {
			c.bad = true
			break
		}
		var f rawField
		h := c.inner()
		for h.next() {
			switch {
			case h.is(1):
				f.name = h.text()
			case h.is(2):
				f.text = h.text()
			case h.is(3):
				f.bytes = asText(h.value)
			}
		}
		c.bad = c.bad || h.bad
		m.raw = append(m.raw, f)
	}
	in.bad = in.bad || c.bad
}

// cursor stands on one field of a message.
type cursor struct {
	rest   []byte
	number protowire.Number
	wire   protowire.Type
	value  []byte // of a length-delimited field
	varint uint64
	bad    bool
}

// next goes to the next field; false at the end, or where the bytes are no message. Nearly all fields are length-delimited, of
// a number below 16 and shorter than 128 bytes.
func (c *cursor) next() bool {
	b := c.rest
	if len(b) < 2 || c.bad || !usualTag(b[0]) || b[1] >= 0x80 || int(b[1]) > len(b)-2 {
		return c.other()
	}
	end := 2 + int(b[1])
	c.number, c.wire, c.value, c.rest = protowire.Number(b[0]>>3), protowire.BytesType, b[2:end], b[end:]
	return true
}

// usualTag tells whether b is the whole tag of a length-delimited field, of a number below 16.
func usualTag(b byte) bool { return b&0x87 == byte(protowire.BytesType) && b >= 8 }

// other goes to the next field, of whatever form.
func (c *cursor) other() bool {
	if len(c.rest) == 0 || c.bad {
		return false
	}
	number, wire, n := protowire.ConsumeTag(c.rest)
	if n < 0 || number > protowire.MaxValidNumber {
		c.bad = true
		return false
	}
	c.number, c.wire, c.rest = number, wire, c.rest[n:]
	switch wire {
	case protowire.BytesType:
		c.value, n = protowire.ConsumeBytes(c.rest)
	case protowire.VarintType:
		c.varint, n = protowire.ConsumeVarint(c.rest)
	default:
		n = protowire.ConsumeFieldValue(number, wire, c.rest)
	}
	if n < 0 {
		c.bad = true
		return false
	}
	c.rest = c.rest[n:]
	return true
}

// is tells whether the field is the length-delimited one of this number.
func (c *cursor) is(number protowire.Number) bool {
	return c.number == number && c.wire == protowire.BytesType
}

// inner is a cursor over the message that the field holds.
func (c *cursor) inner() cursor { return cursor{rest: c.value} }

// text is that of the field.
func (c *cursor) text() string {
	if !validText(asText(c.value)) {
		c.bad = true
		return ""
	}
	return asText(c.value)
}

// entry is into with the entry of a map of texts that the field holds.
func (c *cursor) entry(into policy.Fields) policy.Fields {
	if name, value, ok := usualEntry(c.value); ok && len(into) < maxRawFields {
		return into.With(name, value)
	}
	var f policy.Field
	e := c.inner()
	for e.next() {
		switch {
		case e.is(1):
			f.Name = e.text()
		case e.is(2):
			f.Value = e.text()
		}
	}
	c.bad = c.bad || e.bad || len(into) == maxRawFields
	return into.With(f.Name, f.Value)
}

// usualEntry reads an entry as nearly all are written: a name below 128 bytes, then a value below 16 KiB, and nothing else.
func usualEntry(b []byte) (name, value string, ok bool) {
	const nameTag, valueTag = 1<<3 | byte(protowire.BytesType), 2<<3 | byte(protowire.BytesType)
	if len(b) < 4 || b[0] != nameTag || b[1] >= 0x80 {
		return "", "", false
	}
	end := 2 + int(b[1])
	if len(b) < end+2 || b[end] != valueTag {
		return "", "", false
	}
	n, at := int(b[end+1]), end+2
	if n >= 0x80 {
		if len(b) < end+3 || b[end+2] >= 0x80 {
			return "", "", false
		}
		n, at = n&0x7f|int(b[end+2])<<7, end+3
	}
	name, value = asText(b[2:end]), asText(b[at:])
	if n != len(value) {
		return "", "", false
	}
	// Where each length takes one byte, an entry is ASCII as a whole if its texts are.
	return name, value, n < 0x80 && ascii(asText(b)) || validText(name) && validText(value)
}
