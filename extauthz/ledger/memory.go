package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

const (
	// DefaultProofBytes hold the proofs of some 5 000 requests a second, at the default age of 90 s.
	DefaultProofBytes = 64 << 20
	// proofBytes is what one proof takes: its slot of the map, filled to seven eighths at most and twice as large while it
	// grows, and its place in the list of those that end in the same second. TestWhatAProofWeighs measures it.
	proofBytes = 160
)

// Memory remembers proofs in this process, for a server that has no replicas. It is bounded: when it is full, and nothing
// in it has expired, no proof can be used.
type Memory struct {
	now   func() time.Time
	limit int

	mu   sync.Mutex
	used map[[32]byte]int64   // to the second from which on it is forgotten
	due  map[int64][][32]byte // by that second
	next int64                // the earliest second that may be in due
}

// NewMemory returns a Memory of at most this size, 0 for DefaultProofBytes. A nil now is time.Now.
func NewMemory(bytes int64, now func() time.Time) (*Memory, error) {
	if bytes == 0 {
		bytes = DefaultProofBytes
	}
	if bytes < proofBytes {
		return nil, errors.New("the memory for used proofs has no room for a single one")
	}
	if now == nil {
		now = time.Now
	}
	return &Memory{
		now: now, limit: int(bytes / proofBytes), next: now().Unix(),
		used: map[[32]byte]int64{}, due: map[int64][][32]byte{},
	}, nil
}

// Use implements Proofs. It never waits.
func (m *Memory) Use(_ context.Context, key [32]byte, until time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now().Unix()
	m.forget(now)
	if _, used := m.used[key]; used {
		return token.ErrReplayed
	}
	if len(m.used) >= m.limit {
		return fmt.Errorf("%w: the memory for used proofs is full", token.ErrLedger)
	}
	second := max(until.Unix()+1, now+1, m.next) // whole seconds, never less than asked for, nor where forget was before
	m.used[key] = second
	m.due[second] = append(m.due[second], key)
	return nil
}

// forget drops what ended before the second now, each second once. After a long quiet time it is cheaper to walk the
// lists than the seconds.
func (m *Memory) forget(now int64) {
	if now <= m.next {
		return
	}
	if now-m.next <= int64(len(m.due)) {
		for second := m.next; second < now; second++ {
			m.drop(second)
		}
	} else {
		for second := range m.due {
			if second < now {
				m.drop(second)
			}
		}
	}
	m.next = now
}

func (m *Memory) drop(second int64) {
	for _, key := range m.due[second] {
		delete(m.used, key)
	}
	delete(m.due, second)
}

// Stats returns how many proofs are remembered, and their size.
func (m *Memory) Stats() (entries int, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.used), int64(len(m.used)) * proofBytes
}
