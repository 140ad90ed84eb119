package ledger

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/sallyport/sallyport/extauthz/token"
)

// SharedProofs remember proofs in the store that replicas share, so that a proof that one of them has seen is refused by
// all. What is stored is a digest of the proof's own names, and ends with the proof.
type SharedProofs struct {
	shared *Shared
	now    func() time.Time
}

// NewSharedProofs returns those of s. A nil now is time.Now.
func NewSharedProofs(s *Shared, now func() time.Time) *SharedProofs {
	if now == nil {
		now = time.Now
	}
	return &SharedProofs{shared: s, now: now}
}

// Use implements Proofs. Of several that use a proof at the same time, the server lets one be the first.
func (p *SharedProofs) Use(ctx context.Context, key [32]byte, until time.Time) error {
	// Clocks of replicas differ, and a proof must not be forgotten while one of them would still take it.
	ttl := max(until.Sub(p.now()), 0) + proofMargin
	name := prefix + "proof:" + base64.RawURLEncoding.EncodeToString(key[:])
	answer, err := p.shared.do(ctx, func(b valkey.Builder) valkey.Completed {
		return b.Set().Key(name).Value("1").Nx().Px(ttl).Build()
	})
	if err != nil {
		return err
	}
	if answer.IsNil() {
		return token.ErrReplayed
	}
	return nil
}

// proofMargin is how much longer than needed a proof is remembered in the store.
const proofMargin = 10 * time.Second
