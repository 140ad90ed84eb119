package idp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/sallyport/sallyport/extauthz/token"
)

const (
	// DefaultAnswerBytes holds some ten thousand introspected tokens.
	DefaultAnswerBytes = 64 << 20
	// refusedFor is how long an answer serves that refuses a token. Who sends the same made-up token again and again is
	// answered from memory; who gets a good one in the meantime does not wait long.
	refusedFor = 5 * time.Second
	// refusedShare is the part of the memory that refusals get, so that made-up tokens cannot drive out good ones.
	refusedShare = 8
	// spare is the part of a caller's deadline that is left to answer in.
	spare = 5 * time.Millisecond
)

// Results of a question to an introspection endpoint, beside the Reasons of those that failed.
const (
	// ResultActive: the token is good.
	ResultActive = "Active"
	// ResultInactive: the provider says that the token is not active.
	ResultInactive = "Inactive"
	// ResultRefused: the token is active, but of another audience, expired, or lacks what a token must have.
	ResultRefused = "Refused"
)

// IntrospectorConfig is what an Introspector needs. The zero value is usable.
type IntrospectorConfig struct {
	// Now tells the time that answers are judged at; nil: time.Now. Waiting uses timers of the runtime.
	Now func() time.Time
	// Random returns a number in [0, 1) for jitter; nil: math/rand/v2.
	Random func() float64
	// Log gets a line when an endpoint cannot be found, and when a circuit opens or closes. The zero Logger discards.
	Log logr.Logger
	// AllowLoopback permits to dial loopback addresses.
	AllowLoopback bool
	// CacheBytes bounds the memory of answers; 0: none are remembered.
	CacheBytes int64
	// OnAnswer is told of each question by what became of it, one of the Results or a Reason, and how long that took. It is
	// called by several goroutines at once. May be nil.
	OnAnswer func(provider, result string, took time.Duration)
	// OnCircuit is told when the circuit of a provider opens or closes. May be nil.
	OnCircuit func(provider string, open bool)
	// OnWait is told when a request, that of ctx, begins to wait for an answer. May be nil.
	OnWait OnWait
}

// Introspector asks providers about tokens that are no JWT (RFC 7662), and remembers what they say. All methods may be
// called concurrently; of Sync, one call at a time.
type Introspector struct {
	config  IntrospectorConfig
	wrap    func(*client) // changes a client before it is used; for tests
	good    *answers[tokenKey, *token.Identity]
	refused *answers[tokenKey, error]
	clients atomic.Pointer[clients]
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup
	syncing sync.Mutex // held by Sync, and by Close to end it
}

// tokenKey is a token in the eyes of one provider, as it is configured at one time.
type tokenKey struct {
	provider [32]byte
	raw      string
}

// clients are those of the last Sync, and of the one before: the snapshot that it was for may still serve.
type clients struct{ now, before map[[32]byte]*client }

// NewIntrospector returns an Introspector that knows no provider yet.
func NewIntrospector(config IntrospectorConfig) (*Introspector, error) {
	if config.CacheBytes < 0 {
		return nil, errors.New("the size of the cache of answers must not be negative")
	}
	config.fill()
	i := &Introspector{
		config:  config,
		wrap:    func(*client) {},
		good:    newAnswers[tokenKey, *token.Identity](config.CacheBytes - config.CacheBytes/refusedShare),
		refused: newAnswers[tokenKey, error](config.CacheBytes / refusedShare),
	}
	i.ctx, i.cancel = context.WithCancel(context.Background())
	i.clients.Store(&clients{})
	return i, nil
}

// Sync makes the Introspector ask exactly providers, those that introspect, and those of the Sync before, whose snapshot
// may still serve. It returns at once; where endpoints must be found, that goes on in the background.
func (i *Introspector) Sync(providers []*token.Provider) {
	i.syncing.Lock()
	defer i.syncing.Unlock()
	if i.ctx.Err() != nil {
		return
	}
	old := i.clients.Load()
	next := &clients{now: map[[32]byte]*client{}, before: old.now}
	for _, p := range providers {
		if p.Introspection == nil {
			continue
		}
		id := p.Fingerprint
		c := cmp.Or(next.now[id], old.now[id], old.before[id])
		if c == nil {
			c = i.newClient(p)
		}
		next.now[id] = c
	}
	i.clients.Store(next)
	for id, c := range old.before {
		if next.find(id) == nil {
			c.close()
		}
	}
	i.good.keep(func(k tokenKey) bool { return next.find(k.provider) != nil })
	i.refused.keep(func(k tokenKey) bool { return next.find(k.provider) != nil })
}

func (c *clients) find(id [32]byte) *client { return cmp.Or(c.now[id], c.before[id]) }

