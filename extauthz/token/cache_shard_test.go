package token

import (
	"fmt"
	"testing"
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
func shard(now int64, entries ...*cacheEntry) *cacheShard {
	s := &cacheShard{places: make(map[uint64]int32), limit: 100}
	for i, e := range entries {
		e.hash = uint64(i)
		s.add(e, now)
	}
	return s
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
	entry := func(bytes, expires int64) *cacheEntry { return &cacheEntry{bytes: bytes, expires: expires} }
	asked := func(bytes, expires int64) *cacheEntry {
		e := entry(bytes, expires)
		e.asked.Store(true)
		return e
	}
	tests := []struct {
		name    string
		entries []*cacheEntry
		want    string
	}{
		{"one takes all the room", []*cacheEntry{entry(100, now+9)}, "[0]"},
		{"two take all the room", []*cacheEntry{entry(50, now+9), entry(50, now+9)}, "[0 1]"},
		{"one that never fits pushes nothing out", []*cacheEntry{entry(50, now+9), entry(101, now+9)}, "[0]"},
		{"one byte too much", []*cacheEntry{entry(50, now+9), entry(51, now+9)}, "[1]"},
		{"expired", []*cacheEntry{entry(10, now-1), entry(10, now+9)}, "[1]"},
		{"exp may have a fraction, so its last second counts", []*cacheEntry{entry(10, now), entry(10, now+9)}, "[0 1]"},
		{"the one that nobody asked for goes", []*cacheEntry{asked(40, now+9), entry(40, now+9), entry(40, now+9)}, "[0 2]"},
		{"the one that was asked for stays to its last second", []*cacheEntry{entry(40, now+9), asked(40, now), entry(40, now+9)}, "[1 2]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := shard(now, test.entries...)
			if got := fmt.Sprint(s.holds(len(test.entries))); got != test.want {
				t.Errorf("holds %s, want %s", got, test.want)
			}
			var bytes int64
			for _, hash := range s.holds(len(test.entries)) {
				bytes += test.entries[hash].bytes
			}
			if s.bytes != bytes {
				t.Errorf("says %d bytes, holds %d", s.bytes, bytes)
			}
		})
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
