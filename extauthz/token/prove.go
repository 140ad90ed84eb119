package token

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxNumericDate is the last second of the year 9999, where RFC 3339 and most clocks end.
const maxNumericDate = 253402300799

// prove makes the identity that the claims of a token of p, whose signature was checked, stand for.
func prove(p *Provider, claims Claims, typ string, now time.Time) (*Identity, error) {
	id := &Identity{Provider: p, Issuer: p.Issuer, Claims: claims}
	if iss, _ := claims["iss"].(string); iss != p.Issuer {
		return nil, ErrUntrustedIssuer
	}
	if err := id.readAudiences(); err != nil {
		return nil, err
	}
	if err := id.checkAudience(p); err != nil {
		return nil, err
	}
	if err := id.readSubject(); err != nil {
		return nil, err
	}
	if err := id.readTimes(); err != nil {
		return nil, err
	}
	if err := id.checkTimes(p, now); err != nil {
		return nil, err
	}
	if !slices.Contains(p.TokenTypes, typ) {
		return nil, ErrTokenType
	}
	if isLogout(claims) {
		return nil, fmt.Errorf("%w: a logout token opens nothing", ErrTokenType)
	}
	id.TokenID, _ = Text(claims["jti"])
	id.SessionID, _ = Text(claims["sid"])
	id.confirmation = readConfirmation(claims)
	value, _ := claims.Lookup(p.Scopes)
	id.Scopes = scopes(value)
	value, _ = claims.Lookup(p.Roles)
	id.Roles, _ = texts(value)
	value, _ = claims.Lookup(p.Groups)
	id.Groups, _ = texts(value)
	return id, nil
}

// readAudiences reads the audience: a string or an array of strings (RFC 7519 §4.1.3).
func (id *Identity) readAudiences() error {
	value, there := orClaim(id.Claims, id.Provider.AudienceClaim, "aud")
	if !there {
		return fmt.Errorf("%w: the token names none", ErrAudience)
	}
	var ok bool
	if id.Audiences, ok = texts(value); !ok {
		return malformed("the audience is neither a string nor an array of strings")
	}
	return nil
}

func (id *Identity) readSubject() error {
	value, _ := orClaim(id.Claims, id.Provider.Subject, "sub")
	if id.Subject, _ = value.(string); id.Subject == "" {
		return ErrSubject
	}
	return nil
}

// orClaim looks p up, or the member of this name where p is the zero value.
func orClaim(claims Claims, p ClaimPath, name string) (any, bool) {
	if p.name == "" {
		p.name = name
	}
	return claims.Lookup(p)
}

// readTimes reads exp, which must be there, nbf and iat.
func (id *Identity) readTimes() error {
	for _, claim := range []struct {
		name     string
		to       *time.Time
		required bool
	}{
		{"exp", &id.Expiry, true},
		{"nbf", &id.NotBefore, false},
		{"iat", &id.IssuedAt, id.Provider.MaxTokenAge > 0},
	} {
		value, there := id.Claims[claim.name]
		if !there && !claim.required {
			continue
		}
		var ok bool
		if *claim.to, ok = numericDate(value); !ok {
			return malformed(claim.name + " is missing, or not a number of seconds from 1970 to the year 9999")
		}
	}
	return nil
}

// numericDate reads a NumericDate (RFC 7519 §2): a number, perhaps with a fraction, from 0 to maxNumericDate.
func numericDate(value any) (time.Time, bool) {
	number, ok := value.(json.Number)
	if !ok || strings.HasPrefix(string(number), "-") {
		return time.Time{}, false
	}
	if seconds, err := strconv.ParseInt(string(number), 10, 64); err == nil {
		return time.Unix(seconds, 0), seconds <= maxNumericDate
	}
	seconds, err := strconv.ParseFloat(string(number), 64)
	if err != nil || !(seconds >= 0 && seconds <= maxNumericDate) {
		return time.Time{}, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*float64(time.Second))), true
}

// checkAudience and checkTimes hold what depends on the provider at hand and on the clock. They run for
// tokens from the cache too, and do not allocate unless they refuse.
func (id *Identity) checkAudience(p *Provider) error {
	for _, wanted := range p.Audiences {
		if slices.Contains(id.Audiences, wanted) {
			return nil
		}
	}
	return ErrAudience
}

func (id *Identity) checkTimes(p *Provider, now time.Time) error {
	skew := p.skew()
	switch {
	case !now.Before(id.Expiry.Add(skew)):
		return ErrExpired
	case now.Add(skew).Before(id.NotBefore):
		return fmt.Errorf("%w: nbf lies in the future", ErrNotYetValid)
	case now.Add(skew).Before(id.IssuedAt):
		return fmt.Errorf("%w: iat lies in the future", ErrNotYetValid)
	}
	if p.MaxTokenAge <= 0 {
		return nil
	}
	switch {
	case id.IssuedAt.IsZero():
		return malformed("iat is missing")
	case id.Expiry.Sub(id.IssuedAt) > p.MaxTokenAge:
		return fmt.Errorf("%w: it lives too long", ErrTooOld)
	case now.Sub(id.IssuedAt) > p.MaxTokenAge:
		return fmt.Errorf("%w: it was issued too long ago", ErrTooOld)
	}
	return nil
}
