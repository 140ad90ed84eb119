package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"

	"github.com/sallyport/sallyport/controller"
	"github.com/sallyport/sallyport/extauthz"
	"github.com/sallyport/sallyport/extauthz/idp"
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

const (
	// tokenCacheBytes holds some ten thousand verified tokens.
	tokenCacheBytes = 128 << 20
	// tlsInterval is how soon a certificate that was replaced is served.
	tlsInterval = 10 * time.Second
	// adminTimeout bounds reading a request of the admin port, and the end of those in flight.
	adminTimeout = 5 * time.Second
)

// serveFlags are the flags of serve.
type serveFlags struct {
	compileFlags
	clusterFlags
	webhook                   webhookFlags
	store                     storeFlags
	revocations               revocationFlags
	from                      []string
	grpcAddress, adminAddress string
	tls                       extauthz.TLSFiles
	logLevel, logFormat       string
	drainDelay, drainTimeout  time.Duration
	xffTrustedHops            int
	clientCertificate         string
	xfccTrustedHops           int
	publicScheme              string
	gatewayPrincipals         []string
	requireScope              bool
	scopeFromPrincipal        bool
	maxInFlight               int
	tokenCacheBytes           int64
	answerCacheBytes          int64
	tracing                   bool

	// isSet tells whether a flag was given.
	isSet    func(flag string) bool
	stateDir string
}

func (s *serveFlags) register(f *pflag.FlagSet) {
	s.isSet = f.Changed
	s.compileFlags.register(f)
	s.clusterFlags.register(f)
	s.webhook.register(f)
	s.store.register(f)
	s.revocations.register(f)
	f.StringArrayVar(&s.from, "from", nil, "folder of YAML files with the objects, instead of a cluster; may be given several times")
	f.StringVar(&s.grpcAddress, "grpc-address", ":9001", "where Envoy asks: host:port, or unix:///path")
	f.StringVar(&s.adminAddress, "admin-address", ":9002", "where /healthz, /readyz and /metrics are")
	f.StringVar(&s.tls.Cert, "tls-cert-file", "", "certificate chain of the gRPC port, in PEM; read anew when it changes")
	f.StringVar(&s.tls.Key, "tls-key-file", "", "private key of the gRPC port, in PEM")
	f.StringVar(&s.tls.ClientCA, "client-ca-file", "", "authorities, one of which must have issued Envoy's certificate, in PEM")
	f.StringVar(&s.logLevel, "log-level", "info", "error, warn, info or debug")
	f.StringVar(&s.logFormat, "log-format", "json", "json or text")
	f.DurationVar(&s.drainDelay, "drain-delay", 3*time.Second, "how long after SIGTERM new connections are still served, while Envoy and load balancers learn that this server is leaving")
	f.DurationVar(&s.drainTimeout, "drain-timeout", extauthz.DefaultDrainTimeout, "how long requests in flight may take to end after SIGTERM")
	f.IntVar(&s.xffTrustedHops, "xff-trusted-hops", 0, "proxies in front of Envoy that append to X-Forwarded-For; with --client-address=xff")
	f.StringVar(&s.clientCertificate, "client-certificate", string(extauthz.CertificatePeer), "which certificate tokens may be bound to: peer, that of the connection to Envoy, or xfcc, one of X-Forwarded-Client-Cert")
	f.IntVar(&s.xfccTrustedHops, "xfcc-trusted-hops", 0, "proxies in front of Envoy that append to X-Forwarded-Client-Cert; with --client-certificate=xfcc")
	f.StringVar(&s.publicScheme, "public-scheme", "", "https or http: the one that clients use, for DPoP proofs, where Envoy cannot know it; by default what Envoy says of each request")
	f.StringSliceVar(&s.gatewayPrincipals, "gateway-principals", nil, "destination principals of proxies that route by Host, with --scope-from-principal; * is one segment")
	f.BoolVar(&s.requireScope, "require-scope", false, "refuse requests of proxies that state no scope")
	f.BoolVar(&s.scopeFromPrincipal, "scope-from-principal", false, "take the namespace of a proxy's SPIFFE principal for the scope where it states none; on in a cluster unless set to false")
	f.IntVar(&s.maxInFlight, "max-in-flight", extauthz.DefaultMaxInFlight, "requests that are worked on at a time; more are refused at once")
	f.Int64Var(&s.tokenCacheBytes, "token-cache-bytes", tokenCacheBytes, "memory for verified tokens; 0 for none")
	f.Int64Var(&s.answerCacheBytes, "answer-cache-bytes", idp.DefaultAnswerBytes, "memory for what was asked while requests waited, half for opaque tokens and half for lookups; 0 for none")
	f.BoolVar(&s.tracing, "tracing", false, "make OpenTelemetry spans of Checks whose proxy samples their trace, and send them by OTLP over gRPC to where OTEL_EXPORTER_OTLP_ENDPOINT says")
	f.StringVar(&s.stateDir, "state-dir", "", "folder in which the public keys of providers, and logouts, outlive a restart, with --from; nobody else may write there")
}

