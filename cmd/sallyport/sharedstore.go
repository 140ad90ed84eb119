package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/extauthz/ledger"
	"github.com/sallyport/sallyport/extauthz/token"
)

// storeWait is how long the start waits for the shared store to be tried once.
const storeWait = 3 * time.Second

// storeBuckets span an answer from next door and the longest timeout.
var storeBuckets = []float64{250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 500e-3, 5}

// storeFlags say where what replicas must remember is kept.
type storeFlags struct {
	sharedStore, passwordFile, caFile string
	timeout                           time.Duration
	proofBytes                        int64
	nonceKeyFile                      string
}

func (s *storeFlags) register(f *pflag.FlagSet) {
	f.StringVar(&s.sharedStore, "shared-store", "", "server of Valkey or Redis in which replicas remember together: rediss://[user@]host[:port][/database], redis:// without TLS, or unix:///path; without it each process remembers for itself")
	f.StringVar(&s.passwordFile, "shared-store-password-file", "", "file with the password of the shared store; read anew for each connection")
	f.StringVar(&s.caFile, "shared-store-ca-file", "", "authorities, one of which must have issued the certificate of the shared store, in PEM; the system's by default")
	f.DurationVar(&s.timeout, "shared-store-timeout", ledger.DefaultTimeout, "how long a request waits for the shared store; keep it under Envoy's timeout")
	f.StringVar(&s.nonceKeyFile, "dpop-nonce-key-file", "", "file of at least 32 bytes that nobody can guess, the same for all replicas, from which nonces for DPoP proofs are made; without it each process has a key of its own")
	f.Int64Var(&s.proofBytes, "proof-bytes", ledger.DefaultProofBytes, "memory for used DPoP proofs where there is no shared store; when it is full, proofs are refused")
}

// store is what replicas remember, and where.
type store struct {
	shared *ledger.Shared // nil: each process remembers for itself
	proofs ledger.Proofs
	nonces *token.Nonces // nil: of a key of this process
	log    logr.Logger
}

func newStore(flags *storeFlags, log logr.Logger, reg prometheus.Registerer) (*store, error) {
	s := &store{log: log}
	if name := flags.nonceKeyFile; name != "" {
		key, err := os.ReadFile(name)
		if err == nil {
			s.nonces, err = token.NewNonces(key)
		}
		if err != nil {
			return nil, usageError{fmt.Errorf("--dpop-nonce-key-file: %w", err)}
		}
	}
	m := newStoreMetrics()
	stats := func() (int, int64) { return 0, 0 }
	if flags.sharedStore == "" {
		if flags.passwordFile != "" || flags.caFile != "" {
			return nil, usagef("--shared-store-password-file and --shared-store-ca-file go with --shared-store")
		}
		memory, err := ledger.NewMemory(flags.proofBytes, nil)
		if err != nil {
			return nil, usageError{fmt.Errorf("--proof-bytes: %w", err)}
		}
		s.proofs, stats = memory, memory.Stats
		m.kind.WithLabelValues("Memory").Set(1)
		log.Info("Used proofs are remembered in this process", "bytes", flags.proofBytes)
	} else {
		var err error
		s.shared, err = ledger.Open(ledger.Config{
			URL: flags.sharedStore, PasswordFile: flags.passwordFile, CAFile: flags.caFile, Timeout: flags.timeout,
			Log: log, OnAnswer: m.answered, OnState: m.changed,
		})
		if err != nil {
			return nil, usageError{fmt.Errorf("--shared-store: %w", err)}
		}
		s.proofs = ledger.NewSharedProofs(s.shared, nil)
		m.kind.WithLabelValues("Shared").Set(1)
		log.Info("Used proofs are remembered in the shared store", "address", s.shared.Address())
	}
	for _, c := range m.collectors(stats) {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return s, nil
}

// add looks after the connection while the group runs.
func (s *store) add(group *run.Group) {
	if s.shared == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	group.Add(func() error { s.shared.Run(ctx); <-ctx.Done(); return nil }, func(error) { cancel() })
}

// wait waits until the shared store was tried once: a server that comes up beside one that works refuses nobody.
func (s *store) wait(ctx context.Context) {
	if s.shared == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	if err := s.shared.WaitTried(ctx); err != nil && !errors.Is(err, context.Canceled) {
		s.log.Info("Going on before the shared store was tried", "reason", err.Error())
	}
}

// status is a line for operators.
func (s *store) status() string {
	switch {
	case s.shared == nil:
		return "used proofs are remembered in this process"
	case s.shared.Up():
		return "used proofs are remembered in the shared store, which answers"
	}
	return "used proofs are remembered in the shared store, which does not answer: what needs it is refused"
}

// storeMetrics count questions to the shared store.
type storeMetrics struct {
	kind     *prometheus.GaugeVec
	up       prometheus.Gauge
	results  *prometheus.CounterVec
	duration prometheus.Histogram
}

func newStoreMetrics() *storeMetrics {
	m := &storeMetrics{
		kind: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sallyport_proof_store", Help: "1 for where used proofs are remembered: Memory, of this process, or Shared.",
		}, []string{"store"}),
		up: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sallyport_shared_store_up", Help: "1 while the shared store answers, else 0.",
		}),
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_shared_store_questions_total", Help: "Questions to the shared store by what became of them.",
		}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sallyport_shared_store_duration_seconds", Help: "Time that a question to the shared store takes.", Buckets: storeBuckets,
		}),
	}
	for _, result := range ledger.Results() {
		m.results.WithLabelValues(result)
	}
	return m
}

func (m *storeMetrics) collectors(stats func() (entries int, bytes int64)) []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	return []prometheus.Collector{
		m.kind, m.up, m.results, m.duration,
		gauge("sallyport_proofs_remembered", "Used proofs that this process remembers.", func() float64 { n, _ := stats(); return float64(n) }),
		gauge("sallyport_proofs_remembered_bytes", "Size of the used proofs that this process remembers.", func() float64 { _, n := stats(); return float64(n) }),
	}
}

func (m *storeMetrics) answered(result string, took time.Duration) {
	m.results.WithLabelValues(result).Inc()
	if result != ledger.CircuitOpen {
		m.duration.Observe(took.Seconds())
	}
}

func (m *storeMetrics) changed(up bool) {
	if up {
		m.up.Set(1)
		return
	}
	m.up.Set(0)
}
