package ledger

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/sallyport/sallyport/extauthz/token"
)

const (
	// prefix of every key: others may use the same store.
	prefix = "sallyport:"
	// failuresInARow open the circuit, from then on nobody waits for the store but the probe.
	failuresInARow = 3
	// probeInterval is the time between two probes while the store answers, retryInterval that while it does not.
	probeInterval = 5 * time.Second
	retryInterval = 500 * time.Millisecond
	// probeTimeout leaves time for a name, a connection and its handshake, which no request would wait for.
	probeTimeout = 2 * time.Second
	// keepAlive is the time after which a connection without traffic is tried.
	keepAlive = time.Second
	// bufferBytes of a connection, each way: commands and answers are short.
	bufferBytes = 16 << 10
)

// What became of a question to the store.
const (
	// Success: it has answered.
	Success = "Success"
	// Timeout: it did not in time.
	Timeout = "Timeout"
	// ConnectionFailed: there is no connection, or it broke.
	ConnectionFailed = "ConnectionFailed"
	// Refused: it has answered with an error, as one that is full, read-only, or whose user lacks a right.
	Refused = "Refused"
	// CircuitOpen: it was not asked, because it failed before.
	CircuitOpen = "CircuitOpen"
)

// Results lists what can become of a question. The caller owns the slice.
func Results() []string { return []string{Success, Timeout, ConnectionFailed, Refused, CircuitOpen} }

// Shared is the connection to a server of Valkey or Redis that replicas share: one, over which the questions of all requests
// go at the same time. It is there at once and connects in Run; until then, and while the server does not answer,
// questions fail without waiting. Safe for concurrent use.
type Shared struct {
	cfg      Config
	endpoint endpoint
	client   atomic.Pointer[valkey.Client] // nil before Run

	up       atomic.Bool
	failures atomic.Int32
	wake     chan struct{} // of the probe
	tried    chan struct{} // closed after the first probe
}

// Open checks cfg and returns the connection, which is not made yet.
func Open(cfg Config) (*Shared, error) {
	e, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	return &Shared{cfg: cfg, endpoint: e, wake: make(chan struct{}, 1), tried: make(chan struct{})}, nil
}

// Address of the server, without user and password.
func (s *Shared) Address() string { return s.endpoint.address }

// Up tells whether the store has answered lately.
func (s *Shared) Up() bool { return s.up.Load() }

// WaitTried waits until the store was tried once.
func (s *Shared) WaitTried(ctx context.Context) error {
	select {
	case <-s.tried:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run connects, and looks after the connection until ctx ends. It is called once.
func (s *Shared) Run(ctx context.Context) {
	if s.endpoint.network == "tcp" && s.endpoint.tls == nil {
		s.cfg.Log.Info("The shared store is asked without TLS: whoever can alter that traffic can show a proof twice")
	}
	// It tries to connect at once, for no longer than a probe takes, and serves whatever becomes of that.
	client, err := valkey.NewClient(s.options(ctx))
	if client == nil {
		s.cfg.Log.Error(err, "The shared store cannot be used")
		close(s.tried)
		return
	}
	defer client.Close()
	s.client.Store(&client)
	defer s.client.Store(nil)
	defer s.set(false)
	s.cfg.OnState(false)
	var once sync.Once
	for ctx.Err() == nil {
		s.probe(ctx, client)
		once.Do(func() { close(s.tried) })
		interval := retryInterval
		if s.up.Load() {
			interval = probeInterval
		}
		timer := time.NewTimer(interval)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.wake:
			// Whoever has failed may be ahead of a server that only restarts.
			s.pause(ctx, retryInterval)
		}
		timer.Stop()
	}
}

func (s *Shared) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// options of the client. All questions share one connection, so that its state is known: each is written behind the others
// and waits for no answer but its own, and one that gives up does not break the connection for the rest.
func (s *Shared) options(ctx context.Context) valkey.ClientOption {
	return valkey.ClientOption{
		InitAddress: []string{s.endpoint.address}, SelectDB: s.endpoint.database,
		ClientName: "sallyport", ClientSetInfo: valkey.DisableClientSetInfo,
		ForceSingleClient: true, PipelineMultiplex: -1, AlwaysPipelining: true,
		DisableRetry: true, DisableCache: true,
		Dialer:             net.Dialer{Timeout: probeTimeout, KeepAlive: keepAlive},
		ConnWriteTimeout:   max(s.cfg.Timeout, probeTimeout),
		ReadBufferEachConn: bufferBytes, WriteBufferEachConn: bufferBytes,
		AuthCredentialsFn: func(valkey.AuthCredentialsContext) (valkey.AuthCredentials, error) {
			password, err := s.cfg.password()
			return valkey.AuthCredentials{Username: s.endpoint.user, Password: password}, err
		},
		DialCtxFn: func(dialing context.Context, _ string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return s.dial(dialing, d)
		},
	}
}

func (s *Shared) dial(ctx context.Context, d *net.Dialer) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := d.DialContext(ctx, s.endpoint.network, s.endpoint.address)
	if err != nil || s.endpoint.tls == nil {
		return conn, err
	}
	secured := tls.Client(conn, s.endpoint.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secured, nil
}

// probe writes something, since a server that is full or read-only answers to reading. It is what closes the circuit.
func (s *Shared) probe(ctx context.Context, client valkey.Client) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := client.Do(ctx, client.B().Set().Key(prefix+"probe").Value("1").Px(probeTimeout).Build()).Error()
	if err == nil {
		s.failures.Store(0)
		if !s.up.Load() {
			s.warn(ctx, client)
		}
		s.set(true)
		return
	}
	if s.up.Load() || s.failures.Load() == 0 {
		s.cfg.Log.Error(errors.New(detail(err)), "The shared store does not answer; what needs it is refused", "address", s.Address())
	}
	s.failures.Add(1)
	s.set(false)
}