func serveCommand() *cobra.Command {
	var flags serveFlags
	cmd := &cobra.Command{
		Use: "serve [--from DIR…]", Short: "Answer Envoy from a cluster, or from folders of policies", Args: noArguments,
		Long: "Serve answers Envoy's ext_authz over gRPC. The objects come from a Kubernetes cluster, whose objects it also\n" +
			"writes the status of; or, with --from, from every .yaml and .yml file below the folders, where an edit is in\n" +
			"force within a second. Each flag may also be set in the environment: --grpc-address as\n" +
			"SALLYPORT_GRPC_ADDRESS, and so on; lists are separated by commas.",
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), &flags, cmd.ErrOrStderr()) },
	}
	flags.register(cmd.Flags())
	return cmd
}

// serve runs until ctx ends, and then until every request has its answer.
func serve(ctx context.Context, flags *serveFlags, out io.Writer) error {
	s, err := newService(flags, out)
	if err != nil {
		return err
	}
	defer s.keys.keeper.Close()
	defer s.questions.close()
	defer s.revocations.close()
	defer s.tracing.close()
	return s.run(ctx)
}

// service is everything that serve runs.
type service struct {
	flags     *serveFlags
	log       logr.Logger
	registry  *prometheus.Registry
	folder    *controller.Folder // nil: of a cluster
	publisher *controller.Publisher
	cluster   *controller.Cluster // nil: of folders
	rest      *rest.Config        // how to reach that cluster
	webhook   *webhook            // nil: none
	keys      *keys
	questions *questions
	store     *store
	tls       *extauthz.TLS // nil: none
	tracing   *tracing      // nil: none
	server    *extauthz.Server
	// started tells whether there are policies.
	started func() bool

	revocations *revocations
}

func newService(flags *serveFlags, out io.Writer) (*service, error) {
	flags.settle()
	options, err := flags.options()
	if err != nil {
		return nil, err
	}
	options.HostGrants = flags.hostGrants
	s := &service{flags: flags, registry: prometheus.NewRegistry()}
	if s.log, err = newLog(out, flags.logLevel, flags.logFormat); err != nil {
		return nil, err
	}
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	api, err := s.apiServer()
	if err != nil {
		return nil, err
	}
	if flags.tracing {
		if s.tracing, err = newTracing(s.log, s.registry); err != nil {
			return nil, err
		}
	}
	if s.keys, err = newKeys(s.log, flags.allowLoopbackProviders, api, s.tracing, s.registry); err != nil {
		return nil, err
	}
	if s.questions, err = newQuestions(s.log, flags.allowLoopbackProviders, flags.answerCacheBytes, s.tracing, s.registry); err != nil {
		return nil, err
	}
	if s.store, err = newStore(&flags.store, s.log, s.registry); err != nil {
		return nil, err
	}
	if err := s.keepKeys(); err != nil {
		return nil, err
	}
	if s.revocations, err = newRevocations(flags, options, s.store.shared, s.log, s.registry); err != nil {
		return nil, err
	}
	snapshot := new(atomic.Pointer[policy.Snapshot])
	s.started = func() bool { return snapshot.Load() != nil }
	if err := s.newServer(options, snapshot); err != nil {
		return nil, err
	}
	if flags.inCluster() {
		return s, s.newCluster(options, snapshot)
	}
	return s, s.newFolder(options, snapshot)
}

func (s *service) newFolder(options policy.Options, snapshot *atomic.Pointer[policy.Snapshot]) (err error) {
	if s.folder, err = controller.NewFolder(controller.FolderConfig{Dirs: s.flags.from, Settle: controller.DefaultSettle, Log: s.log}); err != nil {
		return usageError{fmt.Errorf("--from: %w", err)}
	}
	s.publisher, err = controller.NewPublisher(controller.PublisherConfig{
		List: s.folder.Load, Options: options, Snapshot: snapshot, BeforePublish: s.prepare, Log: s.log, Metrics: s.registry,
		Revocations: s.revocations.set,
	})
	return err
}

// prepare looks after what a snapshot needs from outside before it is published. The first time it waits until all of it
// was tried once, side by side.
func (s *service) prepare(ctx context.Context, snapshot *policy.Snapshot) {
	until := time.Now().Add(keysWait)
	s.questions.prepare(snapshot)
	s.keys.prepare(ctx, snapshot)
	s.questions.wait(ctx, until)
	s.store.wait(ctx)
}

