package main

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// exporter sends spans as it is told.
type exporter func(ctx context.Context, n int) error

func (e exporter) ExportSpans(ctx context.Context, list []sdktrace.ReadOnlySpan) error {
	return e(ctx, len(list))
}

func (exporter) Shutdown(context.Context) error { return nil }

// linesTracing is tracing to e, with the lines of its log.
func linesTracing(t *testing.T, e exporter) (*tracing, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var lines []string
	traced, err := newTracingTo(e, funcr.New(func(_, line string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, line)
	}, funcr.Options{}), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return traced, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return lines
	}
}

// make ends n spans.
func (t *tracing) make(ctx context.Context, n int) {
	for range n {
		_, span := t.tracer.Start(sampledBy(ctx, trace.FlagsSampled), "check")
		span.End()
	}
}

func wantCounts(t *testing.T, s *spans, sent, failed, dropped float64) {
	t.Helper()
	for name, c := range map[string]struct {
		counter prometheus.Counter
		want    float64
	}{"sent": {s.sent, sent}, "failed": {s.failed, failed}, "dropped": {s.dropped, dropped}} {
		if got := testutil.ToFloat64(c.counter); got != c.want {
			t.Errorf("%v spans are %s, want %v", got, name, c.want)
		}
	}
}

// TestACollectorThatHangs holds up nobody: what there is no room for is dropped at once, and the end of the server waits
// for a few seconds.
func TestACollectorThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traced, lines := linesTracing(t, func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return ctx.Err()
		})
		begin := time.Now()
		traced.make(t.Context(), spanRoom+10)
		if took := time.Since(begin); took != 0 {
			t.Errorf("Checks were held up for %s", took)
		}
		wantCounts(t, traced.spans, 0, 0, 10)
		synctest.Wait()
		traced.make(t.Context(), 1) // a batch is on its way, and has not made room
		wantCounts(t, traced.spans, 0, 0, 11)
		time.Sleep(sdktrace.DefaultExportTimeout*time.Millisecond + time.Second)
		wantCounts(t, traced.spans, 0, sdktrace.DefaultMaxExportBatchSize, 11)
		if got := lines(); len(got) != 1 || !strings.Contains(got[0], `"Spans are lost"`) || !strings.Contains(got[0], `"spans"=523`) {
			t.Errorf("the log has %q", got)
		}
		begin = time.Now()
		traced.close()
		if took := time.Since(begin); took != flushTimeout {
			t.Errorf("the end took %s, want %s", took, flushTimeout)
		}
		traced.make(t.Context(), 1) // of a Check that is late
		time.Sleep(time.Hour)       // until every batch has failed
	})
}

// TestLostSpansAreToldOnceInAWhile: a line a minute, and each lost span is told of once.
func TestLostSpansAreToldOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		traced, lines := linesTracing(t, func(context.Context, int) error {
			if away.Load() {
				return errors.New("nobody listens")
			}
			return nil
		})
		away.Store(true)
		for range 130 { // a span a second, a batch each five
			traced.make(t.Context(), 1)
			time.Sleep(time.Second)
		}
		time.Sleep(sdktrace.DefaultScheduleDelay * time.Millisecond)
		if got := lines(); len(got) != 3 || !strings.Contains(got[0], "nobody listens") {
			t.Errorf("the log has %q", got)
		}
		away.Store(false)
		traced.make(t.Context(), 5)
		traced.close()
		wantCounts(t, traced.spans, 5, 130, 0)
		told := 0
		for _, m := range regexp.MustCompile(`"spans"=(\d+)`).FindAllStringSubmatch(strings.Join(lines(), "\n"), -1) {
			n, _ := strconv.Atoi(m[1])
			told += n
		}
		if told != 130 {
			t.Errorf("the log tells of %d lost spans: %q", told, lines())
		}
	})
}

// TestThereIsRoomAgain once the collector has taken what waited.
func TestThereIsRoomAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		traced, lines := linesTracing(t, func(context.Context, int) error {
			<-free
			return nil
		})
		traced.make(t.Context(), spanRoom+1)
		close(free)
		synctest.Wait()
		traced.make(t.Context(), spanRoom)
		traced.close()
		wantCounts(t, traced.spans, 2*spanRoom, 0, 1)
		if got := strings.Join(lines(), "\n"); !strings.Contains(got, errNoRoom.Error()) || !strings.Contains(got, `"spans"=1`) {
			t.Errorf("the log has %q", got)
		}
	})
}
