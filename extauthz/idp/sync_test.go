package idp

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/token"
)

func TestSyncAddsAndRemoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		o.answer(testURL, jwks(t, "a"))
		o.answer(otherURL, jwks(t, "b"))
		k := newTestKeeper(t, o, Config{})
		stays, leaves := provider("stays", testURL), provider("leaves", otherURL)
		k.Sync([]*token.Provider{stays, leaves})
		kept := mustKeys(t, k, stays, nil)
		wantKeyIDs(t, mustKeys(t, k, leaves, nil), "b")

		compiledAgain := provider("stays", testURL)
		k.Sync([]*token.Provider{compiledAgain})
		if got := mustKeys(t, k, compiledAgain, nil); got != kept || o.fetches(testURL) != 1 {
			t.Errorf("the remote that stays was fetched %d times", o.fetches(testURL))
		}
		wantKeyIDs(t, mustKeys(t, k, leaves, nil), "b") // the old snapshot still serves
		if got := mustKeys(t, k, stays, nil); got != kept {
			t.Error("the old snapshot's provider has other keys than the new one's")
		}
		k.Sync([]*token.Provider{compiledAgain}) // nothing changed
		wantKeyIDs(t, mustKeys(t, k, leaves, nil), "b")
		pass(25 * time.Minute)
		if got := o.fetches(otherURL); got != 1 {
			t.Errorf("the remote that left was fetched %d times", got)
		}
		if got := o.fetches(testURL); got != 3 {
			t.Errorf("the remote that stays was fetched %d times in 25 minutes, want 3", got)
		}

		k.Sync(nil)
		wantNoKeys(t, k, leaves)
		if diff := cmp.Diff(Status{}, k.Status(leaves)); diff != "" {
			t.Errorf("status of a provider that is not kept (-want +got):\n%s", diff)
		}
		k.Sync([]*token.Provider{leaves})
		wantKeyIDs(t, mustKeys(t, k, leaves, nil), "b")
		if got := o.fetches(otherURL); got != 2 {
			t.Errorf("the remote that came back was fetched %d times, want 2", got)
		}
	})
}

func TestProvidersOfOneRemoteShareIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		o.answer(testURL, jwks(t, "a"))
		k := newTestKeeper(t, o, Config{})
		a, b := provider("b", testURL), provider("a", testURL)
		static := &token.Provider{Name: "static", Static: new(token.KeySet)}
		k.Sync([]*token.Provider{a, static, b})
		if mustKeys(t, k, a, nil) != mustKeys(t, k, b, nil) || o.fetches(testURL) != 1 {
			t.Errorf("%d fetches for one remote", o.fetches(testURL))
		}
		if diff := cmp.Diff([]string{"a", "b"}, k.Status(a).Providers); diff != "" {
			t.Errorf("providers (-want +got):\n%s", diff)
		}
		if got := mustKeys(t, k, static, nil); got != static.Static {
			t.Error("static keys are not handed back")
		}
		wantNoKeys(t, k, &token.Provider{Name: "neither"})
	})
}

func TestRemoteOfOtherTimesStartsWithTheFormerKeys(t *testing.T) {
	tests := []struct {
		name   string
		change func(*token.Remote)
		keeps  bool
	}{
		{name: "interval", change: func(r *token.Remote) { r.Interval = time.Minute }, keeps: true},
		{name: "staleFor", change: func(r *token.Remote) { r.StaleFor = 2 * time.Hour }, keeps: true},
		{name: "CA bundle", change: func(r *token.Remote) { r.RootCAs = []byte("other") }},
		{name: "issuer", change: func(r *token.Remote) { r.Issuer = "https://other.example.com" }},
		{name: "allowHTTP", change: func(r *token.Remote) { r.AllowHTTP = true }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &origins{}
				o.answer(testURL, jwks(t, "a"))
				k := newTestKeeper(t, o, Config{})
				before, after := provider("p", testURL), provider("p", testURL)
				k.Sync([]*token.Provider{before})
				held := mustKeys(t, k, before, nil)
				o.answer(testURL, nil)
				tt.change(after.Remote)
				k.Sync([]*token.Provider{after})
				if err := k.WaitTried(t.Context()); err != nil {
					t.Fatal(err)
				}
				if !tt.keeps {
					wantNoKeys(t, k, after)
					return
				}
				if got := mustKeys(t, k, after, nil); got != held {
					t.Error("the former keys are gone")
				}
			})
		})
	}
}

func TestWaitTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		o.answer(testURL, jwks(t, "a"))
		o.slow(3 * time.Second)
		k := newTestKeeper(t, o, Config{})
		if err := k.WaitTried(t.Context()); err != nil {
			t.Errorf("before Sync: %v", err)
		}
		begin := time.Now()
		k.Sync([]*token.Provider{provider("good", testURL), provider("bad", otherURL)})
		if since := time.Since(begin); since != 0 {
			t.Errorf("Sync took %s", since)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := k.WaitTried(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("within a second: %v, want %v", err, context.DeadlineExceeded)
		}
		if err := k.WaitTried(t.Context()); err != nil || time.Since(begin) != 3*time.Second {
			t.Errorf("%v after %s, want none after 3 s: tried side by side, with success or not", err, time.Since(begin))
		}
		k.Close()
		if err := k.WaitTried(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v, want %v", err, ErrClosed)
		}
	})
}

func TestWaitTriedMeansTheLastSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		o.answer(testURL, jwks(t, "a"))
		o.slow(3 * time.Second)
		k := newTestKeeper(t, o, Config{})
		p := provider("p", testURL)
		begin := time.Now()
		k.Sync([]*token.Provider{p})
		time.AfterFunc(time.Second, func() { k.Sync([]*token.Provider{p, provider("late", otherURL)}) })
		if err := k.WaitTried(t.Context()); err != nil || time.Since(begin) != 4*time.Second {
			t.Errorf("%v after %s, want none after 4 s", err, time.Since(begin))
		}
	})
}

func TestHangingFetchEndsAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		o.answer(testURL, nil)
		o.slow(time.Hour)
		k := newTestKeeper(t, o, Config{})
		p := provider("p", testURL)
		begin := time.Now()
		k.Sync([]*token.Provider{p})
		if err := k.WaitTried(t.Context()); err != nil || time.Since(begin) != DefaultFetchTimeout {
			t.Errorf("tried after %s, %v, want %s", time.Since(begin), err, DefaultFetchTimeout)
		}
		if got := k.Status(p).Reason; got != Timeout {
			t.Errorf("reason %q, want %q", got, Timeout)
		}
	})
}

// The bubble itself fails where a goroutine outlives Close.
func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		o.answer(testURL, nil)
		o.slow(time.Hour)
		k := newTestKeeper(t, o, Config{FetchTimeout: time.Hour})
		p := provider("p", testURL)
		k.Sync([]*token.Provider{p})
		synctest.Wait()
		waiter := make(chan error)
		go func() { waiter <- k.WaitTried(t.Context()) }()
		synctest.Wait()
		k.Close()
		if got := o.active.Load(); got != 0 {
			t.Errorf("%d fetches after Close", got)
		}
		if err := <-waiter; !errors.Is(err, ErrClosed) {
			t.Errorf("who waits gets %v, want %v", err, ErrClosed)
		}
		k.Sync([]*token.Provider{p, provider("late", otherURL)})
		pass(time.Hour)
		if got := o.fetches(otherURL); got != 0 {
			t.Errorf("%d fetches by a Sync after Close", got)
		}
		k.Close()
	})
}

func TestRemovedRemoteLetsItsCallersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		o.answer(testURL, nil)
		o.slow(time.Hour)
		k := newTestKeeper(t, o, Config{})
		p := provider("p", testURL)
		k.Sync([]*token.Provider{p})
		begin := time.Now()
		time.AfterFunc(10*time.Millisecond, func() { k.Sync(nil) })
		wantNoKeys(t, k, p)
		if waited := time.Since(begin); waited != 10*time.Millisecond {
			t.Errorf("waited %s for a remote that left after 10 ms", waited)
		}
	})
}

func TestOnChangeIsCalledAfterEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		o.answer(testURL, jwks(t, "a"))
		var k *Keeper
		var reasons []Reason
		p := provider("p", testURL)
		k = newTestKeeper(t, o, Config{OnChange: func(s Status) {
			reasons = append(reasons, s.Reason)
			k.Sync([]*token.Provider{p}) // allowed, and changes nothing
		}})
		k.Sync([]*token.Provider{p})
		pass(time.Second)
		o.answer(testURL, []byte(`{"keys":[]}`))
		pass(10 * time.Minute)
		o.answer(testURL, jwks(t, "b"))
		pass(20 * time.Second)
		if diff := cmp.Diff([]Reason{"", NoUsableKeys, ""}, reasons); diff != "" {
			t.Errorf("reasons (-want +got):\n%s", diff)
		}
	})
}

func TestNewRefusesANegativeTimeout(t *testing.T) {
	if _, err := New(Config{FetchTimeout: -1}); err == nil {
		t.Error("no error")
	}
}

// For the race detector: everything at once.
func TestSyncBesideKeys(t *testing.T) {
	o := &origins{}
	o.answer(testURL, jwks(t, "a"))
	o.answer(otherURL, jwks(t, "b"))
	k := newTestKeeper(t, o, Config{OnChange: func(Status) {}})
	p, q := provider("p", testURL), provider("q", otherURL)
	p.Remote.MinInterval, q.Remote.MinInterval = time.Nanosecond, time.Nanosecond
	k.Sync([]*token.Provider{p, q})
	if err := k.WaitTried(t.Context()); err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			var last *token.KeySet
			for !done.Load() {
				set, err := k.Keys(t.Context(), p, last)
				if err != nil {
					t.Errorf("provider that stays: %v", err)
					return
				}
				last = set
				_, _ = k.Keys(t.Context(), q, nil) // comes and goes
				_ = k.Status(q)
			}
		})
	}
	for range 200 {
		k.Sync([]*token.Provider{p})
		k.Sync([]*token.Provider{p, q})
	}
	done.Store(true)
	callers.Wait()
	k.Close()
}

func TestKeysAllocateNothing(t *testing.T) {
	o := &origins{}
	o.answer(testURL, jwks(t, "a"))
	k := newTestKeeper(t, o, Config{})
	p := provider("p", testURL)
	k.Sync([]*token.Provider{p})
	if err := k.WaitTried(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := testing.AllocsPerRun(100, func() { _, _ = k.Keys(t.Context(), p, nil) }); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

func BenchmarkKeys(b *testing.B) {
	o := &origins{}
	o.answer(testURL, jwks(b, "a"))
	k := newTestKeeper(b, o, Config{})
	p := provider("p", testURL)
	k.Sync([]*token.Provider{p})
	if err := k.WaitTried(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Keys(b.Context(), p, nil); err != nil {
			b.Fatal(err)
		}
	}
}
