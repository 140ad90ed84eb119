package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	// maxKeySetBytes and maxKeys bound a key set; the largest in the field hold some dozens of keys.
	maxKeySetBytes = 1 << 20
	maxKeys        = 256
)

// KeySet is an immutable set of keys that verify signatures. It is made by ParseJWKS, ParsePEM and
// NewHMACKeySet; the zero value holds no key. It never shows key material.
type KeySet struct {
	keys     []*key
	byID     map[string]*key
	nameless []*key
	origin   [32]byte // a digest of what the set was read from: equal origins are equal keys
}

func newKeySet(keys []*key, kind byte, data []byte) *KeySet {
	s := &KeySet{keys: keys, byID: make(map[string]*key), origin: sha256.Sum256(append([]byte{kind}, data...))}
	for _, k := range keys {
		if k.hasID {
			s.byID[k.id] = k
		} else {
			s.nameless = append(s.nameless, k)
		}
	}
	return s
}

// The first byte of what an origin digests, so that sets read in different ways differ.
const (
	originPublicJWKS byte = iota
	originSecretJWKS
	originPEM
	originHMAC
)

// same reports whether s and o hold the same keys because they were read from the same bytes.
func (s *KeySet) same(o *KeySet) bool {
	return s == o || s != nil && o != nil && s.origin == o.origin
}

// KeyIDs returns the kids of the set, sorted; keys without one are left out.
func (s *KeySet) KeyIDs() []string {
	ids := make([]string, 0, len(s.byID))
	for id := range s.byID {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Len returns the number of keys, those without a kid included.
func (s *KeySet) Len() int { return len(s.keys) }

// NewHMACKeySet returns the set of one shared secret, taken as it is, of at least 32 bytes. It verifies those
// HS algorithms whose hash is not longer than the secret (RFC 7518 §3.2). The secret is copied.
func NewHMACKeySet(secret []byte) (*KeySet, error) {
	k, err := hmacKey(slices.Clone(secret))
	if err != nil {
		return nil, err
	}
	return newKeySet([]*key{k}, originHMAC, secret), nil
}

// ParsePEM reads one or more blocks of the kinds PUBLIC KEY, RSA PUBLIC KEY and CERTIFICATE (RFC 7468). Any
// other kind, a private key above all, and any key that is too weak refuses the whole. Of a certificate only
// the key counts, not its dates or issuer. The keys have no kid.
func ParsePEM(data []byte) (*KeySet, error) {
	if len(data) > maxKeySetBytes {
		return nil, errors.New("more than 1 MiB of PEM")
	}
	var keys []*key
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		k, err := pemKey(block)
		if err != nil {
			return nil, fmt.Errorf("PEM block %d: %w", len(keys)+1, err)
		}
		if keys = append(keys, k); len(keys) > maxKeys {
			return nil, errors.New("more than 256 keys")
		}
	}
	// The decoder passes over a damaged block without a word.
	if begun := strings.Count(string(data), "-----BEGIN"); begun != len(keys) {
		return nil, errors.New("a PEM block cannot be read")
	}
	if len(keys) == 0 {
		return nil, errors.New("no PEM block")
	}
	return newKeySet(keys, originPEM, data), nil
}

func pemKey(block *pem.Block) (*key, error) {
	var public any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			public = certificate.PublicKey
		}
	default:
		return nil, errors.New("only PUBLIC KEY, RSA PUBLIC KEY and CERTIFICATE are read; a private key does not belong here")
	}
	if err != nil {
		return nil, errors.New("not a public key in DER")
	}
	switch public := public.(type) {
	case *rsa.PublicKey:
		return rsaKey(public)
	case *ecdsa.PublicKey:
		return ecdsaKey(public)
	case ed25519.PublicKey:
		return ed25519Key(public)
	}
	return nil, errors.New("not a key for RSA, ECDSA or Ed25519 signatures")
}
