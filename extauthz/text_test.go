package extauthz

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestTexts puts each byte at each place of a text, of every length that the loops treat differently.
func TestTexts(t *testing.T) {
	for length := range 45 {
		for at := range length {
			for b := range 256 {
				text := []byte(strings.Repeat("@[`{z\x7f", 8)[:length])
				text[at] = byte(b)
				s := string(text)
				if got, want := ascii(s), b < utf8.RuneSelf; got != want {
					t.Fatalf("ascii(%q) = %t", s, got)
				}
				if got, want := validText(s), utf8.ValidString(s); got != want {
					t.Fatalf("validText(%q) = %t", s, got)
				}
				if got, want := hasUpper(s), 'A' <= b && b <= 'Z'; got != want {
					t.Fatalf("hasUpper(%q) = %t", s, got)
				}
			}
		}
	}
	for _, s := range []string{"", "ä", "grüße über grüße", "\xff", "Kelvin \u212a", "12345678", "\x80\x80\x80\x80\x80\x80\x80\x80\x80"} {
		if got, want := validText(s), utf8.ValidString(s); got != want {
			t.Errorf("validText(%q) = %t", s, got)
		}
	}
	if hasUpper("\xc1\xda\xc1\xda\xc1\xda\xc1\xda") || hasUpper("") {
		t.Error("bytes outside ASCII count as capital letters")
	}
}

// TestWords writes words around the length that takes two bytes, and compares with what a Struct has to be.
func TestWords(t *testing.T) {
	for n := range 400 {
		var e, slow encoder
		value := strings.Repeat("v", n)
		e.word("reason", value)
		entry := slow.key("reason")
		slow.value(2, value)
		slow.end(entry)
		if e.bad || string(e.out) != string(slow.out) {
			t.Fatalf("%d bytes: %x, not %x", n, e.out, slow.out)
		}
	}
	var e encoder
	if e.word("rule", "\xff"); !e.bad {
		t.Error("a text that is no UTF-8 is written")
	}
}
