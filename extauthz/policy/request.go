package policy

import (
	"net/netip"
	"strings"
)

const (
	// maxHeaders and maxHeaderBytes bound the headers of a request: above Envoy's defaults (100 headers, 60 KiB).
	maxHeaders     = 256
	maxHeaderBytes = 96 << 10
)

// Input is a request as the proxy describes it.
type Input struct {
	// Method, Scheme and Host as the proxy sends them.
	Method, Scheme, Host string
	// Path as the proxy sends it, with the query.
	Path string
	// Headers by lower-case name; several fields of one name joined with ",". Pseudo-headers are ignored. The list is
	// neither copied nor written.
	Headers Fields
	// Size of the request's body in bytes; -1 where it is not known.
	Size int64
	// Scope that the proxy states.
	Scope Scope
	// SourceAddress of the client; the zero Addr where it is not known.
	SourceAddress netip.Addr
	// SourcePrincipal of the client, from its verified certificate; empty where there is none.
	SourcePrincipal string
	// Context extensions of the proxy.
	Context Fields
}

// Request is a request that has been looked at: one that every parser reads alike, its path apart, which is read once
// the host, and with it the reading, is known. It serves one Check and is not for concurrent use. The zero Request is one
// of which nothing is known; Reset makes it one of a Check.
type Request struct {
	in    Input
	host  string
	path  string
	query string
	// announced is the method that a CORS preflight announces; empty for any other request.
	announced string

	// Room for a lookup, so that one of usual size allocates nothing.
	rooms [2]room
	found [16]terminal
	segs  [24]string
	vars  variables
}

// room is what a lookup needs, once for the rules in force and once for those with the DryRun rules.
type room struct {
	tables [4]*table
	path   path
	hits   [4]hit
}

// NewRequest looks at in. The Reason is ReasonInvalidRequest where method, host or path is missing or malformed, or the
// headers are too many or too large; otherwise it is empty.
func NewRequest(in Input) (*Request, Reason) {
	r := new(Request)
	if reason := r.Reset(in); reason != "" {
		return nil, reason
	}
	return r, ""
}

// Reset makes r the request of in, as NewRequest would, and forgets whatever r was before. With a Reason r is the zero
// Request. Landings of what it was before are no longer to be used.
func (r *Request) Reset(in Input) Reason {
	*r = Request{}
	host, err := normalizeHost(in.Host, true)
	if err != nil || !isMethod(in.Method) || !strings.HasPrefix(in.Path, "/") || !headersFit(in.Headers) {
		return ReasonInvalidRequest
	}
	r.in, r.host = in, host
	r.path, r.query, _ = strings.Cut(in.Path, "?")
	if in.Method == "OPTIONS" {
		_, origin := in.Headers.Get("origin")
		if m, _ := in.Headers.Get("access-control-request-method"); origin && isMethod(m) {
			r.announced = m
		}
	}
	return ""
}

func headersFit(h Fields) bool {
	if len(h) > maxHeaders {
		return false
	}
	n := 0
	for i := range h {
		n += len(h[i].Name) + len(h[i].Value)
	}
	return n <= maxHeaderBytes
}

// isMethod tells whether s is a method. One in lower case is none: rules compare with case, and some servers do not.
func isMethod(s string) bool { return isToken(s) && s == strings.ToUpper(s) }

// isToken tells whether s is a token (RFC 9110 §5.6.2), as methods are.
func isToken(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alnum && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return true
}

// Method of the request.
func (r *Request) Method() string { return r.in.Method }

// Scheme of the request as the proxy says it; may be empty.
func (r *Request) Scheme() string { return r.in.Scheme }

// Host of the request in lower case, without port and final dot.
func (r *Request) Host() string { return r.host }

// Path of the request as it was sent, without the query.
func (r *Request) Path() string { return r.path }

// Query of the request as it was sent, without "?".
func (r *Request) Query() string { return r.query }

// Header is the value of the header name, in lower case; several fields of one name are joined with ",".
func (r *Request) Header(name string) (value string, ok bool) {
	if strings.HasPrefix(name, ":") {
		return "", false
	}
	return r.in.Headers.Get(name)
}
