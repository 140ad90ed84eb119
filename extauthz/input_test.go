package extauthz

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// field is a header field as a client sends it.
type field struct{ name, value string }

// asHeaders is what a real Envoy puts into the headers map: names in lower case, fields of one name joined with ",",
// each byte that is no part of valid UTF-8 replaced by "!" (seen with Envoy 1.40.0).
func asHeaders(fields []field) map[string]string {
	out := map[string]string{}
	for _, f := range fields {
		value := spread(f.value)
		if before, twice := out[f.name]; twice {
			value = before + "," + value
		}
		out[f.name] = value
	}
	return out
}

// spread writes "!" for each invalid byte.
func spread(s string) string {
	var b strings.Builder
	for i, r := range s {
		if r == '\uFFFD' && !strings.HasPrefix(s[i:], "\uFFFD") {
			b.WriteByte('!')
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// asHeaderMap is what it puts into header_map.
func asHeaderMap(fields []field) *corev3.HeaderMap {
	out := &corev3.HeaderMap{}
	for _, f := range fields {
		out.Headers = append(out.Headers, &corev3.HeaderValue{Key: f.name, RawValue: []byte(f.value)})
	}
	return out
}

func withHeaders(h map[string]string, m *corev3.HeaderMap) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Host: "a.example.com", Path: "/", Headers: h, HeaderMap: m},
	}}}
}

func TestBothFormsOfHeadersAgree(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fields []field
		want   map[string]string
	}{
		{"none", nil, nil},
		{"one", []field{{"a", "1"}}, map[string]string{"a": "1"}},
		{"twice, in order", []field{{"a", "1"}, {"b", "x"}, {"a", "2"}, {"a", "3"}}, map[string]string{"a": "1,2,3", "b": "x"}},
		{"an empty one among them", []field{{"a", "1"}, {"a", ""}, {"a", "2"}}, map[string]string{"a": "1,,2"}},
		{"empty", []field{{"a", ""}}, map[string]string{"a": ""}},
		{"cookies", []field{{"cookie", "a=1"}, {"cookie", "b=2"}}, map[string]string{"cookie": "a=1,b=2"}},
		{"pseudo headers", []field{{":path", "/"}, {"a", "1"}}, map[string]string{":path": "/", "a": "1"}},
		{"text in UTF-8 stays", []field{{"a", "é€😀"}}, map[string]string{"a": "é€😀"}},
		{"Latin-1", []field{{"a", "\xe9b"}}, map[string]string{"a": "!b"}},
		{"both", []field{{"a", "aé\xe9z"}}, map[string]string{"a": "aé!z"}},
		{"cut off", []field{{"a", "\xe2\x82"}, {"a", "\xf0\x9f\x98a\xc3\xa9"}}, map[string]string{"a": "!!,!!!aé"}},
		{"a surrogate, too long, too far", []field{{"a", "\xed\xa0\x80"}, {"b", "\xc0\x80"}, {"c", "\xf4\x90\x80\x80"}}, map[string]string{"a": "!!!", "b": "!!", "c": "!!!!"}},
		{"the replacement character itself", []field{{"a", "\xef\xbf\xbd"}}, map[string]string{"a": "\uFFFD"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fromMap := readOf(t, withHeaders(asHeaders(tt.fields), nil))
			fromRaw := readOf(t, withHeaders(nil, asHeaderMap(tt.fields)))
			if !fromMap.readable || !fromRaw.readable {
				t.Fatal("not readable")
			}
			if d := cmp.Diff(len(tt.want), len(fromMap.input.Headers)); d != "" {
				t.Error(d)
			}
			for name, value := range tt.want {
				ofMap, _ := fromMap.input.Headers.Get(name)
				if ofRaw, ok := fromRaw.input.Headers.Get(name); !ok || ofMap != value || ofRaw != value {
					t.Errorf("%s: headers say %q, header_map %q, want %q", name, ofMap, ofRaw, value)
				}
			}
		})
	}
}

func sorted(f policy.Fields) policy.Fields {
	return slices.SortedFunc(slices.Values(f), func(a, b policy.Field) int { return strings.Compare(a.Name, b.Name) })
}

