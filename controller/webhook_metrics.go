package controller

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The results of a review.
const (
	reviewAllowed   = "Allowed"
	reviewRefused   = "Refused"
	reviewUnchecked = "Unchecked" // admitted, since it could not be looked at
)

// webhookMetrics say what the admission webhook does.
type webhookMetrics struct {
	reviews  *prometheus.CounterVec
	duration prometheus.Histogram
}

// newWebhookMetrics registers with reg; nil: nowhere.
func newWebhookMetrics(reg prometheus.Registerer) (*webhookMetrics, error) {
	m := &webhookMetrics{
		reviews: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_webhook_reviews_total", Help: "Objects that the API server asked about, by what became of them: Allowed, Refused, or Unchecked, which admits too.",
		}, []string{"kind", "result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sallyport_webhook_review_duration_seconds", Help: "Time that a review takes.",
			Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5},
		}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.reviews, m.duration} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *webhookMetrics) reviewed(kind, result string, took time.Duration) {
	m.reviews.WithLabelValues(kind, result).Inc()
	m.duration.Observe(took.Seconds())
}
