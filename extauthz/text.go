package extauthz

import (
	"encoding/binary"
	"unicode/utf8"
	"unsafe"
)

// Texts are looked at eight bytes at a time where they are long enough: those of a request and its answer are short and
// many, and nearly all of them are ASCII.
const (
	highBits = 0x8080808080808080
	ones     = 0x0101010101010101
)

// validText tells whether s is UTF-8.
func validText(s string) bool { return ascii(s) || utf8.ValidString(s) }

// ascii tells whether each byte of s is below 0x80.
func ascii(s string) bool {
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	if len(b) < 8 {
		var all byte
		for _, c := range b {
			all |= c
		}
		return all < utf8.RuneSelf
	}
	all := eight(b[len(b)-8:])
	for len(b) >= 32 {
		all |= eight(b) | eight(b[8:]) | eight(b[16:]) | eight(b[24:])
		b = b[32:]
	}
	for len(b) > 8 {
		all |= eight(b)
		b = b[8:]
	}
	return all&highBits == 0
}

// hasUpper tells whether s has a capital letter of ASCII.
func hasUpper(s string) bool {
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	if len(b) < 8 {
		for _, c := range b {
			if 'A' <= c && c <= 'Z' {
				return true
			}
		}
		return false
	}
	found := upper(eight(b[len(b)-8:]))
	for len(b) > 8 {
		found |= upper(eight(b))
		b = b[8:]
	}
	return found != 0
}

// upper has the high bit of each byte of w that is a capital letter. Without their own high bits no two bytes carry into
// each other.
func upper(w uint64) uint64 {
	low := w &^ highBits
	fromA, aboveZ := low+(0x80-'A')*ones, low+(0x80-'Z'-1)*ones
	return fromA &^ aboveZ &^ w & highBits
}

// eight are the first bytes of b, which has as many.
func eight(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// asText is b as a text that shares its memory.
func asText(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
