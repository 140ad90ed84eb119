package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/controller"
	"github.com/sallyport/sallyport/extauthz"
	"github.com/sallyport/sallyport/extauthz/ledger"
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/revocation"
	"github.com/sallyport/sallyport/extauthz/token"
)

const (
	// pruneInterval is how often revocations that have ended are dropped, without a cluster.
	pruneInterval = time.Minute
	// logoutTimeout bounds a request of the logout port, and the end of those in flight.
	logoutTimeout = 10 * time.Second
	// defaultStaleAfter outlives a restart of the shared store, and not much more.
	defaultStaleAfter = 5 * time.Minute
)

// revocationFlags are the flags of serve that concern revocations.
type revocationFlags struct {
	address    string
	tls        extauthz.TLSFiles
	staleAfter time.Duration
}

func (r *revocationFlags) register(f *pflag.FlagSet) {
	f.StringVar(&r.address, "backchannel-logout-address", "", "where identity providers post logout tokens, at "+extauthz.LogoutPath+": host:port, or unix:///path; off by default. With --from it needs --shared-store or --state-dir")
	f.StringVar(&r.tls.Cert, "backchannel-logout-tls-cert-file", "", "certificate chain of the logout port, in PEM; read anew when it changes; without it the port speaks plain HTTP")
	f.StringVar(&r.tls.Key, "backchannel-logout-tls-key-file", "", "private key of the logout port, in PEM")
	f.DurationVar(&r.staleAfter, "revocations-stale-after", defaultStaleAfter, "with --from and --shared-store: how long the logouts that are known are good for while the store does not answer; after that tokens of providers with backChannelLogout are refused")
}

// revocations are the tokens that are revoked, and the ways by which more become so.
type revocations struct {
	flags *revocationFlags
	log   logr.Logger
	set   *revocation.Set
	keep  *revocation.Keeper // nil: nobody posts logouts

	cluster *controller.LogoutLog // nil: none
	shared  *ledger.Revocations   // nil: none
	folder  *logoutFolder         // nil: none

	logout *extauthz.Logout
	tls    *extauthz.TLS // nil: none
}

// newRevocations opens where logouts are kept. Without a cluster, what was kept is read before it returns, or, from a shared
// store, before the process is ready.
func newRevocations(flags *serveFlags, options policy.Options, shared *ledger.Shared, log logr.Logger, reg prometheus.Registerer) (*revocations, error) {
	r := &revocations{flags: &flags.revocations, log: log, set: revocation.NewSet()}
	if err := reg.Register(revocationCollector{r.set}); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	if r.flags.address == "" && r.flags.tls != (extauthz.TLSFiles{}) {
		return nil, usagef("--backchannel-logout-tls-cert-file and --backchannel-logout-tls-key-file go with --backchannel-logout-address")
	}
	tail := revocation.NewTail(r.set, revocation.FromLogout)
	wanted := r.flags.address != ""
	if !wanted && shared != nil && !flags.inCluster() {
		// Other replicas may write logouts that this one does not read.
		r.set.Fresh(time.Time{})
		log.Info("Without --backchannel-logout-address the logouts in the shared store are not followed: tokens of providers with backChannelLogout are refused")
	}
	var err error
	switch {
	case flags.inCluster() && wanted:
		config, err := restConfig(flags.kubeconfig)
		if err != nil {
			return nil, usageError{err}
		}
		config.UserAgent = "sallyport/" + version
		r.cluster, err = controller.NewLogoutLog(controller.LogoutLogConfig{REST: config, Options: options, Revocations: r.set, Log: log})
		if err != nil {
			return nil, err
		}
		r.keep = revocation.NewKeeper(r.cluster.Write)
	case flags.inCluster():
	case wanted && shared != nil:
		r.set.Fresh(time.Time{}) // nothing was read yet
		r.shared, err = ledger.NewRevocations(shared, ledger.RevocationsConfig{Add: tail.Add, Fresh: r.set.Fresh, StaleAfter: r.flags.staleAfter, Log: log})
		if err != nil {
			return nil, usageError{fmt.Errorf("--revocations-stale-after: %w", err)}
		}
		r.keep = revocation.NewKeeper(r.shared.Write)
	case flags.stateDir != "" && (wanted || keptLogouts(flags.stateDir)):
		if r.folder, err = openLogoutFolder(flags.stateDir, time.Now, tail.Add); err != nil {
			return nil, fmt.Errorf("--state-dir: %w", err)
		}
		r.keep = revocation.NewKeeper(r.folder.Write)
	case wanted:
		return nil, usagef("--backchannel-logout-address with --from needs --shared-store or --state-dir: a restart must not forget who has logged out")
	}
	return r, nil
}

