package controller

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// TestEditsInALoopTakeHalfOfTheTime: and a hundred in a row wait for nothing. Time is that of a bubble: every sleep here
// stands for work, or lets time pass.
func TestEditsInALoopTakeHalfOfTheTime(t *testing.T) {
	const took = 40 * time.Millisecond // of one publish
	synctest.Test(t, func(t *testing.T) {
		var publishes atomic.Int64
		c, _ := unconnected(t)
		for _, p := range c.references.places {
			for _, s := range p.stores {
				s.complete()
			}
		}
		c.publisher.config.BeforePublish = func(context.Context, *policy.Snapshot) {
			time.Sleep(took) // the work that a publish is
			publishes.Add(1)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { c.publishChanges(ctx) })
		defer running.Wait()
		defer cancel()
		time.Sleep(10 * time.Second) // the first publish, and silence after it
		publishes.Store(0)

		edit := func() (took time.Duration) {
			begin, before := time.Now(), publishes.Load()
			c.wake()
			for publishes.Load() == before {
				time.Sleep(time.Millisecond)
			}
			return time.Since(begin)
		}
		for range 100 {
			if got := edit(); got > took+time.Millisecond {
				t.Fatalf("an edit is in force after %s, want %s", got, took)
			}
		}
		slowest := time.Duration(0)
		for range 1000 {
			slowest = max(slowest, edit())
		}
		if slowest > 2*took+time.Millisecond {
			t.Errorf("an edit is in force after %s, want %s at most", slowest, 2*took)
		}

		time.Sleep(10 * time.Second)
		publishes.Store(0)
		for range 60_000 { // a minute of edits
			c.wake()
			time.Sleep(time.Millisecond)
		}
		// Work and rest are together a minute, and the work is more by the credit.
		if got, want := publishes.Load(), int64((time.Minute+mostCredit)/(2*took)); got < want-2 || got > want+2 {
			t.Errorf("%d publishes of %s in a minute, want %d", got, took, want)
		}
		cancel()
	})
}
