package extauthz

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// scope is what the proxy speaks for: what it states, else the namespace of its own principal. The Reason is empty, or
// says why the request is to be refused; the scope is zero then.
//
// A gateway that is known by its principal has no scope, as one that states none, but has said who it is.
func (s *Server) scope(ctx context.Context, r *reading) (policy.Scope, policy.Reason) {
	if text, stated, ok := statedScope(ctx, r); !ok {
		return policy.Scope{}, policy.ReasonInvalidScope
	} else if stated {
		return parseScope(text)
	}
	if s.cfg.ScopeFromPrincipal {
		if slices.ContainsFunc(s.cfg.GatewayPrincipals, func(p string) bool { return policy.MatchPrincipal(p, r.destination) }) {
			return policy.Scope{}, ""
		}
		if rest, ok := strings.CutPrefix(r.destination, "spiffe://"); ok {
			return s.spiffeScope(rest)
		}
	}
	if s.cfg.RequireScope {
		return policy.Scope{}, policy.ReasonScopeRequired
	}
	return policy.Scope{}, ""
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

// spiffeScope reads trust-domain/ns/NAMESPACE/sa/NAME, the identity that meshes give a workload. Any other SPIFFE
// identity says nothing of a namespace, and to guess would be to let a neighbour in.
func (s *Server) spiffeScope(id string) (policy.Scope, policy.Reason) {
	parts := strings.Split(id, "/")
	if len(parts) != 5 || parts[0] == "" || parts[1] != "ns" || parts[3] != "sa" || parts[4] == "" ||
		s.cfg.TrustDomain != "" && parts[0] != s.cfg.TrustDomain {
		return policy.Scope{}, policy.ReasonInvalidScope
	}
	return parseScope("namespace/" + parts[2])
}
