package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// gcHeadroom is what may be allocated between two garbage collections. By its default Go leaves as much as the heap
	// holds: with few policies and tokens that is little, and collections, each of which walks the heap and slows Checks
	// down, are many.
	gcHeadroom = 64 << 20
	// gcDefault is Go's own percentage, and that of a heap above gcHeadroom: more would cost memory and gain little.
	gcDefault = 100
	// gcMost is the percentage of an empty heap.
	gcMost = 2000
	// gcInterval is how often the size of the heap is looked at.
	gcInterval = 5 * time.Second
)

// gcPercent is the percentage (GOGC) for a heap of so many bytes.
func gcPercent(live uint64) int {
	if live >= gcHeadroom {
		return gcDefault
	}
	return int(min(gcMost, gcHeadroom*100/max(live, 1)))
}

// paceGC sets GOGC by the size of the heap until ctx ends, unless the operator has set it. GOMEMLIMIT stays the
// operator's: with it Go collects sooner, whatever the percentage.
func paceGC(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(gcInterval)
	defer tick.Stop()
	for set := 0; ; {
		// Setting it stops the world for a moment, so a small change is left alone.
		if percent := gcPercent(liveHeap()); percent*10 < set*9 || percent*9 > set*10 {
			debug.SetGCPercent(percent)
			set = percent
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// liveHeap is what the last garbage collection found in use, in bytes; 0 before the first one.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	if metrics.Read(sample); sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
