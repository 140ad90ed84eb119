package idp

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/sallyport/sallyport/extauthz/token"
)

// endpoint is where a server is asked: a URL that is known, or one that the metadata of an issuer names. That is looked up
// in the background, so that no request waits for it, and serves until another is found.
type endpoint struct {
	found  atomic.Pointer[url.URL]
	failed atomic.Pointer[FetchError] // why the last look found none
	tried  chan struct{}              // closed after the first look, or when it ends
	once   sync.Once
}

// knownEndpoint is one at location; where that may not be used, there is none.
func knownEndpoint(location string, allowHTTP bool) *endpoint {
	e := &endpoint{tried: make(chan struct{})}
	if u, ok := parseURL(location, allowHTTP); ok {
		e.found.Store(u)
	} else {
		e.failed.Store(&FetchError{Reason: InvalidURL, Document: discoveryDocument})
	}
	close(e.tried)
	return e
}

// follower looks an endpoint up again and again.
type follower struct {
	*endpoint
	member   string
	remote   *token.Remote
	schedule schedule
	timeout  time.Duration
	loopback bool
	log      logr.Logger
}

// run looks until ctx ends.
func (f *follower) run(ctx context.Context) {
	defer f.once.Do(func() { close(f.tried) })
	for failures := 0; ; {
		err := f.look(ctx)
		if ctx.Err() != nil {
			return
		}
		if failures++; err == nil {
			failures = 0
		}
		before := f.failed.Swap(err)
		if err != nil && (before == nil || before.Reason != err.Reason) {
			f.log.Error(err, "Endpoint not found", "issuer", f.remote.Issuer, "reason", err.Reason)
		}
		f.once.Do(func() { close(f.tried) })
		pause := time.NewTimer(f.schedule.next(failures))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
	}
}

// look looks once.
func (f *follower) look(ctx context.Context) *FetchError {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	fetcher := newFetcher(f.remote, f.loopback)
	if fetcher.tls == nil {
		return &FetchError{Reason: InvalidCABundle, Document: discoveryDocument}
	}
	transport := fetcher.transport(ctx)
	defer transport.CloseIdleConnections()
	u, err := discover(ctx, transport, f.remote, f.member)
	if err == nil {
		f.found.Store(u)
		return nil
	}
	var out *FetchError
	if !errors.As(refine(ctx, err, discoveryDocument), &out) {
		out = &FetchError{Reason: ConnectionFailed, Document: discoveryDocument}
	}
	return out
}
