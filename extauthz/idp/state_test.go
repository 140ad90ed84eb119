package idp

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/token"
)

func TestStateHoldsWhatIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		o.answer(testURL, jwks(t, "a"))
		k := newTestKeeper(t, o, Config{})
		if got := k.State().Len(); got != 0 {
			t.Errorf("%d key sets before the first Sync", got)
		}
		a, b, without := provider("b", testURL), provider("a", testURL), provider("without", otherURL)
		k.Sync([]*token.Provider{a, b, without})
		pass(0)
		first := k.State()
		if first.Len() != 1 {
			t.Fatalf("%d key sets, want that of the one remote that has keys", first.Len())
		}
		if diff := cmp.Diff([]string{"a", "b"}, first.sets[0].Providers); diff != "" {
			t.Errorf("providers (-want +got):\n%s", diff)
		}

		pass(15 * time.Minute) // fetched again at 10 min
		second := k.State()
		if !second.SameKeys(first) || !second.NewerThan(first) || first.NewerThan(second) || second.NewerThan(second) {
			t.Error("the same keys, fetched later, are not told")
		}
		if got := second.saved.Sub(second.sets[0].Fetched); got != 5*time.Minute {
			t.Errorf("keys are %s old, want 5m", got)
		}
		o.answer(testURL, jwks(t, "b"))
		pass(10 * time.Minute)
		if k.State().SameKeys(second) {
			t.Error("other keys are not told")
		}
		k.Sync([]*token.Provider{without})
		if got := k.State().Len(); got != 0 {
			t.Errorf("%d key sets of remotes that are gone", got)
		}
	})
}

// A wall clock that is set while the program runs does not change the age of keys: only the monotonic one counts.
func TestAgeIsKeptWhenTheClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var offset atomic.Int64
		p := provider("p", testURL)
		data := life(t, p, jwks(t, "a"))
		k := newTestKeeper(t, away(), Config{Now: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }})
		restore(t, k, data, 1)
		k.Sync([]*token.Provider{p})
		offset.Store(int64(-24 * time.Hour)) // the handed-in clock jumps back: fetched seems to be in the future
		s := k.State()
		if s.Len() != 1 || s.sets[0].Fetched.After(s.saved) {
			t.Errorf("state %+v, want one set that is not younger than the state", s)
		}
	})
}

func TestTheLargestKeySetsAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		k := newTestKeeper(t, o, Config{})
		var providers []*token.Provider
		for i := range 5 {
			url := fmt.Sprintf("https://id.example.com/%d", i)
			var kids []string
			for j := range []int{4, 1, 5, 2, 3}[i] {
				kids = append(kids, fmt.Sprintf("%d<%d", i, j)) // no escape may lengthen it
			}
			o.answer(url, jwks(t, kids...))
			providers = append(providers, provider(fmt.Sprintf("p%d", i), url))
		}
		k.Sync(providers)
		pass(0)
		state := k.State()
		whole, dropped, err := state.Encode(0)
		if err != nil || dropped != nil || len(whole) < 5*100 {
			t.Fatalf("%d bytes, dropped %v, error %v", len(whole), dropped, err)
		}
		sizes := map[int]bool{}
		for limit := len(whole); limit > 0; limit-- {
			data, dropped, err := state.Encode(limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(data) > limit && len(dropped) < 5 {
				t.Fatalf("%d bytes, of which only %v were left out, want at most %d", len(data), dropped, limit)
			}
			found, err := readState(data, time.Now())
			if err != nil || len(found) != 5-len(dropped) {
				t.Fatalf("read %d sets, dropped %v, error %v", len(found), dropped, err)
			}
			want := map[int][]string{0: nil, 1: {"p2"}, 2: {"p0", "p2"}, 3: {"p0", "p2", "p4"}, 4: {"p0", "p2", "p3", "p4"}, 5: {"p0", "p1", "p2", "p3", "p4"}}
			if diff := cmp.Diff(want[len(dropped)], dropped); diff != "" {
				t.Fatalf("left out (-want +got):\n%s", diff)
			}
			sizes[len(dropped)] = true
		}
		if len(sizes) != 6 {
			t.Errorf("left out %v sets, want each of 0 to 5", sizes)
		}
	})
}

