package revocation

import (
	"slices"
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

// Put puts in a list in the place of what that source had under this name; nil takes that out. What both hold is revoked
// all the while. now is only told by Stats.
func (s *Set) Put(from From, name string, d *Digest, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := listKey{from, name}
	old := s.lists[key]
	if d == nil && old == nil {
		return
	}
	if d != nil {
		for i := range d.parts {
			s.add(from, &d.parts[i])
		}
	}
	if old != nil {
		for i := range old.parts {
			s.remove(from, &old.parts[i])
		}
	}
	s.changed[from] = now
	if d == nil || d.n == 0 {
		delete(s.lists, key)
		return
	}
	s.lists[key] = &Digest{parts: slices.Clone(d.parts), n: d.n, soon: d.soon} // Prune writes its own
}

// Has tells whether a source has a list of this name, which holds something.
func (s *Set) Has(from From, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lists[listKey{from, name}] != nil
}

// Names are the names of the lists of a source, in no order.
func (s *Set) Names(from From) (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.lists {
		if key.from == from {
			out = append(out, key.name)
		}
	}
	return out
}

// Count is how many revocations there are in a scope.
func (s *Set) Count(scope token.RevocationScope) int {
	if g := s.group(scope); g != nil {
		return int(g.all.Load())
	}
	return 0
}

// Prune drops what has ended.
func (s *Set) Prune(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := seconds(now, never-1)
	for key, d := range s.lists {
		if d.soon > at {
			continue
		}
		s.prune(key.from, d, at)
		if d.n == 0 {
			delete(s.lists, key)
		}
	}
}

// prune drops what of d has ended. The records are copied: who made the digest may hold it still.
func (s *Set) prune(from From, d *Digest, at uint32) {
	d.soon, d.n = never, 0
	var parts []part
	for _, p := range d.parts {
		ended := part{scope: p.scope, by: p.by}
		var left []record
		for _, r := range p.list {
			if r.expires <= at && r.expires != never {
				ended.list = append(ended.list, r)
				continue
			}
			left = append(left, r)
			d.soon = min(d.soon, r.expires)
		}
		s.remove(from, &ended)
		if len(left) > 0 {
			d.n += len(left)
			parts = append(parts, part{p.scope, p.by, append(make([]record, 0, len(left)), left...)})
		}
	}
	d.parts = parts
}

// group is nil where nothing is revoked in scope.
func (s *Set) group(scope token.RevocationScope) *group {
	s.scopes.RLock()
	defer s.scopes.RUnlock()
	return s.groups[scope]
}

func (s *Set) add(from From, p *part) {
	n := len(p.list)
	g := s.group(p.scope)
	if g == nil {
		g = &group{salt: s.salt(p.scope)}
		s.scopes.Lock()
		s.groups[p.scope] = g
		s.scopes.Unlock()
	}
	for _, r := range p.list {
		s.shard(r.hash).add(r)
	}
	g.by[p.by].Add(int64(n))
	g.all.Add(int64(n))
	s.total.Add(int64(n))
	s.counts[from] += n
}

func (s *Set) remove(from From, p *part) {
	n := len(p.list)
	if n == 0 {
		return
	}
	for _, r := range p.list {
		s.shard(r.hash).remove(r)
	}
	g := s.group(p.scope)
	g.by[p.by].Add(-int64(n))
	if g.all.Add(-int64(n)) == 0 {
		s.scopes.Lock()
		delete(s.groups, p.scope)
		s.scopes.Unlock()
	}
	s.total.Add(-int64(n))
	s.counts[from] -= n
}

// Left is how many of the revocations have not ended at the time now.
func (d *Digest) Left(now time.Time) int {
	at := seconds(now, never-1)
	if d.soon > at {
		return d.n
	}
	n := 0
	for i := range d.parts {
		for j := range d.parts[i].list {
			if e := d.parts[i].list[j].expires; e == never || e > at {
				n++
			}
		}
	}
	return n
}
