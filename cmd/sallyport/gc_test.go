package main

import (
	"context"
	"errors"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"
)

func TestGCPercent(t *testing.T) {
	for _, tt := range []struct {
		live          uint64
		want, atStart int
	}{
		{0, gcMost, gcMost}, {1, gcMost, gcMost}, {4 << 20, 800, gcMost}, {8 << 20, 400, gcMost}, {gcHeadroom, 100, 800}, {64 << 20, 50, 400},
		{128 << 20, gcLeast, 200}, {1 << 30, gcLeast, gcStart}, {math.MaxUint64, gcLeast, gcStart},
	} {
		if got := gcPercent(tt.live, true); got != tt.want {
			t.Errorf("%d bytes: %d, want %d", tt.live, got, tt.want)
		}
		if got := gcPercent(tt.live, false); got != tt.atStart {
			t.Errorf("%d bytes before there are policies: %d, want %d", tt.live, got, tt.atStart)
		}
	}
}

// gogc is what is set.
func gogc() int {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}

// TestGCFollowsTheHeap: what was set for a small heap is taken back with the first collection after it has grown.
func TestGCFollowsTheHeap(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- paceGC(ctx, func() bool { return true }) }()
	for gogc() <= 100 {
		runtime.GC()
	}
	held := make([]byte, 5*gcHeadroom)
	for i := 0; i < len(held); i += 4096 {
		held[i] = 1
	}
	for gogc() != gcLeast {
		runtime.GC()
	}
	runtime.KeepAlive(held)
	for gogc() <= 100 {
		runtime.GC()
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestGCOfTheStartEndsWithIt: what may lie until there are policies may not lie until a collection comes.
func TestGCOfTheStartEndsWithIt(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	held := make([]byte, 5*gcHeadroom)
	for i := 0; i < len(held); i += 4096 {
		held[i] = 1
	}
	runtime.GC()
	ctx, cancel := context.WithCancel(t.Context())
	var started atomic.Bool
	done := make(chan error)
	go func() { done <- paceGC(ctx, started.Load) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for gogc() < 150 {
		<-tick.C
	}
	started.Store(true)
	for gogc() != gcLeast {
		<-tick.C
	}
	runtime.KeepAlive(held)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestGCOfTheOperatorStays: who sets GOGC is not overruled.
func TestGCOfTheOperatorStays(t *testing.T) {
	t.Setenv("GOGC", "55")
	defer debug.SetGCPercent(debug.SetGCPercent(55))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := paceGC(ctx, func() bool { return true }); err != nil {
		t.Fatal(err)
	}
	if got := gogc(); got != 55 {
		t.Errorf("got %d", got)
	}
}

func TestLimitOfMemory(t *testing.T) {
	none := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(none)
	const v2, v1 = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"
	for _, tt := range []struct {
		name     string
		files    map[string]string
		operator string
		want     int64
	}{
		{"no files", nil, "", none},
		{"a limit", map[string]string{v2: "1000000000\n"}, "", 900_000_000},
		{"none", map[string]string{v2: "max\n"}, "", none},
		{"none, though the older file has one", map[string]string{v2: "max\n", v1: "1000000000\n"}, "", none},
		{"an older kernel", map[string]string{v1: "1000000000\n"}, "", 900_000_000},
		{"an older kernel without", map[string]string{v1: "9223372036854771712\n"}, "", 9223372036854771712 / 100 * memoryShare},
		{"what cannot be read", map[string]string{v2: "much"}, "", none},
		{"zero", map[string]string{v2: "0"}, "", none},
		{"the operator's", map[string]string{v2: "1000000000\n"}, "500MiB", none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			debug.SetMemoryLimit(none)
			t.Setenv("GOMEMLIMIT", tt.operator)
			limitMemory(func(name string) ([]byte, error) {
				text, ok := tt.files[name]
				if !ok {
					return nil, errors.New("no such file")
				}
				return []byte(text), nil
			})
			if got := debug.SetMemoryLimit(-1); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
		})
	}
}
