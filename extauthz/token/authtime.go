package token

import "time"

// SignedInWithin tells whether the user signed in no longer than maxAge before now, by the claim auth_time (OpenID
// Connect Core §2) and with the provider's leeway. A time that is missing or malformed, or that lies in the future by
// more than that leeway, is false.
func (id *Identity) SignedInWithin(maxAge time.Duration, now time.Time) bool {
	value, _ := id.Member("auth_time")
	at, ok := numericDate(value)
	if !ok {
		return false
	}
	skew := id.Provider.skew()
	return !now.Add(skew).Before(at) && now.Sub(at) <= maxAge+skew
}
