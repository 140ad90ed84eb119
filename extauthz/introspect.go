package extauthz

import (
	"context"
	"errors"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// Introspector asks providers about tokens that only they can read (RFC 7662); idp.Introspector is one. Neither method
// keeps anything of raw but copies.
type Introspector interface {
	// Introspect returns the identity that raw proves, as p says. It waits for the answer within bounds of its own.
	Introspect(ctx context.Context, raw string, p *token.Provider) (*token.Identity, error)
	// Recall returns what is known of raw without waiting.
	Recall(raw string, p *token.Provider) (id *token.Identity, known bool, err error)
}

// toAsk is the provider to ask about a token that Verify has refused with err, nil where that refusal stands; and what is
// known of the token where the provider has signed it.
func toAsk(err error, cred token.Credential, trusted []*token.Provider) (*token.Provider, *token.AskError) {
	var signed *token.AskError
	switch {
	case errors.As(err, &signed):
		return signed.Provider, signed
	case errors.Is(err, token.ErrMalformed):
		return token.Opaque(cred, trusted), nil
	}
	return nil, nil
}

// introspect asks about a token that Verify has refused, where a provider is to be asked; else f stays. For rules that are
// only tried out nobody waits: what is not known is left unknown.
func (s *Server) introspect(ctx context.Context, f *policy.Facts, cred token.Credential, trusted []*token.Provider, tryOut bool) {
	p, signed := toAsk(f.Err, cred, trusted)
	switch {
	case p == nil:
		return
	case s.cfg.Introspector == nil:
		f.Err = token.ErrIntrospection
	case tryOut:
		var known bool
		f.Identity, known, f.Err = s.cfg.Introspector.Recall(cred.Raw, p)
		if !known {
			f.Identity, f.Err, f.Unknown = nil, token.ErrIntrospection, true
		}
	default:
		f.Identity, f.Err = s.cfg.Introspector.Introspect(ctx, cred.Raw, p)
	}
	if f.Identity != nil && signed != nil {
		if err := signed.Agrees(f.Identity); err != nil {
			f.Identity, f.Err = nil, err
		}
	}
}
