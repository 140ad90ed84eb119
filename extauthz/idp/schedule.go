package idp

import (
	"cmp"
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

const (
	defaultInterval    = 10 * time.Minute
	defaultMinInterval = 10 * time.Second
	shortest           = 100 * time.Millisecond // under this an interval is a slip of the pen, and an attack
	jitter             = 0.1                    // share of the interval, both ways
)

// schedule says when to fetch.
type schedule struct {
	interval    time.Duration
	minInterval time.Duration // at most interval
	staleFor    time.Duration
	random      func() float64
}

// newSchedule reads the times of remote, with defaults for those that are not positive; staleFor has none.
func newSchedule(remote *token.Remote, random func() float64) schedule {
	interval := max(cmp.Or(max(remote.Interval, 0), defaultInterval), shortest)
	minInterval := max(cmp.Or(max(remote.MinInterval, 0), defaultMinInterval), shortest)
	return schedule{
		interval:    interval,
		minInterval: min(minInterval, interval),
		staleFor:    max(remote.StaleFor, 0),
		random:      random,
	}
}

// next returns the pause after an attempt that was the failures-th failure in a row. After a success (0) it is the
// interval, give or take a tenth, so that replicas and providers drift apart. After failures it is drawn from a
// window that doubles, from minInterval to interval.
func (s schedule) next(failures int) time.Duration {
	if failures == 0 {
		return s.between(s.interval-s.spread(), s.interval+s.spread())
	}
	high := s.minInterval
	for range failures {
		if high >= s.interval {
			break
		}
		high *= 2
	}
	high = min(high, s.interval)
	return s.between(max(s.minInterval, high/2), high)
}

// lasts returns how long keys serve after the fetch that brought them. Once a later attempt has failed that is
// staleFor; until then it is at least what the next attempt may take to end.
func (s schedule) lasts(failures int, fetchTimeout time.Duration) time.Duration {
	if failures > 0 {
		return s.staleFor
	}
	return max(s.staleFor, s.interval+s.spread()+fetchTimeout)
}

func (s schedule) spread() time.Duration { return time.Duration(float64(s.interval) * jitter) }

func (s schedule) between(low, high time.Duration) time.Duration {
	return low + time.Duration(s.random()*float64(high-low))
}
