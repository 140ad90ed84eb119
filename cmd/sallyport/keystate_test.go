package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sallyport/sallyport/extauthz/idp"
	"github.com/sallyport/sallyport/extauthz/token"
)

// rack is an identity provider's server that has one key.
type rack struct {
	*httptest.Server
	private *ecdsa.PrivateKey
	body    atomic.Pointer[string]
}

func newRack(t *testing.T) *rack {
	r := &rack{}
	r.turn(t)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(*r.body.Load()))
	}))
	t.Cleanup(r.Close)
	return r
}

// turn gives the rack another key.
func (r *rack) turn(t *testing.T) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes() // 4, x, y
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	body := fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-256","kid":"k","x":%q,"y":%q}]}`, b64(point[1:33]), b64(point[33:]))
	r.private = private
	r.body.Store(&body)
}

// provider is one whose keys are those of the rack.
func (r *rack) provider(name string, interval time.Duration) *token.Provider {
	return &token.Provider{Name: name, Remote: &token.Remote{
		URL: r.URL, AllowHTTP: true, Interval: interval, MinInterval: time.Second, StaleFor: 24 * time.Hour,
	}}
}

// shelf is a keyStore in memory.
type shelf struct {
	mu      sync.Mutex
	data    []byte
	saves   []time.Duration // since begin
	begin   time.Time
	failing error
}

func (s *shelf) Load(ctx context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data, errors.Join(s.failing, ctx.Err())
}

func (s *shelf) Save(ctx context.Context, change func([]byte) ([]byte, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saves = append(s.saves, time.Since(s.begin))
	if err := errors.Join(s.failing, ctx.Err()); err != nil {
		return err
	}
	data, err := change(s.data)
	if err == nil {
		s.data = data
	}
	return err
}

func (s *shelf) put(data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = data
}

func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = err
}

func (s *shelf) savedAt() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Duration(nil), s.saves...)
}

// keeping is a running keyState with the keeper that it keeps, for a test in a bubble: there time.Sleep lets time pass, and
// takes none.
type keeping struct {
	*keyState
	log  []string // after stop
	stop func()
}

func startKeeping(t *testing.T, store *shelf, r *rack, interval time.Duration, limit int, leading bool) *keeping {
	t.Helper()
	k := &keeping{}
	var mu sync.Mutex
	log := funcr.New(func(_, args string) {
		mu.Lock()
		defer mu.Unlock()
		k.log = append(k.log, args)
	}, funcr.Options{})
	keeper, err := idp.New(idp.Config{
		AllowLoopback: true, Random: func() float64 { return 0.5 }, OnChange: func(idp.Status) { k.note() },
	})
	if err != nil {
		t.Fatal(err)
	}
	if k.keyState, err = newKeyState(keeper, store, limit, log, prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	if store.begin.IsZero() {
		store.begin = time.Now()
	}
	k.lead(leading)
	k.restore(t.Context())
	keeper.Sync([]*token.Provider{r.provider("p", interval)})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = k.Run(ctx) })
	k.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		keeper.Close()
	})
	t.Cleanup(k.stop)
	if err := keeper.WaitTried(t.Context()); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeysAreSavedWhenTheyChange(t *testing.T) {
	r := newRack(t)
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		k := startKeeping(t, store, r, time.Minute, 0, true)
		time.Sleep(4*time.Minute + 30*time.Second)
		want := []time.Duration{keySettle}
		if diff := cmp.Diff(want, store.savedAt()); diff != "" {
			t.Errorf("saves of keys that did not change (-want +got):\n%s", diff)
		}
		r.turn(t)
		time.Sleep(time.Minute)
		want = append(want, 5*time.Minute+keySettle) // other keys
		if diff := cmp.Diff(want, store.savedAt()); diff != "" {
			t.Errorf("saves after the keys changed (-want +got):\n%s", diff)
		}
		time.Sleep(5 * time.Minute)
		want = append(want, 10*time.Minute+keySettle) // the same keys, of a later fetch
		if diff := cmp.Diff(want, store.savedAt()); diff != "" {
			t.Errorf("saves after the times grew old (-want +got):\n%s", diff)
		}
		time.Sleep(time.Minute)
		k.stop()
		want = append(want, 11*time.Minute+30*time.Second) // the end
		if diff := cmp.Diff(want, store.savedAt()); diff != "" {
			t.Errorf("saves at the end (-want +got):\n%s", diff)
		}
	})
}

func TestKeysThatChangeAllTheTimeAreSavedNowAndThen(t *testing.T) {
	r := newRack(t)
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		startKeeping(t, store, r, time.Second, 0, true)
		for range 95 {
			r.turn(t)
			time.Sleep(time.Second)
		}
		want := []time.Duration{keySettle, keySettle + keyPause, keySettle + 2*keyPause, keySettle + 3*keyPause}
		if diff := cmp.Diff(want, store.savedAt()); diff != "" {
			t.Errorf("saves (-want +got):\n%s", diff)
		}
	})
}

func TestOnlyTheLeaderSaves(t *testing.T) {
	r := newRack(t)
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		k := startKeeping(t, store, r, time.Minute, 0, false)
		time.Sleep(time.Hour)
		if got := store.savedAt(); got != nil {
			t.Errorf("saved %v without leading", got)
		}
		k.lead(true)
		time.Sleep(keySettle)
		synctest.Wait()
		if got := store.savedAt(); len(got) != 1 {
			t.Errorf("saved %v, want once that it leads", got)
		}
		k.lead(false)
		time.Sleep(time.Hour)
		k.stop()
		if got := store.savedAt(); len(got) != 1 {
			t.Errorf("saved %v, want nothing after it led", got)
		}
	})
}

