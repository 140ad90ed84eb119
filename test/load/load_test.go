package main

import (
	"context"
	"errors"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// newTestBench is one of short rounds over the real servers.
func newTestBench(t *testing.T) *bench {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the accounts of a process are read as Linux has them")
	}
	sallyport := os.Getenv("SALLYPORT_BIN")
	if sallyport == "" {
		t.Skip("SALLYPORT_BIN is not set; make test sets it")
	}
	if _, err := os.Stat(sallyport); err != nil { // also lets go test notice that it was built anew
		t.Fatal(err)
	}
	allowall := filepath.Join(t.TempDir(), "allowall")
	if out, err := exec.Command("go", "build", "-o", allowall, "./allowall").CombinedOutput(); err != nil {
		t.Fatalf("building allowall: %v: %s", err, out)
	}
	b, err := newBench(&options{sallyport: sallyport, allowall: allowall, rounds: 2, length: 50 * time.Millisecond, quick: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(b.close(), os.RemoveAll(b.dir), pinSelf(b.all)); err != nil {
			t.Error(err)
		}
	})
	return b
}

// TestFigures measures every figure of the table, on too few Checks to mean anything: what counts is that no verdict is
// wrong, and that the accounts of both servers yield a number.
func TestFigures(t *testing.T) {
	b := newTestBench(t)
	for _, f := range figures(sizes{tokens: 100, cold: 200, hosts: 300}, "") {
		c, err := b.compare(context.Background(), f)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.ratios) != 2*b.rounds-1 {
			t.Errorf("%s: %d ratios of %d rounds", f.name, len(c.ratios), b.rounds)
		}
		for _, v := range append(append(c.of, c.against...), c.ratios...) {
			if !(v > 0) || math.IsInf(v, 0) {
				t.Errorf("%s: costs %v and %v", f.name, c.of, c.against)
			}
		}
	}
}

