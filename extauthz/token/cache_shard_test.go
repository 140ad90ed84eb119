package token

import (
	"fmt"
	"testing"
	"time"
)

// The cache has as many shards as leave each a MiB, a power of two up to 64, and together they take no more than the limit.
func TestCacheShards(t *testing.T) {
	for _, test := range []struct {
		limit int64
		want  int
	}{
		{1, 1}, {1<<20 - 1, 1}, {2<<20 - 1, 1}, {2 << 20, 2}, {4<<20 - 1, 2}, {7 << 20, 4}, {64 << 20, 64}, {1 << 40, 64},
	} {
		c, sum := newCache(test.limit), int64(0)
		for i := range c.shards {
			sum += c.shards[i].limit
		}
		if len(c.shards) != test.want || sum > test.limit || sum <= test.limit-int64(test.want) {
			t.Errorf("%d bytes: %d shards for %d bytes, want %d shards", test.limit, len(c.shards), sum, test.want)
		}
	}
}

// Every shard takes its share of the tokens, and the figures are those of all shards together.
func TestCacheUsesEveryShard(t *testing.T) {
	const tokens = 2000
	c, p := newCache(64<<20), corp(t, nil)
	for i := range tokens {
		raw := fmt.Sprint("token ", i)
		c.miss(c.hash(raw))
		c.add(raw, "{}", &Identity{Provider: p, Issuer: p.Issuer, Expiry: testNow}, p.Static, testNow)
		c.hit(c.find(c.hash(raw), raw, p))
	}
	var weight int64
	for i := range c.shards {
		if len(c.shards[i].places) == 0 {
			t.Errorf("shard %d holds nothing", i)
		}
		weight += c.shards[i].bytes
	}
	if entries, bytes, hits, misses := c.stats(); entries != tokens || bytes != weight || hits != tokens || misses != tokens {
		t.Errorf("%d entries of %d bytes, %d hits, %d misses, want %d of each and %d bytes", entries, bytes, hits, misses, tokens, weight)
	}
}

// Providers whose fingerprints lead to the same place do not find one another's tokens.
func TestCacheComparesWholeFingerprints(t *testing.T) {
	c := newCache(1 << 20)
	a := corp(t, func(p *Provider) { p.Fingerprint = [32]byte{0: 7} })
	b := corp(t, func(p *Provider) { p.Fingerprint = [32]byte{8: 7} })
	hash := c.hash("verified")
	if of(hash, a) != of(hash, b) {
		t.Fatal("they do not lead to the same place")
	}
	c.add("verified", "{}", &Identity{Provider: a, Issuer: a.Issuer, Expiry: testNow}, a.Static, testNow)
	if c.find(hash, "verified", a) == nil || c.find(hash, "verified", b) != nil {
		t.Error("the fingerprint does not decide")
	}
}

// shard makes a shard with room for 100 bytes that holds these entries, put in one after the other.
func shard(now time.Time, entries ...*Identity) *cacheShard {
	s := &cacheShard{places: make(map[uint64]int32), limit: 100}
	for i, id := range entries {
		id.entry.hash, id.entry.shard = uint64(i), s
		s.add(id, now)
	}
	return s
}

// entry is an identity for a shard, of so many bytes, that is over at a second.
func entry(bytes, expires int64) *Identity {
	return &Identity{Provider: &Provider{}, Expiry: time.Unix(expires, 0), entry: cacheEntry{bytes: bytes}}
}

// holds tells which of the entries that were put into the shard, by number, are there.
func (s *cacheShard) holds(n int) (list []uint64) {
	for hash := range uint64(n) {
		if _, ok := s.places[hash]; ok {
			list = append(list, hash)
		}
	}
	return list
}

