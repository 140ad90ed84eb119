package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// maxPrivateKeys bounds a set of private keys: those of a rotation are a handful.
const maxPrivateKeys = 64

// PrivateKeySet is an immutable set of keys that decrypt tokens. It is made by ParsePrivateKeys; the zero value holds no
// key, and decrypts nothing. It never shows key material.
type PrivateKeySet struct {
	keys []*privateKey // in the order of their kids
	byID map[string]*privateKey
}

// Len returns the number of keys.
func (s *PrivateKeySet) Len() int { return len(s.keys) }

// KeyIDs returns the kids of the set, sorted.
func (s *PrivateKeySet) KeyIDs() []string { return slices.Sorted(maps.Keys(s.byID)) }

// of returns the keys that the token may mean: that of its kid, or all where it has none.
func (s *PrivateKeySet) of(t *encryptedToken) []*privateKey {
	if !t.hasKid {
		return s.keys
	}
	if k := s.byID[t.kid]; k != nil {
		return []*privateKey{k}
	}
	return nil
}

// privateKey is one key that decrypts, and what it may decrypt, settled when it was read.
type privateKey struct {
	id         string
	algorithms []jose.KeyAlgorithm
	contents   []jose.ContentEncryption // nil: every one
	crv        string                   // of an EC key
	material   any                      // *rsa.PrivateKey, *ecdsa.PrivateKey or []byte, as go-jose takes them
}

// fits reports whether k may decrypt t, which its header alone decides.
func (k *privateKey) fits(t *encryptedToken) bool {
	return slices.Contains(k.algorithms, t.algorithm) && k.crv == t.ephemeral &&
		(k.contents == nil || slices.Contains(k.contents, t.content.name))
}

// takes reports whether the encrypted key of t has the size that k gives it, where that depends on k.
func (k *privateKey) takes(encrypted int, t *encryptedToken) bool {
	private, ok := k.material.(*rsa.PrivateKey)
	return !ok || t.algorithm == jose.RSA_OAEP_256 && encrypted == private.Size()
}

// same reports whether k and o are the same key, whatever they are called.
func (k *privateKey) same(o *privateKey) bool {
	switch material := k.material.(type) {
	case *rsa.PrivateKey:
		return material.Equal(o.material)
	case *ecdsa.PrivateKey:
		return material.Equal(o.material)
	case []byte:
		other, ok := o.material.([]byte)
		return ok && subtle.ConstantTimeCompare(material, other) == 1
	}
	return false
}

// ParsePrivateKeys reads the data of a Secret: each value is one private key in PEM, whose kid is its name, one JWK, whose
// kid is its name unless it has one, or a JWK Set (RFC 7517) of which each key has a kid. Keys are RSA of 2048 to 4096
// bits, EC of P-256, P-384 or P-521, or symmetric ones (kty oct) of the size of a content encryption.
//
// A key that cannot be read, or that is not for decryption, is left out, and so are all of a kid that stands there twice;
// problems has one error for each, which names it and holds no key material. set is never nil, but may be empty.
func ParsePrivateKeys(data map[string][]byte) (set *PrivateKeySet, problems []error) {
	r := privateReader{uses: map[string]int{}}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		r.read(name, data[name])
	}
	set = &PrivateKeySet{byID: map[string]*privateKey{}}
	for _, k := range r.keys {
		if r.uses[k.id] > 1 {
			continue
		}
		set.keys = append(set.keys, k)
		set.byID[k.id] = k
	}
	for _, id := range slices.Sorted(maps.Keys(r.uses)) {
		if r.uses[id] > 1 {
			r.problems = append(r.problems, fmt.Errorf("%d keys have the kid %q; which one a token means is not to be told, so give each its own", r.uses[id], id))
		}
	}
	slices.SortFunc(set.keys, func(a, b *privateKey) int { return bytes.Compare([]byte(a.id), []byte(b.id)) })
	return set, r.problems
}

// privateReader reads the values of a Secret, one after the other.
type privateReader struct {
	keys     []*privateKey
	uses     map[string]int // of a kid
	problems []error
}

func (r *privateReader) read(name string, value []byte) {
	trimmed := bytes.TrimSpace(value)
	switch {
	case len(value) > maxKeySetBytes:
		r.refuse(name, errors.New("is larger than 1 MiB"))
	case bytes.HasPrefix(trimmed, []byte("{")):
		r.readJSON(name, string(trimmed))
	default:
		k, err := privatePEM(trimmed)
		r.add(name, name, k, err)
	}
}

// readJSON reads a JWK or a JWK Set.
func (r *privateReader) readJSON(name, text string) {
	object, err := parseObject(text)
	if err != nil {
		r.refuse(name, err)
		return
	}
	list, isSet := object["keys"]
	if !isSet {
		k, err := importPrivate(object)
		r.add(name, idOf(object, name), k, err)
		return
	}
	elements, ok := list.([]any)
	if !ok || len(elements) == 0 {
		r.refuse(name, errors.New("is a key set without keys"))
		return
	}
	for i, element := range elements {
		jwk, _ := element.(map[string]any)
		where := fmt.Sprintf("%s, key %d", name, i)
		if _, there := jwk["kid"]; !there {
			r.refuse(where, errors.New("has no kid; each key of a set needs one"))
			continue
		}
		k, err := importPrivate(jwk)
		r.add(where, idOf(jwk, ""), k, err)
	}
}

// idOf is the kid of a JWK, and def where it has none that could be one.
func idOf(jwk map[string]any, def string) string {
	if kid, ok := jwk["kid"].(string); ok && len(kid) <= maxKeyIDBytes {
		return kid
	}
	return def
}

// add takes k in. One that cannot be read claims its kid all the same: a token may have meant that one.
func (r *privateReader) add(where, id string, k *privateKey, err error) {
	r.uses[id]++
	switch {
	case err != nil:
		r.refuse(where, err)
	case len(r.keys) == maxPrivateKeys:
		r.refuse(where, errors.New("is one too many: there may be 64 keys"))
	default:
		k.id = id
		r.keys = append(r.keys, k)
	}
}

func (r *privateReader) refuse(where string, err error) {
	r.problems = append(r.problems, fmt.Errorf("%s: %w", where, err))
}