// warn looks whether a server forgets what it was told when its memory is full. One that does not say is not asked again:
// the right to ask is not needed for anything else.
func (s *Shared) warn(ctx context.Context, client valkey.Client) {
	answer, err := client.Do(ctx, client.B().Info().Section("memory").Build()).ToString()
	if err != nil {
		return
	}
	for line := range strings.Lines(answer) {
		if policy, ok := strings.CutPrefix(strings.TrimSpace(line), "maxmemory_policy:"); ok && policy != "noeviction" {
			s.cfg.Log.Error(nil, "The shared store forgets keys when its memory is full, and a used proof could be shown again; set maxmemory-policy noeviction",
				"address", s.Address(), "maxmemoryPolicy", policy)
		}
	}
}

// set notes whether the store answers.
func (s *Shared) set(up bool) {
	if s.up.Swap(up) != up {
		s.cfg.OnState(up)
		if up {
			s.cfg.Log.Info("The shared store answers", "address", s.Address())
		}
	}
}

// do asks the store one question, within the timeout and what is left of ctx. A nil answer is no error. The error wraps
// token.ErrLedger, and holds nothing of what was asked.
func (s *Shared) do(ctx context.Context, command func(valkey.Builder) valkey.Completed) (valkey.ValkeyMessage, error) {
	client := s.client.Load()
	if client == nil || !s.up.Load() {
		s.cfg.OnAnswer(CircuitOpen, 0)
		return valkey.ValkeyMessage{}, fmt.Errorf("%w: the shared store does not answer", token.ErrLedger)
	}
	asking, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	begin := time.Now()
	answer, err := (*client).Do(asking, command((*client).B())).ToMessage()
	took := time.Since(begin)
	if err == nil || valkey.IsValkeyNil(err) {
		s.failures.Store(0)
		s.cfg.OnAnswer(Success, took)
		return answer, nil
	}
	if ctx.Err() == nil { // nothing that this side has brought about says anything of the server
		s.failed()
	}
	result := kindOf(err)
	s.cfg.OnAnswer(result, took)
	return valkey.ValkeyMessage{}, fmt.Errorf("%w: the shared store: %s", token.ErrLedger, result)
}

// failed counts a failure, and opens the circuit where there were too many in a row.
func (s *Shared) failed() {
	if s.failures.Add(1) < failuresInARow {
		return
	}
	s.set(false)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// kindOf is the word for an error of the client.
func kindOf(err error) string {
	if _, ok := valkey.IsValkeyErr(err); ok {
		return Refused
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return Timeout
	}
	if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() {
		return Timeout
	}
	return ConnectionFailed
}

// detail is what the log says of an error: the kind, and of an error of the server its code, such as NOPERM. The text behind
// that may repeat what was asked.
func detail(err error) string {
	if refused, ok := valkey.IsValkeyErr(err); ok {
		code, _, _ := strings.Cut(refused.Error(), " ")
		return Refused + " (" + code + ")"
	}
	if kindOf(err) == ConnectionFailed {
		return ConnectionFailed + ": " + err.Error()
	}
	return kindOf(err)
}
