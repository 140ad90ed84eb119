package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"
)

const (
	// gcHeadroom is what may be allocated between two garbage collections. By its default Go leaves as much as the heap
	// holds: with few policies and tokens that is little, and collections, each of which walks the heap and slows Checks
	// down, are many.
	gcHeadroom = 32 << 20
	// gcLeast is the percentage (GOGC) of a large heap. A Check makes little garbage, so that collections of a heap full of
	// tokens are far between, and Go's own 100 would have half of the memory lie idle.
	gcLeast = 25
	// gcMost is the percentage of an empty heap.
	gcMost = 800
	// gcStart is the least until there are policies, and gcStartHeadroom what may be allocated: reading 10 000 policies makes
	// 500 MiB of garbage, and nobody else needs the memory yet. It is a third of the limit of memory in our chart.
	gcStart         = 200
	gcStartHeadroom = 256 << 20
	// startedEvery is how often it is seen whether there are policies. What may lie until then is not to be filled by Checks:
	// that would take fresh memory for each of them, up to three times the heap.
	startedEvery = 100 * time.Millisecond
	// memoryShare is the part of a limit of memory that Go may use, in percent: the rest is for what it does not count.
	memoryShare = 90
)

// gcPercent is the percentage (GOGC) for a heap of so many bytes; started: there are policies.
func gcPercent(live uint64, started bool) int {
	least, headroom := uint64(gcLeast), uint64(gcHeadroom)
	if !started {
		least, headroom = gcStart, gcStartHeadroom
	}
	return int(min(gcMost, max(least, headroom*100/max(live, 1))))
}

// paceGC sets GOGC by the size of the heap after each collection, and as soon as there are policies, until ctx ends, unless
// the operator has set it.
func paceGC(ctx context.Context, started func() bool) error {
	if os.Getenv("GOGC") != "" {
		<-ctx.Done()
		return nil
	}
	collected := make(chan struct{}, 1)
	onCollection(collected)
	starting := time.NewTicker(startedEvery)
	defer starting.Stop()
	for set := 0; ; {
		now := started()
		// Setting it stops the world for a moment, so a small change is left alone.
		if percent := gcPercent(liveHeap(), now); percent*10 < set*9 || percent*9 > set*10 {
			debug.SetGCPercent(percent)
			set = percent
		}
		if now {
			starting.Stop()
		}
		select {
		case <-collected:
			onCollection(collected)
		case <-starting.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// hurryGC sets the garbage collector and its limit as for the start of a server, for a command that ends soon. What it
// returns ends that.
func hurryGC(ctx context.Context) (stop func()) {
	limitMemory(os.ReadFile)
	ctx, stop = context.WithCancel(ctx)
	go func() { _ = paceGC(ctx, func() bool { return false }) }() // it has no error
	return stop
}

// onCollection sends to c when the next garbage collection has found out what is in use.
func onCollection(c chan<- struct{}) {
	runtime.AddCleanup(new([64]byte), func(c chan<- struct{}) { c <- struct{}{} }, c)
}

// liveHeap is what the last garbage collection found in use, in bytes; 0 before the first one.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	if metrics.Read(sample); sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}

// limitMemory has the garbage collector keep below the limit of memory that the kernel has for this process, as containers
// have one, unless the operator has said another with GOMEMLIMIT.
func limitMemory(read func(name string) ([]byte, error)) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	for _, name := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := read(name)
		if err != nil {
			continue
		}
		// Where there is no limit, the file says max, or a number that no machine has.
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && limit > 0 {
			debug.SetMemoryLimit(limit / 100 * memoryShare)
		}
		return
	}
}
