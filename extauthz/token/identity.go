package token

import (
	"sync/atomic"
	"time"
)

// Identity is what a token proves. It is immutable and shared between requests by the cache. What every Check asks for
// stands in its fields; of other claims the cache keeps the token only, and decodes them when they are asked for.
type Identity struct {
	// Provider is the one that vouches for the identity, or another with an equal Fingerprint.
	Provider *Provider
	// Issuer is iss, Subject the claim that the provider maps to the subject. Neither is ever empty.
	Issuer, Subject string
	// TokenID is jti and SessionID sid (OpenID Connect Back-Channel Logout §2.1), "" where the token has none that is a text:
	// what a Revocation may name.
	TokenID, SessionID string
	// Audiences are the values of the provider's audience claim.
	Audiences []string
	// Scopes, Roles and Groups are what the provider's claim mappings name, nil where the claim is absent or
	// is neither a string nor an array of strings.
	Scopes, Roles, Groups []string
	// IssuedAt and NotBefore are zero where the token does not say; Expiry never is.
	IssuedAt, NotBefore, Expiry time.Time

	confirmation *confirmation // nil: the token is not bound

	// claims is the whole payload; nil in the cache, where it is read from text.
	claims Claims
	// text is the payload as JSON, or as the segment of a token, which is base64url of that.
	text string
	// known is what was read from text before; nil for nothing.
	known atomic.Pointer[knownClaims]
	entry cacheEntry
}

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
