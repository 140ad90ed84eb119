package revocation

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

// tailList is how many revocations share a list: a list of its own for each would weigh more than what it holds.
const tailList = 1000

// Tail puts revocations into a set one after the other, as a log of them is read. Safe for concurrent use.
type Tail struct {
	set  *Set
	from From

	mu      sync.Mutex
	list    int
	current *Digest // of the list that grows
}

// NewTail returns a Tail that puts into set what comes from a source. There is one for a source, which has no lists of other
// names than numbers then.
func NewTail(set *Set, from From) *Tail {
	return &Tail{set: set, from: from, current: &Digest{soon: never}}
}

// Add puts a list in, at the time now.
func (t *Tail) Add(list []token.Revocation, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for part := range slices.Chunk(list, tailList) {
		more := t.set.Digest(part)
		if t.current.n+more.n > tailList {
			t.list, t.current = t.list+1, &Digest{soon: never}
		}
		t.current = t.current.with(more)
		t.set.Put(t.from, strconv.Itoa(t.list), t.current, now)
	}
}

// with is what both hold.
func (d *Digest) with(more *Digest) *Digest {
	out := &Digest{parts: slices.Clone(d.parts), n: d.n + more.n, soon: min(d.soon, more.soon)}
	for _, p := range more.parts {
		i := slices.IndexFunc(out.parts, func(o part) bool { return o.scope == p.scope && o.by == p.by })
		if i < 0 {
			out.parts = append(out.parts, p)
			continue
		}
		out.parts[i].list = slices.Concat(out.parts[i].list, p.list)
	}
	return out
}
