package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/extauthz/idp"
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// keysWait is how long the start waits for the keys of all providers together.
const keysWait = 5 * time.Second

// keys looks after the keys of a snapshot's providers: it hands the providers to the keeper, and counts its fetches.
// Safe for concurrent use.
type keys struct {
	keeper *idp.Keeper
	state  *keyState // nil: keys are not kept
	log    logr.Logger
	// changed is told of each attempt to fetch; nil: nobody asks.
	changed func()

	success *prometheus.GaugeVec
	fetches *prometheus.CounterVec

	mu       sync.Mutex
	names    map[string]*token.Provider // of the providers that have series
	prepared bool
}

// newKeys makes a keeper. loopback lets providers be on this machine; api is where the keys of the cluster's own
// ServiceAccounts are, nil where there is no cluster.
func newKeys(log logr.Logger, loopback bool, api *idp.APIServer, traced *tracing, reg prometheus.Registerer) (*keys, error) {
	k := &keys{
		log: log,
		success: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sallyport_keys_last_success_timestamp_seconds", Help: "When the keys of a provider were last fetched with success.",
		}, []string{"provider"}),
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_key_fetches_total", Help: "Fetches of a provider's keys by what became of them: Success, or the kind of failure.",
		}, []string{"provider", "reason"}),
	}
	for _, c := range []prometheus.Collector{k.success, k.fetches} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	var err error
	k.keeper, err = idp.New(idp.Config{Log: log, AllowLoopback: loopback, APIServer: api, OnChange: k.count, OnWait: traced.waits("keys", "sallyport.provider")})
	return k, err
}

// prepare looks after the providers of a snapshot that is about to be published. The first time it waits until each was
// tried once.
func (k *keys) prepare(ctx context.Context, s *policy.Snapshot) {
	remote := k.keep(s.Providers())
	begin := time.Now()
	if !k.prepared {
		k.state.restore(ctx)
	}
	k.keeper.Sync(s.Providers())
	if k.prepared {
		return
	}
	k.prepared = true
	if remote == 0 {
		return
	}
	k.log.Info("Waiting for keys", "providers", remote, "atMost", keysWait.String())
	ctx, cancel := context.WithDeadline(ctx, begin.Add(keysWait))
	defer cancel()
	if err := k.keeper.WaitTried(ctx); err != nil {
		k.log.Info("Going on before the keys of every provider were tried", "reason", err.Error())
	}
}

// keep counts the providers whose keys are fetched, and drops the series of those that are gone.
func (k *keys) keep(providers []*token.Provider) (remote int) {
	names := map[string]*token.Provider{}
	for _, p := range providers {
		if slices.ContainsFunc(p.KeyHolders(), func(h *token.Provider) bool { return h.Remote != nil }) {
			names[p.Name] = p
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for name := range k.names {
		if names[name] == nil {
			k.success.DeletePartialMatch(prometheus.Labels{"provider": name})
			k.fetches.DeletePartialMatch(prometheus.Labels{"provider": name})
		}
	}
	k.names = names
	return len(names)
}

// count counts one fetch.
func (k *keys) count(s idp.Status) {
	k.state.note()
	if k.changed != nil {
		k.changed()
	}
	reason := string(s.Reason)
	if reason == "" {
		reason = "Success"
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range s.Providers {
		p := k.names[name]
		if p == nil {
			continue
		}
		k.fetches.WithLabelValues(name, reason).Inc()
		last := s.LastSuccess
		if p.Remote == nil { // of several tenants what counts is the one whose keys are oldest
			last = k.keeper.Status(p).LastSuccess
		}
		if !last.IsZero() {
			k.success.WithLabelValues(name).Set(float64(last.UnixNano()) / 1e9)
		}
	}
}
