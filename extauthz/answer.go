package extauthz

import (
	"math"
	"slices"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// answer is a CheckResponse before it is written.
type answer struct {
	allow bool
	code  codes.Code
	// headers for the application, or for the client where the request is refused. Each overwrites every field of its name.
	headers []policy.HeaderValue
	// remove are headers that the application must not receive. The slice may belong to the snapshot.
	remove []string
	// nonce for the client's next proof, where the request is allowed; empty for none.
	nonce string
	// status and body are those of a refusal.
	status int32
	body   string
}

// encoder writes protobuf: a message within another one is written behind room for its length. bad is set by what cannot
// be written, a text that is no UTF-8.
type encoder struct {
	out []byte
	bad bool
}

// begin opens the message of a field; end closes it.
func (e *encoder) begin(number protowire.Number) (at int) {
	e.out = append(protowire.AppendTag(e.out, number, protowire.BytesType), 0)
	return len(e.out)
}

func (e *encoder) end(at int) {
	n := len(e.out) - at
	if n < 0x80 {
		e.out[at-1] = byte(n)
		return
	}
	more := protowire.SizeVarint(uint64(n)) - 1
	e.out = slices.Grow(e.out, more)[:len(e.out)+more]
	copy(e.out[at+more:], e.out[at:])
	protowire.AppendVarint(e.out[:at-1], uint64(n))
}

func (e *encoder) text(number protowire.Number, s string) {
	e.bad = e.bad || !utf8.ValidString(s)
	e.out = protowire.AppendString(protowire.AppendTag(e.out, number, protowire.BytesType), s)
}

func (e *encoder) integer(number protowire.Number, v uint64) {
	e.out = protowire.AppendVarint(protowire.AppendTag(e.out, number, protowire.VarintType), v)
}

// response writes a CheckResponse: the status, the answer for Envoy, and what it keeps as dynamic metadata.
func (e *encoder) response(a *answer, d *policy.Decision, id string) {
	at := e.begin(1)
	if a.code != codes.OK {
		e.integer(1, uint64(a.code))
	}
	e.end(at)
	if a.allow {
		at = e.begin(3)
		for i := range a.headers {
			e.header(2, &a.headers[i])
		}
		for _, name := range a.remove {
			e.text(5, name)
		}
		if a.nonce != "" {
			e.header(6, &policy.HeaderValue{Name: nonceHeader, Value: a.nonce})
		}
	} else {
		at = e.begin(2)
		status := e.begin(1)
		e.integer(1, uint64(a.status))
		e.end(status)
		for i := range a.headers {
			e.header(2, &a.headers[i])
		}
		if a.body != "" {
			e.text(3, a.body)
		}
	}
	e.end(at)
	e.metadata(4, d, id)
}

// overwrite is OVERWRITE_IF_EXISTS_OR_ADD.
const overwrite = 2

// header writes a HeaderValueOption that overwrites every field of that name. The older field append is left out, which
// says the same to an Envoy that does not know append_action.
func (e *encoder) header(number protowire.Number, h *policy.HeaderValue) {
	at := e.begin(number)
	value := e.begin(1)
	e.text(1, h.Name)
	e.text(2, h.Value)
	e.end(value)
	e.integer(3, overwrite)
	e.end(at)
}

// metadata writes the Struct that Envoy keeps of a decision under envoy.filters.http.ext_authz.
func (e *encoder) metadata(number protowire.Number, d *policy.Decision, id string) {
	at := e.begin(number)
	for _, m := range d.Metadata {
		// Policy promises values that fit; another one is left out, as a claim is that the token lacks.
		if fits(m.Value) && utf8.ValidString(m.Key) {
			entry := e.key(m.Key)
			e.value(2, m.Value)
			e.end(entry)
		}
	}
	e.verdict(&d.Verdict)
	e.word("decisionID", id)
	if d.DryRun != nil {
		entry := e.key("dryRun")
		value := e.begin(2)
		fields := e.begin(5)
		e.verdict(d.DryRun)
		e.end(fields)
		e.end(value)
		e.end(entry)
	}
	e.end(at)
}

func (e *encoder) verdict(v *policy.Verdict) {
	e.word("decision", decisionWord(v.Allow))
	e.word("reason", string(v.Reason))
	e.word("policy", v.Policy)
	e.word("rule", v.Rule)
}

// key opens an entry of a Struct's fields.
func (e *encoder) key(name string) (at int) {
	at = e.begin(1)
	e.text(1, name)
	return at
}

// word writes an entry of a Struct's fields with a text, at once: every answer has some.
func (e *encoder) word(name, value string) {
	e.bad = e.bad || !utf8.ValidString(value)
	text := 1 + protowire.SizeBytes(len(value))
	e.out = append(e.out, 1<<3|byte(protowire.BytesType))
	e.out = protowire.AppendVarint(e.out, uint64(1+protowire.SizeBytes(len(name))+1+protowire.SizeBytes(text)))
	e.out = protowire.AppendString(append(e.out, 1<<3|byte(protowire.BytesType)), name)
	e.out = protowire.AppendVarint(append(e.out, 2<<3|byte(protowire.BytesType)), uint64(text))
	e.out = protowire.AppendString(append(e.out, 3<<3|byte(protowire.BytesType)), value)
}

// fits tells whether a Value can say v.
func fits(v any) bool {
	switch v := v.(type) {
	case nil, bool, float64:
		return true
	case string:
		return utf8.ValidString(v)
	case []any:
		return !slices.ContainsFunc(v, func(e any) bool { return !fits(e) })
	case map[string]any:
		for name, e := range v {
			if !utf8.ValidString(name) || !fits(e) {
				return false
			}
		}
		return true
	}
	return false
}

// value writes a Value that says v, which fits.
func (e *encoder) value(number protowire.Number, v any) {
	at := e.begin(number)
	switch v := v.(type) {
	case nil:
		e.integer(1, 0)
	case float64:
		e.out = protowire.AppendFixed64(protowire.AppendTag(e.out, 2, protowire.Fixed64Type), math.Float64bits(v))
	case string:
		e.text(3, v)
	case bool:
		e.integer(4, protowire.EncodeBool(v))
	case map[string]any:
		fields := e.begin(5)
		for name, value := range v {
			entry := e.key(name)
			e.value(2, value)
			e.end(entry)
		}
		e.end(fields)
	case []any:
		list := e.begin(6)
		for _, value := range v {
			e.value(1, value)
		}
		e.end(list)
	}
	e.end(at)
}

// decisionWord is the word for an answer in metadata and metrics.
func decisionWord(allow bool) string {
	if allow {
		return "Allow"
	}
	return "Deny"
}
