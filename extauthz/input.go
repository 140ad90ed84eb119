package extauthz

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// reading is a CheckRequest, read and made sense of. Its texts share memory with the bytes of the message.
type reading struct {
	message
	// input lacks Scope and SourceAddress, which the configuration has a say in.
	input policy.Input
	// readable is false where the bytes are no CheckRequest, or say two different things of one request.
	readable bool
	// scope is what the context extensions state; scoped tells whether they do.
	scope  string
	scoped bool
	// grpc: the caller speaks gRPC. Envoy answers such a caller in gRPC too, and would put a body into the grpc-message.
	grpc bool

	joined policy.Fields // room for the headers of header_map
}

// readRequest reads a CheckRequest; nothing else does. What is missing stays empty.
func (r *reading) readRequest(data []byte) {
	err := r.read(data)
	headers, agree := r.readHeaders()
	r.input = policy.Input{
		Method: r.method, Scheme: r.scheme, Host: r.host, Path: r.path,
		Headers: headers, Size: r.size, SourcePrincipal: r.source, Context: r.context,
	}
	r.scope, r.scoped = r.context.Get(policy.ScopeKey)
	r.readable = err == nil && agree
	if r.query != "" {
		// Envoy leaves the field empty: the path has the query, and only that one is judged.
		_, inPath, _ := strings.Cut(r.path, "?")
		r.readable = r.readable && r.query == inPath
	}
	contentType, _ := headers.Get("content-type")
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	r.grpc = ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// forget leaves of r nothing but room.
func (r *reading) forget() {
	r.reset()
	*r = reading{message: r.message, joined: emptied(r.joined)}
}

// readHeaders reads whichever form the proxy sends, so that both say the same of one request. Envoy fills in one of
// them; where a proxy fills in both and they differ, nobody can tell which one the application receives.
func (r *reading) readHeaders() (headers policy.Fields, agree bool) {
	named := lowerNames(r.headers)
	if len(r.raw) == 0 {
		return named, true
	}
	r.joined, agree = joinHeaders(r.raw, r.joined[:0])
	return r.joined, agree && (len(named) == 0 || sameFields(named, r.joined))
}

func sameFields(a, b policy.Fields) bool {
	for _, f := range a {
		if value, ok := b.Get(f.Name); !ok || value != f.Value {
			return false
		}
	}
	return len(a) == len(b)
}

// lowerNames is h, in which Envoy writes names in lower case. From another proxy names that differ only in case are
// joined, in the order of their spelling.
func lowerNames(h policy.Fields) policy.Fields {
	if !slices.ContainsFunc(h, func(f policy.Field) bool { return hasUpper(f.Name) }) {
		return h
	}
	raw := make([]rawField, len(h))
	for i, f := range slices.SortedFunc(slices.Values(h), func(a, b policy.Field) int { return strings.Compare(a.Name, b.Name) }) {
		raw[i] = rawField{name: f.Name, text: f.Value}
	}
	out, _ := joinHeaders(raw, nil) // of each field there is one form, so that none contradicts itself
	return out
}

// lowerName folds ASCII only: Unicode would make a k of the Kelvin sign.
func lowerName(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + ('a' - 'A')
		}
	}
	return string(b)
}

// joinHeaders joins raw header fields of one name with ",", in out, and makes text of their bytes, as Envoy does for the
// other form. ok is false where a field has two different values.
func joinHeaders(raw []rawField, out policy.Fields) (_ policy.Fields, ok bool) {
	var repeated map[string][]byte
	for _, h := range raw {
		name, value := h.name, coerce(h.bytes)
		if hasUpper(name) {
			name = lowerName(name)
		}
		if h.text != "" {
			if value != "" && value != h.text {
				return nil, false
			}
			value = h.text
		}
		first, twice := out.Get(name)
		if !twice {
			out = append(out, policy.Field{Name: name, Value: value})
			continue
		}
		if repeated == nil {
			repeated = map[string][]byte{}
		}
		all, known := repeated[name]
		if !known {
			all = []byte(first)
		}
		repeated[name] = append(append(all, ','), value...)
	}
	for name, value := range repeated {
		out = out.With(name, string(value))
	}
	return out, true
}

// coerce makes valid UTF-8 of b, as Envoy does: each byte that is part of no character becomes "!".
func coerce(b string) string {
	if validText(b) {
		return b
	}
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRuneInString(b)
		if r == utf8.RuneError && n == 1 {
			out = append(out, '!')
		} else {
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return string(out)
}