// serve makes the endpoint for logout tokens, where one is wanted.
func (r *revocations) serve(snapshot *atomic.Pointer[policy.Snapshot], verifier *token.Verifier, reg prometheus.Registerer) (err error) {
	if r.flags.address == "" {
		return nil
	}
	if files := r.flags.tls; files != (extauthz.TLSFiles{}) {
		if files.Cert == "" || files.Key == "" {
			return usagef("TLS of the logout port needs both --backchannel-logout-tls-cert-file and --backchannel-logout-tls-key-file")
		}
		if r.tls, err = extauthz.NewTLS(files, r.log); err != nil {
			return err
		}
	}
	r.logout, err = extauthz.NewLogout(extauthz.LogoutConfig{
		Snapshot: snapshot, Verify: verifier.VerifyLogout, Keep: r.keep.Keep, Count: r.set.Count, Log: r.log, Registerer: reg,
	})
	return err
}

// ready is nil unless revocations are still to be read. Those of a cluster are read before there is a snapshot.
func (r *revocations) ready() error {
	if r.shared != nil {
		return r.shared.Ready()
	}
	return nil
}

// add looks after revocations while the group runs.
func (r *revocations) add(group *run.Group, listener net.Listener) {
	ctx, cancel := context.WithCancel(context.Background())
	stop := func(error) { cancel() }
	if r.shared != nil {
		group.Add(func() error { r.shared.Run(ctx); return nil }, stop)
	}
	group.Add(func() error { r.prune(ctx); return nil }, stop)
	if r.tls != nil {
		group.Add(func() error { r.tls.Run(ctx, tlsInterval); return nil }, stop)
	}
	if listener == nil {
		return
	}
	server := &http.Server{
		Handler: r.logout, ReadHeaderTimeout: adminTimeout, ReadTimeout: logoutTimeout, WriteTimeout: logoutTimeout,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(logr.ToSlogHandler(r.log.V(1)), slog.LevelDebug),
	}
	serve := func() error { return server.Serve(listener) }
	if r.tls != nil {
		server.TLSConfig = r.tls.HTTPConfig()
		serve = func() error { return server.ServeTLS(listener, "", "") }
	}
	group.Add(func() error {
		if err := serve(); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}, func(error) {
		ctx, cancel := context.WithTimeout(context.Background(), logoutTimeout)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			r.log.Error(err, "Requests of the logout port did not end in time")
		}
	})
}

// listen opens the port for logout tokens; nil where none is wanted.
func (r *revocations) listen() (net.Listener, error) {
	if r.flags.address == "" {
		return nil, nil
	}
	listener, err := extauthz.Listen(r.flags.address, 0)
	if err != nil {
		return nil, fmt.Errorf("listening for logouts: %w", err)
	}
	r.log.Info("Listening for logouts", "address", listener.Addr().String(), "tls", r.tls != nil)
	return listener, nil
}

// prune drops what has ended until ctx ends. A cluster does so by itself, and again makes no difference.
func (r *revocations) prune(ctx context.Context) {
	tick := time.NewTicker(pruneInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			r.set.Prune(now)
		}
		if r.folder == nil {
			continue
		}
		if err := r.folder.prune(); err != nil {
			r.log.Error(err, "The file of revocations cannot be written anew; it grows")
		}
	}
}

func (r *revocations) close() {
	if r.folder != nil {
		r.folder.close()
	}
}

// revocationCollector reads the state of a set once a scrape.
type revocationCollector struct{ set *revocation.Set }

var (
	revocationEntries = prometheus.NewDesc("sallyport_revocations", "Revocations that are known, by where they came from: Object or Logout.", []string{"source"}, nil)
	revocationChanged = prometheus.NewDesc("sallyport_revocations_last_change_timestamp_seconds", "When revocations last changed, by where they came from; 0: never.", []string{"source"}, nil)
	revocationFresh   = prometheus.NewDesc("sallyport_revocations_good_until_timestamp_seconds", "Until when the shared logouts that are known are good; absent without a shared store.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c revocationCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{revocationEntries, revocationChanged, revocationFresh} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c revocationCollector) Collect(ch chan<- prometheus.Metric) {
	for _, from := range []revocation.From{revocation.FromObjects, revocation.FromLogout} {
		stats, changed := c.set.Stats(from), 0.0
		if !stats.Changed.IsZero() {
			changed = float64(stats.Changed.Unix())
		}
		ch <- prometheus.MustNewConstMetric(revocationEntries, prometheus.GaugeValue, float64(stats.Entries), from.String())
		ch <- prometheus.MustNewConstMetric(revocationChanged, prometheus.GaugeValue, changed, from.String())
	}
	if until, bounded := c.set.GoodUntil(); bounded {
		ch <- prometheus.MustNewConstMetric(revocationFresh, prometheus.GaugeValue, float64(until.Unix()))
	}
}
