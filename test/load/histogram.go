package main

import (
	"math/bits"
	"time"
)

// subBuckets is how many buckets of a histogram there are to each power of two: a value is known to one part in 64.
const subBuckets = 64

// histogram counts durations in buckets that widen with the value. The zero value is empty.
type histogram struct {
	counts [subBuckets * 40]uint64
	total  uint64
	max    time.Duration
}

// add counts d; a negative one counts as zero.
func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[min(bucket(uint64(d)), len(h.counts)-1)]++
	h.total++
	h.max = max(h.max, d)
}

// merge adds what other has counted.
func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// quantile is the duration below or at which the share q of all is; zero of an empty histogram.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.total))
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen > rank {
			return min(time.Duration(upper(i)), h.max)
		}
	}
	return h.max
}

// bucket is the index of v: v itself below subBuckets, and then by its leading bits.
func bucket(v uint64) int {
	if v < subBuckets {
		return int(v)
	}
	shift := bits.Len64(v) - bits.Len64(subBuckets)
	return shift*subBuckets + int(v>>shift)
}

// upper is the largest value that bucket puts at i.
func upper(i int) uint64 {
	if i < 2*subBuckets {
		return uint64(i)
	}
	shift := i/subBuckets - 1
	return (uint64(i%subBuckets+subBuckets)+1)<<shift - 1
}
