package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
)

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

// storedRevocation is a Revocation as it is kept outside of this process. Times are in seconds since 1970; 0 stands for none.
type storedRevocation struct {
	Issuer       string `json:"iss"`
	Namespace    string `json:"ns,omitempty"`
	ID           string `json:"jti,omitempty"`
	Session      string `json:"sid,omitempty"`
	Subject      string `json:"sub,omitempty"`
	IssuedBefore int64  `json:"before,omitempty"`
	Expires      int64  `json:"exp,omitempty"`
}

// Encode writes r as a JSON object on one line, which DecodeRevocation reads.
func (r *Revocation) Encode() []byte {
	s := storedRevocation{Issuer: r.Scope.Issuer, Namespace: r.Scope.Namespace}
	switch r.By {
	case RevokedByID:
		s.ID = r.Value
	case RevokedBySession:
		s.Session = r.Value
	case RevokedBySubject:
		s.Subject = r.Value
	case RevokedByIssuer:
	}
	if !r.IssuedBefore.IsZero() {
		s.IssuedBefore = r.IssuedBefore.Unix()
	}
	if !r.Expires.IsZero() {
		s.Expires = r.Expires.Unix()
	}
	out, _ := json.Marshal(s) // texts and numbers: cannot fail
	return out
}

// DecodeRevocation reads what Encode wrote. What holds more, or less, than a Revocation has is an error: who wrote it may mean
// something else.
func DecodeRevocation(data []byte) (Revocation, error) {
	var s storedRevocation
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil || d.InputOffset() != int64(len(data)) {
		return Revocation{}, errors.New("is no revocation: not one JSON object of known members")
	}
	r := Revocation{Scope: RevocationScope{Issuer: s.Issuer, Namespace: s.Namespace}, By: RevokedByIssuer}
	named := 0
	for by, value := range []string{s.ID, s.Session, s.Subject} {
		if value != "" {
			r.By, r.Value = RevokedBy(by), value //nolint:gosec // at most 2
			named++
		}
	}
	if s.IssuedBefore != 0 {
		r.IssuedBefore = time.Unix(s.IssuedBefore, 0)
	}
	if s.Expires != 0 {
		r.Expires = time.Unix(s.Expires, 0)
	}
	if s.Issuer == "" || named > 1 || named == 0 && s.IssuedBefore == 0 || s.IssuedBefore < 0 || s.Expires < 0 {
		return Revocation{}, errors.New("is no revocation: it names no token, or too many")
	}
	return r, nil
}
