// Package revocation remembers which tokens are revoked, and says whether a token is one of them.
//
//	set := revocation.NewSet()
//	set.Put(revocation.FromObjects, "shop/offboarding", set.Digest(revocations))
//	// id is what a token proved
//	if set.Revoked(id, now) { … }
//	set.Prune(now)
//
// A revocation is kept as 24 bytes: a hash of its value, which is that of a claim and never of a token, under keys that
// this process drew when it began, and two times. No value can be read out of it, and who does not know the keys cannot
// find two values of one hash. Of every 2^128 pairs of values one has the same hash by chance; such a token would be
// refused, never the other way round.
//
// The package does no I/O and has no clock. Where revocations come from, and how they spread, is for its callers.
package revocation

import (
	"fmt"
	"hash/maphash"
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

// From says where revocations come from.
type From uint8

const (
	// FromObjects: a person, or a program of the platform, wrote a TokenRevocation.
	FromObjects From = iota
	// FromLogout: a provider told of a logout.
	FromLogout
	sources
)

// String is the word in metrics.
func (f From) String() string {
	if f == FromLogout {
		return "Logout"
	}
	return "Object"
}

// Set holds revocations of several sources, each of which can be replaced by itself. Safe for concurrent use: looking up
// waits for nobody but who changes the same part of it. The zero Set is not usable; a nil one holds nothing.
type Set struct {
	seeds  [2]maphash.Seed
	total  atomic.Int64
	fresh  atomic.Int64 // until when, in seconds since 1970; 0: always
	shards [shards]shard

	scopes sync.RWMutex // of groups
	groups map[token.RevocationScope]*group

	mu      sync.Mutex // of everything below, and of changes
	lists   map[listKey]*Digest
	counts  [sources]int
	changed [sources]time.Time
}

// listKey names a list of revocations that was put in.
type listKey struct {
	from From
	name string
}

// group counts what is revoked in one scope, so that nothing is looked for where nothing can be.
type group struct {
	salt [2]uint64
	by   [kinds]atomic.Int64
	all  atomic.Int64
}

const kinds = int(token.RevokedByIssuer) + 1

// NewSet returns a Set that holds nothing.
func NewSet() *Set {
	return &Set{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, groups: map[token.RevocationScope]*group{}, lists: map[listKey]*Digest{}}
}

// Digest is a list of revocations as a Set keeps it. It is of use to the Set that made it only, and immutable to others.
type Digest struct {
	parts []part
	n     int
	soon  uint32 // the earliest end of one of them
}

// part is what a list says of one scope by one kind.
type part struct {
	scope token.RevocationScope
	by    token.RevokedBy
	list  []record
}

// record is one revocation. Times are in seconds since 1970, which an uint32 counts until the year 2106.
type record struct {
	hash [2]uint64
	// before: tokens issued before it are revoked; always: whenever they were issued.
	before uint32
	// expires is when it ends; never: not by itself.
	expires uint32
}

const (
	always = math.MaxUint32
	never  = math.MaxUint32
)

// Len counts the revocations.
func (d *Digest) Len() int { return d.n }

// Digest makes a list ready to be put in. Nothing of the list is kept. It does not wait.
func (s *Set) Digest(list []token.Revocation) *Digest {
	d := &Digest{soon: never}
	type place struct {
		scope token.RevocationScope
		by    token.RevokedBy
	}
	places := map[place]int{}
	salts := map[token.RevocationScope][2]uint64{}
	for i := range list {
		r := &list[i]
		at, known := places[place{r.Scope, r.By}]
		if !known {
			at = len(d.parts)
			places[place{r.Scope, r.By}] = at
			d.parts = append(d.parts, part{scope: r.Scope, by: r.By})
		}
		salt, known := salts[r.Scope]
		if !known {
			salt = s.salt(r.Scope)
			salts[r.Scope] = salt
		}
		out := record{hash: s.hash(salt, r.By, r.Value), before: always, expires: never}
		if !r.IssuedBefore.IsZero() {
			out.before = seconds(r.IssuedBefore, always-1)
		}
		if !r.Expires.IsZero() {
			out.expires = seconds(r.Expires, never)
		}
		d.parts[at].list = append(d.parts[at].list, out)
		d.soon, d.n = min(d.soon, out.expires), d.n+1
	}
	for i := range d.parts { // growing has left room that nobody needs
		d.parts[i].list = append(make([]record, 0, len(d.parts[i].list)), d.parts[i].list...)
	}
	return d
}

// seconds is t since 1970, at most most.
func seconds(t time.Time, most uint32) uint32 {
	return uint32(min(max(t.Unix(), 0), int64(most)))
}

// salt tells equal values of several scopes apart.
func (s *Set) salt(scope token.RevocationScope) (out [2]uint64) {
	for i, seed := range s.seeds {
		out[i] = maphash.String(seed, scope.Issuer) ^ bits.RotateLeft64(maphash.String(seed, scope.Namespace), 23)
	}
	return out
}

// kindSalt tells equal values of several kinds apart: odd numbers without a pattern, from the digits of π.
var kindSalt = [kinds]uint64{0x243f6a8885a308d3, 0x13198a2e03707345, 0xa4093822299f31d1, 0x082efa98ec4e6c89}

func (s *Set) hash(salt [2]uint64, by token.RevokedBy, value string) [2]uint64 {
	salt[0] ^= kindSalt[by]
	salt[1] ^= bits.RotateLeft64(kindSalt[by], 32)
	return [2]uint64{maphash.String(s.seeds[0], value) ^ salt[0], maphash.String(s.seeds[1], value) ^ salt[1]}
}

// Judge is nil where the token that proved id is not revoked at the time now. The error wraps token.ErrRevoked, or
// token.ErrRevocations where it cannot be told: see Fresh.
func (s *Set) Judge(id *token.Identity, now time.Time) error {
	if s.Revoked(id, now) {
		return token.ErrRevoked
	}
	if s == nil || id.Provider.Logout == nil {
		return nil
	}
	if until := s.fresh.Load(); until != 0 && now.Unix() >= until {
		return errStale
	}
	return nil
}

// errStale says that nobody knows what was revoked lately.
var errStale = fmt.Errorf("%w: they were not read yet, or not for too long", token.ErrRevocations)

// Fresh says that logouts are known up to now, and that this is good until the time until: from then on tokens of providers
// that tell of logouts are refused. The zero time stands for long ago. A Set of which nobody says so is always fresh.
func (s *Set) Fresh(until time.Time) { s.fresh.Store(max(until.Unix(), 1)) }

// GoodUntil is what Fresh was told last; false where it was told nothing.
func (s *Set) GoodUntil() (time.Time, bool) {
	until := s.fresh.Load()
	return time.Unix(until, 0), until != 0
}

// Revoked tells whether the token that proved id is revoked at the time now. It does not allocate, and where nothing is
// revoked it looks at nothing.
func (s *Set) Revoked(id *token.Identity, now time.Time) bool {
	if s == nil || s.total.Load() == 0 {
		return false
	}
	if s.revoked(token.RevocationScope{Issuer: id.Issuer}, id, now) {
		return true
	}
	namespace := id.Provider.Namespace
	return namespace != "" && s.revoked(token.RevocationScope{Issuer: id.Issuer, Namespace: namespace}, id, now)
}

func (s *Set) revoked(scope token.RevocationScope, id *token.Identity, now time.Time) bool {
	g := s.group(scope)
	if g == nil {
		return false
	}
	at, issued := seconds(now, never-1), int64(-1)
	if !id.IssuedAt.IsZero() {
		issued = id.IssuedAt.Unix()
	}
	for by := range token.RevokedBy(kinds) {
		if g.by[by].Load() == 0 {
			continue
		}
		value := id.Revocable(by)
		if value == "" && by != token.RevokedByIssuer {
			continue
		}
		if h := s.hash(g.salt, by, value); s.shard(h).holds(h, issued, at) {
			return true
		}
	}
	return false
}

// Stats are what a Set holds of one source.
type Stats struct {
	// Entries, expired ones included until the next Prune.
	Entries int
	// Changed is when they last changed; zero: never.
	Changed time.Time
}

// Stats of a source.
func (s *Set) Stats(from From) Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{s.counts[from], s.changed[from]}
}
