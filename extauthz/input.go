package extauthz

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// reading is all that is read of a CheckRequest.
type reading struct {
	// input lacks Scope and SourceAddress, which the configuration has a say in.
	input policy.Input
	// peer is the address of the connection to the proxy; empty where it is not an IP address's socket.
	peer string
	// destination is the principal of the proxy itself.
	destination string
	// scope is what the context extensions state; scoped tells whether they do.
	scope  string
	scoped bool
}

// readRequest reads a CheckRequest; nothing else does. What is missing stays empty. readable is false where the message
// says two different things of one request.
func readRequest(in *authv3.CheckRequest) (r reading, readable bool) {
	attrs := in.GetAttributes()
	http := attrs.GetRequest().GetHttp()
	headers, readable := readHeaders(http)
	r.input = policy.Input{
		Method:          http.GetMethod(),
		Scheme:          http.GetScheme(),
		Host:            http.GetHost(),
		Path:            http.GetPath(),
		Headers:         headers,
		Size:            http.GetSize(),
		SourcePrincipal: attrs.GetSource().GetPrincipal(),
		Context:         attrs.GetContextExtensions(),
	}
	r.peer = attrs.GetSource().GetAddress().GetSocketAddress().GetAddress()
	r.destination = attrs.GetDestination().GetPrincipal()
	r.scope, r.scoped = r.input.Context[policy.ScopeKey]
	if q := http.GetQuery(); q != "" {
		// Envoy leaves the field empty: the path has the query, and only that one is judged.
		_, inPath, _ := strings.Cut(r.input.Path, "?")
		readable = readable && q == inPath
	}
	return r, readable
}

// readHeaders reads whichever form the proxy sends, so that both say the same of one request. Envoy fills in one of
// them; where a proxy fills in both and they differ, nobody can tell which one the application receives.
func readHeaders(http *authv3.AttributeContext_HttpRequest) (headers map[string]string, agree bool) {
	joined := lowerNames(http.GetHeaders())
	raw := http.GetHeaderMap().GetHeaders()
	if len(raw) == 0 {
		return joined, true
	}
	headers, agree = joinHeaders(raw)
	return headers, agree && (len(joined) == 0 || maps.Equal(headers, joined))
}

// isGRPC tells whether the caller speaks gRPC. Envoy answers such a caller in gRPC too, and would put a body into the
// grpc-message.
func isGRPC(in *authv3.CheckRequest) bool {
	http := in.GetAttributes().GetRequest().GetHttp()
	contentType, ok := http.GetHeaders()["content-type"]
	for _, h := range http.GetHeaderMap().GetHeaders() {
		if !ok && h.GetKey() == "content-type" {
			contentType, ok = h.GetValue()+string(h.GetRawValue()), true
		}
	}
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// lowerNames is h, in which Envoy writes names in lower case. From another proxy names that differ only in case are
// joined, in the order of their spelling.
func lowerNames(h map[string]string) map[string]string {
	upper := false
	for name := range h {
		upper = upper || hasUpper(name)
	}
	if !upper {
		return h
	}
	out := make(map[string]string, len(h))
	for _, name := range slices.Sorted(maps.Keys(h)) {
		lower := lowerName(name)
		if before, twice := out[lower]; twice {
			out[lower] = before + "," + h[name]
		} else {
			out[lower] = h[name]
		}
	}
	return out
}

func hasUpper(s string) bool {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return true
		}
	}
	return false
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

// joinHeaders joins raw header fields of one name with "," and makes text of their bytes, as Envoy does for the other
// form. ok is false where a field has two different values.
func joinHeaders(raw []*corev3.HeaderValue) (out map[string]string, ok bool) {
	out = make(map[string]string, len(raw))
	var repeated map[string][]byte
	for _, h := range raw {
		name, value := h.GetKey(), coerce(h.GetRawValue())
		if hasUpper(name) {
			name = lowerName(name)
		}
		if text := h.GetValue(); text != "" {
			if value != "" && value != text {
				return nil, false
			}
			value = text
		}
		first, twice := out[name]
		if !twice {
			out[name] = value
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
		out[name] = string(value)
	}
	return out, true
}

// coerce makes valid UTF-8 of b, as Envoy does: each byte that is part of no character becomes "!".
func coerce(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			out = append(out, '!')
		} else {
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return string(out)
}
