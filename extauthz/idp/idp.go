// Package idp keeps the keys of identity providers fresh.
//
//	keeper, err := idp.New(idp.Config{Log: log})
//	sets, err := keeper.Restore(data) // optional: keys of an earlier life, from keeper.State().Encode
//	keeper.Sync(providers)           // returns at once; fetching goes on in the background
//	err = keeper.WaitTried(ctx)      // before the first snapshot is published
//	verifier, err := token.NewVerifier(token.Config{Keys: keeper})
//
// It is the product's only HTTP client, beside that of the cluster's objects. It speaks to the hosts that providers name and to nobody else: through no
// proxy, to no link-local or metadata address, with no cookie, within bounds of size and time. What it fetched is
// seen by token.ParseJWKS alone; a Status, an error or a log line says only what kind of failure there was.
package idp

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"

	"github.com/sallyport/sallyport/extauthz/token"
)

const (
	// DefaultFetchTimeout bounds one attempt: what readiness may wait for all providers, fetched side by side.
	DefaultFetchTimeout = 5 * time.Second
	// MaxWait is how long Keys may wait for a fetch that is under way.
	MaxWait = 100 * time.Millisecond
)

// ErrClosed is WaitTried's error after Close.
var ErrClosed = errors.New("keeper of keys is closed")

// Config is what a Keeper needs. The zero Config is usable.
type Config struct {
	// Now tells the time that ages of keys are reckoned by; nil: time.Now. Waiting uses timers of the runtime.
	Now func() time.Time
	// Random returns a number in [0, 1) for jitter; nil: math/rand/v2. Called by several goroutines at once.
	Random func() float64
	// Log gets one line when keys change, and one when the kind of failure does. The zero Logger discards.
	Log logr.Logger
	// APIServer is where the keys of the cluster's ServiceAccount tokens are; nil: there is no cluster.
	APIServer *APIServer
	// AllowLoopback permits to dial loopback addresses: for a folder of files on a developer's machine.
	AllowLoopback bool
	// OnChange is called after each attempt, one call at a time for one remote, from the goroutine that refreshes
	// it: it may call Keys, Status and Sync, but not Close. May be nil.
	OnChange func(Status)
	// FetchTimeout bounds one attempt, discovery and key set together; 0: DefaultFetchTimeout.
	FetchTimeout time.Duration
	// OnWait is told when a request, that of ctx, begins to wait for a fetch of a provider's keys. What became of it is
	// ResultFetched, or a Reason. May be nil.
	OnWait OnWait
}

// OnWait is told when a request begins to wait, with its context and the name of what is asked, and returns what is to be
// told when the waiting is over: what became of the question, and whether that is a failure. Several requests may wait for
// one question, and a question may outlast all of them. It is called by several goroutines at once.
type OnWait func(ctx context.Context, name string) (over func(result string, failed bool))

// orNone is w, or what does nothing.
func (w OnWait) orNone() OnWait {
	if w != nil {
		return w
	}
	return func(context.Context, string) func(string, bool) { return func(string, bool) {} }
}

// ResultFetched is what became of a fetch of keys that succeeded.
const ResultFetched = "Success"

// Keeper is a token.KeySource that fetches the keys of providers in the background. Providers whose Remote has the
// same ID share keys and fetches. All methods may be called concurrently; of Sync, one call at a time.
type Keeper struct {
	config     Config
	newFetch   func(*token.Remote) func(context.Context) ([]byte, error)
	generation atomic.Pointer[generation] // never nil
	running    sync.WaitGroup
	ctx        context.Context // ends with Close; parent of each refresher's
	cancel     context.CancelFunc
	syncing    sync.Mutex                      // held by Sync and Restore, and by Close to end Sync
	restored   map[[sha256.Size]byte]*restored // what no remote has claimed yet; guarded by syncing
}

// generation is what one Sync asked for. Immutable.
type generation struct {
	byProvider map[*token.Provider]*refresher // spares Keys the hashing of a Remote
	byID       map[[32]byte]*refresher
	left       map[[32]byte]*refresher // stopped by this Sync; see Sync
	turns      map[turnsKey]*rate.Limiter
}

var _ token.KeySource = (*Keeper)(nil)