func TestShardGivesUpEntries(t *testing.T) {
	now := testNow.Unix()
	asked := func(bytes, expires int64) *Identity {
		id := entry(bytes, expires)
		id.entry.asked.Store(true)
		return id
	}
	tests := []struct {
		name    string
		entries []*Identity
		want    string
	}{
		{"one takes all the room", []*Identity{entry(100, now+9)}, "[0]"},
		{"two take all the room", []*Identity{entry(50, now+9), entry(50, now+9)}, "[0 1]"},
		{"one that never fits pushes nothing out", []*Identity{entry(50, now+9), entry(101, now+9)}, "[0]"},
		{"one byte too much", []*Identity{entry(50, now+9), entry(51, now+9)}, "[1]"},
		{"expired", []*Identity{entry(10, now-1), entry(10, now+9)}, "[1]"},
		{"exp may have a fraction, so its last second counts", []*Identity{entry(10, now), entry(10, now+9)}, "[0 1]"},
		{"the one that nobody asked for goes", []*Identity{asked(40, now+9), entry(40, now+9), entry(40, now+9)}, "[0 2]"},
		{"the one that was asked for stays to its last second", []*Identity{entry(40, now+9), asked(40, now), entry(40, now+9)}, "[1 2]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := shard(testNow, test.entries...)
			if got := fmt.Sprint(s.holds(len(test.entries))); got != test.want {
				t.Errorf("holds %s, want %s", got, test.want)
			}
			var bytes int64
			for _, hash := range s.holds(len(test.entries)) {
				bytes += test.entries[hash].entry.bytes
			}
			if s.bytes != bytes {
				t.Errorf("says %d bytes, holds %d", s.bytes, bytes)
			}
		})
	}
}

// What an entry keeps later on is counted as well, pushes others out, and is refused where it alone would not fit.
func TestShardCountsWhatGrows(t *testing.T) {
	over := testNow.Unix() + 9
	a, b, c := entry(40, over), entry(40, over), entry(10, over)
	s := shard(testNow, a, b, c)
	a.entry.asked.Store(true)
	if !s.grow(a, 50) || s.bytes != 100 || fmt.Sprint(s.holds(3)) != "[0 2]" {
		t.Errorf("after one grew: %d bytes in %v", s.bytes, s.holds(3))
	}
	if s.grow(a, 11) || s.bytes != 100 {
		t.Errorf("it grew beyond the room, to %d bytes", s.bytes)
	}
	if !s.grow(b, 1000) || s.bytes != 100 {
		t.Errorf("what was given up is counted: %d bytes", s.bytes)
	}
	if !s.grow(a, -50) || s.bytes != 50 {
		t.Errorf("%d bytes after it shrank", s.bytes)
	}
	s.remove(s.places[a.entry.hash])
	s.remove(s.places[c.entry.hash])
	if s.bytes != 0 {
		t.Errorf("%d bytes in an empty shard", s.bytes)
	}
}

// A provider that reads other places stands in front of the one whose token it is.
func TestCacheLooksPastOtherProviders(t *testing.T) {
	v := verifier(t, Config{CacheBytes: 1 << 20})
	elsewhere := corp(t, func(p *Provider) { p.Sources = []Source{{Cookie: "t"}} })
	p := corp(t, nil)
	raw := sign(t, EdDSA, "ed", `{"alg":"EdDSA","kid":"ed"}`, claims(nil))
	for i := range 2 {
		if hit, err := hits(t, v, raw, elsewhere, p); hit != (i > 0) || err != nil {
			t.Errorf("time %d: found %v, error %v", i, hit, err)
		}
	}
}

func TestNoCacheCountsNothing(t *testing.T) {
	v := verifier(t, Config{})
	if hit, err := hits(t, v, sign(t, EdDSA, "ed", `{"alg":"EdDSA","kid":"ed"}`, claims(nil)), corp(t, nil)); hit || err != nil {
		t.Errorf("found %v, error %v", hit, err)
	}
	if _, _, _, misses := v.CacheStats(); misses != 0 {
		t.Errorf("%d misses", misses)
	}
}
