package idp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/sallyport/sallyport/extauthz/token"
)

// refresher keeps the keys of one remote. One goroutine, run, makes all attempts, one after the other.
type refresher struct {
	config   *Config
	remote   *token.Remote
	schedule schedule
	fetch    func(context.Context) ([]byte, error)
	ctx      context.Context // ends when the remote leaves
	cancel   context.CancelFunc
	owners   atomic.Pointer[owners]
	held     atomic.Pointer[held] // never nil; written by run only
	turns    *rate.Limiter        // taken with others before an attempt is asked for; nil: none are
	wake     chan struct{}        // asks run for an attempt now
	tried    chan struct{}        // closed after the first attempt, or when run ends

	mu     sync.Mutex
	flight chan struct{} // closed when the attempt under way, or asked for, has ended; nil: none is
	asked  time.Time     // the cool-down of await runs from here
}

// held is what attempts have brought so far. Immutable.
type held struct {
	set                    *token.KeySet
	digest                 [sha256.Size]byte // of the bytes that set was fetched as
	public                 []byte            // publicKeys of them
	restored               bool              // set was kept from an earlier life, and not fetched in this one
	dropped                int
	lastFetch, lastSuccess time.Time
	failures               int // in a row
	err                    *FetchError
}

// samePlace says whether two remotes fetch from the same place and trust the same authorities: then the keys of one
// are the keys of the other.
func samePlace(a, b *token.Remote) bool {
	return a.Discovery == b.Discovery && a.Kubernetes == b.Kubernetes && a.URL == b.URL && a.Issuer == b.Issuer && a.AllowHTTP == b.AllowHTTP &&
		(a.RootCAs == nil) == (b.RootCAs == nil) && bytes.Equal(a.RootCAs, b.RootCAs)
}

// run fetches until the remote leaves.
func (r *refresher) run() {
	defer r.finish()
	for {
		if !r.attempt() {
			return
		}
		pause := time.NewTimer(r.schedule.next(r.held.Load().failures))
		select {
		case <-pause.C:
		case <-r.wake:
		case <-r.ctx.Done():
		}
		pause.Stop()
		if r.ctx.Err() != nil {
			return
		}
		r.begin()
	}
}

// begin announces an attempt to those who will wait for it, unless one of them has asked for it.
func (r *refresher) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flight == nil {
		r.flight = make(chan struct{})
	}
	select {
	case <-r.wake: // asked for in the moment in which the pause ended: this attempt is the answer
	default:
	}
}

// attempt fetches once and publishes what came of it. It returns false when the remote has left.
func (r *refresher) attempt() bool {
	ctx, cancel := context.WithTimeout(r.ctx, r.config.FetchTimeout)
	defer cancel()
	body, err := r.fetch(ctx)
	if r.ctx.Err() != nil {
		return false
	}
	before := r.held.Load()
	now := r.config.Now()
	after := before.take(body, err, now)
	r.held.Store(after)
	r.land(after.failures > 0, now)
	r.report(before, after)
	return true
}

// take returns what is held after an attempt that ended at now with body or err.
func (h *held) take(body []byte, err error, now time.Time) *held {
	next := *h
	next.lastFetch = now
	if err == nil {
		err = next.read(body)
	}
	if err == nil {
		next.lastSuccess, next.failures, next.err, next.restored = now, 0, nil, false
		return &next
	}
	next.failures++
	if !errors.As(err, &next.err) {
		next.err = &FetchError{Reason: ConnectionFailed, Document: keySetDocument}
	}
	return &next
}

// read makes the key set of body the one that is held, and leaves it alone where body is what it was made from.
func (h *held) read(body []byte) error {
	digest := sha256.Sum256(body)
	if h.set != nil && !h.restored && digest == h.digest {
		return nil
	}
	set, problems, err := token.ParseJWKS(body, false)
	if err != nil {
		// The parser's error may quote the document, so it ends here.
		return &FetchError{Reason: parseReason(body), Document: keySetDocument}
	}
	h.set, h.digest, h.public, h.dropped = set, digest, publicKeys(body), len(problems)
	return nil
}

