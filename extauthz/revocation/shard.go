package revocation

import "sync"

const (
	// shards spread the locks, and keep the time short in which one of them grows.
	shards = 64
	// leastSlots of a shard that holds something.
	leastSlots = 8
)

// shard is a table of records with open addressing: no pointers, which the garbage collector would follow. A record that
// two lists hold stands there twice. An empty slot has the zero hash.
type shard struct {
	mu    sync.RWMutex
	slots []record // as many as a power of two, filled to 3/4 at most
	used  int
}

func (s *Set) shard(hash [2]uint64) *shard { return &s.shards[hash[1]%shards] }

// holds tells whether a token with this hash, issued at that time (negative: it does not say), is revoked.
func (t *shard) holds(hash [2]uint64, issued int64, now uint32) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.used == 0 {
		return false
	}
	mask := uint64(len(t.slots) - 1)
	for i := hash[0] & mask; !t.slots[i].empty(); i = (i + 1) & mask {
		r := &t.slots[i]
		if r.hash == hash && (r.before == always || issued < int64(r.before)) && (r.expires == never || now < r.expires) {
			return true
		}
	}
	return false
}

func (t *shard) add(r record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if (t.used+1)*4 > len(t.slots)*3 {
		t.resize(max(len(t.slots)*2, leastSlots))
	}
	t.used++
	t.place(r)
}

func (t *shard) place(r record) {
	mask := uint64(len(t.slots) - 1)
	i := r.hash[0] & mask
	for !t.slots[i].empty() {
		i = (i + 1) & mask
	}
	t.slots[i] = r
}

// remove takes out one record that is equal to r, and closes the gap: whatever stands behind it may have been put there
// because of it.
func (t *shard) remove(r record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.used == 0 {
		return
	}
	mask := uint64(len(t.slots) - 1)
	i := r.hash[0] & mask
	for t.slots[i] != r {
		if t.slots[i].empty() {
			return
		}
		i = (i + 1) & mask
	}
	t.used--
	for j := (i + 1) & mask; !t.slots[j].empty(); j = (j + 1) & mask {
		// The record at j may move to i unless its own place lies between them.
		if home := t.slots[j].hash[0] & mask; (j-home)&mask >= (j-i)&mask {
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i] = record{}
	switch {
	case t.used == 0:
		t.slots = nil
	case len(t.slots) > leastSlots && t.used*8 < len(t.slots):
		t.resize(len(t.slots) / 2)
	}
}

func (t *shard) resize(n int) {
	old := t.slots
	t.slots = make([]record, n)
	for _, r := range old {
		if !r.empty() {
			t.place(r)
		}
	}
}

func (r *record) empty() bool { return r.hash == [2]uint64{} }
