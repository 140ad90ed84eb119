package token

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// Identity is what a token proves. It is immutable and shared between requests by the cache.
type Identity struct {
	// Provider is the one that vouches for the identity, or another with an equal Fingerprint.
	Provider *Provider
	// Issuer is iss, Subject the claim that the provider maps to the subject. Neither is ever empty.
	Issuer, Subject string
	// TokenID is jti and SessionID sid (OpenID Connect Back-Channel Logout §2.1), "" where the token has none that is a text:
	// what a Revocation may name.
	TokenID, SessionID string
	// Audiences are the values of the provider's audience claim.
	Audiences []string
	// Scopes, Roles and Groups are what the provider's claim mappings name, nil where the claim is absent or
	// is neither a string nor an array of strings.
	Scopes, Roles, Groups []string
	// Claims is the whole payload.
	Claims Claims
	// IssuedAt and NotBefore are zero where the token does not say; Expiry never is.
	IssuedAt, NotBefore, Expiry time.Time

	confirmation *confirmation // nil: the token is not bound
}

// Provider is one issuer whose tokens are believed. It is made when the configuration is compiled, and
// immutable after that.
type Provider struct {
	// Name is "IdentityProvider/namespace/name" or "ClusterIdentityProvider/name", unique within a snapshot.
	Name string
	// Namespace of an IdentityProvider; "" for a ClusterIdentityProvider.
	Namespace string
	// UID of the object, which another one of the same name does not have; "" in files. Keys that outlive a restart are
	// kept for it.
	UID string
	// Fingerprint changes with everything that verification depends on, apart from remote keys: providers of
	// equal fingerprints are interchangeable, and share cached tokens.
	Fingerprint [32]byte
	// Issuer must equal iss, byte for byte.
	Issuer string
	// Audiences: at least one must be among the token's. Without any, no token is accepted.
	Audiences []string
	// AudienceClaim is the claim that holds the audience; the zero value means aud.
	AudienceClaim ClaimPath
	// Algorithms are those that the provider signs with.
	Algorithms Algorithms
	// TokenTypes are the accepted values of typ, lower case and without "application/". A token without typ
	// counts as "jwt".
	TokenTypes []string
	// ClockSkew is the leeway on every time, at most 60 s; more counts as 60 s.
	ClockSkew time.Duration
	// MaxTokenAge, where it is not 0, requires iat and bounds exp - iat and now - iat, both without leeway.
	MaxTokenAge time.Duration
	// Sources are the places where the provider's tokens stand.
	Sources []Source
	// Subject is the claim that names the caller; the zero value means sub.
	Subject ClaimPath
	// Scopes, Roles and Groups are the claims that hold them; the zero value means that there are none.
	Scopes, Roles, Groups ClaimPath
	// Decryption holds the keys of encrypted tokens; nil: the provider has none, and they are malformed. A set without a
	// key says that the keys could not be had.
	Decryption *PrivateKeySet
	// EncryptedOnly refuses tokens that were not encrypted.
	EncryptedOnly bool
	// Static holds the keys, where they came with the configuration; else it is nil and
	Static *KeySet
	// Remote says where they are fetched.
	Remote *Remote
	// Logout says which logout tokens of the provider are believed; nil: none.
	Logout *Logout
	// Introspection says how the provider is asked about tokens that are no JWT; nil: it is not.
	Introspection *Introspection
	// Sender says what is made of tokens that are bound to whoever may use them.
	Sender SenderMode
	// DPoP says with which proofs tokens may be shown; nil: with none, and a token that is bound to a key is refused.
	DPoP *DPoP
}

// Remote says where the keys of a provider are fetched. It is data only; package idp acts on it.
type Remote struct {
	// Discovery finds the key set through the metadata of Issuer (OIDC Discovery 1.0 §4, then RFC 8414 §3);
	// otherwise URL is that of the key set.
	Discovery bool
	URL       string
	Issuer    string
	// RootCAs is a PEM bundle of the authorities to trust; nil means the system's.
	RootCAs []byte
	// AllowHTTP permits URLs without TLS.
	AllowHTTP bool
	// Interval is the time between refreshes, MinInterval the least time between two that unknown keys
	// start, StaleFor how long keys serve after the last successful refresh.
	Interval, MinInterval, StaleFor time.Duration
}

// ID names everything in r: remotes of equal ID share keys and refreshes.
func (r *Remote) ID() [32]byte {
	var b []byte
	for _, flag := range []bool{r.Discovery, r.AllowHTTP} {
		if flag {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	for _, text := range []string{r.URL, r.Issuer, string(r.RootCAs)} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(text)))
		b = append(b, text...)
	}
	for _, d := range []time.Duration{r.Interval, r.MinInterval, r.StaleFor} {
		b = binary.BigEndian.AppendUint64(b, uint64(d))
	}
	return sha256.Sum256(b)
}

// maxClockSkew bounds the leeway on times, whatever the configuration says.
const maxClockSkew = time.Minute

func (p *Provider) skew() time.Duration { return min(max(p.ClockSkew, 0), maxClockSkew) }

// reads reports whether tokens of p may stand at s.
func (p *Provider) reads(s Source) bool {
	for i := range p.Sources {
		if p.Sources[i].same(s) {
			return true
		}
	}
	return false
}
