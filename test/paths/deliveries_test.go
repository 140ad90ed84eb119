package paths

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sallyport/sallyport/extauthz"
)

// delivery is one way in which a request reaches Sallyport.
type delivery struct {
	way   string
	check *authv3.CheckRequest
}

// deliveries reads what is kept of Envoy, by request, and adds what other proxies, or another version, could make of it.
// Where Envoy answered by itself there is none.
func deliveries(t *testing.T) map[string][]delivery {
	t.Helper()
	text, err := os.ReadFile(captured)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]delivery{}
	for line := range bytes.Lines(text) {
		var c capture
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		if string(c.Check) == "null" {
			all[c.Request] = append(all[c.Request], delivery{way: c.Listener})
			continue
		}
		d := delivery{c.Listener, &authv3.CheckRequest{}}
		if err := protojson.Unmarshal(c.Check, d.check); err != nil {
			t.Fatal(err)
		}
		all[c.Request] = append(all[c.Request], d)
		all[c.Request] = append(all[c.Request], d.variants()...)
	}
	for name, of := range all {
		all[name] = append(of, both(of)...)
	}
	return all
}

// variants say the same as d in other words.
func (d delivery) variants() (all []delivery) {
	add := func(how string, change func(*authv3.AttributeContext_HttpRequest)) {
		v := delivery{d.way + ", " + how, proto.Clone(d.check).(*authv3.CheckRequest)}
		change(v.http())
		all = append(all, v)
	}
	if len(d.http().HeaderMap.GetHeaders()) == 0 {
		add("names in upper case", func(h *authv3.AttributeContext_HttpRequest) {
			upper := map[string]string{}
			for name, value := range h.Headers {
				upper[strings.ToUpper(name)] = value
			}
			h.Headers = upper
		})
		return all
	}
	add("names in upper case", func(h *authv3.AttributeContext_HttpRequest) {
		for _, f := range h.HeaderMap.Headers {
			f.Key = strings.ToUpper(f.Key)
		}
	})
	add("other headers first", func(h *authv3.AttributeContext_HttpRequest) {
		slices.SortStableFunc(h.HeaderMap.Headers, func(a, b *corev3.HeaderValue) int { return strings.Compare(b.Key, a.Key) })
	})
	return all
}

// both are the map and the raw form in one message, as a proxy may send them.
func both(of []delivery) (all []delivery) {
	for _, m := range of {
		for _, raw := range of {
			if m.way == "map" && raw.way == "raw" && m.check != nil && raw.check != nil {
				d := delivery{"both", proto.Clone(m.check).(*authv3.CheckRequest)}
				d.http().HeaderMap = raw.http().HeaderMap
				all = append(all, d)
			}
		}
	}
	return all
}

func (d delivery) http() *authv3.AttributeContext_HttpRequest {
	return d.check.GetAttributes().GetRequest().GetHttp()
}

// verdict is what Sallyport says of a delivery.
type verdict struct {
	allow        bool
	reason, rule string
}

// judge asks s, with tokens in place of their names.
func judge(t *testing.T, s *extauthz.Server, tokens map[string]string, d delivery) verdict {
	t.Helper()
	in := proto.Clone(d.check).(*authv3.CheckRequest)
	http := in.GetAttributes().GetRequest().GetHttp()
	for word, token := range tokens {
		for name, value := range http.Headers {
			http.Headers[name] = strings.ReplaceAll(value, word, token)
		}
		for _, h := range http.HeaderMap.GetHeaders() {
			h.RawValue = bytes.ReplaceAll(h.RawValue, []byte(word), []byte(token))
		}
	}
	out, err := s.Check(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	said := out.GetDynamicMetadata().GetFields()
	return verdict{out.GetOkResponse() != nil, said["reason"].GetStringValue(), said["rule"].GetStringValue()}
}

// breaches are the breaches of the law by what is said of the deliveries of a request: that nothing lets in but the rule
// that may, and that one request has one verdict. Deliveries with different paths are different requests: the
// application gets another one.
func breaches(req request, of []delivery, say func(delivery) verdict) (found []string) {
	first := map[string]verdict{}
	for _, d := range of {
		if d.check == nil {
			continue // Envoy has refused it
		}
		v := say(d)
		if v.allow && v.rule != req.may {
			found = append(found, fmt.Sprintf("%s (%s) was let in by %q", req.name, d.way, v.rule))
		}
		path := d.http().GetPath()
		one, known := first[path]
		if !known {
			first[path] = v
		} else if one != v {
			found = append(found, fmt.Sprintf("%s (%s): %+v, another delivery: %+v", req.name, d.way, v, one))
		}
	}
	return found
}

func tokens(t *testing.T) map[string]string {
	return map[string]string{"ADMIN": mint(t, jwt.MapClaims{"roles": []string{"admin"}}), "USER": mint(t, nil)}
}

// TestDeliveries judges every delivery of every request.
func TestDeliveries(t *testing.T) {
	s := newSallyport(t, policies(t, "requests.yaml"))
	all, named, sum, allowed := deliveries(t), tokens(t), 0, 0
	for _, req := range requests {
		of := all[req.name]
		if len(of) == 0 {
			t.Errorf("%s is not in %s: TestCapture writes it with -update", req.name, captured)
		}
		passed := false
		for _, b := range breaches(req, of, func(d delivery) verdict {
			sum++
			v := judge(t, s, named, d)
			passed = passed || v.allow
			return v
		}) {
			t.Error(b)
		}
		if passed {
			allowed++
		}
		if req.may != "" && !passed {
			t.Errorf("%s: refused in every delivery, though %s may let it in", req.name, req.may)
		}
	}
	t.Logf("%d requests, %d deliveries, %d requests let in", len(requests), sum, allowed)
}
