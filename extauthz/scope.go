package extauthz

import (
	"context"

	"google.golang.org/grpc/metadata"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// scope is what the proxy speaks for: what it states, else the namespace of its own principal. The Reason is empty, or
// says why the request is to be refused; the scope is zero then.
func (s *Server) scope(ctx context.Context, r *reading) (policy.Scope, policy.Reason) {
	if text, stated, ok := statedScope(ctx, r); !ok {
		return policy.Scope{}, policy.ReasonInvalidScope
	} else if stated {
		return parseScope(text)
	}
	proxies := policy.Proxies{
		RequireScope: s.cfg.RequireScope, FromPrincipal: s.cfg.ScopeFromPrincipal,
		TrustDomain: s.cfg.TrustDomain, Gateways: s.cfg.GatewayPrincipals,
	}
	return proxies.Scope(r.destination)
}

// statedScope is the scope of the context extensions and of the initial metadata. ok is false where they contradict
// each other or themselves.
func statedScope(ctx context.Context, r *reading) (text string, stated, ok bool) {
	values := metadata.ValueFromIncomingContext(ctx, policy.ScopeKey)
	switch {
	case len(values) > 1, len(values) == 1 && r.scoped && values[0] != r.scope:
		return "", true, false
	case len(values) == 1:
		return values[0], true, true
	}
	return r.scope, r.scoped, true
}

func parseScope(text string) (policy.Scope, policy.Reason) {
	scope, err := policy.ParseScope(text)
	if err != nil {
		return policy.Scope{}, policy.ReasonInvalidScope
	}
	return scope, ""
}
