package extauthz

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// documented reads the rows of docs/metrics.md below a heading: name, type and labels.
func documented(t *testing.T, heading string) map[string]string {
	t.Helper()
	b, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(b), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	out := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(sallyport_[a-z_]+)` \\| (\\w+) \\|([^|]*)\\|").FindAllStringSubmatch(section, -1) {
		out[m[1]] = m[2] + " " + strings.NewReplacer("`", "", " ", "").Replace(m[3])
	}
	return out
}

// TestMetricsAreDocumented compares the table with the registry, after something has happened.
func TestMetricsAreDocumented(t *testing.T) {
	w := newWorld(t, nil)
	w.check(t, ask("GET", "https://orders.example.com/v1", "authorization: Bearer "+mint(t, nil)))
	w.check(t, ask("GET", "https://dry.example.com/"))
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range families {
		labels := map[string]bool{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = true
			}
		}
		got[f.GetName()] = strings.ToLower(f.GetType().String()) + " " + strings.Join(slices.Sorted(maps.Keys(labels)), ",")
	}
	if d := cmp.Diff(documented(t, "The server"), got); d != "" {
		t.Errorf("docs/metrics.md (-) and the registry (+) differ: %s", d)
	}
}

// TestLabelsAreBounded: whatever clients send, there are no more series than there were.
func TestLabelsAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	series := func() (n int) {
		families, err := w.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			n += len(f.GetMetric())
		}
		return n
	}
	before := series()
	for _, s := range []string{"a", "b", "c\u00ff"} {
		w.check(t, ask(s, "https://"+s+".example.com/"+s, "authorization: Bearer "+s))
		w.check(t, ask("GET", "https://orders.example.com/v1", "authorization: Bearer "+s))
	}
	if after := series(); after != before {
		t.Errorf("%d series became %d", before, after)
	}
}

func TestChecksAreCounted(t *testing.T) {
	w := newWorld(t, nil)
	tok := mint(t, jwt.MapClaims{"scope": "orders.read audit"})
	for range 2 {
		w.check(t, ask("GET", "https://orders.example.com/v1", "authorization: Bearer "+tok))
	}
	w.check(t, ask("GET", "https://orders.example.com/v1"))
	value := func(allow bool, r policy.Reason) float64 {
		var m dto.Metric
		if err := w.metrics.byVerdict[verdictKey{allow, r}].Write(&m); err != nil {
			t.Fatal(err)
		}
		return m.GetCounter().GetValue()
	}
	if value(true, policy.ReasonAllowed) != 2 || value(false, policy.ReasonMissingToken) != 1 || value(false, policy.ReasonNoRule) != 0 {
		t.Errorf("allowed %v, missing %v", value(true, policy.ReasonAllowed), value(false, policy.ReasonMissingToken))
	}
	var m dto.Metric
	if err := w.metrics.duration.Write(&m); err != nil || m.GetHistogram().GetSampleCount() != 3 {
		t.Errorf("%d durations, %v", m.GetHistogram().GetSampleCount(), err)
	}
	if entries, _, hits, misses := w.cfg.CacheStats(); entries != 1 || hits != 1 || misses != 1 {
		t.Errorf("cache: %d entries, %d hits, %d misses", entries, hits, misses)
	}
}

func TestMetricsTwiceIsAnError(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := New(w.cfg); err == nil {
		t.Error("a second server took the same registry")
	}
}

func TestAdmin(t *testing.T) {
	w := newWorld(t, nil)
	h := w.AdminHandler(w.registry)
	get := func(path string) (int, string) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		return rec.Code, rec.Body.String()
	}
	expect := func(path string, status int, part string) {
		t.Helper()
		if code, body := get(path); code != status || !strings.Contains(body, part) {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	expect("/healthz", 200, "ok")
	expect("/readyz", 200, "ok")
	expect("/metrics", 200, `sallyport_checks_total{decision="Deny",reason="NoPolicy"} 0`)
	expect("/other", 404, "")
	snap := w.snapshot.Swap(nil)
	expect("/healthz", 200, "ok")
	expect("/readyz", 503, "no policies have been compiled yet")
	w.snapshot.Store(snap)
	if err := w.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect("/readyz", 503, "shutting down")
	expect("/healthz", 200, "ok")
}
