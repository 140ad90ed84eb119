package paths

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"
)

// described is a request as ext_authz describes it.
type described = authv3.AttributeContext_HttpRequest

// eachValue makes a fault of one in the reading of a header, whichever form it has.
func eachValue(change func(name, value string) string) func(*described) {
	return func(h *described) {
		for name, value := range h.Headers {
			h.Headers[name] = change(strings.ToLower(name), value)
		}
		for _, f := range h.HeaderMap.GetHeaders() {
			f.RawValue = []byte(change(strings.ToLower(f.Key), string(f.RawValue)))
		}
	}
}

// only keeps the first or the last field of each name, in whichever form; all of one name in the map is one value.
func only(last bool, names ...string) func(*described) {
	return func(h *described) {
		eachValue(func(name, value string) string {
			if all := strings.Split(value, ","); slices.Contains(names, name) {
				if last {
					return all[len(all)-1]
				}
				return all[0]
			}
			return value
		})(h)
		onlyRaw(last)(h)
	}
}

// onlyRaw does so in the raw form alone.
func onlyRaw(last bool) func(*described) {
	return func(h *described) {
		if h.HeaderMap == nil {
			return
		}
		fields := map[string]*corev3.HeaderValue{}
		for _, f := range h.HeaderMap.Headers {
			if name := strings.ToLower(f.Key); last || fields[name] == nil {
				fields[name] = f
			}
		}
		h.HeaderMap.Headers = slices.Collect(maps.Values(fields))
	}
}

// hostIs takes the host from what is found in the old one.
func hostIs(change func(string) string) func(*described) {
	return func(h *described) { h.Host = change(h.Host) }
}

func header(h *described, name string) string {
	for key, value := range h.Headers {
		if strings.EqualFold(key, name) {
			return value
		}
	}
	for _, f := range h.HeaderMap.GetHeaders() {
		if strings.EqualFold(f.Key, name) {
			return string(f.RawValue)
		}
	}
	return ""
}

// headerFaults are what engines have got wrong about requests.
var headerFaults = []struct {
	name   string
	change func(*described)
}{
	{"of two Authorization fields the first counts", only(false, "authorization")},
	{"of two Authorization fields the last counts", only(true, "authorization")},
	{"of two raw fields the first counts", onlyRaw(false)},
	{"of two raw fields the last counts", onlyRaw(true)},
	{"of two values of a header the first counts", only(false, "x-tier", "x-blocked")},
	{"of two cookies the first counts", eachValue(func(name, value string) string {
		if first, _, found := strings.Cut(value, ";"); name == "cookie" && found && strings.HasPrefix(first, "access_token=") {
			return first
		}
		return value
	})},
	{"header values lose their case", eachValue(func(name, value string) string {
		if name == "x-tier" {
			return strings.ToLower(value)
		}
		return value
	})},
	{"bytes that are not UTF-8 are dropped", eachValue(func(name, value string) string {
		if name == "x-tier" {
			value = strings.ReplaceAll(value, "!", "")
		}
		return strings.ToValidUTF8(value, "")
	})},
	{"raw bytes are Latin-1", func(h *described) {
		for _, f := range h.HeaderMap.GetHeaders() {
			var wide []rune
			for _, b := range f.RawValue {
				wide = append(wide, rune(b))
			}
			f.RawValue = []byte(string(wide))
		}
	}},
	{"raw names keep their case", func(h *described) {
		if m := h.HeaderMap; m != nil {
			m.Headers = slices.DeleteFunc(m.Headers, func(f *corev3.HeaderValue) bool { return f.Key != strings.ToLower(f.Key) })
		}
	}},
	{"an underscore is a hyphen", func(h *described) {
		for name, value := range maps.Clone(h.Headers) {
			h.Headers[strings.ReplaceAll(name, "_", "-")] = value
		}
		for _, f := range h.HeaderMap.GetHeaders() {
			f.Key = strings.ReplaceAll(f.Key, "_", "-")
		}
	}},
	{"raw headers are not read", func(h *described) { h.HeaderMap = nil }},
	{"a user in the host is dropped", hostIs(func(s string) string { return s[strings.LastIndex(s, "@")+1:] })},
	{"of two hosts the first counts", hostIs(func(s string) string { s, _, _ = strings.Cut(s, ","); return s })},
	{"a host ends at its first colon", hostIs(func(s string) string { s, _, _ = strings.Cut(s, ":"); return s })},
	{"all final dots are dropped", hostIs(func(s string) string { return strings.TrimRight(s, ".") })},
	{"a host is decoded", hostIs(func(s string) string { return strings.ReplaceAll(s, "%2e", ".") })},
	{"X-Forwarded-Host is believed", func(h *described) {
		if host := header(h, "x-forwarded-host"); host != "" {
			h.Host = host
		}
	}},
	{"without a host any will do", hostIs(func(s string) string {
		if s == "" {
			return "open.test"
		}
		return s
	})},
	{"a method is overridden", func(h *described) {
		if method := header(h, "x-http-method-override"); method != "" {
			h.Method = method
		}
	}},
	{"another URL is believed", func(h *described) {
		if path := header(h, "x-original-url"); path != "" {
			h.Path = path
		}
	}},
	{"of a parameter the first counts", func(h *described) { h.Path, _, _ = strings.Cut(h.Path, "&") }},
	{"a semicolon separates parameters", func(h *described) { h.Path = strings.ReplaceAll(h.Path, ";", "&") }},
	{"every question mark begins the query", func(h *described) {
		path, query, _ := strings.Cut(h.Path, "?")
		h.Path = path + "?" + strings.ReplaceAll(query, "?", "&")
	}},
}

// TestRequestOracleFindsFaults plants each fault, and sees that what is kept of Envoy shows it.
func TestRequestOracleFindsFaults(t *testing.T) {
	s := newSallyport(t, policies(t, "requests.yaml"))
	all, named := deliveries(t), tokens(t)
	for name, of := range all { // with both forms in one message, whatever reads one of them wrongly contradicts the other
		all[name] = slices.DeleteFunc(of, func(d delivery) bool { return d.way == "both" })
	}
	for _, fault := range headerFaults {
		t.Run(fault.name, func(t *testing.T) {
			var found []string
			for _, req := range requests {
				found = append(found, breaches(req, all[req.name], func(d delivery) verdict {
					d.check = proto.Clone(d.check).(*authv3.CheckRequest)
					fault.change(d.http())
					return judge(t, s, named, d)
				})...)
			}
			if len(found) == 0 {
				t.Fatal("not found")
			}
			t.Log(found[0])
		})
	}
}
