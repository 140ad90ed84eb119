package token

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// logoutEvent is the member of events that makes a JWT a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4).
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

const (
	// MaxLogoutAge is how long after its iat a logout token is believed, whatever exp it has, so that nobody needs to remember
	// for longer which ones were used. A provider sends it at once; its specification recommends two minutes at most.
	MaxLogoutAge = 10 * time.Minute
	// maxLogoutValue bounds jti, sid and sub of a logout token, as a TokenRevocation does.
	maxLogoutValue = 512
)

// Logout says which logout tokens of a provider are believed.
type Logout struct {
	// ClientIDs: aud of a logout token must name at least one.
	ClientIDs []string
	// TokenTypes are the accepted values of typ, as those of a Provider.
	TokenTypes []string
	// HoldFor is how long tokens can be valid that were issued before the logout.
	HoldFor time.Duration
}

// LogoutToken is a verified logout token.
type LogoutToken struct {
	// Provider that sent it.
	Provider *Provider
	// ID is jti.
	ID string
	// Session is sid, Subject sub; one of them may be "".
	Session, Subject string
	// IssuedAt is iat.
	IssuedAt time.Time
}

// Revocation is what the logout revokes at the time now: the session where the token names one, else what the user was
// issued until then. Of two logouts in one second neither is missed: the second in which the logout token was issued counts
// as before it.
func (t *LogoutToken) Revocation(now time.Time) Revocation {
	p := t.Provider
	r := Revocation{
		Scope: RevocationScope{Issuer: p.Issuer, Namespace: p.Namespace}, By: RevokedBySession, Value: t.Session,
		Expires: now.Add(p.Logout.HoldFor + 2*maxClockSkew).Truncate(time.Second),
	}
	if t.Session == "" {
		r.By, r.Value, r.IssuedBefore = RevokedBySubject, t.Subject, t.IssuedAt.Truncate(time.Second).Add(time.Second)
	}
	return r
}

// VerifyLogout checks raw, a logout token in compact form, by the rules of OpenID Connect Back-Channel Logout 1.0 §2.6, with
// the keys and the algorithms of p, whose Logout must be set. That it is shown once only is for the caller to see to. Whatever
// costs little is checked before the signature. The error wraps one of the Err values of this package.
func (v *Verifier) VerifyLogout(ctx context.Context, raw string, p *Provider) (*LogoutToken, error) {
	parts, err := splitCompact(raw)
	if err != nil {
		return nil, err
	}
	h, err := parseHeader(parts.header)
	if err != nil {
		return nil, err
	}
	claims, _, err := decodeObject(parts.payload, "payload")
	if err != nil {
		return nil, err
	}
	switch {
	case claims["iss"] != p.Issuer:
		return nil, ErrUntrustedIssuer
	case !slices.Contains(p.Logout.TokenTypes, h.typ):
		return nil, ErrTokenType
	case !p.Algorithms.Has(h.algorithm):
		return nil, fmt.Errorf("%w: the provider does not sign with it", ErrAlgorithm)
	}
	out, err := readLogout(p, claims, v.now())
	if err != nil {
		return nil, err
	}
	if _, err := v.checkSignature(ctx, p, h, parts); err != nil {
		return nil, err
	}
	return out, nil
}

// readLogout reads the claims of a logout token of p.
func readLogout(p *Provider, claims Claims, now time.Time) (*LogoutToken, error) {
	audiences, ok := texts(claims["aud"])
	if !ok || !slices.ContainsFunc(audiences, func(a string) bool { return slices.Contains(p.Logout.ClientIDs, a) }) {
		return nil, ErrAudience
	}
	if !isLogout(claims) {
		return nil, fmt.Errorf("%w: events does not say that it is a logout", ErrTokenType)
	}
	if _, there := claims["nonce"]; there {
		return nil, fmt.Errorf("%w: a logout token has no nonce", ErrTokenType)
	}
	out := &LogoutToken{Provider: p}
	for _, claim := range []struct {
		name string
		to   *string
	}{{"jti", &out.ID}, {"sid", &out.Session}, {"sub", &out.Subject}} {
		value, there := claims[claim.name]
		if !there {
			continue
		}
		text, ok := value.(string)
		if !ok || text == "" || len(text) > maxLogoutValue {
			return nil, malformed(claim.name + " is not a string of 1 to 512 bytes")
		}
		*claim.to = strings.Clone(text) // the rest of the payload is not kept for it
	}
	switch {
	case out.ID == "":
		return nil, malformed("jti is missing")
	case out.Session == "" && out.Subject == "":
		return nil, malformed("it has neither sid nor sub")
	}
	var err error
	out.IssuedAt, err = logoutTimes(p, claims, now)
	return out, err
}

// logoutTimes checks iat and exp, both of which are required.
func logoutTimes(p *Provider, claims Claims, now time.Time) (issued time.Time, err error) {
	issued, ok := numericDate(claims["iat"])
	expiry, hasEnd := numericDate(claims["exp"])
	skew := p.skew()
	switch {
	case !ok || !hasEnd:
		err = malformed("iat or exp is missing, or not a number of seconds from 1970 to the year 9999")
	case !now.Before(expiry.Add(skew)):
		err = ErrExpired
	case now.Add(skew).Before(issued):
		err = fmt.Errorf("%w: iat lies in the future", ErrNotYetValid)
	case now.Sub(issued) > MaxLogoutAge+skew:
		err = fmt.Errorf("%w: a logout token is sent at once", ErrTooOld)
	}
	if value, there := claims["nbf"]; err == nil && there {
		if notBefore, ok := numericDate(value); !ok || now.Add(skew).Before(notBefore) {
			err = fmt.Errorf("%w: nbf lies in the future, or is no time", ErrNotYetValid)
		}
	}
	return issued, err
}

// isLogout tells whether claims are those of a logout token. Other events may stand beside that of the logout.
func isLogout(claims Claims) bool {
	events, _ := claims["events"].(map[string]any)
	_, ok := events[logoutEvent].(map[string]any)
	return ok
}
