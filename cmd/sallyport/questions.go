package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/extauthz/idp"
	"github.com/sallyport/sallyport/extauthz/policy"
)

// questionBuckets span an answer from next door and the 5 s that a question may take at most.
var questionBuckets = []float64{1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 200e-3, 500e-3, 1, 5}

// questions looks after what is asked while a request waits: it hands the providers of a snapshot to the introspector, and
// counts. Safe for concurrent use, prepare apart.
type questions struct {
	introspector *idp.Introspector
	log          logr.Logger

	results  *prometheus.CounterVec
	duration *prometheus.HistogramVec
	circuit  *prometheus.GaugeVec

	mu       sync.Mutex
	names    map[string]bool // of the providers that have series
	prepared bool
}

// newQuestions makes an introspector. loopback lets providers be on this machine; cacheBytes bounds what is remembered.
func newQuestions(log logr.Logger, loopback bool, cacheBytes int64, reg prometheus.Registerer) (*questions, error) {
	q := &questions{
		log: log,
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_introspections_total", Help: "Questions to a provider about opaque tokens by what became of them: Active, Inactive, Refused, or the kind of failure.",
		}, []string{"provider", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sallyport_introspection_duration_seconds", Help: "Time that a question to a provider about an opaque token takes.", Buckets: questionBuckets,
		}, []string{"provider"}),
		circuit: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sallyport_introspection_circuit_open", Help: "1 while a provider that failed too often is left alone, else 0.",
		}, []string{"provider"}),
	}
	var err error
	q.introspector, err = idp.NewIntrospector(idp.IntrospectorConfig{
		Log: log, AllowLoopback: loopback, CacheBytes: cacheBytes, OnAnswer: q.answered, OnCircuit: q.circuitChanged,
	})
	if err != nil {
		return nil, usageError{fmt.Errorf("--answer-cache-bytes: %w", err)}
	}
	all := []prometheus.Collector{q.results, q.duration, q.circuit}
	for _, c := range append(all, cacheGauges(q.introspector.Stats)...) {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return q, nil
}

// cacheGauges are the figures of the cache of answers.
func cacheGauges(stats func() idp.CacheStats) []prometheus.Collector {
	gauge := func(name, help string, value func(idp.CacheStats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(stats()) })
	}
	counter := func(name, help string, value func(idp.CacheStats) float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return value(stats()) })
	}
	return []prometheus.Collector{
		gauge("sallyport_introspection_cache_entries", "Answers about opaque tokens in the cache.", func(s idp.CacheStats) float64 { return float64(s.Entries) }),
		gauge("sallyport_introspection_cache_bytes", "Size of the cache of answers about opaque tokens.", func(s idp.CacheStats) float64 { return float64(s.Bytes) }),
		counter("sallyport_introspection_cache_hits_total", "Opaque tokens that were found in the cache.", func(s idp.CacheStats) float64 { return float64(s.Hits) }),
		counter("sallyport_introspection_cache_misses_total", "Opaque tokens that were not found in the cache.", func(s idp.CacheStats) float64 { return float64(s.Misses) }),
	}
}

// prepare looks after the providers of a snapshot that is about to be published. It does not wait.
func (q *questions) prepare(s *policy.Snapshot) {
	names := map[string]bool{}
	for _, p := range s.Providers() {
		if p.Introspection != nil {
			names[p.Name] = true
		}
	}
	q.mu.Lock()
	for name := range q.names {
		if !names[name] {
			for _, vec := range []interface{ DeletePartialMatch(prometheus.Labels) int }{q.results, q.duration, q.circuit} {
				vec.DeletePartialMatch(prometheus.Labels{"provider": name})
			}
		}
	}
	for name := range names {
		if !q.names[name] {
			q.circuit.WithLabelValues(name).Set(0)
		}
	}
	q.names = names
	q.mu.Unlock()
	q.introspector.Sync(s.Providers())
}

// wait waits, the first time, until the endpoints of all providers were looked for.
func (q *questions) wait(ctx context.Context, until time.Time) {
	if q.prepared {
		return
	}
	q.prepared = true
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	if err := q.introspector.WaitTried(ctx); err != nil {
		q.log.Info("Going on before the endpoints of every provider were found", "reason", err.Error())
	}
}

func (q *questions) answered(provider, result string, took time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.names[provider] {
		q.results.WithLabelValues(provider, result).Inc()
		q.duration.WithLabelValues(provider).Observe(took.Seconds())
	}
}

func (q *questions) circuitChanged(provider string, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.names[provider] {
		value := 0.0
		if open {
			value = 1
		}
		q.circuit.WithLabelValues(provider).Set(value)
	}
}
