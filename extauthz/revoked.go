package extauthz

import (
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

// Revocations say which tokens are revoked; revocation.Set is one.
type Revocations interface {
	// Judge is nil where the token that proved id is not revoked at the time now; else the error wraps token.ErrRevoked, or
	// token.ErrRevocations where it cannot be told. It is asked for each request with a token, so it must not wait.
	Judge(id *token.Identity, now time.Time) error
}
