package extauthz

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/extauthz/token"
)

// decryptionCollector reads what became of encrypted tokens once a scrape.
type decryptionCollector struct {
	stats func() token.Decryptions
	total *prometheus.Desc
}

func newDecryptionCollector(stats func() token.Decryptions) *decryptionCollector {
	return &decryptionCollector{stats: stats, total: prometheus.NewDesc(
		"sallyport_token_decryptions_total", "Encrypted tokens that were not in the cache, by what became of them.", []string{"result"}, nil,
	)}
}

// Describe implements prometheus.Collector.
func (c *decryptionCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.total }

// Collect implements prometheus.Collector.
func (c *decryptionCollector) Collect(ch chan<- prometheus.Metric) {
	d := c.stats()
	for _, r := range []struct {
		result string
		n      uint64
	}{
		{"Success", d.Succeeded}, {"Failure", d.Failed}, {"UnknownKey", d.UnknownKey},
		{"AlgorithmNotAllowed", d.AlgorithmNotAllowed}, {"KeysUnavailable", d.KeysUnavailable},
	} {
		ch <- prometheus.MustNewConstMetric(c.total, prometheus.CounterValue, float64(r.n), r.result)
	}
}
