package extauthz

import (
	"context"
	"fmt"
	"sync"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// Looker fetches what rules look up about a caller; idp.Looker is one. Neither method keeps anything of raw, the caller's
// token, but copies.
type Looker interface {
	// Look returns what is found. It waits for the answer within bounds of its own.
	Look(ctx context.Context, l *token.Lookup, id *token.Identity, raw string) (token.Claims, error)
	// Recall returns what is known without waiting.
	Recall(l *token.Lookup, id *token.Identity, raw string) (answer token.Claims, known bool, err error)
}

// lookUp fetches what the rules of a candidate read, side by side. For rules that are only tried out nobody waits: what is
// not known is left unknown.
func (s *Server) lookUp(ctx context.Context, f *policy.Facts, of *policy.Candidate, raw string, tryOut bool) {
	lookups := of.Lookups(*f)
	if len(lookups) == 0 || s.cfg.Looker == nil {
		return // what is missing counts as failed
	}
	f.Lookups = make([]policy.LookedUp, len(lookups))
	id := f.Identity
	var all sync.WaitGroup
	for i, l := range lookups {
		to := &f.Lookups[i]
		to.Lookup = l
		switch {
		case tryOut:
			var known bool
			to.Answer, known, to.Err = s.cfg.Looker.Recall(l, id, raw)
			f.Unknown = f.Unknown || !known
		case i == len(lookups)-1: // the last one needs no goroutine, nor does the only one
			s.look(ctx, to, id, raw)
		default:
			all.Go(func() { s.look(ctx, to, id, raw) })
		}
	}
	all.Wait()
}

// look fetches one. A panic of its own goroutine would end the process.
func (s *Server) look(ctx context.Context, to *policy.LookedUp, id *token.Identity, raw string) {
	defer func() {
		if fault := recover(); fault != nil {
			to.Answer, to.Err = nil, fmt.Errorf("%w: panic: %v", token.ErrLookup, fault)
			s.cfg.Log.Error(to.Err, "Lookup panicked")
		}
	}()
	to.Answer, to.Err = s.cfg.Looker.Look(ctx, to.Lookup, id, raw)
}
