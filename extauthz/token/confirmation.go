package token

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
)

// SenderMode says what is made of cnf, the claim that binds a token to whoever may use it (RFC 7800).
type SenderMode int

const (
	// SenderIfBound wants the proof that a bound token asks for, and takes others as they are. It is the zero value.
	SenderIfBound SenderMode = iota
	// SenderRequired refuses tokens that are not bound too.
	SenderRequired
	// SenderAny does not look at cnf.
	SenderAny
)

// Members of cnf that are known: the SHA-256 of a client certificate (RFC 8705 §3.1), and the thumbprint of a key whose proof is
// shown with the token (RFC 9449 §6.1).
const (
	memberCertificate = "x5t#S256"
	memberKey         = "jkt"
)

// Sender is what a request proves of who sent it. The zero value proves nothing.
type Sender struct {
	// Certificate is the SHA-256 of the client certificate, in DER, with which the connection was made; nil: none is known.
	Certificate *[sha256.Size]byte
	// Key is that of a Proof with which the token was shown; nil: it was shown without one.
	Key *[sha256.Size]byte
}

// confirmation is what cnf of a token says.
type confirmation struct {
	// certificate and key that the token is bound to; nil: to none.
	certificate, key *[sha256.Size]byte
	// unusable: it says something that is not known, or not in a form in which it could be held against anything.
	unusable bool
}

// readConfirmation reads cnf; nil where there is none.
func readConfirmation(claims Claims) *confirmation {
	value, there := claims["cnf"]
	if !there {
		return nil
	}
	members, _ := value.(map[string]any)
	c := &confirmation{unusable: len(members) == 0}
	for name := range members {
		switch name {
		case memberCertificate:
			c.certificate = c.digest(members, name)
		case memberKey:
			c.key = c.digest(members, name)
		default:
			c.unusable = true // to let it pass would be to let whoever stole the token pass
		}
	}
	return c
}

// digest reads a member that holds a SHA-256, in the one spelling that it has in base64url.
func (c *confirmation) digest(members map[string]any, name string) *[sha256.Size]byte {
	b, err := octets(members, name)
	if err != nil || len(b) != sha256.Size {
		c.unusable = true
		return nil
	}
	return (*[sha256.Size]byte)(b)
}

// BoundToCertificate tells whether the token says that it is bound to a client certificate, and cnf counts for its provider.
func (id *Identity) BoundToCertificate() bool {
	return id.confirmation != nil && id.confirmation.certificate != nil && id.Provider.Sender != SenderAny
}

// CheckSender tells whether a request that proves s may use the token, as its provider wants it. It does not depend on the
// cache: a token that was verified before is judged anew. The error wraps ErrSender.
func (id *Identity) CheckSender(s Sender) error {
	c := id.confirmation
	switch {
	case id.Provider.Sender == SenderAny:
		return nil
	case c == nil && id.Provider.Sender == SenderRequired:
		return fmt.Errorf("%w: the provider's tokens must be bound, and this one is not", ErrSender)
	case s.Key != nil && (c == nil || c.key == nil || id.Provider.DPoP == nil):
		return fmt.Errorf("%w: the token was shown with a proof, and is not bound to a key", ErrSender)
	case c == nil:
		return nil
	case c.unusable:
		return fmt.Errorf("%w: cnf is not one that can be checked", ErrSender)
	case c.certificate != nil && !equalDigests(c.certificate, s.Certificate):
		return fmt.Errorf("%w: the token is bound to a client certificate, and the connection was not made with it", ErrSender)
	}
	if c.key != nil && !equalDigests(c.key, s.Key) {
		return fmt.Errorf("%w: the token is bound to a key, and was not shown with its proof", ErrSender)
	}
	return nil
}

// equalDigests compares in constant time; nil equals nothing.
func equalDigests(a, b *[sha256.Size]byte) bool {
	return a != nil && b != nil && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// confirmationBytes is what the cache keeps alive for a confirmation, rather too much than too little.
func confirmationBytes(c *confirmation) int64 {
	if c == nil {
		return 0
	}
	return 192
}
