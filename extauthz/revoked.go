package extauthz

import (
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

// Revocations say which tokens are revoked; revocation.Set is one.
type Revocations interface {
	// Revoked tells whether the token that proved id is revoked at the time now. It is asked for each request with a token,
	// so it must not wait.
	Revoked(id *token.Identity, now time.Time) bool
}