// TestServerCountsWhatWasSent holds the client's count of verdicts against Sallyport's own, and the CPU time against /proc.
func TestServerCountsWhatWasSent(t *testing.T) {
	b, ctx := newTestBench(t), context.Background()
	of := subject{estate: estate{hosts: 200, rules: 300}.complete()}
	work, err := b.workload(of.estate, 100, false)
	if err != nil {
		t.Fatal(err)
	}
	d, err := b.driver(ctx, of, work, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	closed, err := d.drive(&round{inFlight: 40, checks: 3000})
	if err != nil {
		t.Fatal(err)
	}
	if closed.checks != 3000 || closed.started != 3000 || closed.latency.total != 3000 || closed.refused < 100 || closed.writes >= 3000 {
		t.Errorf("closed loop: %d checks of %d started, %d latencies, %d refused, %d writes",
			closed.checks, closed.started, closed.latency.total, closed.refused, closed.writes)
	}
	open, err := d.drive(&round{rate: 1000, length: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if open.started == 0 || open.checks+open.shed+open.late != open.started {
		t.Errorf("open loop: %d decided, %d shed and %d late of %d started", open.checks, open.shed, open.late, open.started)
	}
	metrics, err := d.server.get(ctx, "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	var allow, deny int64
	for line := range strings.Lines(metrics) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch {
		case strings.HasPrefix(name, `sallyport_checks_total{decision="Allow"`):
			allow += n
		case strings.HasPrefix(name, `sallyport_checks_total{decision="Deny"`):
			deny += n
		}
	}
	sent := closed.started + open.started
	if open.late == 0 && (allow+deny != sent || deny != closed.refused+open.refused+open.shed) {
		t.Errorf("sallyport counts %d allowed and %d refused of %d sent and %d refused", allow, deny, sent, closed.refused+open.refused)
	}
	agreesWithProc(t, d.server.pid())
}

// TestOneInAHundredIsTraced: the client samples as often as it says, and the spans reach the collector.
func TestOneInAHundredIsTraced(t *testing.T) {
	b, ctx := newTestBench(t), context.Background()
	of := subject{estate: estate{}.complete(), parents: true, traced: true}
	work, err := b.workload(of.estate, 100, false)
	if err != nil {
		t.Fatal(err)
	}
	d, err := b.driver(ctx, of, work, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if _, err := d.drive(&round{inFlight: 8, checks: 5 * sampledEvery}); err != nil {
		t.Fatal(err)
	}
	if err := d.server.stop(); err != nil { // which sends what is left
		t.Fatal(err)
	}
	if n := b.collector.spans.Load(); n != 5 {
		t.Errorf("%d spans of %d Checks", n, 5*sampledEvery)
	}
}

// agreesWithProc fails unless cpuTime says the same as /proc/PID/stat, give or take its ticks.
func agreesWithProc(t *testing.T, pid int) {
	t.Helper()
	before, err := cpuTime(pid)
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	after, err := cpuTime(pid)
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	const tick = 10 * time.Millisecond
	if said := time.Duration(user+system) * tick; said < before-10*tick || said > after+10*tick {
		t.Errorf("CPU time between %s and %s, where /proc says %s", before, after, said)
	}
}

func TestWrongVerdictFails(t *testing.T) {
	b, ctx := newTestBench(t), context.Background()
	work, err := b.workload(estate{}.complete(), 100, false)
	if err != nil {
		t.Fatal(err)
	}
	d, err := b.driver(ctx, subject{allowAll: true}, work, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	d.allowAll = false
	_, err = d.drive(&round{inFlight: 1, checks: 100})
	if !errors.As(err, new(*verdictError)) {
		t.Errorf("a server that allows what is to be refused: %v", err)
	}
}

func TestWorkload(t *testing.T) {
	m, err := newMinter()
	if err != nil {
		t.Fatal(err)
	}
	for name, once := range map[string]bool{"warm": false, "each token once": true} {
		t.Run(name, func(t *testing.T) {
			const tokens = 1000
			work, err := newWorkload(m, estate{hosts: 7}.complete(), tokens, once)
			if err != nil {
				t.Fatal(err)
			}
			due, seen := map[int]int{}, map[string]int{}
			var payload []byte
			for i := range tokens {
				var want int
				var more bool
				if payload, want, more = work.render(payload, i, false); !more {
					t.Fatalf("the sequence ends at %d", i)
				}
				due[want]++
				seen[headers(t, payload)["authorization"]]++
			}
			if due[http.StatusForbidden] == 0 || due[http.StatusUnauthorized] == 0 || due[allowed] != tokens-tokens/refusedEvery {
				t.Errorf("verdicts that are due: %v", due)
			}
			if _, _, more := work.render(payload, tokens, false); more == once {
				t.Errorf("more after each token was seen: %t", more)
			}
			if distinct := len(seen); distinct < tokens/2 {
				t.Errorf("%d distinct tokens of %d", distinct, tokens)
			}
			for token, n := range seen {
				if once && token != "" && n > 1 {
					t.Errorf("a token was seen %d times", n)
				}
			}
		})
	}
}

// TestInstructions counts those of a few Checks: a server that decodes nothing takes the least, and one that decodes
// everything by far the most.
func TestInstructions(t *testing.T) {
	if os.Getenv("SALLYPORT_VALGRIND") == "" {
		t.Skip("SALLYPORT_VALGRIND is not set; it takes half a minute and more, and needs valgrind")
	}
	b := newTestBench(t)
	list := figures(sizes{tokens: 50, cold: 10, hosts: 10}, "")
	var out strings.Builder
	if _, err := b.instructionLines(context.Background(), &out, list[3:4], 100, 1100); err != nil {
		t.Fatal(err)
	}
	line := out.String()[strings.IndexByte(out.String(), '\n')+1:]
	fields := strings.Fields(strings.TrimPrefix(line, list[3].name))
	if len(fields) < 4 || !strings.HasPrefix(line, list[3].name) {
		t.Fatalf("no line of %s:\n%s", list[3].name, out.String())
	}
	own, _ := strconv.ParseFloat(fields[0], 64)
	all, _ := strconv.ParseFloat(fields[1], 64)
	floor, _ := strconv.ParseFloat(fields[3], 64)
	if !(floor > 0 && floor*all < own && own < all) {
		t.Errorf("the floor is %v of %v, Sallyport takes %v", floor, all, own)
	}
}
