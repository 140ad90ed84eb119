package token

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

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
	// Issuer must equal iss, byte for byte. With Tenants it is what theirs have in common, and no issuer itself.
	Issuer string
	// Tenants, where the issuer is a different one for each; else nil.
	Tenants *Tenants
	// ServiceAccounts: the tokens are those of Kubernetes' ServiceAccounts. Their subject is one, and Groups are its own.
	ServiceAccounts bool
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
	// Remote says where they are fetched. Both are nil where each tenant has keys of its own; see KeyHolders.
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
	// Discovery finds the key set through metadata (OIDC Discovery 1.0 §4, then RFC 8414 §3) that names Issuer: that of
	// Issuer itself, or where URL is not "" that of URL. Otherwise URL is that of the key set.
	Discovery bool
	// Kubernetes finds it at the API server of the cluster, whose metadata names Issuer; then there is no URL.
	Kubernetes bool
	URL        string
	// Issuer, in which TenantMark stands for whichever tenant it is, where tenants share their keys.
	Issuer string
	// Among is the Name of the provider, where its tenants have keys of their own; "" elsewhere. What tokens with unknown
	// keys start is bounded for all remotes of one name together, and no other provider has a share in it.
	Among string
	// RootCAs is a PEM bundle of the authorities to trust; nil means the system's.
	RootCAs []byte
	// AllowHTTP permits URLs without TLS.
	AllowHTTP bool
	// Interval is the time between refreshes, MinInterval the least time between two that unknown keys
	// start, StaleFor how long keys serve after the last successful refresh.
	Interval, MinInterval, StaleFor time.Duration
}

// Metadata is where the metadata of r's issuer is.
func (r *Remote) Metadata() string {
	if r.Discovery && r.URL != "" {
		return r.URL
	}
	return r.Issuer
}

// ID names everything in r: remotes of equal ID share keys and refreshes.
func (r *Remote) ID() [32]byte {
	b := []byte{0, 0}
	switch {
	case r.Kubernetes:
		b[0] = 2
	case r.Discovery:
		b[0] = 1
	}
	if r.AllowHTTP {
		b[1] = 1
	}
	texts := []string{r.URL, r.Issuer, string(r.RootCAs)}
	if r.Among != "" {
		texts = append(texts, r.Among) // the times behind it keep their length, so that it cannot be taken for them
	}
	for _, text := range texts {
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
