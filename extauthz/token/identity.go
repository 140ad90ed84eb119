package token

import "time"

// NewIdentity makes the identity that a token of p with these claims would prove at the time now, had its signature
// been checked: the same claims are required as by Verify, and its error wraps the same Err values. The token type
// counts as one that p accepts. It is for stories, in which policies are tried out without tokens; nothing of a
// request may reach it. claims hold what Claims says, and are not to be written afterwards.
func NewIdentity(p *Provider, claims Claims, now time.Time) (*Identity, error) {
	return prove(p, claims, p.acceptedType(), now)
}

// acceptedType is a token type that p accepts, for what has none of its own.
func (p *Provider) acceptedType() string {
	if len(p.TokenTypes) == 0 {
		return ""
	}
	return p.TokenTypes[0]
}
