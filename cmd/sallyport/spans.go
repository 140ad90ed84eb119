package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/time/rate"
)

const (
	// spanRoom is how many spans may wait to be sent, those of the batch on its way included: some 4 MB. It is OpenTelemetry's
	// own default.
	spanRoom = sdktrace.DefaultMaxQueueSize
	// tellLost is how often the log tells of lost spans.
	tellLost = time.Minute
)

// spans are those between Checks and the collector. It drops what there is no room for, and counts what becomes of the
// rest: neither the processor of batches nor the exporter tells. No Check ever waits for it.
type spans struct {
	sdktrace.SpanProcessor // makes batches, and hands them to ExportSpans
	exporter               sdktrace.SpanExporter
	log                    logr.Logger
	waiting                atomic.Int64
	lost                   atomic.Int64 // and not told of yet
	tell                   rate.Sometimes

	sent, failed, dropped prometheus.Counter
}

// errNoRoom: the collector took the spans that were sent, but more slowly than they came.
var errNoRoom = errors.New("there was no room for them")

var (
	_ sdktrace.SpanProcessor = (*spans)(nil)
	_ sdktrace.SpanExporter  = batches{}
)

func newSpans(exporter sdktrace.SpanExporter, log logr.Logger, reg prometheus.Registerer) (*spans, error) {
	results := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sallyport_spans_total", Help: "Spans of traced Checks by what became of them: Sent, Failed or Dropped.",
	}, []string{"result"})
	if err := reg.Register(results); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	s := &spans{
		exporter: exporter, log: log, tell: rate.Sometimes{First: 1, Interval: tellLost},
		sent: results.WithLabelValues("Sent"), failed: results.WithLabelValues("Failed"), dropped: results.WithLabelValues("Dropped"),
	}
	s.SpanProcessor = sdktrace.NewBatchSpanProcessor(batches{s}, sdktrace.WithMaxQueueSize(spanRoom))
	return s, nil
}

// OnEnd implements sdktrace.SpanProcessor. It does not wait: since no more than spanRoom get past it, the queue behind it
// always has room.
func (s *spans) OnEnd(span sdktrace.ReadOnlySpan) {
	if s.waiting.Add(1) > spanRoom {
		s.waiting.Add(-1)
		s.dropped.Inc()
		s.lost.Add(1)
		return
	}
	s.SpanProcessor.OnEnd(span)
}

// batches is the exporter that the processor of batches knows.
type batches struct{ spans *spans }

// ExportSpans implements sdktrace.SpanExporter. What fails is told of here, so there is no error: OpenTelemetry would log
// each one.
func (b batches) ExportSpans(ctx context.Context, list []sdktrace.ReadOnlySpan) error {
	s := b.spans
	err := s.exporter.ExportSpans(ctx, list)
	n := int64(len(list))
	s.waiting.Add(-n)
	if err == nil {
		s.sent.Add(float64(n))
	} else {
		s.failed.Add(float64(n))
		s.lost.Add(n)
	}
	if s.lost.Load() > 0 {
		s.tell.Do(func() { s.log.Error(cmp.Or(err, errNoRoom), "Spans are lost", "spans", s.lost.Swap(0)) })
	}
	return nil
}

// tellAll tells of what the log has not told of yet.
func (s *spans) tellAll() {
	if n := s.lost.Swap(0); n > 0 {
		s.log.Info("Spans are lost", "spans", n)
	}
}

// Shutdown implements sdktrace.SpanExporter.
func (b batches) Shutdown(ctx context.Context) error { return b.spans.exporter.Shutdown(ctx) }
