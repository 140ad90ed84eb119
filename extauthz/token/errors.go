package token

import (
	"errors"
	"fmt"
)

// Every error of Extract, Verify, NewIntrospected, CheckProof and CheckSender wraps exactly one of these. Their texts, and those of the errors around
// them, never hold a byte of the token or the value of a claim, so they may be logged.
var (
	// ErrAmbiguousCredential: the request shows more than one token, or one that two servers could read differently.
	ErrAmbiguousCredential = errors.New("more than one token, or one that can be read in two ways")
	// ErrMalformed: not a JWS in compact form whose header and payload are strict JSON of the right types; nor a JWE that
	// decrypts to one. What of a JWE went wrong is not told, because it could tell about the key (RFC 7516 §11.5).
	ErrMalformed = errors.New("malformed token")
	// ErrUntrustedIssuer: no trusted provider of the place where the token stood has this iss.
	ErrUntrustedIssuer = errors.New("issuer is not trusted")
	// ErrAlgorithm: the provider does not allow alg, or the key that the token names may not verify or decrypt it.
	ErrAlgorithm = errors.New("algorithm is not allowed")
	// ErrUnknownKey: the provider has no key of this kid.
	ErrUnknownKey = errors.New("unknown key")
	// ErrSignature: the signature does not verify.
	ErrSignature = errors.New("invalid signature")
	// ErrTokenType: typ is not one that the provider issues for this use, or the token is not encrypted and must be.
	ErrTokenType = errors.New("token type is not accepted")
	// ErrAudience: the token was made for somebody else.
	ErrAudience = errors.New("audience is not accepted")
	// ErrSubject: the subject is missing, empty or not a string.
	ErrSubject = errors.New("token has no subject")
	// ErrExpired: exp has passed.
	ErrExpired = errors.New("token has expired")
	// ErrNotYetValid: nbf or iat lies in the future.
	ErrNotYetValid = errors.New("token is not valid yet")
	// ErrTooOld: the token lives longer, or was issued longer ago, than the provider's maxTokenAge.
	ErrTooOld = errors.New("token is too old")
	// ErrRevoked: the token is sound, and was revoked. No function of this package returns it; who holds revocations does.
	ErrRevoked = errors.New("token was revoked")
	// ErrRevocations: whether the token was revoked cannot be told; returned as ErrRevoked is.
	ErrRevocations = errors.New("revocations are not known")
	// ErrKeysUnavailable: the keys of the provider cannot be had at the moment.
	ErrKeysUnavailable = errors.New("keys of the provider are not available")
	// ErrInactive: the provider was asked, and says that the token is none, or no longer.
	ErrInactive = errors.New("token is not active")
	// ErrIntrospection: the provider could not be asked about the token, or its answer says nothing.
	ErrIntrospection = errors.New("the provider cannot be asked about the token")
	// ErrSender: the token is bound to somebody, and the request does not prove that it is theirs; or it must be, and is not.
	ErrSender = errors.New("the sender has not proved that the token is theirs")
	// ErrProof: the proof that the token was shown with (RFC 9449) is missing or not valid.
	ErrProof = errors.New("proof of possession is not valid")
	// ErrNonce: the proof needs a nonce of this server, and has none that is fresh.
	ErrNonce = errors.New("proof needs a fresh nonce")
	// ErrReplayed: the proof that came with the token was used before.
	ErrReplayed = errors.New("proof was used before")
	// ErrLedger: what replicas must remember of requests and tokens cannot be asked for, or has no more room.
	ErrLedger = errors.New("what was seen before cannot be told")
)

// malformed wraps ErrMalformed with a constant that says what is wrong.
func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }
