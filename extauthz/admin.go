package extauthz

import (
	"io"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// AdminHandler serves /healthz, which is well as long as the process answers; /readyz, which is Ready; and /metrics, the
// metrics of g, left out where g is nil. It is for operators: nothing here is meant for clients.
func (s *Server) AdminHandler(g prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plainText(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.Ready(); err != nil {
			plainText(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
			return
		}
		text := "ok"
		if s.cfg.Status != nil {
			text += "\n" + s.cfg.Status()
		}
		plainText(w, http.StatusOK, text)
	})
	if g != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{}))
	}
	return mux
}

func plainText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// The error of writing is that of a caller who is gone.
	_, _ = io.WriteString(w, text+"\n")
}
