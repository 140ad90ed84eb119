package main

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

func TestGCPercent(t *testing.T) {
	for _, tt := range []struct {
		live uint64
		want int
	}{
		{0, gcMost}, {1, gcMost}, {4 << 20, 1600}, {16 << 20, 400}, {gcHeadroom - 1, 100}, {gcHeadroom, 100}, {1 << 30, 100}, {math.MaxUint64, 100},
	} {
		if got := gcPercent(tt.live); got != tt.want {
			t.Errorf("%d bytes: %d, want %d", tt.live, got, tt.want)
		}
	}
}

// TestGCFollowsTheHeap: what was set for a small heap is taken back when it has grown.
func TestGCFollowsTheHeap(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	percent := func() int {
		p := debug.SetGCPercent(100)
		debug.SetGCPercent(p)
		return p
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		runtime.GC()
		done := make(chan error)
		go func() { done <- paceGC(ctx) }()
		synctest.Wait()
		small := percent()
		if small <= gcDefault {
			t.Errorf("a heap of %d bytes has %d", liveHeap(), small)
		}
		held := make([]byte, 2*gcHeadroom)
		for i := 0; i < len(held); i += 4096 {
			held[i] = 1
		}
		runtime.GC()
		<-time.After(2 * gcInterval)
		if got := percent(); got != gcDefault {
			t.Errorf("a heap of %d bytes has %d", liveHeap(), got)
		}
		runtime.KeepAlive(held)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestGCOfTheOperatorStays: who sets GOGC is not overruled.
func TestGCOfTheOperatorStays(t *testing.T) {
	t.Setenv("GOGC", "55")
	defer debug.SetGCPercent(debug.SetGCPercent(55))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := paceGC(ctx); err != nil {
		t.Fatal(err)
	}
	if got := debug.SetGCPercent(55); got != 55 {
		t.Errorf("got %d", got)
	}
}
