package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

const (
	// nonceLife is how long a nonce is taken. A client gets a new one when half of that is over.
	nonceLife = 5 * time.Minute
	// nonceSkew is how far the clocks of replicas that share a key may differ.
	nonceSkew = time.Minute
	// nonceMAC is how much of the MAC stands in a nonce: 128 bits, which nobody guesses in its life.
	nonceMAC = 16
	// minNonceKey is the size of the hash.
	minNonceKey = 32
)

// Nonces issues the nonces that proofs must hold (RFC 9449 §9) and knows them again by nothing but a key: the time, and a MAC
// over it. Replicas with the same key know each other's.
type Nonces struct{ key []byte }

// NewNonces returns the nonces of this key, of at least 32 bytes.
func NewNonces(key []byte) (*Nonces, error) {
	if len(key) < minNonceKey {
		return nil, errors.New("the key of nonces has fewer than 32 bytes")
	}
	return &Nonces{key: slices.Clone(key)}, nil
}

// Issue returns the nonce of this second.
func (n *Nonces) Issue(now time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(max(now.Unix(), 0)))
	return base64url.EncodeToString(append(b, n.mac(b)...))
}

// NonceDue tells whether a client whose nonce has this age is told the next one.
func NonceDue(age time.Duration) bool { return age > nonceLife/2 }

// age is that of a nonce; fresh is false where it is none of these, or too old.
func (n *Nonces) age(nonce string, now time.Time) (age time.Duration, fresh bool) {
	b, err := base64url.DecodeString(nonce)
	if n == nil || err != nil || len(b) != 8+nonceMAC || !hmac.Equal(b[8:], n.mac(b[:8])) {
		return 0, false
	}
	age = now.Sub(time.Unix(int64(binary.BigEndian.Uint64(b)), 0))
	return age, age <= nonceLife && age >= -nonceSkew
}

func (n *Nonces) mac(b []byte) []byte {
	h := hmac.New(sha256.New, n.key)
	h.Write([]byte("sallyport dpop nonce\x00"))
	h.Write(b)
	return h.Sum(nil)[:nonceMAC]
}
