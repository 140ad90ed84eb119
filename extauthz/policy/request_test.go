package policy

import (
	"fmt"
	"strings"
	"testing"
)

func TestIsToken(t *testing.T) {
	for s, want := range map[string]bool{
		"": false, "a": true, "z": true, "A": true, "Z": true, "0": true, "9": true, "azAZ09": true, "!#$%&'*+-.^_`|~": true, "!": true,
		" ": false, "/": false, ":": false, "@": false, "[": false, "{": false, "a b": false, "a\x7f": false, "é": false, `"`: false, "(": false, ",": false,
		strings.Repeat("a", 64): true, strings.Repeat("a", 65): false,
	} {
		if got := isToken(s); got != want {
			t.Errorf("%q: %t", s, got)
		}
	}
}

// TestNewRequest tells which requests are judged at all.
func TestNewRequest(t *testing.T) {
	headers := func(n, size int) (out Fields) {
		for i := range n {
			name := fmt.Sprintf("x-%03d", i)
			out = append(out, Field{name, strings.Repeat("a", size/n-len(name))})
		}
		out[0].Value += strings.Repeat("a", size%n)
		return out
	}
	for _, tt := range []struct {
		name string
		edit func(*call)
		want Reason
	}{
		{"plain", func(*call) {}, ""},
		{"no host", func(c *call) { c.Host = "" }, ReasonInvalidRequest},
		{"no method", func(c *call) { c.Method = "" }, ReasonInvalidRequest},
		{"method with a blank", func(c *call) { c.Method = "GET X" }, ReasonInvalidRequest},
		{"no path", func(c *call) { c.Path = "" }, ReasonInvalidRequest},
		{"path of another form", func(c *call) { c.Path = "https://a.com/" }, ReasonInvalidRequest},
		{"as many headers as may be", func(c *call) { c.Headers = headers(maxHeaders, 10*maxHeaders) }, ""},
		{"one header more", func(c *call) { c.Headers = headers(maxHeaders+1, 10*maxHeaders+10) }, ReasonInvalidRequest},
		{"as large headers as may be", func(c *call) { c.Headers = headers(7, maxHeaderBytes) }, ""},
		{"one byte more", func(c *call) { c.Headers = headers(7, maxHeaderBytes+1) }, ReasonInvalidRequest},
		{"one large header", func(c *call) { c.Headers = headers(1, maxHeaderBytes+1) }, ReasonInvalidRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := get("https://a.com/x")
			tt.edit(&c)
			if req, got := NewRequest(c.Input); got != tt.want || (req == nil) != (tt.want != "") {
				t.Errorf("got %v, %q", req, got)
			}
		})
	}
}

// TestAnnounced tells which requests announce another, as browsers do before they send one across origins.
func TestAnnounced(t *testing.T) {
	const origin, method = "origin", "access-control-request-method"
	for _, tt := range []struct {
		name string
		call call
		want string
	}{
		{"preflight", request("OPTIONS", "https://a.com/").header(origin, "https://b").header(method, "PUT"), "PUT"},
		{"no origin", request("OPTIONS", "https://a.com/").header(method, "PUT"), ""},
		{"no method", request("OPTIONS", "https://a.com/").header(origin, "https://b"), ""},
		{"what is no method", request("OPTIONS", "https://a.com/").header(origin, "https://b").header(method, "put"), ""},
		{"another method than OPTIONS", request("GET", "https://a.com/").header(origin, "https://b").header(method, "PUT"), ""},
	} {
		req, reason := NewRequest(tt.call.Input)
		if reason != "" {
			t.Fatal(reason)
		}
		if req.announced != tt.want {
			t.Errorf("%s: %q", tt.name, req.announced)
		}
	}
}

// TestBounds holds the bounds of what a request and an answer may have to the figures that the documents name.
func TestBounds(t *testing.T) {
	for name, b := range map[string][2]int{
		"headers of a request":           {maxHeaders, 256},
		"bytes of its headers":           {maxHeaderBytes, 96 * 1024},
		"bytes of its path":              {maxPath, 8 * 1024},
		"segments of its path":           {maxSegments, 128},
		"bytes of a header upstream":     {maxUpstreamValue, 2 * 1024},
		"bytes of all of them":           {maxUpstreamBytes, 8 * 1024},
		"bytes of a text in an estimate": {maxInputLength, 16 * 1024},
		"elements of a list in one":      {maxInputElements, 4 * 1024},
	} {
		if b[0] != b[1] {
			t.Errorf("%s: %d, want %d", name, b[0], b[1])
		}
	}
}