// parseReason tells a key set without usable keys from something that is no key set.
func parseReason(body []byte) Reason {
	members, ok := uniqueMembers(body)
	if keys := bytes.TrimSpace(members["keys"]); ok && len(keys) > 0 && keys[0] == '[' {
		return NoUsableKeys
	}
	return InvalidDocument
}

// land lets those who wait go on. A failure starts a cool-down of its own.
func (r *refresher) land(failed bool, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if failed {
		r.asked = now
	}
	close(r.flight)
	r.flight = nil
	r.triedOnce()
}

// finish lets everybody go when the remote leaves.
func (r *refresher) finish() {
	r.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flight != nil {
		close(r.flight)
		r.flight = nil
	}
	r.triedOnce()
}

// triedOnce closes tried. The caller holds mu.
func (r *refresher) triedOnce() {
	select {
	case <-r.tried:
	default:
		close(r.tried)
	}
}

// report tells the log and OnChange about an attempt.
func (r *refresher) report(before, after *held) {
	log := r.config.Log.WithValues("issuer", r.remote.Issuer)
	switch {
	case after.err != nil && (before.err == nil || before.err.Reason != after.err.Reason):
		log.Error(after.err, "Keys not fetched", "reason", after.err.Reason)
	case after.err == nil && (before.err != nil || before.set != after.set):
		log.Info("Keys fetched")
	}
	if r.config.OnChange != nil {
		r.config.OnChange(r.status())
	}
}

// keys returns the set that may be used now, or nil.
func (r *refresher) keys() *token.KeySet {
	h := r.held.Load()
	if !r.usable(h, r.config.Now()) {
		return nil
	}
	return h.set
}

// usable says whether the set of h may be used at now. One that was restored counts as if an attempt had failed.
func (r *refresher) usable(h *held, now time.Time) bool {
	lasts := r.schedule.lasts(h.failures, r.config.FetchTimeout)
	if h.restored {
		lasts = r.schedule.staleFor
	}
	return h.set != nil && now.Sub(h.lastSuccess) <= lasts
}

// await asks for an attempt, unless one is under way or the last one is too young, and waits for its end, in the name of
// provider: at most MaxWait and not beyond ctx.
func (r *refresher) await(ctx context.Context, provider string) {
	flight := r.ask(r.config.Now())
	if flight == nil {
		return
	}
	over := r.config.OnWait(ctx, provider)
	patience := time.NewTimer(MaxWait)
	defer patience.Stop()
	select {
	case <-flight:
		over(r.held.Load().result())
	case <-patience.C:
		over(string(Timeout), true)
	case <-ctx.Done():
		over(string(Timeout), true)
	}
}

// result is the word for what became of the last attempt, and whether it failed.
func (h *held) result() (word string, failed bool) {
	if h.err != nil {
		return string(h.err.Reason), true
	}
	return ResultFetched, false
}

// ask returns the attempt to wait for, and starts it where that is due; nil: there is none, or its turn comes later. The cool-down runs from
// the last attempt that was asked for, or that failed. One that succeeded of itself starts none: keys that are
// rotated just after it are found at once.
func (r *refresher) ask(now time.Time) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flight != nil {
		return r.flight
	}
	if r.ctx.Err() != nil || now.Sub(r.asked) < r.schedule.minInterval {
		return nil
	}
	if wait := r.turn(now); wait > 0 {
		r.asked = now.Add(wait)
		time.AfterFunc(wait, r.askLater)
		return nil
	}
	r.asked = now
	r.start()
	return r.flight
}

// start asks run for an attempt. None is under way; the caller holds mu.
func (r *refresher) start() {
	r.flight = make(chan struct{})
	r.wake <- struct{}{} // never blocks: begin, which made the last flight, left it empty
}

// status returns what is known now.
func (r *refresher) status() Status {
	h := r.held.Load()
	s := Status{
		Providers:   slices.Clone(r.owners.Load().names),
		Issuer:      r.remote.Issuer,
		LastFetch:   h.lastFetch,
		LastSuccess: h.lastSuccess,
	}
	if set := r.keys(); set != nil {
		s.KeyIDs, s.Dropped, s.Ready, s.Stale = slices.Clone(set.KeyIDs()), h.dropped, true, h.failures > 0 || h.restored
	}
	if h.err != nil {
		s.Reason, s.Err = h.err.Reason, h.err
	}
	return s
}
