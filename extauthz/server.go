package extauthz

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
)

const (
	// connectionGrace is the time that requests of an aged connection have to end: far more than any Check takes.
	connectionGrace = time.Minute
	// handshakeTimeout bounds a connection's TLS handshake and HTTP/2 preface.
	handshakeTimeout = 10 * time.Second
	// pingAfter and pingTimeout find proxies that vanished without a word.
	pingAfter, pingTimeout = time.Minute, 20 * time.Second
	// pingMin is the least time between pings of a proxy that is no abuse: Envoy's connection_keepalive is set in seconds.
	pingMin = time.Second
	// leastStreams is the least bound of streams per connection; with it the bound of Checks in flight strikes first, and
	// that one answers instead of letting requests queue in the proxy.
	leastStreams = 16384
)

// Server answers Checks. It is safe for concurrent use.
type Server struct {
	cfg      Config
	metrics  *metrics
	log      *decisionLog
	grpc     *grpc.Server
	inFlight atomic.Int64

	draining chan struct{} // closed once the server is leaving
	drain    sync.Once
}

// New makes a server. The error names everything that is wrong with cfg, or the metric that could not be registered.
func New(cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, draining: make(chan struct{})}
	s.log = newDecisionLog(cfg.Log, cfg.RefusalsPerSecond)
	s.metrics = newMetrics(s.inFlight.Load, s.log.dropped.Load)
	if cfg.Registerer != nil {
		if err := s.metrics.register(cfg.Registerer, &cfg); err != nil {
			return nil, err
		}
	}
	s.grpc = grpc.NewServer(s.options()...)
	s.grpc.RegisterService(&service, s)
	healthv1.RegisterHealthServer(s.grpc, &health{ready: s.Ready, leaving: s.draining})
	return s, nil
}

func (s *Server) options() []grpc.ServerOption {
	opts := []grpc.ServerOption{
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(s.cfg.MaxMessageBytes),
		grpc.MaxConcurrentStreams(uint32(max(leastStreams, min(2*s.cfg.MaxInFlight, 1<<30)))),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingMin, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: pingAfter, Timeout: pingTimeout,
			MaxConnectionAge: max(s.cfg.ConnectionAge, 0), MaxConnectionAgeGrace: connectionGrace,
		}),
	}
	if s.cfg.StreamWorkers > 0 {
		opts = append(opts, grpc.NumStreamWorkers(uint32(s.cfg.StreamWorkers)))
	}
	if s.cfg.TLS != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(s.cfg.TLS)))
	}
	return opts
}

// Serve accepts connections of lis, which it closes, until Shutdown; once that has ended it returns nil. It may be called
// for several listeners.
func (s *Server) Serve(lis net.Listener) error { return s.grpc.Serve(lis) }

// Errors of Ready.
var (
	// ErrNoSnapshot: nothing has been compiled yet.
	ErrNoSnapshot = errors.New("no policies have been compiled yet")
	// ErrDraining: the server is leaving.
	ErrDraining = errors.New("the server is shutting down")
)

// Ready is nil when the server wants requests: there is a snapshot, Config.Ready has no objection, and Shutdown was not
// called. Checks are answered before and after as well, as long as there is a snapshot.
func (s *Server) Ready() error {
	select {
	case <-s.draining:
		return ErrDraining
	default:
	}
	if s.cfg.Snapshot.Load() == nil {
		return ErrNoSnapshot
	}
	return s.cfg.Ready()
}

// Shutdown says not ready, goes on for Config.DrainDelay, asks every proxy to go elsewhere, waits for the Checks in
// flight, and returns nil. Where that takes longer than Config.DrainTimeout, or ctx is done, it cuts the connections
// and returns the error of the context. It may be called once the server is serving, and more than once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.drain.Do(func() { close(s.draining) })
	ctx, cancel := context.WithTimeout(ctx, s.cfg.DrainTimeout)
	defer cancel()
	delay := time.NewTimer(s.cfg.DrainDelay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-ctx.Done():
	}
	done := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.grpc.Stop()
		<-done
		return ctx.Err()
	}
}
