package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// newEdgeBench is one with the real Envoy besides.
func newEdgeBench(t *testing.T) *bench {
	t.Helper()
	envoy := os.Getenv("SALLYPORT_ENVOY")
	if envoy == "" {
		t.Skip("SALLYPORT_ENVOY names no Envoy; make test does")
	}
	b := newTestBench(t)
	b.envoy = envoy
	return b
}

// TestBehindEnvoy sends through every way, on too few requests for the figures to mean anything: what counts is that no
// verdict is wrong, and that the accounts yield numbers.
func TestBehindEnvoy(t *testing.T) {
	b := newEdgeBench(t)
	b.rounds = 1
	var out bytes.Buffer
	if err := b.measureBehind(context.Background(), &out, &options{quick: true}, 50); err != nil {
		t.Fatal(err)
	}
	for _, w := range ways(50) {
		line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(w.name) + ` +(\S+) +(\S+) +(\S+) .*$`).FindStringSubmatch(out.String())
		if line == nil {
			t.Errorf("%s is not in the table", w.name)
			continue
		}
		if server := line[2] != "0.0"; server != (w.of != (subject{})) {
			t.Errorf("the server's share is not as it should be: %s", line[0])
		}
		if strings.Contains(line[0], "NaN") || strings.Contains(line[0], "Inf") || line[1] == "0.0" {
			t.Errorf("no number: %s", line[0])
		}
	}
	t.Logf("\n%s", out.String())
}

// TestWaysRefuse counts what each kind of way refuses, and shows that one that lets everything pass is found out.
func TestWaysRefuse(t *testing.T) {
	b := newEdgeBench(t)
	list := ways(50)[:7]
	passages, err := b.openWays(context.Background(), list, 50)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range passages {
		t.Run(p.name, func(t *testing.T) {
			defer p.crowd.close()
			const requests = 10 * refusedEvery
			res, err := p.crowd.visit(&round{inFlight: 1, checks: requests})
			if err != nil {
				t.Fatal(err)
			}
			want := int64(requests / refusedEvery / edgeConnections) // of the first connection's part of the workload
			if p.crowd.open {
				want = 0
			}
			if res.checks != requests || res.latency.total != requests || p.crowd.open != (res.refused == 0) || res.refused < want {
				t.Errorf("%d requests, %d latencies, %d refused", res.checks, res.latency.total, res.refused)
			}
			if !p.crowd.open {
				return
			}
			p.crowd.open = false
			if _, err = p.crowd.visit(&round{inFlight: edgeConnections, checks: 20 * refusedEvery}); !errors.As(err, new(*verdictError)) {
				t.Errorf("a way that allows what is to be refused: %v", err)
			}
		})
	}
}

func TestEdgeWorkload(t *testing.T) {
	m, err := newMinter()
	if err != nil {
		t.Fatal(err)
	}
	work, err := newEdgeWorkload(m, 100)
	if err != nil {
		t.Fatal(err)
	}
	const requests = 6 * refusedEvery
	due := map[int]int{}
	var payload []byte
	for i := range requests {
		var want int
		payload, want, _ = work.render(payload, i, false)
		due[want]++
		for _, mark := range []string{"@@", "&&", "##", tokenPad + tokenPad} {
			if bytes.Contains(payload, []byte(mark)) {
				t.Fatalf("%q is left in %q", mark, payload)
			}
		}
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(payload)))
		if err != nil {
			t.Fatal(err)
		}
		if token := req.Header.Get("Authorization"); (token == "") != (want == http.StatusUnauthorized) {
			t.Errorf("%d is due for the token %q", want, token)
		}
		if below := strings.HasPrefix(req.URL.Path, "/v1/items/u"); want == allowed && !below || req.Host != host(0) {
			t.Errorf("%s%s", req.Host, req.URL)
		}
	}
	if due[allowed] != requests-6 || due[http.StatusUnauthorized] != 2 || due[http.StatusForbidden] != 4 {
		t.Errorf("verdicts that are due: %v", due)
	}
}

// TestRecommendedIsWhatTheDocsRecommend: the documentation says that its block was measured.
func TestRecommendedIsWhatTheDocsRecommend(t *testing.T) {
	page, err := os.ReadFile("../../docs/envoy.md")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(page), "\n    allowed_headers") {
		t.Error("docs/envoy.md recommends allowed_headers, without which it was measured")
	}
	if !strings.Contains(string(page), "\n    "+rawHeaders) {
		t.Errorf("docs/envoy.md does not have %q", rawHeaders)
	}
}

func TestMiddleHalf(t *testing.T) {
	p := &passage{ratios: []float64{9, 1, 2, 3, 0.1}}
	if got, want := p.tellRatio(), "2.00  (1.00 … 3.00)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := added(float64(-1500*time.Microsecond)), "-1.50 ms"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