// newClient returns a client of p, and has its endpoint looked up.
func (i *Introspector) newClient(p *token.Provider) *client {
	in := p.Introspection
	ctx, cancel := context.WithCancel(i.ctx)
	c := &client{
		name: p.Name, in: in, cancel: cancel,
		asker: newAsker(ctx, in.RootCAs, nil, in.MaxConcurrent+1, i.config.AllowLoopback),
		gate: newGate[verdict](in.MaxConcurrent, in.MaxPerSecond, i.config.Now, func(open bool) {
			i.config.Log.Info("Circuit changed", "provider", p.Name, "open", open)
			i.config.OnCircuit(p.Name, open)
		}),
	}
	c.send = c.asker.ask
	i.wrap(c)
	if in.Endpoint != "" {
		c.endpoint = knownEndpoint(in.Endpoint, in.AllowHTTP)
		return c
	}
	remote := &token.Remote{Discovery: true, URL: in.Metadata, Issuer: in.Issuer, RootCAs: in.RootCAs, AllowHTTP: in.AllowHTTP, Interval: in.Interval, MinInterval: in.MinInterval}
	c.endpoint = &endpoint{tried: make(chan struct{})}
	f := &follower{
		endpoint: c.endpoint, member: memberIntrospection, remote: remote, schedule: newSchedule(remote, i.config.Random),
		timeout: DefaultFetchTimeout, loopback: i.config.AllowLoopback, log: i.config.Log,
	}
	i.running.Go(func() { f.run(ctx) })
	return c
}

// WaitTried returns nil once every endpoint of the last Sync was looked for, found or not. Its error is ctx's.
func (i *Introspector) WaitTried(ctx context.Context) error {
	for c := range maps.Values(i.clients.Load().now) {
		select {
		case <-c.endpoint.tried:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the endpoints of introspection: %w", ctx.Err())
		}
	}
	return nil
}

// Introspect returns the identity that raw proves, as p says: from memory, or by asking. Those who ask about the same
// token at the same time share one question. The error is one of NewIntrospected, with ErrIntrospection where p could not
// be asked in time. Nothing of raw is kept but copies.
func (i *Introspector) Introspect(ctx context.Context, raw string, p *token.Provider) (*token.Identity, error) {
	if id, err := i.recall(raw, p); id != nil || err != nil {
		return id, err
	}
	c := i.clients.Load().find(p.Fingerprint)
	if c == nil {
		return nil, fmt.Errorf("%w: provider %q is not known here", token.ErrIntrospection, p.Name)
	}
	ctx, cancel := sparing(ctx, c.in.Timeout)
	defer cancel()
	copied := strings.Clone(raw)
	over := i.config.OnWait(ctx, c.name)
	flight := c.flights.DoChan(copied, func() (any, error) { return i.question(c, copied, p, c.gate.ask) })
	select {
	case landed := <-flight:
		v, _ := landed.Val.(verdict)
		over(result(v, landed.Err), landed.Err != nil)
		if landed.Err != nil {
			return nil, landed.Err
		}
		return v.identity, v.err
	case <-ctx.Done():
		over(string(Timeout), true)
		return nil, fmt.Errorf("%w: it did not answer in time", token.ErrIntrospection)
	}
}

// Recall returns what is known of raw without waiting. Where nothing is, known is false, and the question is asked in the
// background where that can make no difference to those who wait for an answer. It is for rules that are only tried out.
func (i *Introspector) Recall(raw string, p *token.Provider) (id *token.Identity, known bool, err error) {
	if id, err := i.recall(raw, p); id != nil || err != nil {
		return id, true, err
	}
	if c := i.clients.Load().find(p.Fingerprint); c != nil {
		copied := strings.Clone(raw)
		c.trials.DoChan(copied, func() (any, error) { return i.question(c, copied, p, c.gate.try) })
	}
	return nil, false, nil
}

// recall returns what is remembered of raw; neither where nothing is.
func (i *Introspector) recall(raw string, p *token.Provider) (*token.Identity, error) {
	key, now := tokenKey{p.Fingerprint, raw}, i.config.Now()
	if id, ok := i.good.get(key, now); ok {
		if err := id.Check(p, now); err != nil {
			return nil, err
		}
		return id, nil
	}
	if err, ok := i.refused.get(key, now); ok {
		return nil, err
	}
	return nil, nil
}

// Stats are those of the two caches together.
func (i *Introspector) Stats() CacheStats {
	good, refused := i.good.stats(), i.refused.stats()
	hits := good.Hits + refused.Hits
	return CacheStats{good.Entries + refused.Entries, good.Bytes + refused.Bytes, hits, refused.Misses}
}

// Close ends all questions and connections.
func (i *Introspector) Close() {
	i.syncing.Lock()
	i.cancel()
	i.syncing.Unlock()
	i.running.Wait()
	last := i.clients.Load()
	for _, set := range []map[[32]byte]*client{last.now, last.before} {
		for _, c := range set {
			c.close()
		}
	}
}
