package extauthz

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-logr/logr"
	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
)

// hoarder is a sink that keeps what it is given, and looks at it later.
type hoarder struct {
	mu    sync.Mutex
	lines [][]any
}

func (*hoarder) Init(logr.RuntimeInfo)               {}
func (*hoarder) Enabled(int) bool                    { return true }
func (h *hoarder) WithValues(...any) logr.LogSink    { return h }
func (h *hoarder) WithName(string) logr.LogSink      { return h }
func (h *hoarder) Info(_ int, msg string, kv ...any) { h.keep(msg, kv) }
func (h *hoarder) Error(err error, msg string, kv ...any) {
	h.keep(msg, append([]any{err}, kv...))
}

func (h *hoarder) keep(msg string, kv []any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, append([]any{msg}, kv...))
}

func (h *hoarder) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return fmt.Sprintf("%q", h.lines)
}

// metricsOf are all metrics, apart from those of time.
func metricsOf(t *testing.T, r *prometheus.Registry) string {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	families = slices.DeleteFunc(families, func(f *dto.MetricFamily) bool { return strings.Contains(f.GetName(), "seconds") })
	return fmt.Sprint(families)
}

// TestNothingOfARequestIsKept overwrites the memory of each request once its answer is on the wire: what is in the
// cache, in the log and in the metrics stays as it was, and the next request finds in the cache what the first one left.
func TestNothingOfARequestIsKept(t *testing.T) {
	tok := mint(t, jwt.MapClaims{"scope": "orders.read audit", "team": `a\"b`, "deep": map[string]any{"list": []any{"x", 1, "y"}}})
	raw := ask("GET", "https://Orders.Example.Com:443/v1/a?b=c", "cookie: a=1")
	raw.Attributes.Request.Http.Headers = nil
	raw.Attributes.Request.Http.HeaderMap = asHeaderMap([]field{{"authorization", "Bearer " + tok}, {"X-User", "root\xe9"}})
	scoped := ask("GET", "https://orders.example.com/healthz")
	scoped.Attributes.ContextExtensions = map[string]string{"sallyport-scope": "namespace/shop"}
	for _, tt := range []struct {
		name string
		in   *authv3.CheckRequest
	}{
		{"a token in Authorization", ask("GET", "https://Orders.Example.Com.:443/v1/a?b=c", "authorization: Bearer "+tok, "x_user: root")},
		{"as raw headers", raw},
		{"in a cookie", ask("GET", "https://orders.example.com/v1", "cookie: a=1; access_token="+tok)},
		{"in the query", ask("GET", "https://orders.example.com/v1?a=b&access_token="+tok)},
		{"a capture", ask("GET", "https://orders.example.com/users/al%69ce", "authorization: Bearer "+tok)},
		{"an expression", ask("GET", "https://orders.example.com/cel", "authorization: Bearer "+tok)},
		{"too little", ask("GET", "https://orders.example.com/roles/x", "authorization: Bearer "+tok)},
		{"no token", ask("GET", "https://orders.example.com/v1/é")},
		{"a redirect", ask("GET", "https://web.example.com:8443/a?b=c", "accept: text/html")},
		{"dry run", ask("GET", "https://dry.example.com/a", "x-user: root")},
		{"a scope", scoped},
		{"ambiguous", ask("GET", "https://orders.example.com/v1/%2e%2e/x")},
		{"no host", ask("GET", "https:///x")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			poisoned(t, tt.in)
		})
	}
}

// poisoned judges a request from memory that is overwritten when the answer has left.
func poisoned(t *testing.T, in *authv3.CheckRequest) {
	t.Helper()
	var sink hoarder
	w := newWorld(t, func(c *Config) { c.Log = logr.New(&sink) })
	first := w.check(t, in)
	wire, err := proto.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	log, metrics := sink.String(), metricsOf(t, w.registry)
	other := newWorld(t, nil)
	for range 3 { // in the room of the first
		other.check(t, ask("POST", "https://web.example.com/!!!!", "x-other: !!!!", "content-type: application/grpc", "x-user: !!!!"))
	}
	if after := sink.String(); after != log {
		t.Errorf("the log changed:\n%s\n%s", log, after)
	}
	if after := metricsOf(t, w.registry); after != metrics {
		t.Errorf("the metrics changed:\n%s\n%s", metrics, after)
	}
	entries, _, _, _ := w.cfg.CacheStats()
	if again := w.check(t, in); !proto.Equal(bare(first), bare(again)) {
		t.Errorf("first %v\nthen %v", first, again)
	}
	if _, _, hits, _ := w.cfg.CacheStats(); entries > 0 && hits == 0 {
		t.Error("the token is not found again")
	}
	if strings.Contains(sink.String(), "!!!!") || bytes.Contains(wire, []byte("!!!!")) {
		t.Errorf("poison in %s, %q", sink.String(), wire)
	}
}
