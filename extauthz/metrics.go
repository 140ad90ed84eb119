package extauthz

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// checkBuckets span a warm Check, some 10 µs, and the 200 ms after which Envoy by default waits no longer.
var checkBuckets = []float64{
	10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 200e-3, 500e-3,
}

// verdictKey is a pair of labels. No label ever holds a text of a client.
type verdictKey struct {
	allow  bool
	reason policy.Reason
}

// metrics of a server. Its counters are found in a map of its own, which costs less than a label lookup.
type metrics struct {
	checks, dryRun       *prometheus.CounterVec
	byVerdict, byDryRun  map[verdictKey]prometheus.Counter
	duration             prometheus.Histogram
	panics               prometheus.Counter
	inFlight, unreported prometheus.Collector
}

func newMetrics(inFlight func() int64, notLogged func() uint64) *metrics {
	m := &metrics{
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_checks_total", Help: "Answers to Checks, by decision and reason.",
		}, []string{"decision", "reason"}),
		dryRun: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_dry_run_total", Help: "What DryRun rules would have answered, by decision and reason.",
		}, []string{"decision", "reason"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sallyport_check_duration_seconds", Help: "Time from the decoded CheckRequest to its answer.", Buckets: checkBuckets,
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sallyport_panics_total", Help: "Checks that were refused because the server panicked.",
		}),
		inFlight: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sallyport_checks_in_flight", Help: "Checks that are being worked on.",
		}, func() float64 { return float64(inFlight()) }),
		unreported: prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "sallyport_refusals_not_logged_total", Help: "Refusals that the limit of log lines left out of the log.",
		}, func() float64 { return float64(notLogged()) }),
	}
	m.byVerdict, m.byDryRun = everyVerdict(m.checks), everyVerdict(m.dryRun)
	return m
}

// everyVerdict makes the counters of all reasons, so that each is there from the start, at zero.
func everyVerdict(vec *prometheus.CounterVec) map[verdictKey]prometheus.Counter {
	out := map[verdictKey]prometheus.Counter{}
	for _, r := range policy.Reasons() {
		_, refuses := refusals[r]
		out[verdictKey{!refuses, r}] = vec.WithLabelValues(decisionWord(!refuses), string(r))
	}
	return out
}

func (m *metrics) register(r prometheus.Registerer, cfg *Config) error {
	all := []prometheus.Collector{m.checks, m.dryRun, m.duration, m.panics, m.inFlight, m.unreported}
	if cfg.CacheStats != nil {
		all = append(all, newCacheCollector(cfg.CacheStats))
	}
	if cfg.Decryptions != nil {
		all = append(all, newDecryptionCollector(cfg.Decryptions))
	}
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("registering the server's metrics: %w", err)
		}
	}
	return nil
}

// observe counts a decision.
func (m *metrics) observe(d *policy.Decision, took time.Duration) {
	count(m.byVerdict, &d.Verdict)
	if d.DryRun != nil {
		count(m.byDryRun, d.DryRun)
	}
	m.duration.Observe(took.Seconds())
}

func (m *metrics) panicked(took time.Duration) {
	m.panics.Inc()
	m.observe(&policy.Decision{Verdict: policy.Verdict{Reason: policy.ReasonInternalError}}, took)
}

func count(in map[verdictKey]prometheus.Counter, v *policy.Verdict) {
	if c, ok := in[verdictKey{v.Allow, v.Reason}]; ok {
		c.Inc()
	}
}

// cacheCollector reads the state of the token cache once a scrape.
type cacheCollector struct {
	stats                        func() (entries int, bytes int64, hits, misses uint64)
	entries, bytes, hits, misses *prometheus.Desc
}

func newCacheCollector(stats func() (int, int64, uint64, uint64)) *cacheCollector {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return &cacheCollector{
		stats:   stats,
		entries: desc("sallyport_token_cache_entries", "Verified tokens in the cache."),
		bytes:   desc("sallyport_token_cache_bytes", "Size of the cache of verified tokens."),
		hits:    desc("sallyport_token_cache_hits_total", "Tokens that were found in the cache."),
		misses:  desc("sallyport_token_cache_misses_total", "Tokens that were not found in the cache."),
	}
}

// Describe implements prometheus.Collector.
func (c *cacheCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.entries, c.bytes, c.hits, c.misses} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *cacheCollector) Collect(ch chan<- prometheus.Metric) {
	entries, bytes, hits, misses := c.stats()
	ch <- prometheus.MustNewConstMetric(c.entries, prometheus.GaugeValue, float64(entries))
	ch <- prometheus.MustNewConstMetric(c.bytes, prometheus.GaugeValue, float64(bytes))
	ch <- prometheus.MustNewConstMetric(c.hits, prometheus.CounterValue, float64(hits))
	ch <- prometheus.MustNewConstMetric(c.misses, prometheus.CounterValue, float64(misses))
}
