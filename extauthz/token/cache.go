package token

import (
	"encoding/binary"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxShards spreads the locks of the cache over more cores than a server of this kind is given.
	maxShards = 64
	// minShardBytes keeps room for some of the largest tokens in every shard.
	minShardBytes = 1 << 20
	// sweptPerAdd is how many entries each new one looks at to find expired ones.
	sweptPerAdd = 4
)

// cache remembers verified tokens. An entry is found by the bytes of the whole token and the fingerprint of
// its provider. It is bounded in bytes and gives up entries that were not asked for lately (the clock
// algorithm). A hash only says where to look: what counts is the comparison.
type cache struct {
	seed   maphash.Seed
	shards []cacheShard // a power of two
}

// cacheShard has maps and slices of few pointers, because the garbage collector walks all of them.
type cacheShard struct {
	mu     sync.RWMutex
	places map[uint64]int32 // hash to slot
	slots  []*cacheEntry    // nil: free
	free   []int32
	hand   int // where the next entry is given up
	swept  int // where the next expired entry is looked for
	bytes  int64
	limit  int64

	hits, misses atomic.Uint64
	_            [64]byte // keeps the counters of two shards off one cache line
}

// cacheEntry is immutable, apart from asked.
type cacheEntry struct {
	hash     uint64
	raw      string
	identity *Identity
	keys     *KeySet
	expires  int64 // seconds since 1970
	bytes    int64
	asked    atomic.Bool
}

func newCache(limit int64) *cache {
	n := 1
	for n < maxShards && limit/int64(n*2) >= minShardBytes {
		n *= 2
	}
	c := &cache{seed: maphash.MakeSeed(), shards: make([]cacheShard, n)}
	for i := range c.shards {
		c.shards[i].places = make(map[uint64]int32)
		c.shards[i].limit = limit / int64(n)
	}
	return c
}

func (c *cache) hash(raw string) uint64 { return maphash.String(c.seed, raw) }

// of tells the tokens of one text apart that several providers have vouched for.
func of(hash uint64, p *Provider) uint64 {
	for i := 0; i < len(p.Fingerprint); i += 8 {
		hash ^= binary.LittleEndian.Uint64(p.Fingerprint[i:])
	}
	return hash
}

func (c *cache) shard(hash uint64) *cacheShard { return &c.shards[hash>>32&uint64(len(c.shards)-1)] }

// find returns the entry of raw and p, nil where there is none.
func (c *cache) find(hash uint64, raw string, p *Provider) *cacheEntry {
	hash = of(hash, p)
	s := c.shard(hash)
	s.mu.RLock()
	var e *cacheEntry
	if slot, ok := s.places[hash]; ok {
		e = s.slots[slot]
	}
	s.mu.RUnlock()
	if e == nil || e.raw != raw || e.identity.Provider.Fingerprint != p.Fingerprint || !p.Issues(e.identity.Issuer) {
		return nil
	}
	return e
}

func (c *cache) hit(e *cacheEntry) {
	c.shard(e.hash).hits.Add(1)
	// Written only when it changes: a store would take the cache line from every other core.
	if !e.asked.Load() {
		e.asked.Store(true)
	}
}

func (c *cache) miss(hash uint64) { c.shard(hash).misses.Add(1) }

// add puts in a verified token with this payload, in place of an older entry of the same token and provider.
func (c *cache) add(raw, payload string, id *Identity, keys *KeySet, now time.Time) {
	raw = strings.Clone(raw)
	e := &cacheEntry{
		hash:     of(c.hash(raw), id.Provider),
		raw:      raw,
		identity: id,
		keys:     keys,
		expires:  id.Expiry.Add(id.Provider.skew()).Unix(),
		bytes:    entryBytes(raw, payload, id),
	}
	c.shard(e.hash).add(e, now.Unix())
}

func (s *cacheShard) add(e *cacheEntry, now int64) {
	if e.bytes > s.limit {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slot, ok := s.places[e.hash]; ok {
		s.remove(slot)
	}
	for range min(sweptPerAdd, len(s.slots)) {
		s.drop(&s.swept, func(old *cacheEntry) bool { return old.expires < now })
	}
	for s.bytes+e.bytes > s.limit {
		s.drop(&s.hand, func(old *cacheEntry) bool { return old.expires < now || !old.asked.Swap(false) })
	}
	slot := int32(len(s.slots))
	if n := len(s.free); n > 0 {
		slot, s.free = s.free[n-1], s.free[:n-1]
		s.slots[slot] = e
	} else {
		s.slots = append(s.slots, e)
	}
	s.places[e.hash] = slot
	s.bytes += e.bytes
}

// drop moves hand to the next slot, and gives up the entry there if due says so.
func (s *cacheShard) drop(hand *int, due func(*cacheEntry) bool) {
	if *hand++; *hand >= len(s.slots) {
		*hand = 0
	}
	if e := s.slots[*hand]; e != nil && due(e) {
		s.remove(int32(*hand))
	}
}

func (s *cacheShard) remove(slot int32) {
	e := s.slots[slot]
	delete(s.places, e.hash)
	s.slots[slot] = nil
	s.free = append(s.free, slot)
	s.bytes -= e.bytes
}

func (c *cache) stats() (entries int, bytes int64, hits, misses uint64) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		entries += len(s.places)
		bytes += s.bytes
		s.mu.RUnlock()
		hits += s.hits.Load()
		misses += s.misses.Load()
	}
	return entries, bytes, hits, misses
}
