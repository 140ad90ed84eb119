package token

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// KeySource hands out the keys of providers whose Static is nil.
type KeySource interface {
	// Keys returns the current set of p. after is nil, or the set in which the caller has just looked for a
	// kid in vain: then a newer one is wanted, and Keys may wait, at most 100 ms, for one refresh that all
	// callers share; without a newer one it returns the same set. The error wraps ErrKeysUnavailable when
	// there is no usable set. Keys is called concurrently, and with a nil after on every Verify, so then it
	// must be cheap.
	Keys(ctx context.Context, p *Provider, after *KeySet) (*KeySet, error)
}

// Config is what a Verifier needs.
type Config struct {
	// Keys may be nil where every provider has Static keys.
	Keys KeySource
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// CacheBytes bounds the memory of the cache of verified tokens; 0 means that there is none.
	CacheBytes int64
}

// Verifier verifies tokens. It is safe for concurrent use.
type Verifier struct {
	keys  KeySource
	now   func() time.Time
	cache *cache // nil: none

	decryptions decryptions
}

// NewVerifier checks c and returns a Verifier.
func NewVerifier(c Config) (*Verifier, error) {
	if c.CacheBytes < 0 {
		return nil, errors.New("the size of the token cache must not be negative")
	}
	v := &Verifier{keys: c.Keys, now: c.Now}
	if v.now == nil {
		v.now = time.Now
	}
	if c.CacheBytes > 0 {
		v.cache = newCache(c.CacheBytes)
	}
	return v, nil
}

// CacheStats returns how many verified tokens the cache holds, what they weigh, and how often a token was
// found there or not.
func (v *Verifier) CacheStats() (entries int, bytes int64, hits, misses uint64) {
	if v.cache == nil {
		return 0, 0, 0, 0
	}
	return v.cache.stats()
}

// Verify checks cred, a JWS in compact form (RFC 7515 §7.1) that holds a JWT, and returns the identity it
// proves. Where a provider has keys for it, cred may be a JWE in compact form (RFC 7516 §7.1) whose plaintext
// is such a JWS, and no further JWE. Only a provider in trusted that issues iss, and whose tokens may stand at
// cred.Source, can have signed it; alg none is always refused (RFC 8725 §3.2). The error wraps exactly one of the Err
// values of this package. Nothing of cred.Raw is kept but copies.
//
// A token that was verified before is found again by all its bytes; audience and times are judged each time.
// That path neither allocates nor does cryptography, provided that Keys does not.
//
// Where the provider wants to be asked about tokens that it has signed (Introspection.Signed), what passes is refused with
// an AskError.
func (v *Verifier) Verify(ctx context.Context, cred Credential, trusted []*Provider) (*Identity, error) {
	if len(cred.Raw) > maxTokenBytes {
		return nil, malformed("longer than 16 KiB")
	}
	now := v.now()
	// The cache holds verified tokens only, so whatever it finds has the shape that is checked next.
	if id, p := v.cached(ctx, cred, trusted); id != nil {
		if p.asksOfSigned() {
			if err := id.checkTimes(p, now); err != nil {
				return nil, err
			}
			return nil, &AskError{Provider: p, signed: id}
		}
		if err := id.checkAudience(p); err != nil {
			return nil, err
		}
		if err := id.checkTimes(p, now); err != nil {
			return nil, err
		}
		return id, nil
	}
	return v.verify(ctx, cred, trusted, now)
}

// cached returns the identity of a token that was verified for one of the trusted providers, with the keys
// that this provider still has, and that provider.
func (v *Verifier) cached(ctx context.Context, cred Credential, trusted []*Provider) (*Identity, *Provider) {
	if v.cache == nil {
		return nil, nil
	}
	hash := v.cache.hash(cred.Raw)
	for _, p := range trusted {
		if !p.reads(cred.Source) {
			continue
		}
		e := v.cache.find(hash, cred.Raw, p)
		if e == nil {
			continue
		}
		if set, err := v.keysOf(ctx, p.keyHolder(e.Issuer), nil); err == nil && set.same(e.entry.keys) {
			v.cache.hit(e)
			return e, p
		}
	}
	v.cache.miss(hash)
	return nil, nil
}

