package idp

import (
	"container/list"
	"sync"
	"time"
)

// answers remembers what servers have answered, each answer for a time of its own. It is bounded in bytes, and gives up
// those that were not asked for lately. Safe for concurrent use.
type answers[K comparable, V any] struct {
	limit int64

	mu     sync.Mutex
	places map[K]*list.Element
	recent *list.List // of *remembered[K, V]; the last one asked for stands first
	bytes  int64
	hits   uint64
	misses uint64
}

// remembered is one answer. Immutable.
type remembered[K comparable, V any] struct {
	key     K
	value   V
	expires time.Time
	bytes   int64
}

// perAnswerBytes is what an answer takes beside its texts: the entry, the element of the list and the slot of the map.
const perAnswerBytes = 256

func newAnswers[K comparable, V any](limit int64) *answers[K, V] {
	return &answers[K, V]{limit: limit, places: map[K]*list.Element{}, recent: list.New()}
}

// get returns the answer to key, unless it is too old at now.
func (a *answers[K, V]) get(key K, now time.Time) (v V, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, there := a.places[key]
	if there {
		r := e.Value.(*remembered[K, V])
		if now.Before(r.expires) {
			a.hits++
			a.recent.MoveToFront(e)
			return r.value, true
		}
		a.remove(e)
	}
	a.misses++
	return v, false
}

// put remembers the answer to key until expires. bytes is the size of what key and value keep alive.
func (a *answers[K, V]) put(key K, value V, bytes int64, expires time.Time) {
	bytes += perAnswerBytes
	a.mu.Lock()
	defer a.mu.Unlock()
	if e, there := a.places[key]; there {
		a.remove(e)
	}
	if bytes > a.limit {
		return
	}
	for a.bytes+bytes > a.limit {
		a.remove(a.recent.Back())
	}
	a.places[key] = a.recent.PushFront(&remembered[K, V]{key, value, expires, bytes})
	a.bytes += bytes
}

// keep drops every answer whose key is not one to keep.
func (a *answers[K, V]) keep(wanted func(K) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for e := a.recent.Front(); e != nil; {
		next := e.Next()
		if !wanted(e.Value.(*remembered[K, V]).key) {
			a.remove(e)
		}
		e = next
	}
}

func (a *answers[K, V]) remove(e *list.Element) {
	r := a.recent.Remove(e).(*remembered[K, V])
	delete(a.places, r.key)
	a.bytes -= r.bytes
}

// CacheStats are the figures of a cache of answers.
type CacheStats struct {
	Entries      int
	Bytes        int64
	Hits, Misses uint64
}

func (a *answers[K, V]) stats() CacheStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return CacheStats{len(a.places), a.bytes, a.hits, a.misses}
}