// New returns a Keeper that keeps nothing yet. The error says what of config is out of range.
func New(config Config) (*Keeper, error) {
	if config.FetchTimeout < 0 {
		return nil, fmt.Errorf("fetch timeout %s is negative", config.FetchTimeout)
	}
	config.FetchTimeout = cmp.Or(config.FetchTimeout, DefaultFetchTimeout)
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Random == nil {
		config.Random = rand.Float64
	}
	config.OnWait = config.OnWait.orNone()
	k := &Keeper{config: config}
	k.newFetch = func(r *token.Remote) func(context.Context) ([]byte, error) {
		f := newFetcher(r, config.AllowLoopback)
		f.cluster = config.APIServer
		return f.fetch
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.generation.Store(&generation{})
	return k, nil
}

// Sync makes the Keeper refresh exactly the remotes of providers, and returns at once. A remote that stays (by ID)
// keeps its keys and its rhythm; one that differs from a former one only in its times starts with that one's keys,
// since they came from the same place. Providers without Remote are passed over.
//
// A remote that leaves is fetched no more. Its keys are still handed out until the set of remotes changes again:
// Sync comes before the new snapshot is published, and the old one serves meanwhile.
func (k *Keeper) Sync(providers []*token.Provider) {
	k.syncing.Lock()
	defer k.syncing.Unlock()
	if k.ctx.Err() != nil {
		return
	}
	old := k.generation.Load()
	next := &generation{
		byProvider: make(map[*token.Provider]*refresher), byID: make(map[[32]byte]*refresher), turns: map[turnsKey]*rate.Limiter{},
	}
	var added []*refresher
	for id, sharing := range byRemote(providers) {
		r := old.byID[id]
		isNew := r == nil
		if isNew {
			r = k.newRefresher(sharing, old)
			added = append(added, r)
		}
		if turns := turnsOf(r.remote, r.schedule, old.turns, next.turns); isNew {
			r.turns = turns // one that stays has them, and runs
		}
		for _, p := range sharing {
			next.byProvider[p] = r
		}
		next.byID[id] = r
		r.owners.Store(ownersOf(sharing))
	}
	next.left = k.stopLeft(old, next, len(added) > 0)
	k.generation.Store(next)
	for _, r := range added {
		k.running.Go(r.run)
	}
}

// stopLeft stops the refreshers that are in old and not in next, and returns those whose keys may still be asked for.
func (k *Keeper) stopLeft(old, next *generation, added bool) map[[32]byte]*refresher {
	left := maps.Clone(old.byID)
	maps.DeleteFunc(left, func(id [32]byte, _ *refresher) bool { return next.byID[id] != nil })
	if len(left) == 0 && !added {
		left = maps.Clone(old.left)
	}
	for _, r := range left {
		r.cancel()
	}
	return left
}

// byRemote are the holders of keys that are fetched, by the ID of their remote.
func byRemote(providers []*token.Provider) map[[32]byte][]*token.Provider {
	out := map[[32]byte][]*token.Provider{}
	for _, p := range providers {
		for _, holder := range p.KeyHolders() {
			if holder.Remote != nil && holder.Static == nil {
				id := holder.Remote.ID()
				out[id] = append(out[id], holder)
			}
		}
	}
	return out
}

// newRefresher returns a refresher of the remote that providers share, which is not running yet.
func (k *Keeper) newRefresher(sharing []*token.Provider, old *generation) *refresher {
	remote := sharing[0].Remote
	r := &refresher{
		config:   &k.config,
		remote:   remote,
		schedule: newSchedule(remote, k.config.Random),
		fetch:    k.newFetch(remote),
		wake:     make(chan struct{}, 1),
		flight:   make(chan struct{}), // the first attempt is under way from now on
		tried:    make(chan struct{}),
	}
	r.ctx, r.cancel = context.WithCancel(k.ctx)
	r.held.Store(&held{})
	r.owners.Store(ownersOf(sharing))
	for _, former := range old.byID {
		if samePlace(former.remote, remote) {
			r.held.Store(former.held.Load())
		}
	}
	if r.held.Load().set == nil {
		if h := k.claim(r); h != nil {
			r.held.Store(h)
		}
	}
	return r
}

// WaitTried returns nil once every remote of the last Sync was tried once, with success or without. Its error is
// ctx's, or ErrClosed.
func (k *Keeper) WaitTried(ctx context.Context) error {
	for {
		seen := k.generation.Load()
		for _, r := range seen.byID {
			select {
			case <-r.tried:
			case <-ctx.Done():
				return fmt.Errorf("waiting for the first fetch of keys: %w", ctx.Err())
			}
		}
		if k.ctx.Err() != nil {
			return ErrClosed
		}
		if k.generation.Load() == seen {
			return nil
		}
	}
}

// Keys implements token.KeySource. It takes no lock and allocates nothing while there is a set other than after.
// The result for unchanged content is the same pointer from fetch to fetch.
func (k *Keeper) Keys(ctx context.Context, p *token.Provider, after *token.KeySet) (*token.KeySet, error) {
	if p.Static != nil {
		return p.Static, nil
	}
	r := k.find(p)
	if r == nil {
		return nil, fmt.Errorf("keys of provider %q, which is not kept: %w", p.Name, token.ErrKeysUnavailable)
	}
	set := r.keys()
	if set == nil || set == after {
		r.await(ctx, p.Name)
		set = r.keys()
	}
	if set == nil {
		return nil, fmt.Errorf("keys of provider %q: %w", p.Name, token.ErrKeysUnavailable)
	}
	return set, nil
}

// find returns p's refresher, or nil.
func (k *Keeper) find(p *token.Provider) *refresher {
	g := k.generation.Load()
	if r := g.byProvider[p]; r != nil || p.Remote == nil {
		return r
	}
	id := p.Remote.ID()
	return cmp.Or(g.byID[id], g.left[id])
}

// Close stops all fetches and waits for their end, OnChange included. What was fetched is still handed out.
func (k *Keeper) Close() {
	k.syncing.Lock()
	k.cancel()
	k.syncing.Unlock()
	k.running.Wait()
}
