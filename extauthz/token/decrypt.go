package token

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// Decryptions counts encrypted tokens that were in no cache, by what became of them.
type Decryptions struct {
	// Succeeded counts those that were decrypted; what is inside may be refused all the same.
	Succeeded uint64
	// Failed counts those that are malformed, or that the key does not decrypt.
	Failed uint64
	// UnknownKey counts those of which no provider of the place has the key.
	UnknownKey uint64
	// AlgorithmNotAllowed counts those whose algorithm does not fit the key.
	AlgorithmNotAllowed uint64
	// KeysUnavailable counts those for a provider whose keys to decrypt with are missing.
	KeysUnavailable uint64
}

// decryptions are the counters behind Decryptions.
type decryptions struct{ succeeded, failed, unknownKey, algorithm, unavailable atomic.Uint64 }

// count counts what decrypt said.
func (d *decryptions) count(err error) {
	counter := &d.failed
	switch {
	case err == nil:
		counter = &d.succeeded
	case errors.Is(err, ErrUnknownKey):
		counter = &d.unknownKey
	case errors.Is(err, ErrAlgorithm):
		counter = &d.algorithm
	case errors.Is(err, ErrKeysUnavailable):
		counter = &d.unavailable
	}
	counter.Add(1)
}

// Decryptions returns how often tokens were decrypted, and how often they could not be.
func (v *Verifier) Decryptions() Decryptions {
	d := &v.decryptions
	return Decryptions{
		Succeeded: d.succeeded.Load(), Failed: d.failed.Load(), UnknownKey: d.unknownKey.Load(),
		AlgorithmNotAllowed: d.algorithm.Load(), KeysUnavailable: d.unavailable.Load(),
	}
}

// anyDecrypts reports whether encrypted tokens are believed at all. It is all that a token costs which is not encrypted,
// where no provider says decryption.
func anyDecrypts(trusted []*Provider) bool {
	for _, p := range trusted {
		if p.Decryption != nil {
			return true
		}
	}
	return false
}

// decrypt decrypts a token, and returns what should be a JWS, with the trusted providers that may have signed it: those
// that have the key. That anybody could encrypt it matters nothing, as encryption proves nothing.
//
// The error wraps ErrMalformed for whatever is wrong with the token or comes of decrypting it, without a difference;
// ErrUnknownKey and ErrAlgorithm, which the header alone decides; or ErrKeysUnavailable.
func decrypt(cred Credential, trusted []*Provider) (signed string, holders []*Provider, err error) {
	t, err := parseEncrypted(cred.Raw)
	if err != nil {
		return "", nil, err
	}
	found := find(t, cred.Source, trusted)
	if err := found.problem(); err != nil {
		return "", nil, err
	}
	for _, c := range found.candidates[:min(len(found.candidates), maxKeysTried)] {
		if signed, ok := t.open(c.key); ok {
			return signed, c.holders, nil
		}
	}
	if found.missing {
		return "", nil, fmt.Errorf("%w: those to decrypt with", ErrKeysUnavailable)
	}
	return "", nil, errUndecryptable()
}

func errUndecryptable() error { return malformed("it cannot be decrypted") }

// candidate is a key that may decrypt a token, with the providers that have it.
type candidate struct {
	key     *privateKey
	holders []*Provider
}

// findings are the keys of trusted providers for a token.
type findings struct {
	candidates []*candidate
	// known: there is a key of this kid. missing: a provider has no key at all, though it should.
	known, missing bool
}

func find(t *encryptedToken, source Source, trusted []*Provider) findings {
	var f findings
	for _, p := range trusted {
		if p.Decryption == nil || !p.reads(source) {
			continue
		}
		f.missing = f.missing || p.Decryption.Len() == 0
		for _, k := range p.Decryption.of(t) {
			f.known = true
			if k.fits(t) {
				f.add(k, p)
			}
		}
	}
	return f
}

// add adds a key, once, however many providers have it.
func (f *findings) add(k *privateKey, holder *Provider) {
	for _, c := range f.candidates {
		if c.key.same(k) {
			c.holders = append(c.holders, holder)
			return
		}
	}
	f.candidates = append(f.candidates, &candidate{k, []*Provider{holder}})
}

// problem says why there is no candidate, nil where there is one.
func (f *findings) problem() error {
	switch {
	case len(f.candidates) > 0:
		return nil
	case f.missing:
		return fmt.Errorf("%w: those to decrypt with", ErrKeysUnavailable)
	case !f.known:
		return fmt.Errorf("%w: no key of this kid decrypts", ErrUnknownKey)
	}
	return fmt.Errorf("%w: no key of the provider may decrypt it", ErrAlgorithm)
}

// Decrypt decrypts a JWE in compact form as Verify does, and returns the plaintext, which may be any bytes. It judges
// nothing of them, and says nothing about who wrote them. The error wraps ErrMalformed, ErrAlgorithm, ErrUnknownKey or,
// of a set without a key, ErrKeysUnavailable.
func (s *PrivateKeySet) Decrypt(compact string) (plaintext []byte, err error) {
	text, _, err := decrypt(Credential{Raw: compact}, []*Provider{{Decryption: s, Sources: []Source{{}}}})
	if err != nil {
		return nil, err
	}
	return []byte(text), nil
}
