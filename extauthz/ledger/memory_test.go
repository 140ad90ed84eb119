package ledger

import (
	"encoding/binary"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

// begin is a moment like any other.
var begin = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func keyOf(n int) (key [32]byte) {
	binary.BigEndian.PutUint64(key[:], uint64(n)*0x9e3779b97f4a7c15)
	return key
}

func newMemory(t testing.TB, bytes int64, now *time.Time) *Memory {
	t.Helper()
	m, err := NewMemory(bytes, func() time.Time { return *now })
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMemoryRemembersUntilAProofIsTooOld(t *testing.T) {
	for _, tc := range []struct {
		name  string
		until time.Duration
		again time.Duration // when it is shown again
		want  error
	}{
		{"at once", time.Minute, 0, token.ErrReplayed},
		{"later", time.Minute, 59 * time.Second, token.ErrReplayed},
		{"in the last second", time.Minute, time.Minute, token.ErrReplayed},
		{"after a part of a second", 1500 * time.Millisecond, 1999 * time.Millisecond, token.ErrReplayed},
		{"when its age refuses it", time.Minute, 62 * time.Second, nil},
		{"much later", time.Minute, 1000 * time.Hour, nil},
		{"that ended before it came", -time.Hour, 0, token.ErrReplayed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			now := begin
			m := newMemory(t, 0, &now)
			if err := m.Use(t.Context(), keyOf(1), now.Add(tc.until)); err != nil {
				t.Fatalf("the first time: %v", err)
			}
			now = begin.Add(tc.again)
			if err := m.Use(t.Context(), keyOf(2), now.Add(tc.until)); err != nil {
				t.Errorf("another proof: %v", err)
			}
			if err := m.Use(t.Context(), keyOf(1), now.Add(time.Minute)); !errors.Is(err, tc.want) {
				t.Errorf("the second time: %v, want %v", err, tc.want)
			}
		})
	}
}

func TestAFullMemoryRefusesUntilSomethingHasExpired(t *testing.T) {
	now := begin
	m := newMemory(t, 3*proofBytes, &now)
	for n := range 3 {
		if err := m.Use(t.Context(), keyOf(n), now.Add(time.Duration(n+1)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Use(t.Context(), keyOf(3), now.Add(time.Minute)); !errors.Is(err, token.ErrLedger) {
		t.Errorf("the fourth: %v, want %v", err, token.ErrLedger)
	}
	if err := m.Use(t.Context(), keyOf(0), now.Add(time.Minute)); !errors.Is(err, token.ErrReplayed) {
		t.Errorf("one that was used: %v, want %v", err, token.ErrReplayed)
	}
	now = now.Add(time.Minute + 2*time.Second)
	if err := m.Use(t.Context(), keyOf(3), now.Add(time.Minute)); err != nil {
		t.Errorf("after the first has expired: %v", err)
	}
	if entries, bytes := m.Stats(); entries != 3 || bytes != 3*proofBytes {
		t.Errorf("%d entries of %d bytes", entries, bytes)
	}
}

func TestMemoryForgetsEverythingInTheEnd(t *testing.T) {
	now := begin
	m := newMemory(t, 0, &now)
	for n := range 5000 {
		now = begin.Add(time.Duration(n%7) * time.Second) // a clock that goes back now and then
		if err := m.Use(t.Context(), keyOf(n), begin.Add(time.Duration(n%300)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	now = begin.Add(302 * time.Second)
	if err := m.Use(t.Context(), keyOf(5000), now.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if len(m.used) != 1 || len(m.due) != 1 {
		t.Errorf("%d proofs in %d lists are left, want the one of now", len(m.used), len(m.due))
	}
}

func TestOfManyThatUseAProofOneIsTheFirst(t *testing.T) {
	now := begin
	m := newMemory(t, 0, &now)
	var all sync.WaitGroup
	errs := make(chan error, 64)
	for range cap(errs) {
		all.Go(func() { errs <- m.Use(t.Context(), keyOf(1), begin.Add(time.Minute)) })
	}
	all.Wait()
	close(errs)
	first := 0
	for err := range errs {
		if err == nil {
			first++
		} else if !errors.Is(err, token.ErrReplayed) {
			t.Error(err)
		}
	}
	if first != 1 {
		t.Errorf("%d were the first", first)
	}
}

func TestNoRoomForASingleProofIsAnError(t *testing.T) {
	for _, bytes := range []int64{-1, 1, proofBytes - 1} {
		if _, err := NewMemory(bytes, nil); err == nil {
			t.Errorf("%d bytes are taken", bytes)
		}
	}
}

// TestWhatAProofWeighs holds proofBytes against the heap, just after the map has grown, when it is largest.
func TestWhatAProofWeighs(t *testing.T) {
	now := begin
	const n = 120_000 // a little above 7/8 of 2^17 slots
	heap := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := heap()
	m := newMemory(t, n*proofBytes, &now)
	for i := range n {
		if err := m.Use(t.Context(), keyOf(i), begin.Add(time.Duration(i%90)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if each := int(heap()-before) / n; each > proofBytes {
		t.Errorf("a proof takes %d bytes, more than the %d that are counted", each, proofBytes)
	}
	runtime.KeepAlive(m)
}

func BenchmarkMemory(b *testing.B) {
	now := begin
	m := newMemory(b, 1<<30, &now)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%5000 == 0 {
			now = now.Add(time.Second)
		}
		if err := m.Use(b.Context(), keyOf(i), now.Add(90*time.Second)); err != nil {
			b.Fatal(err)
		}
	}
}
