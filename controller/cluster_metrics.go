package controller

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// clusterMetrics say how Sallyport and the API server get along.
type clusterMetrics struct {
	now     func() time.Time
	contact atomic.Int64 // nanoseconds in Unix time; 0: never

	watchFailures *prometheus.CounterVec
	statusWrites  *prometheus.CounterVec
	leader        prometheus.Gauge
}

func newClusterMetrics(reg prometheus.Registerer, now func() time.Time) (*clusterMetrics, error) {
	m := &clusterMetrics{
		now: now,
		watchFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_watch_failures_total", Help: "Times that objects of a kind could not be listed or watched.",
		}, []string{"kind"}),
		statusWrites: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_status_writes_total", Help: "Writes of an object's status by what became of them: Success or Failure.",
		}, []string{"result"}),
		leader: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sallyport_leader", Help: "1 while this replica writes status, else 0.",
		}),
	}
	for _, result := range []string{statusWritten, statusFailed} {
		m.statusWrites.WithLabelValues(result)
	}
	contact := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sallyport_cluster_contact_timestamp_seconds", Help: "When the API server last answered.",
	}, func() float64 { return float64(m.contact.Load()) / 1e9 })
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{contact, m.watchFailures, m.statusWrites, m.leader} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// answered says that the API server did, just now.
func (m *clusterMetrics) answered() { m.contact.Store(m.now().UnixNano()) }

// The results of a status write.
const (
	statusWritten = "Success"
	statusFailed  = "Failure"
)