func TestASaveThatFailsIsTriedAgain(t *testing.T) {
	r := newRack(t)
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{failing: errors.New("full")}
		k := startKeeping(t, store, r, time.Hour, 0, true)
		time.Sleep(keySettle + keyPause)
		synctest.Wait()
		store.fail(nil)
		time.Sleep(time.Hour / 2)
		want := []time.Duration{keySettle, keySettle + keyPause, keySettle + 2*keyPause}
		if diff := cmp.Diff(want, store.savedAt()); diff != "" {
			t.Errorf("saves (-want +got):\n%s", diff)
		}
		k.stop()
		if got := testutil.ToFloat64(k.failures); got != 3 { // one of them of the first load
			t.Errorf("counted %v failures, want 3", got)
		}
		log := strings.Join(k.log, "\n")
		if strings.Count(log, "cannot be kept") != 1 || strings.Count(log, "kept again") != 1 {
			t.Errorf("log does not say once each that it failed and was mended:\n%s", log)
		}
	})
}

func TestAStoreIsNotEmptiedByWhoHadNoKeys(t *testing.T) {
	r := newRack(t)
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		startKeeping(t, store, r, time.Hour, 0, true).stop()
		kept := string(store.data)
		r.Close()
		time.Sleep(25 * time.Hour) // too old
		k := startKeeping(t, store, r, time.Hour, 0, true)
		time.Sleep(time.Hour)
		k.stop()
		if string(store.data) != kept || kept == "" {
			t.Errorf("the store has %q, want what it had: %q", store.data, kept)
		}
	})
}

// TestANewLeaderKeepsWhatItNeverHad: it started before there was anything to restore, and one of two providers is away
// since.
func TestANewLeaderKeepsWhatItNeverHad(t *testing.T) {
	away, there := newRack(t), newRack(t)
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		next := startKeeping(t, store, there, time.Hour, 0, false)
		startKeeping(t, store, away, time.Hour, 0, true).stop()
		away.Close()
		next.keeper.Sync([]*token.Provider{there.provider("there", time.Hour), away.provider("away", time.Hour)})
		next.lead(true)
		time.Sleep(time.Hour)
		next.stop()

		last := startKeeping(t, store, away, time.Hour, 0, false)
		if got := last.keeper.Status(away.provider("away", time.Hour)); !got.Ready || !got.Stale {
			t.Errorf("a third one has %+v of the provider that is away", got)
		}
		last.stop()
		if got := startKeeping(t, store, there, time.Hour, 0, false).keeper.Status(there.provider("there", time.Hour)); !got.Ready {
			t.Errorf("a third one has %+v of the other provider", got)
		}
	})
}

// TestWhatIsDamagedIsReplaced: it is counted, and the keys that there are take its place.
func TestWhatIsDamagedIsReplaced(t *testing.T) {
	r := newRack(t)
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		k := startKeeping(t, store, r, time.Hour, 0, true)
		store.put([]byte("{"))
		time.Sleep(2 * keySettle)
		k.stop()
		if got := testutil.ToFloat64(k.failures); got != 1 {
			t.Errorf("counted %v failures, want 1", got)
		}
		again := startKeeping(t, store, r, time.Hour, 0, false)
		if got := testutil.ToFloat64(again.failures); got != 0 {
			t.Errorf("what was saved over it cannot be restored: %q", again.log)
		}
	})
}

func TestWhatCannotBeRestoredIsLoudAndNotFatal(t *testing.T) {
	r := newRack(t)
	r.Close()
	tests := []struct {
		name  string
		store *shelf
		want  string
		fails float64
	}{
		{name: "nothing yet", store: &shelf{}, want: "No keys are kept yet"},
		{name: "no answer", store: &shelf{failing: errors.New("forbidden")}, want: "Kept keys cannot be read", fails: 1},
		{name: "empty", store: &shelf{data: []byte{}}, want: "Kept keys are ignored", fails: 1},
		{name: "damaged", store: &shelf{data: []byte(`{"version":1}`)}, want: "damaged", fails: 1},
		{name: "too new", store: &shelf{data: []byte(`{"version":7}`)}, want: "unknown version 7", fails: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := startKeeping(t, tt.store, r, time.Hour, 0, false)
				k.stop()
				if got := testutil.ToFloat64(k.failures); got != tt.fails || !strings.Contains(strings.Join(k.log, "\n"), tt.want) {
					t.Errorf("counted %v failures, want %v; log %q, want %q", got, tt.fails, k.log, tt.want)
				}
			})
		})
	}
}

func TestKeySetsThatAreTooLargeAreNamedOnce(t *testing.T) {
	r := newRack(t)
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		k := startKeeping(t, store, r, time.Minute, 200, true)
		time.Sleep(time.Hour)
		k.stop()
		if got := strings.Count(strings.Join(k.log, "\n"), "largest key sets are not kept"); got != 1 || len(store.data) > 200 {
			t.Errorf("told %d times, want once; stored %d bytes", got, len(store.data))
		}
	})
}