func TestEncodeIsStable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		o.answer(testURL, jwks(t, "a"))
		o.answer(otherURL, jwks(t, "b"))
		k := newTestKeeper(t, o, Config{})
		k.Sync([]*token.Provider{provider("a", testURL), provider("b", otherURL)})
		pass(0)
		first := encode(t, k)
		for range 20 {
			if !bytes.Equal(encode(t, k), first) {
				t.Fatal("the same state is written in two ways")
			}
		}
	})
}

// A process that keeps keys for all loses nothing that another has fetched, and takes nothing that is not of use.
func TestStateOver(t *testing.T) {
	const thirdURL = "https://third.example.com/keys"
	uid := func(uid, url string) *token.Provider {
		p := provider(uid, url)
		p.UID = uid
		return p
	}
	for _, tt := range []struct {
		name          string
		age           time.Duration // of what is kept, when the other process looks
		kept          *token.Provider
		now           []*token.Provider
		fetched       bool     // by the other process too, later
		own, together []string // kids
	}{
		{name: "what this one never had", kept: uid("a", testURL), now: []*token.Provider{uid("a", testURL)}, together: []string{"old"}},
		{name: "beside another", kept: uid("a", testURL), now: []*token.Provider{uid("a", testURL), uid("b", thirdURL)}, own: []string{"third"}, together: []string{"old", "third"}},
		{name: "what this one fetched later", kept: uid("a", testURL), now: []*token.Provider{uid("a", testURL)}, fetched: true, own: []string{"new"}, together: []string{"new"}},
		{name: "too old", age: 25 * time.Hour, kept: uid("a", testURL), now: []*token.Provider{uid("a", testURL)}},
		{name: "of a provider that is gone", kept: uid("a", testURL), now: []*token.Provider{uid("b", thirdURL)}, own: []string{"third"}, together: []string{"third"}},
		{name: "of one that was made anew", kept: uid("a", testURL), now: []*token.Provider{uid("b", testURL)}},
		{name: "of one that has moved", kept: uid("a", testURL), now: []*token.Provider{uid("a", otherURL)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				data := life(t, tt.kept, jwks(t, "old"))
				pass(tt.age)
				o := away()
				o.answer(otherURL, nil)
				o.answer(thirdURL, jwks(t, "third"))
				if tt.fetched {
					pass(time.Minute)
					o.answer(testURL, jwks(t, "new"))
				}
				k := newTestKeeper(t, o, Config{})
				k.Sync(tt.now)
				if err := k.WaitTried(t.Context()); err != nil {
					t.Fatal(err)
				}
				both, err := k.StateOver(data)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.own, kidsOf(t, k.State())); diff != "" {
					t.Errorf("its own (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tt.together, kidsOf(t, both)); diff != "" {
					t.Errorf("together (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// kidsOf are the kids of all sets, sorted.
func kidsOf(t *testing.T, s State) []string {
	t.Helper()
	var out []string
	for _, set := range s.sets {
		keys, _, err := token.ParseJWKS(set.JWKS, false)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, keys.KeyIDs()...)
	}
	slices.Sort(out)
	return out
}

func TestStateOverSaysWhatItIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		o.answer(testURL, jwks(t, "a"))
		k := newTestKeeper(t, o, Config{})
		k.Sync([]*token.Provider{provider("a", testURL)})
		pass(0)
		s, err := k.StateOver([]byte("{"))
		if !errors.Is(err, ErrStateDamaged) || s.Len() != 1 {
			t.Errorf("%d sets, error %v", s.Len(), err)
		}
		if s, err := k.StateOver(nil); err != nil || s.Len() != 1 {
			t.Errorf("over nothing: %d sets, error %v", s.Len(), err)
		}
	})
}
