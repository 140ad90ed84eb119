package token

import "time"

// Revocation names tokens that are refused from now on, by what stands in them, and never by their text or a hash of it. It
// is data only: package revocation finds the tokens.
type Revocation struct {
	// Scope are the providers whose tokens are meant.
	Scope RevocationScope
	// By says what Value names.
	By RevokedBy
	// Value of the claim; "" for RevokedByIssuer.
	Value string
	// IssuedBefore spares tokens that were issued at that time or later (iat), in whole seconds; the zero value spares none.
	// A token that does not say when it was issued is not spared.
	IssuedBefore time.Time
	// Expires is when the revocation ends, in whole seconds: the tokens that it names must have expired by then. The zero
	// value never ends.
	Expires time.Time
}

// RevocationScope are the providers of one issuer: those of one namespace, or, where that is "", all of them.
type RevocationScope struct {
	Issuer, Namespace string
}

// RevokedBy is what a revocation names tokens by.
type RevokedBy uint8

// What a revocation names tokens by.
const (
	// RevokedByID names one token by its jti.
	RevokedByID RevokedBy = iota
	// RevokedBySession names the tokens of a session by their sid.
	RevokedBySession
	// RevokedBySubject names the tokens of a subject by their sub, whatever claim the provider maps to the subject.
	RevokedBySubject
	// RevokedByIssuer names every token of the issuer.
	RevokedByIssuer
)

// claimedSubject is the claim sub, which need not be the one that the provider maps to the subject; "" where there is none.
func (id *Identity) claimedSubject() string {
	if name := id.Provider.Subject.name; name == "" || name == "sub" {
		return id.Subject
	}
	sub, _ := Text(id.Claims["sub"])
	return sub
}

// Revocable is the value by which a revocation of this kind would name the token; "" where there is none. It does not
// allocate.
func (id *Identity) Revocable(by RevokedBy) string {
	switch by {
	case RevokedByID:
		return id.TokenID
	case RevokedBySession:
		return id.SessionID
	case RevokedBySubject:
		return id.claimedSubject()
	}
	return ""
}