func TestReadHeaders(t *testing.T) {
	raw := func(name, value, rawValue string) *corev3.HeaderValue {
		return &corev3.HeaderValue{Key: name, Value: value, RawValue: []byte(rawValue)}
	}
	for _, tt := range []struct {
		name  string
		h     map[string]string
		m     []*corev3.HeaderValue
		want  map[string]string
		agree bool
	}{
		{"names in upper case", map[string]string{"A": "1", "a": "2", "B": "3"}, nil, map[string]string{"a": "1,2", "b": "3"}, true},
		{"raw names in upper case", nil, []*corev3.HeaderValue{raw("a", "", "1"), raw("A", "", "2")}, map[string]string{"a": "1,2"}, true},
		{"value in place of raw_value", nil, []*corev3.HeaderValue{raw("a", "1", "")}, map[string]string{"a": "1"}, true},
		{"value beside an equal raw_value", nil, []*corev3.HeaderValue{raw("a", "1", "1")}, map[string]string{"a": "1"}, true},
		{"value beside another raw_value", nil, []*corev3.HeaderValue{raw("a", "1", "2")}, nil, false},
		{"both forms, equal", map[string]string{"a": "1,2"}, []*corev3.HeaderValue{raw("a", "", "1"), raw("a", "", "2")}, map[string]string{"a": "1,2"}, true},
		{"both forms, different", map[string]string{"a": "1"}, []*corev3.HeaderValue{raw("a", "", "2")}, map[string]string{"a": "2"}, false},
		{"both forms, one with more", map[string]string{"a": "1", "b": "1"}, []*corev3.HeaderValue{raw("a", "", "1")}, map[string]string{"a": "1"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := readOf(t, withHeaders(tt.h, &corev3.HeaderMap{Headers: tt.m}))
			if r.readable != tt.agree {
				t.Errorf("readable: %v", r.readable)
			}
			if d := cmp.Diff(policy.FieldsOf(tt.want), sorted(r.input.Headers)); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestDecisionsOfBothForms asks the whole server in both forms.
func TestDecisionsOfBothForms(t *testing.T) {
	w := newWorld(t, nil)
	good := "Bearer " + mint(t, map[string]any{"scope": "orders.read audit"})
	for _, fields := range [][]field{
		nil,
		{{"authorization", good}},
		{{"authorization", good}, {"authorization", good}},
		{{"authorization", good + "\xe9"}},
		{{"authorization", good}, {"cookie", "a=1"}, {"cookie", "access_token=x"}},
		{{"cookie", "a=1"}, {"cookie", "access_token=" + good[7:]}},
	} {
		in := ask("GET", "https://orders.example.com/v1")
		in.Attributes.Request.Http.Headers = asHeaders(fields)
		asMap := w.check(t, in)
		in.Attributes.Request.Http.Headers, in.Attributes.Request.Http.HeaderMap = nil, asHeaderMap(fields)
		asRaw := w.check(t, in)
		for _, out := range []*authv3.CheckResponse{asMap, asRaw} {
			delete(out.DynamicMetadata.Fields, "decisionID")
			for _, h := range out.GetDeniedResponse().GetHeaders() {
				if h.Header.Key == DecisionIDHeader {
					h.Header.Value = ""
				}
			}
			if d := out.GetDeniedResponse(); d != nil {
				d.Body = ""
			}
		}
		if !proto.Equal(asMap, asRaw) {
			t.Errorf("%v:\nheaders    %v\nheader_map %v", fields, asMap, asRaw)
		}
	}
}

func TestIsGRPC(t *testing.T) {
	for contentType, want := range map[string]bool{
		"application/grpc": true, "application/grpc+proto": true, "application/grpc;x=y": true,
		"application/grpc-web": false, "application/grpcx": false, "application/json": false, "": false,
	} {
		fields := []field{{"a", "application/grpc"}, {"content-type", contentType}}
		if got := readOf(t, withHeaders(asHeaders(fields), nil)).grpc; got != want {
			t.Errorf("headers, %q: %v", contentType, got)
		}
		if got := readOf(t, withHeaders(nil, asHeaderMap(fields))).grpc; got != want {
			t.Errorf("header_map, %q: %v", contentType, got)
		}
	}
	if readOf(t, &authv3.CheckRequest{}).grpc {
		t.Error("an empty request is gRPC")
	}
}

func TestRequestsThatCannotBeRead(t *testing.T) {
	w := newWorld(t, nil)
	for _, tt := range []struct {
		name string
		in   *authv3.CheckRequest
	}{
		{"empty", &authv3.CheckRequest{}},
		{"no request", &authv3.CheckRequest{Attributes: &authv3.AttributeContext{}}},
		{"a TCP check", &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Source: peerOf("10.0.0.1")}}},
		{"no http", &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{}}}},
		{"no method", ask("", "https://orders.example.com/healthz")},
		{"no host", ask("GET", "https:///healthz")},
		{"too many headers", ask("GET", "https://orders.example.com/healthz", manyHeaders(300)...)},
		{"too large headers", ask("GET", "https://orders.example.com/healthz", "a: "+strings.Repeat("x", 100<<10))},
		{"headers that contradict each other", func() *authv3.CheckRequest {
			in := ask("GET", "https://orders.example.com/healthz", "a: 1")
			in.Attributes.Request.Http.HeaderMap = asHeaderMap([]field{{"a", "2"}})
			return in
		}()},
		{"another query beside the path", func() *authv3.CheckRequest {
			in := ask("GET", "https://orders.example.com/healthz?a=1")
			in.Attributes.Request.Http.Query = "a=2"
			return in
		}()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := w.check(t, tt.in)
			if out.GetDeniedResponse().GetStatus().GetCode() != 400 || meta(out, "reason") != "InvalidRequest" {
				t.Errorf("got %v", out)
			}
		})
	}
}

func manyHeaders(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("x-%d: 1", i))
	}
	return out
}

// FuzzCheckHeaders: header_map and headers of one request give the same input.
func FuzzCheckHeaders(f *testing.F) {
	f.Add("authorization", "Bearer x", "authorization", "Bearer y", "cookie", "a=\xe9")
	f.Add("a", "\xe2\x82", "b", "\xef\xbf\xbd", "a", "é\xc3")
	f.Add(":path", "", "x", ",", "x", "")
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2, n3, v3 string) {
		var fields []field
		for _, h := range []field{{n1, v1}, {n2, v2}, {n3, v3}} {
			// Names reach both forms as Envoy keeps them: lower case, and ASCII.
			if h.name = lowerName(h.name); isPrintable(h.name) && h.name != "" {
				fields = append(fields, h)
			}
		}
		asMap := readOf(t, withHeaders(asHeaders(fields), nil))
		asRaw := readOf(t, withHeaders(nil, asHeaderMap(fields)))
		if !asMap.readable || !asRaw.readable {
			t.Fatal("not readable")
		}
		if len(fields) == 0 {
			return
		}
		if d := cmp.Diff(sorted(asMap.input.Headers), sorted(asRaw.input.Headers)); d != "" {
			t.Error(d)
		}
	})
}
