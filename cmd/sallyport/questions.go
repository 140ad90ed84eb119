package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"

	"github.com/sallyport/sallyport/extauthz/idp"
	"github.com/sallyport/sallyport/extauthz/policy"
)

// questionBuckets span an answer from next door and the 5 s that a question may take at most.
var questionBuckets = []float64{1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 200e-3, 500e-3, 1, 5}

// questions looks after what is asked while a request waits: it hands the providers and lookups of a snapshot to those who
// ask, and counts. Safe for concurrent use, prepare and wait apart.
type questions struct {
	introspector *idp.Introspector
	looker       *idp.Looker
	log          logr.Logger
	prepared     bool

	introspections, lookups *askedMetrics
}

// newQuestions makes those who ask. loopback lets what they ask be on this machine; cacheBytes bounds what is remembered.
func newQuestions(log logr.Logger, loopback bool, cacheBytes int64, traced *tracing, reg prometheus.Registerer) (*questions, error) {
	q := &questions{
		log:            log,
		introspections: newAskedMetrics("introspection", "provider", "a provider about opaque tokens", "Active, Inactive, Refused"),
		lookups:        newAskedMetrics("lookup", "lookup", "a service about what rules look up", "Found, NotFound"),
	}
	config := func(m *askedMetrics) idp.IntrospectorConfig {
		return idp.IntrospectorConfig{
			Log: log, AllowLoopback: loopback, CacheBytes: cacheBytes / 2, OnAnswer: m.answered, OnCircuit: m.circuitChanged,
			OnWait: traced.waits(m.kind, attribute.Key("sallyport."+m.label)),
		}
	}
	var err error
	if q.introspector, err = idp.NewIntrospector(config(q.introspections)); err != nil {
		return nil, usageError{fmt.Errorf("--answer-cache-bytes: %w", err)}
	}
	if q.looker, err = idp.NewLooker(config(q.lookups)); err != nil {
		return nil, usageError{fmt.Errorf("--answer-cache-bytes: %w", err)}
	}
	all := slices.Concat(q.introspections.collectors(q.introspector.Stats), q.lookups.collectors(q.looker.Stats))
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return q, nil
}

// close ends all questions.
func (q *questions) close() {
	q.introspector.Close()
	q.looker.Close()
}

// prepare looks after a snapshot that is about to be published. It does not wait.
func (q *questions) prepare(s *policy.Snapshot) {
	providers, lookups := map[string]bool{}, map[string]bool{}
	for _, p := range s.Providers() {
		if p.Introspection != nil {
			providers[p.Name] = true
		}
	}
	for _, l := range s.Lookups() {
		lookups[l.Name] = true
	}
	q.introspections.keep(providers)
	q.lookups.keep(lookups)
	q.introspector.Sync(s.Providers())
	q.looker.Sync(s.Lookups())
}

// wait waits, the first time, until the endpoints of all were looked for.
func (q *questions) wait(ctx context.Context, until time.Time) {
	if q.prepared {
		return
	}
	q.prepared = true
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	if err := errors.Join(q.introspector.WaitTried(ctx), q.looker.WaitTried(ctx)); err != nil {
		q.log.Info("Going on before every endpoint was found", "reason", err.Error())
	}
}

// askedMetrics count questions of one kind. Safe for concurrent use.
type askedMetrics struct {
	kind, label string
	results     *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	circuit     *prometheus.GaugeVec

	mu    sync.Mutex
	names map[string]bool // of those that have series
}

// newAskedMetrics makes the metrics of a kind; label is what is asked, and results are the words of those that succeeded.
func newAskedMetrics(kind, label, asked, results string) *askedMetrics {
	return &askedMetrics{
		kind: kind, label: label,
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_" + kind + "s_total", Help: "Questions to " + asked + " by what became of them: " + results + ", or the kind of failure.",
		}, []string{label, "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sallyport_" + kind + "_duration_seconds", Help: "Time that a question to " + asked + " takes.", Buckets: questionBuckets,
		}, []string{label}),
		circuit: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sallyport_" + kind + "_circuit_open", Help: "1 while one that failed too often is left alone, else 0.",
		}, []string{label}),
	}
}

// collectors are those of m, and the figures of its cache.
func (m *askedMetrics) collectors(stats func() idp.CacheStats) []prometheus.Collector {
	gauge := func(name, help string, value func(idp.CacheStats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sallyport_" + m.kind + "_cache_" + name, Help: help}, func() float64 { return value(stats()) })
	}
	counter := func(name, help string, value func(idp.CacheStats) float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "sallyport_" + m.kind + "_cache_" + name, Help: help}, func() float64 { return value(stats()) })
	}
	return []prometheus.Collector{
		m.results, m.duration, m.circuit,
		gauge("entries", "Answers in the cache.", func(s idp.CacheStats) float64 { return float64(s.Entries) }),
		gauge("bytes", "Size of the cache of answers.", func(s idp.CacheStats) float64 { return float64(s.Bytes) }),
		counter("hits_total", "Questions that were answered from the cache.", func(s idp.CacheStats) float64 { return float64(s.Hits) }),
		counter("misses_total", "Questions that the cache had no answer to.", func(s idp.CacheStats) float64 { return float64(s.Misses) }),
	}
}

// keep gives series to names, and drops those of others.
func (m *askedMetrics) keep(names map[string]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.names {
		if !names[name] {
			labels := prometheus.Labels{m.label: name}
			m.results.DeletePartialMatch(labels)
			m.duration.DeletePartialMatch(labels)
			m.circuit.DeletePartialMatch(labels)
		}
	}
	for name := range names {
		if !m.names[name] {
			m.circuit.WithLabelValues(name).Set(0)
		}
	}
	m.names = names
}

func (m *askedMetrics) answered(name, result string, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.names[name] {
		m.results.WithLabelValues(name, result).Inc()
		m.duration.WithLabelValues(name).Observe(took.Seconds())
	}
}

func (m *askedMetrics) circuitChanged(name string, open bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.names[name] {
		return
	}
	value := 0.0
	if open {
		value = 1
	}
	m.circuit.WithLabelValues(name).Set(value)
}
