package extauthz

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// Proofs remember which proofs of possession were used; those of package ledger do. Use is nil the first time, and wraps
// token.ErrReplayed after that, or token.ErrLedger where it cannot tell. It waits within bounds of its own.
type Proofs interface {
	Use(ctx context.Context, key [32]byte, until time.Time) error
}

// sending is what a Check learns of its sender, beside the identity.
type sending struct {
	// withProof: the token was shown with a proof.
	withProof bool
	// nonceDue: the client is told a nonce, whatever the answer.
	nonceDue bool
	// used and useErr are the proof that was used up, and what became of that.
	used   [32]byte
	useErr error
}

// proveSender looks whether the request proves what the token asks for, each time, whether or not the token was verified
// before. tryOut: the rules are only tried out, and use no proof up.
func (s *Server) proveSender(ctx context.Context, c *check, f *policy.Facts, cred token.Credential, tryOut bool) {
	if err := s.checkSender(ctx, c, f.Identity, cred, tryOut); err != nil {
		f.Identity, f.Err = nil, err
	}
}

func (s *Server) checkSender(ctx context.Context, c *check, id *token.Identity, cred token.Credential, tryOut bool) error {
	var sender token.Sender
	if id.BoundToCertificate() {
		sender.Certificate = s.clientCertificate(c)
	}
	if id.Provider.DPoP == nil || !cred.Source.WantsProof() {
		return id.CheckSender(sender)
	}
	proof, err := id.Provider.CheckProof(c.req, s.target(c, cred.Raw), s.cfg.Nonces, c.start)
	if !tryOut && id.Provider.DPoP.NonceRequired {
		// A proof that is not valid says nothing of its nonce.
		c.sending.nonceDue = errors.Is(err, token.ErrNonce) || err == nil && token.NonceDue(proof.NonceAge)
	}
	if err != nil {
		return err
	}
	sender.Key = &proof.Key
	if err := id.CheckSender(sender); err != nil {
		return err
	}
	return s.use(ctx, c, &proof, tryOut)
}

// use uses the proof up, last of all, so that only valid ones take room. What enforced rules have learned of it, those that
// are tried out are told; nobody waits, and no proof is spent, for these alone.
func (s *Server) use(ctx context.Context, c *check, p *token.Proof, tryOut bool) error {
	switch {
	case tryOut && c.sending.used == p.ID:
		return c.sending.useErr
	case tryOut:
		return nil
	case s.cfg.Proofs == nil:
		return fmt.Errorf("%w: nothing remembers used proofs", token.ErrLedger)
	}
	c.sending.used, c.sending.useErr = p.ID, s.cfg.Proofs.Use(ctx, p.ID, p.Until)
	return c.sending.useErr
}

// target is the request that a proof must be for: the host and path as the client wrote them, and the scheme that it used, which a
// proxy in front of Envoy may hide.
func (s *Server) target(c *check, raw string) token.Target {
	t := token.Target{
		Method: c.req.Method(), Scheme: c.req.Scheme(), Host: c.req.Host() + portOf(c.input.Host), Path: c.req.Path(), Token: raw,
	}
	if s.cfg.PublicScheme != "" {
		t.Scheme = s.cfg.PublicScheme
	}
	return t
}

// nonce is the one that the client is told; empty for none.
func (s *Server) nonce(c *check) string {
	if !c.sending.nonceDue {
		return ""
	}
	return s.cfg.Nonces.Issue(c.start)
}

// proofAlgorithms are those of the proofs that the rule's providers take.
func proofAlgorithms(trusted []*token.Provider) (out token.Algorithms) {
	for _, p := range trusted {
		if p.DPoP != nil {
			out |= p.DPoP.Algorithms
		}
	}
	return out
}
