// Package ledger holds what replicas must remember of requests and tokens: in memory, or shared with the other replicas in
// Valkey or Redis.
//
//	shared, err := ledger.Open(ledger.Config{URL: "rediss://sallyport@valkey.infra:6379/0", PasswordFile: "/etc/store/password"})
//	go shared.Run(ctx)
//	proofs := ledger.NewSharedProofs(shared, clock)
//	err = proofs.Use(ctx, proof, until) // nil once, token.ErrReplayed from then on
//
// What cannot be remembered, or asked for, is an error that wraps token.ErrLedger, and the request is refused: there is no
// way in which a store that is down, slow or full lets something through. Nothing of a token is ever put into it.
package ledger

import (
	"context"
	"time"
)

// Proofs remember which proofs of possession were used (RFC 9449 §11.1). Memory and SharedProofs are such.
type Proofs interface {
	// Use notes that the proof with this key was used. It is remembered until at least the time until, at which it must be
	// refused for its age. The error is nil the first time, wraps token.ErrReplayed where the proof was used before, and
	// token.ErrLedger where that cannot be told. Safe for concurrent use.
	Use(ctx context.Context, key [32]byte, until time.Time) error
}
