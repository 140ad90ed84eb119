package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// maxJSONDepth bounds how deep arrays and objects nest. Tokens of the field stay below 8.
	maxJSONDepth = 32
	// maxJSONObjects bounds how many objects there are: each costs some 300 bytes, whereas seven write one. Tokens of the
	// field have some dozens, and a key set has at most 256 keys.
	maxJSONObjects = 512
)

// parseObject reads text as one JSON object (RFC 8259) of which no two parsers can have different opinions:
// valid UTF-8 without a byte order mark, no duplicate member at any depth, no surrogate escape without its
// pair, nothing but white space behind it, at most 32 levels deep and 512 objects in all. Member names keep their case, numbers
// their digits. Strings without escapes share the memory of text. Errors name an offset and no content.
func parseObject(text string) (map[string]any, error) {
	r := jsonReader{text: text}
	if !utf8.ValidString(text) {
		return nil, errors.New("not valid UTF-8")
	}
	r.skipSpace()
	if r.peek() != '{' {
		return nil, r.fault("not an object")
	}
	object, err := r.object(1)
	if err != nil {
		return nil, err
	}
	if r.skipSpace(); r.at != len(text) {
		return nil, r.fault("something follows the object")
	}
	return object, nil
}

// jsonReader reads text, valid UTF-8, from left to right.
type jsonReader struct {
	text    string
	at      int
	objects int // so far
}

func (r *jsonReader) fault(what string) error { return fmt.Errorf("JSON at byte %d: %s", r.at, what) }

// peek returns the next byte, 0 at the end; a 0 in the text is no JSON anyway.
func (r *jsonReader) peek() byte {
	if r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

func (r *jsonReader) skipSpace() {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return
		}
	}
}

// skip passes over c, and reports whether it stood there.
func (r *jsonReader) skip(c byte) bool {
	if r.peek() != c {
		return false
	}
	r.at++
	return true
}

// value reads a value that stands depth levels deep.
func (r *jsonReader) value(depth int) (any, error) {
	switch c := r.peek(); c {
	case '{':
		return r.object(depth + 1)
	case '[':
		return r.array(depth + 1)
	case '"':
		return r.string()
	case 't':
		return true, r.literal("true")
	case 'f':
		return false, r.literal("false")
	case 'n':
		return nil, r.literal("null")
	default:
		return r.number()
	}
}

func (r *jsonReader) literal(word string) error {
	if !strings.HasPrefix(r.text[r.at:], word) {
		return r.fault("not a value")
	}
	r.at += len(word)
	return nil
}

func (r *jsonReader) object(depth int) (map[string]any, error) {
	if depth > maxJSONDepth {
		return nil, r.fault("too deep")
	}
	if r.objects++; r.objects > maxJSONObjects {
		return nil, r.fault("too many objects")
	}
	r.at++
	members := make(map[string]any)
	for r.skipSpace(); !r.skip('}'); r.skipSpace() {
		if len(members) > 0 {
			if !r.skip(',') {
				return nil, r.fault("a comma or the end of the object is missing")
			}
			r.skipSpace()
		}
		if err := r.member(members, depth); err != nil {
			return nil, err
		}
	}
	return members, nil
}

// member reads one name and value into members.
func (r *jsonReader) member(members map[string]any, depth int) error {
	if r.peek() != '"' {
		return r.fault("not the name of a member")
	}
	name, err := r.string()
	if err != nil {
		return err
	}
	if _, twice := members[name]; twice {
		return r.fault("a member of this name stood there before")
	}
	if r.skipSpace(); !r.skip(':') {
		return r.fault("a colon is missing")
	}
	r.skipSpace()
	members[name], err = r.value(depth)
	return err
}

func (r *jsonReader) array(depth int) ([]any, error) {
	if depth > maxJSONDepth {
		return nil, r.fault("too deep")
	}
	r.at++
	elements := []any{}
	for r.skipSpace(); !r.skip(']'); r.skipSpace() {
		if len(elements) > 0 {
			if !r.skip(',') {
				return nil, r.fault("a comma or the end of the array is missing")
			}
			r.skipSpace()
		}
		v, err := r.value(depth)
		if err != nil {
			return nil, err
		}
		elements = append(elements, v)
	}
	return elements, nil
}

// string reads a string. Without an escape it is a slice of the text.
func (r *jsonReader) string() (string, error) {
	r.at++
	start := r.at
	for r.at < len(r.text) {
		switch c := r.text[r.at]; {
		case c == '"':
			r.at++
			return r.text[start : r.at-1], nil
		case c == '\\':
			return r.escaped(start)
		case c < ' ':
			return "", r.fault("a control character in a string")
		}
		r.at++
	}
	return "", r.fault("a string does not end")
}

// escaped goes on at the first escape of the string that began at start.
func (r *jsonReader) escaped(start int) (string, error) {
	b := []byte(r.text[start:r.at])
	for r.at < len(r.text) {
		c := r.text[r.at]
		r.at++
		switch {
		case c == '"':
			return string(b), nil
		case c < ' ':
			return "", r.fault("a control character in a string")
		case c != '\\':
			b = append(b, c)
		default:
			char, err := r.escape()
			if err != nil {
				return "", err
			}
			b = utf8.AppendRune(b, char)
		}
	}
	return "", r.fault("a string does not end")
}

// escape reads what follows a backslash.
func (r *jsonReader) escape() (rune, error) {
	c := r.peek()
	r.at++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return r.unicodeEscape()
	}
	return 0, r.fault("not an escape")
}

func (r *jsonReader) unicodeEscape() (rune, error) {
	first, ok := r.hex4()
	if !ok {
		return 0, r.fault("not an escape")
	}
	if !utf16.IsSurrogate(first) {
		return first, nil
	}
	if r.skip('\\') && r.skip('u') {
		if second, ok := r.hex4(); ok {
			if pair := utf16.DecodeRune(first, second); pair != utf8.RuneError {
				return pair, nil
			}
		}
	}
	return 0, r.fault("a surrogate without its pair")
}

func (r *jsonReader) hex4() (rune, bool) {
	if len(r.text)-r.at < 4 {
		return 0, false
	}
	var v rune
	for range 4 {
		digit := unhex(r.text[r.at])
		if digit < 0 {
			return 0, false
		}
		v, r.at = v<<4|rune(digit), r.at+1
	}
	return v, true
}

// number reads a number and keeps it as it is written.
func (r *jsonReader) number() (any, error) {
	start := r.at
	r.skip('-')
	if !r.skip('0') && !r.digits() {
		return nil, r.fault("not a value")
	}
	if r.skip('.') && !r.digits() {
		return nil, r.fault("not a number")
	}
	if r.skip('e') || r.skip('E') {
		if !r.skip('+') {
			r.skip('-')
		}
		if !r.digits() {
			return nil, r.fault("not a number")
		}
	}
	return json.Number(r.text[start:r.at]), nil
}

func (r *jsonReader) digits() bool {
	start := r.at
	for c := r.peek(); '0' <= c && c <= '9'; c = r.peek() {
		r.at++
	}
	return r.at > start
}
