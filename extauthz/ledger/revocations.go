package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/valkey-io/valkey-go"

	"github.com/sallyport/sallyport/extauthz/token"
)

const (
	// revocationsKey is a stream: what was added is read by every replica in the same order, and after an outage from where
	// the last one was read.
	revocationsKey = prefix + "revocations"
	// revocationField of an entry holds one revocation; an entry has as many as were written at once.
	revocationField = "r"
	// revocationsInterval is the time between two looks into the stream, and so about the time until a logout is known
	// everywhere.
	revocationsInterval = 250 * time.Millisecond
	// trimInterval is the time between two looks for entries at its beginning that have ended.
	trimInterval = time.Minute
	// revocationsPage bounds the entries of one answer, revocationsEntry the revocations of one entry: together a megabyte or
	// two, which come within the timeout.
	revocationsPage, revocationsEntry = 500, 20
)

// RevocationsConfig is what Revocations need; every field but Log.
type RevocationsConfig struct {
	// Add takes what was read or written, in order and perhaps twice.
	Add func(list []token.Revocation, now time.Time)
	// Fresh is told, whenever everything was read, until when that is good.
	Fresh func(until time.Time)
	// StaleAfter is how long what was read is good for.
	StaleAfter time.Duration
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Log gets what cannot be returned. The zero Logger discards.
	Log logr.Logger
}

// Revocations are those that replicas share, in a stream of the store. Safe for concurrent use.
type Revocations struct {
	shared *Shared
	cfg    RevocationsConfig
	read   chan struct{} // closed when everything was read once

	mu   sync.Mutex
	mine map[string]bool // entries that were written here and not read yet

	last string // entry that was read; of the goroutine of Run
}

