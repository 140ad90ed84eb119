package token

import (
	"encoding/binary"
	"hash/maphash"
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

// cache remembers verified tokens, as identities that hold little more than the token. One is found by the bytes of the
// whole token and the fingerprint of its provider. It is bounded in bytes and gives up entries that were not asked for
// lately (the clock algorithm). A hash only says where to look: what counts is the comparison.
type cache struct {
	seed   maphash.Seed
	shards []cacheShard // a power of two
}

// cacheShard has maps and slices of few pointers, because the garbage collector walks all of them.
type cacheShard struct {
	mu     sync.RWMutex
	places map[uint64]int32 // hash to slot
	slots  []*Identity      // nil: free
	free   []int32
	hand   int // where the next entry is given up
	swept  int // where the next expired entry is looked for
	bytes  int64
	limit  int64

	hits, misses atomic.Uint64
	_            [64]byte // keeps the counters of two shards off one cache line
}

// cacheEntry is what the cache knows of an identity; the zero value: it is in none. Of what was published only asked and
// bytes change, bytes under the lock of the shard.
type cacheEntry struct {
	shard *cacheShard
	hash  uint64
	raw   string
	keys  *KeySet
	bytes int64
	asked atomic.Bool
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

// find returns the identity of raw and p, nil where there is none.
func (c *cache) find(hash uint64, raw string, p *Provider) *Identity {
	hash = of(hash, p)
	s := c.shard(hash)
	s.mu.RLock()
	var id *Identity
	if slot, ok := s.places[hash]; ok {
		id = s.slots[slot]
	}
	s.mu.RUnlock()
	if id == nil || id.entry.raw != raw || id.Provider.Fingerprint != p.Fingerprint || !p.Issues(id.Issuer) {
		return nil
	}
	return id
}

func (c *cache) hit(id *Identity) {
	e := &id.entry
	e.shard.hits.Add(1)
	// Written only when it changes: a store would take the cache line from every other core.
	if !e.asked.Load() {
		e.asked.Store(true)
	}
}

func (c *cache) miss(hash uint64) { c.shard(hash).misses.Add(1) }

// add puts in the identity of a verified token, which nobody else has yet, in place of an older one of the same token and
// provider. payload is the text of an encrypted one.
func (c *cache) add(raw, payload string, id *Identity, keys *KeySet, now time.Time) {
	hash := of(c.hash(raw), id.Provider)
	s := c.shard(hash)
	if size, elements := id.packedSize(raw, payload); perEntryBytes+textBytes(size)+textBytes(elements*boxBytes) > s.limit {
		return // it keeps its claims
	}
	id.entry.shard, id.entry.hash, id.entry.keys = s, hash, keys
	id.entry.bytes = id.pack(raw, payload)
	s.add(id, now)
}

func (s *cacheShard) add(id *Identity, now time.Time) {
	e := &id.entry
	if e.bytes > s.limit {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slot, ok := s.places[e.hash]; ok {
		s.remove(slot)
	}
	for range min(sweptPerAdd, len(s.slots)) {
		s.drop(&s.swept, func(old *Identity) bool { return old.isOver(now) })
	}
	s.makeRoom(e.bytes, now)
	slot := int32(len(s.slots))
	if n := len(s.free); n > 0 {
		slot, s.free = s.free[n-1], s.free[:n-1]
		s.slots[slot] = id
	} else {
		s.slots = append(s.slots, id)
	}
	s.places[e.hash] = slot
	s.bytes += e.bytes
}

// grow counts what is kept for id from now on, and gives up others for it; less than zero: what is no longer kept. False:
// there is no room for it. What the cache has given up meanwhile is not counted, as those who still have it will not keep it.
func (s *cacheShard) grow(id *Identity, bytes int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &id.entry
	if slot, ok := s.places[e.hash]; !ok || s.slots[slot] != id {
		return true
	}
	if e.bytes+bytes > s.limit {
		return false
	}
	e.bytes += bytes
	s.bytes += bytes
	s.makeRoom(0, time.Time{})
	return true
}

// makeRoom gives up entries until there is room for so many bytes.
func (s *cacheShard) makeRoom(bytes int64, now time.Time) {
	for s.bytes+bytes > s.limit {
		s.drop(&s.hand, func(old *Identity) bool { return old.isOver(now) || !old.entry.asked.Swap(false) })
	}
}

// isOver tells whether the token has expired, leeway included, to the second.
func (id *Identity) isOver(now time.Time) bool {
	return id.Expiry.Add(id.Provider.skew()).Unix() < now.Unix()
}

// drop moves hand to the next slot, and gives up the entry there if due says so.
func (s *cacheShard) drop(hand *int, due func(*Identity) bool) {
	if *hand++; *hand >= len(s.slots) {
		*hand = 0
	}
	if id := s.slots[*hand]; id != nil && due(id) {
		s.remove(int32(*hand))
	}
}

func (s *cacheShard) remove(slot int32) {
	e := &s.slots[slot].entry
	delete(s.places, e.hash)
	s.bytes -= e.bytes
	s.slots[slot] = nil
	s.free = append(s.free, slot)
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
