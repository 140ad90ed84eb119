package idp

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/token"
)

func TestKeysAreFetchedAtOnceAndThenEveryInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		o.answer(testURL, jwks(t, "a"))
		k := newTestKeeper(t, o, Config{})
		p := provider("p", testURL)
		k.Sync([]*token.Provider{p})
		if err := k.WaitTried(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantKeyIDs(t, mustKeys(t, k, p, nil), "a")
		for i := range 3 {
			pass(10*time.Minute - time.Nanosecond)
			if got := o.fetches(testURL); got != i+1 {
				t.Fatalf("%d fetches before the interval has passed, want %d", got, i+1)
			}
			pass(time.Nanosecond)
		}
	})
}

func TestFailuresAreRetriedEverMoreSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		o.answer(testURL, nil)
		k := newTestKeeper(t, o, Config{Random: func() float64 { return 0 }})
		p := provider("p", testURL)
		k.Sync([]*token.Provider{p})
		pass(40 * time.Minute)
		var pauses []time.Duration
		o.mu.Lock()
		for i, at := range o.asked[testURL][1:] {
			pauses = append(pauses, at.Sub(o.asked[testURL][i]))
		}
		o.mu.Unlock()
		want := []time.Duration{
			10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second,
			5 * time.Minute, 5 * time.Minute, 5 * time.Minute, 5 * time.Minute, 5 * time.Minute, 5 * time.Minute,
		}
		if diff := cmp.Diff(want, pauses); diff != "" {
			t.Errorf("pauses (-want +got):\n%s", diff)
		}
		o.answer(testURL, jwks(t, "a"))
		pass(5 * time.Minute)
		wantKeyIDs(t, mustKeys(t, k, p, nil), "a")
		recovered := k.Status(p).LastSuccess
		before := o.fetches(testURL)
		pass(time.Until(recovered.Add(9*time.Minute)) - time.Nanosecond)
		if got := o.fetches(testURL); got != before {
			t.Errorf("%d fetches within the interval after the recovery, want none", got-before)
		}
		pass(time.Nanosecond)
		if got := o.fetches(testURL); got != before+1 {
			t.Errorf("%d fetches at the interval after the recovery, want 1", got-before)
		}
	})
}

func TestUnknownKeyStampedeMakesOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		o.answer(testURL, jwks(t, "a"))
		k := newTestKeeper(t, o, Config{})
		p := provider("p", testURL)
		k.Sync([]*token.Provider{p})
		old := mustKeys(t, k, p, nil)
		o.answer(testURL, jwks(t, "a", "b"))
		o.slow(50 * time.Millisecond)

		sets := make([]*token.KeySet, 1000)
		var callers sync.WaitGroup
		for i := range sets {
			callers.Go(func() { sets[i], _ = k.Keys(t.Context(), p, old) })
		}
		callers.Wait()
		for _, set := range sets {
			if set == nil || set == old || set != sets[0] {
				t.Fatalf("a caller has %p, the first %p, before was %p: want one new set for all", set, sets[0], old)
			}
		}
		wantKeyIDs(t, sets[0], "a", "b")
		if got := o.fetches(testURL); got != 2 {
			t.Errorf("%d fetches, want 2: the first and one for the unknown key", got)
		}

		begin := time.Now()
		for range 1000 {
			if got := mustKeys(t, k, p, sets[0]); got != sets[0] {
				t.Fatal("another set within the cool-down")
			}
		}
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("callers waited %s within the cool-down", waited)
		}
		if got := o.fetches(testURL); got != 2 {
			t.Errorf("%d fetches within the cool-down, want 2", got)
		}

		pass(10 * time.Second)
		mustKeys(t, k, p, sets[0])
		if got := o.fetches(testURL); got != 3 {
			t.Errorf("%d fetches after the cool-down, want 3", got)
		}
	})
}

func TestCallersWaitOnlySoLong(t *testing.T) {
	tests := []struct {
		name    string
		timeout time.Duration // of the caller
		takes   time.Duration // the fetch
		want    time.Duration
		newSet  bool
	}{
		{name: "until the fetch ends", timeout: time.Minute, takes: 60 * time.Millisecond, want: 60 * time.Millisecond, newSet: true},
		{name: "at most 100 ms", timeout: time.Minute, takes: 3 * time.Second, want: 100 * time.Millisecond},
		{name: "not beyond the caller's context", timeout: 30 * time.Millisecond, takes: 3 * time.Second, want: 30 * time.Millisecond},
		{name: "a fetch that hangs", timeout: time.Minute, takes: time.Hour, want: 100 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &origins{}
				o.answer(testURL, jwks(t, "a"))
				k := newTestKeeper(t, o, Config{})
				p := provider("p", testURL)
				k.Sync([]*token.Provider{p})
				old := mustKeys(t, k, p, nil)
				o.answer(testURL, jwks(t, "b"))
				o.slow(tt.takes)

				ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
				defer cancel()
				begin := time.Now()
				set, err := k.Keys(ctx, p, old)
				if waited := time.Since(begin); waited != tt.want || err != nil || (set != old) != tt.newSet {
					t.Errorf("after %s: set is new %t, error %v; want %s, %t, none", waited, set != old, err, tt.want, tt.newSet)
				}
			})
		})
	}
}

func TestKeysWaitForTheFirstFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		o.answer(testURL, jwks(t, "a"))
		o.slow(80 * time.Millisecond)
		k := newTestKeeper(t, o, Config{})
		p, slow := provider("p", testURL), provider("slow", otherURL)
		k.Sync([]*token.Provider{p})
		wantKeyIDs(t, mustKeys(t, k, p, nil), "a")

		o.slow(time.Second)
		k.Sync([]*token.Provider{p, slow})
		begin := time.Now()
		wantNoKeys(t, k, slow)
		if waited := time.Since(begin); waited != MaxWait {
			t.Errorf("waited %s for a first fetch that takes 1 s, want %s", waited, MaxWait)
		}
	})
}

func TestWithoutKeysACallStartsAFetchAfterTheCoolDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		o.answer(testURL, nil)
		k := newTestKeeper(t, o, Config{})
		p := provider("p", testURL)
		k.Sync([]*token.Provider{p})
		pass(6 * time.Minute) // the next try of its own is minutes away
		o.answer(testURL, jwks(t, "a"))
		begin := time.Now()
		wantKeyIDs(t, mustKeys(t, k, p, nil), "a")
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("waited %s for a fetch that takes no time", waited)
		}
	})
}

func TestKeysRotatedJustAfterARefreshAreFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		o.answer(testURL, jwks(t, "a"))
		k := newTestKeeper(t, o, Config{})
		p := provider("p", testURL)
		k.Sync([]*token.Provider{p})
		first := mustKeys(t, k, p, nil)
		o.answer(testURL, jwks(t, "b"))
		second := mustKeys(t, k, p, first) // just after the first fetch
		wantKeyIDs(t, second, "b")
		pass(10 * time.Minute)
		o.answer(testURL, jwks(t, "c"))
		wantKeyIDs(t, mustKeys(t, k, p, second), "c") // just after one of those that go on by themselves
	})
}

func TestUnchangedContentKeepsThePointer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		first, second := jwks(t, "a"), jwks(t, "a", "b")
		o.answer(testURL, first)
		k := newTestKeeper(t, o, Config{})
		p := provider("p", testURL)
		k.Sync([]*token.Provider{p})
		a := mustKeys(t, k, p, nil)
		pass(30 * time.Minute)
		if got := mustKeys(t, k, p, nil); got != a {
			t.Error("another set for unchanged content")
		}
		o.answer(testURL, nil)
		pass(15 * time.Minute)
		o.answer(testURL, first)
		pass(15 * time.Minute)
		if got := mustKeys(t, k, p, nil); got != a {
			t.Error("another set for the content from before the failure")
		}
		o.answer(testURL, second)
		pass(10 * time.Minute)
		wantKeyIDs(t, mustKeys(t, k, p, nil), "a", "b")
		o.answer(testURL, first)
		pass(10 * time.Minute)
		wantKeyIDs(t, mustKeys(t, k, p, nil), "a")
	})
}

func TestStaleKeysServeAndAreThenDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		o.answer(testURL, jwks(t, "a"))
		k := newTestKeeper(t, o, Config{})
		p := provider("p", testURL)
		k.Sync([]*token.Provider{p})
		fresh := mustKeys(t, k, p, nil)
		success := time.Now()
		o.answer(testURL, []byte(`<html>maintenance</html>`))

		pass(time.Hour)
		if got := mustKeys(t, k, p, nil); got != fresh {
			t.Error("stale keys are another set")
		}
		want := Status{
			Providers: []string{"p"}, LastSuccess: success, KeyIDs: []string{"a"}, Ready: true, Stale: true,
			Reason: InvalidDocument, Err: &FetchError{Reason: InvalidDocument, Document: keySetDocument},
		}
		got := k.Status(p)
		got.LastFetch = time.Time{}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("status while stale (-want +got):\n%s", diff)
		}

		pass(time.Nanosecond)
		wantNoKeys(t, k, p)
		if s := k.Status(p); s.Ready || s.Stale || s.KeyIDs != nil || !s.LastSuccess.Equal(success) {
			t.Errorf("status after staleFor: %+v", s)
		}

		o.answer(testURL, jwks(t, "b"))
		pass(10 * time.Minute)
		wantKeyIDs(t, mustKeys(t, k, p, nil), "b")
		if s := k.Status(p); !s.Ready || s.Stale || s.Reason != "" || s.Err != nil {
			t.Errorf("status after the recovery: %+v", s)
		}
	})
}

func TestNowDecidesTheAge(t *testing.T) {
	var now atomic.Int64
	o := &origins{}
	o.answer(testURL, jwks(t, "a"))
	k := newTestKeeper(t, o, Config{Now: func() time.Time { return time.Unix(now.Load(), 0) }})
	p := provider("p", testURL)
	k.Sync([]*token.Provider{p})
	if err := k.WaitTried(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.Close() // no more attempts: only the handed-in clock moves
	now.Store(3600)
	wantKeyIDs(t, mustKeys(t, k, p, nil), "a")
	now.Store(3601)
	wantNoKeys(t, k, p)
}