// NewRevocations checks cfg. Nothing is asked before Run.
func NewRevocations(shared *Shared, cfg RevocationsConfig) (*Revocations, error) {
	if cfg.Add == nil || cfg.Fresh == nil || cfg.StaleAfter < time.Second {
		return nil, errors.New("shared revocations need Add and Fresh, and must be good for a second at least")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Revocations{shared: shared, cfg: cfg, read: make(chan struct{}), mine: map[string]bool{}, last: "0-0"}, nil
}

// Ready is nil once everything was read.
func (r *Revocations) Ready() error {
	select {
	case <-r.read:
		return nil
	default:
		return errors.New("the revocations in the shared store were not read yet")
	}
}

// Write adds a list, and returns once the store has it and this process acts on it. After an error some of it may have been
// added; to write it again does no harm.
func (r *Revocations) Write(ctx context.Context, list []token.Revocation) error {
	for len(list) > 0 {
		part := list[:min(len(list), revocationsEntry)]
		list = list[len(part):]
		answer, err := r.shared.do(ctx, func(b valkey.Builder) valkey.Completed {
			add := b.Xadd().Key(revocationsKey).Id("*").FieldValue().FieldValue(revocationField, string(part[0].Encode()))
			for i := range part[1:] {
				add = add.FieldValue(revocationField, string(part[i+1].Encode()))
			}
			return add.Build()
		})
		if err != nil {
			return err
		}
		id, err := answer.ToString()
		if err != nil {
			return fmt.Errorf("%w: the shared store did not say what it added", token.ErrLedger)
		}
		r.mu.Lock()
		r.mine[id] = true
		r.mu.Unlock()
		r.cfg.Add(part, r.cfg.Now())
	}
	return nil
}

// Run follows the stream until ctx ends.
func (r *Revocations) Run(ctx context.Context) {
	failed, trimmed := false, r.cfg.Now()
	for ctx.Err() == nil {
		begin := r.cfg.Now()
		err := r.catchUp(ctx)
		switch {
		case err == nil:
			r.cfg.Fresh(begin.Add(r.cfg.StaleAfter))
			if failed {
				r.cfg.Log.Info("Shared revocations are read again")
			}
		case !failed && ctx.Err() == nil:
			r.cfg.Log.Error(err, "Shared revocations cannot be read; those that are known hold", "staleAfter", r.cfg.StaleAfter.String())
		}
		failed = err != nil
		if err == nil && begin.Sub(trimmed) >= trimInterval {
			trimmed = begin
			if err := r.trim(ctx); err != nil {
				r.cfg.Log.V(1).Info("Ended revocations cannot be dropped", "reason", err.Error())
			}
		}
		r.shared.pause(ctx, revocationsInterval)
	}
}

// catchUp reads what was added since the last time.
func (r *Revocations) catchUp(ctx context.Context) error {
	r.mu.Lock()
	written := slices.Collect(maps.Keys(r.mine))
	r.mu.Unlock()
	for {
		entries, err := r.page(ctx, "("+r.last)
		if err != nil {
			return err
		}
		var list []token.Revocation
		for _, e := range entries {
			r.mu.Lock()
			known := r.mine[e.ID]
			r.mu.Unlock()
			if !known {
				list = append(list, r.decode(e)...)
			}
			r.last = e.ID
		}
		if len(list) > 0 {
			r.cfg.Add(list, r.cfg.Now())
		}
		if len(entries) < revocationsPage {
			break
		}
	}
	r.mu.Lock()
	for _, id := range written { // read by now
		delete(r.mine, id)
	}
	r.mu.Unlock()
	if r.Ready() != nil {
		close(r.read)
	}
	return nil
}

// entry of the stream: its id and the values of its fields.
type entry struct {
	ID     string
	values []string
}

// page reads entries from one on.
func (r *Revocations) page(ctx context.Context, from string) ([]entry, error) {
	answer, err := r.shared.do(ctx, func(b valkey.Builder) valkey.Completed {
		return b.Xrange().Key(revocationsKey).Start(from).End("+").Count(revocationsPage).Build()
	})
	if err != nil {
		return nil, err
	}
	list, err := answer.AsXRangeSlices()
	if err != nil {
		return nil, fmt.Errorf("%w: the shared store holds no stream of revocations", token.ErrLedger)
	}
	out := make([]entry, len(list))
	for i, e := range list {
		out[i].ID = e.ID
		for _, f := range e.FieldValues {
			out[i].values = append(out[i].values, f.Value)
		}
	}
	return out, nil
}

// decode reads the revocations of an entry that have not ended. One that cannot be read is of a newer version, or not of
// Sallyport: it is loud, and what it names cannot be refused.
func (r *Revocations) decode(e entry) (out []token.Revocation) {
	for _, value := range e.values {
		one, err := token.DecodeRevocation([]byte(value))
		switch {
		case err != nil:
			r.cfg.Log.Error(err, "An entry of the shared revocations cannot be read", "entry", e.ID)
		case !r.ended(&one):
			out = append(out, one)
		}
	}
	return out
}

func (r *Revocations) ended(one *token.Revocation) bool {
	return !one.Expires.IsZero() && !r.cfg.Now().Before(one.Expires)
}

// over tells whether everything that an entry holds has ended. Of what cannot be read nobody knows: a replica of a newer
// version may go by it.
func (r *Revocations) over(e entry) bool {
	for _, value := range e.values {
		if one, err := token.DecodeRevocation([]byte(value)); err != nil || !r.ended(&one) {
			return false
		}
	}
	return true
}

// trim drops the entries at the beginning of the stream that have ended. One behind an entry that has not stays until then.
func (r *Revocations) trim(ctx context.Context) error {
	from, keep := "-", ""
	for keep == "" {
		entries, err := r.page(ctx, from)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if from = "(" + e.ID; !r.over(e) {
				keep = e.ID
				break
			}
		}
		if len(entries) < revocationsPage {
			break
		}
	}
	if from == "-" {
		return nil
	}
	_, err := r.shared.do(ctx, func(b valkey.Builder) valkey.Completed {
		if keep == "" {
			return b.Xtrim().Key(revocationsKey).Minid().Threshold(from[1:]).Build() // all but the last have ended, for sure
		}
		return b.Xtrim().Key(revocationsKey).Minid().Threshold(keep).Build()
	})
	return err
}
