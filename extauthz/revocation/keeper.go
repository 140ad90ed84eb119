package revocation

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

const (
	// gather is how long revocations are gathered into one write: whoever waits for it hardly notices, and a provider that
	// ends many sessions at once makes few writes.
	gather = 50 * time.Millisecond
	// mostWaiting bounds the revocations that wait to be written; more are refused.
	mostWaiting = 10_000
)

// ErrTooMany says that more revocations wait to be written than are taken.
var ErrTooMany = errors.New("too many revocations wait to be written")

// Keeper writes revocations down, several at a time. Safe for concurrent use.
type Keeper struct {
	write func(ctx context.Context, list []token.Revocation) error

	mu      sync.Mutex
	next    *batch // gathers; nil: nothing waits
	running bool
}

// batch is written as one.
type batch struct {
	list []token.Revocation
	done chan struct{} // closed when err is known
	err  error
}

// NewKeeper returns a Keeper. write returns once the list is where a restart finds it, and is called by one goroutine at a
// time.
func NewKeeper(write func(ctx context.Context, list []token.Revocation) error) *Keeper {
	return &Keeper{write: write}
}

// Keep returns once r is written, or cannot be: then it may be tried again. When ctx ends it returns the error of that, and
// whether r was written is not known.
func (k *Keeper) Keep(ctx context.Context, r token.Revocation) error {
	k.mu.Lock()
	if k.next == nil {
		k.next = &batch{done: make(chan struct{})}
	}
	b := k.next
	if len(b.list) >= mostWaiting {
		k.mu.Unlock()
		return ErrTooMany
	}
	b.list = append(b.list, r)
	if !k.running {
		k.running = true
		go k.run(context.WithoutCancel(ctx))
	}
	k.mu.Unlock()
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run writes until nothing waits.
func (k *Keeper) run(ctx context.Context) {
	for k.waiting() {
		<-time.After(gather)
		k.mu.Lock()
		b := k.next
		k.next = nil
		k.mu.Unlock()
		b.err = k.write(ctx, b.list)
		close(b.done)
	}
}

// waiting tells whether anything waits to be written; where nothing does, the next to come starts the writing again.
func (k *Keeper) waiting() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.running = k.next != nil
	return k.running
}