func (s *service) newServer(options policy.Options, snapshot *atomic.Pointer[policy.Snapshot]) error {
	verifier, err := token.NewVerifier(token.Config{Keys: s.keys.keeper, CacheBytes: s.flags.tokenCacheBytes})
	if err != nil {
		return usageError{fmt.Errorf("--token-cache-bytes: %w", err)}
	}
	config := extauthz.Config{
		Snapshot: snapshot, Verifier: verifier, Introspector: s.questions.introspector, Looker: s.questions.looker,
		Revocations: s.revocations.set, Ready: s.revocations.ready,
		Proofs: s.tracing.proofs(s.store), Nonces: s.store.nonces, PublicScheme: s.flags.publicScheme, Status: s.store.status,
		CacheStats: verifier.CacheStats, Decryptions: verifier.Decryptions, Log: s.log, Registerer: s.registry,
		Tracer: s.tracing.forChecks(), ClientAddress: options.ClientAddress, XFFTrustedHops: s.flags.xffTrustedHops,
		ClientCertificate: extauthz.CertificateSource(s.flags.clientCertificate), XFCCTrustedHops: s.flags.xfccTrustedHops,
		RequireScope: s.flags.requireScope, ScopeFromPrincipal: s.flags.scopeFromPrincipal,
		TrustDomain: options.TrustDomain, GatewayPrincipals: s.flags.gatewayPrincipals,
		MaxInFlight: s.flags.maxInFlight, DrainDelay: s.flags.drainDelay, DrainTimeout: s.flags.drainTimeout,
	}
	if files := s.flags.tls; files != (extauthz.TLSFiles{}) {
		if files.Cert == "" || files.Key == "" {
			return usagef("TLS needs both --tls-cert-file and --tls-key-file")
		}
		if s.tls, err = extauthz.NewTLS(files, s.log); err != nil {
			return err
		}
		config.TLS = s.tls.Config()
	}
	if s.server, err = extauthz.New(config); err != nil {
		return usageError{err}
	}
	return s.revocations.serve(snapshot, verifier, s.registry)
}

// run serves until ctx ends or a part fails. The parts end in the order in which they stand here: while the last
// requests get their answers, the admin port still says so.
func (s *service) run(ctx context.Context) error {
	grpcListener, err := extauthz.Listen(s.flags.grpcAddress, 0)
	if err != nil {
		return fmt.Errorf("listening for Envoy: %w", err)
	}
	adminListener, err := extauthz.Listen(s.flags.adminAddress, 0)
	if err != nil {
		return errors.Join(fmt.Errorf("listening for operators: %w", err), grpcListener.Close())
	}
	logoutListener, err := s.revocations.listen()
	if err != nil {
		return errors.Join(err, grpcListener.Close(), adminListener.Close())
	}
	s.log.Info("Listening", "version", version, "grpc", grpcListener.Addr().String(), "admin", adminListener.Addr().String())
	var group run.Group
	stopped := make(chan struct{})
	group.Add(func() error {
		select {
		case <-ctx.Done():
			s.log.Info("Shutting down", "atMost", s.flags.drainTimeout.String())
		case <-stopped:
		}
		return nil
	}, func(error) { close(stopped) })
	group.Add(func() error { return s.server.Serve(grpcListener) }, func(error) { s.drain() })
	s.addAdmin(&group, adminListener)
	s.addKeys(&group)
	s.revocations.add(&group, logoutListener)
	s.store.add(&group)
	background, cancel := context.WithCancel(context.Background())
	follow := s.follow
	if s.cluster != nil {
		follow = s.cluster.Run
	}
	group.Add(func() error { return follow(background) }, func(error) { cancel() })
	limitMemory(os.ReadFile)
	group.Add(func() error { return paceGC(background, s.started) }, func(error) { cancel() })
	if s.webhook != nil {
		group.Add(func() error { return s.webhook.run(background) }, func(error) { cancel() })
	}
	if s.tls != nil {
		group.Add(func() error { s.tls.Run(background, tlsInterval); return nil }, func(error) { cancel() })
	}
	return group.Run()
}

func (s *service) drain() {
	if err := s.server.Shutdown(context.Background()); err != nil {
		s.log.Error(err, "Requests did not end in time, their connections were cut")
	}
}

func (s *service) addAdmin(group *run.Group, listener net.Listener) {
	admin := &http.Server{Handler: s.server.AdminHandler(s.registry), ReadHeaderTimeout: adminTimeout}
	group.Add(func() error {
		if err := admin.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}, func(error) {
		ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
		defer cancel()
		if err := admin.Shutdown(ctx); err != nil {
			s.log.Error(err, "Requests of the admin port did not end in time")
		}
	})
}

// addKeys saves keys a last time while what comes after it in the group still runs: only who leads may save.
func (s *service) addKeys(group *run.Group) {
	ctx, cancel := context.WithCancel(context.Background())
	saved := make(chan struct{})
	group.Add(func() error {
		defer close(saved)
		return s.keys.state.Run(ctx)
	}, func(error) {
		cancel()
		<-saved
	})
}

// follow publishes what the folders hold, at first and whenever they change. At first an error is fatal.
func (s *service) follow(ctx context.Context) error {
	s.log.Info("Reading objects", "dirs", s.flags.from)
	if err := s.publisher.Publish(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("nothing to start with: %w", err)
	}
	err := s.folder.Watch(ctx, func(ctx context.Context) {
		_ = s.publisher.Publish(ctx) // logged, and the last good set stays
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}