// verify is Verify without the cache, but puts what passes into it.
func (v *Verifier) verify(ctx context.Context, cred Credential, trusted []*Provider, now time.Time) (*Identity, error) {
	signed, encrypted := cred.Raw, anyDecrypts(trusted) && isEncrypted(cred.Raw)
	if encrypted {
		var err error
		signed, trusted, err = decrypt(cred, trusted)
		if v.decryptions.count(err); err != nil {
			return nil, err
		}
	}
	parts, err := splitCompact(signed)
	if err != nil {
		return nil, err
	}
	h, err := parseHeader(parts.header)
	if err != nil {
		return nil, err
	}
	payload, text, err := decodeObject(parts.payload, "payload")
	if err != nil {
		return nil, err
	}
	p, err := pick(payload, cred.Source, trusted)
	if err != nil {
		return nil, err
	}
	if p.EncryptedOnly && !encrypted {
		return nil, fmt.Errorf("%w: the provider encrypts its tokens, and this one is only signed", ErrTokenType)
	}
	if !p.Algorithms.Has(h.algorithm) {
		return nil, fmt.Errorf("%w: the provider does not sign with it", ErrAlgorithm)
	}
	set, err := v.checkSignature(ctx, p, h, parts, payload["iss"].(string)) // pick has seen to it that it is one
	if err != nil {
		return nil, err
	}
	if !encrypted {
		text = "" // it stands in the token
	}
	if p.asksOfSigned() {
		id, err := signedOnly(p, payload, h.typ, now)
		if err != nil {
			return nil, err
		}
		v.remember(cred.Raw, text, id, set, now)
		return nil, &AskError{Provider: p, signed: id}
	}
	id, err := prove(p, payload, h.typ, now)
	if err != nil {
		return nil, err
	}
	v.remember(cred.Raw, text, id, set, now)
	return id, nil
}

// remember puts a token that set has verified into the cache, where there is one; text is its payload, "" where that stands
// in raw.
func (v *Verifier) remember(raw, text string, id *Identity, set *KeySet, now time.Time) {
	if v.cache != nil {
		v.cache.add(raw, text, id, set, now)
	}
}

// pick returns the provider of this iss among those whose tokens may stand at source.
func pick(payload map[string]any, source Source, trusted []*Provider) (*Provider, error) {
	iss, ok := payload["iss"].(string)
	if !ok {
		return nil, malformed("iss is missing or not a string")
	}
	for _, p := range trusted {
		if p.Issues(iss) && p.reads(source) {
			return p, nil
		}
	}
	return nil, ErrUntrustedIssuer
}

// checkSignature returns the key set that verified a token of p with this iss. A kid that the set does not have asks once
// for a newer set; a bad signature never does.
func (v *Verifier) checkSignature(ctx context.Context, p *Provider, h header, parts compactJWS, iss string) (*KeySet, error) {
	signature, err := base64url.DecodeString(parts.signature)
	if err != nil {
		return nil, malformed("signature is not base64url")
	}
	holder, by := p.keyHolder(iss), signer{iss, p.tenant(iss)}
	set, err := v.keysOf(ctx, holder, nil)
	if err != nil {
		return nil, err
	}
	err = set.check(h, parts.input, signature, by)
	if !errors.Is(err, ErrUnknownKey) {
		return set, err
	}
	newer, fetchErr := v.keysOf(ctx, holder, set)
	switch {
	case fetchErr != nil:
		return nil, fetchErr
	case newer == set:
		return nil, err
	}
	return newer, newer.check(h, parts.input, signature, by)
}

// keysOf returns the current keys of p, or those after a set that lacks a kid.
func (v *Verifier) keysOf(ctx context.Context, p *Provider, after *KeySet) (*KeySet, error) {
	if p.Static != nil {
		return p.Static, nil
	}
	if v.keys == nil {
		return nil, ErrKeysUnavailable
	}
	set, err := v.keys.Keys(ctx, p, after)
	switch {
	case errors.Is(err, ErrKeysUnavailable):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrKeysUnavailable, err)
	case set == nil:
		return nil, ErrKeysUnavailable
	}
	return set, nil
}
