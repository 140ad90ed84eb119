package envoy

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/cmd/demo"
)

// shelf is where an issuer's keys are published, as many generations of them at a time as the test says.
type shelf struct {
	server  *httptest.Server
	fetches atomic.Int64

	mu   sync.Mutex
	keys []json.RawMessage
}

func newShelf(t *testing.T) *shelf {
	s := &shelf{}
	s.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		s.fetches.Add(1)
		s.mu.Lock()
		defer s.mu.Unlock()
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(map[string]any{"keys": s.keys}) // a client that has gone needs no answer
	}))
	t.Cleanup(s.server.Close)
	return s
}

func (s *shelf) publish(generations ...[]json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = nil
	for _, g := range generations {
		s.keys = append(s.keys, g...)
	}
}

// keysOf are the public keys that issuer publishes now.
func keysOf(t *testing.T, issuer *demo.Issuer) []json.RawMessage {
	t.Helper()
	resp, err := http.Get(issuer.JWKSURL())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var set struct{ Keys []json.RawMessage }
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil || len(set.Keys) == 0 {
		t.Fatalf("keys of the issuer: %v, %d of them", err, len(set.Keys))
	}
	return set.Keys
}

// TestKeyRotation rotates the issuer's keys while requests flow: a token of the new key is good after one fetch that all
// share, one of the old key stays good while that key is published, and is refused once it is gone.
func TestKeyRotation(t *testing.T) {
	binary(t, "SALLYPORT_ENVOY")
	binary(t, "SALLYPORT_BIN")
	shelf := newShelf(t)
	w := &world{issuer: startIssuer(t), upstream: startUpstream(t), folder: t.TempDir()}
	first := keysOf(t, w.issuer)
	shelf.publish(first)
	w.write(t, "rotation.yaml", strings.ReplaceAll(testdata(t, "rotation.yaml"), "${KEYS}", shelf.server.URL))
	w.sallyport = startSallyport(t, demo.SallyportConfig{From: []string{w.folder}})
	e := w.edge(t, demo.EnvoyConfig{Concurrency: 2})
	reason := func(token string) string {
		return do(t, e.Address(), call{host: "shop.test", target: "/", token: token}).reason()
	}
	old := w.token(t, nil)
	if got := reason(old); got != "Allowed" {
		t.Fatalf("the first key: %s", got)
	}

	// Those who walk with tokens of the old key notice nothing of what follows.
	stop := make(chan struct{})
	var answers atomic.Int64
	var walkers sync.WaitGroup
	for range 3 {
		walkers.Go(func() {
			if err := w.flow(e.Address(), old, stop, &answers); err != nil {
				t.Error(err)
			}
		})
	}
	if err := w.issuer.Rotate(); err != nil {
		t.Fatal(err)
	}
	second := keysOf(t, w.issuer)
	shelf.publish(first, second)
	start, fetched := time.Now(), shelf.fetches.Load()
	fresh := w.token(t, nil)
	eventually(t, "the new key is known", func() bool { return reason(fresh) == "Allowed" })
	if n := shelf.fetches.Load() - fetched; n != 1 {
		t.Errorf("%d fetches for one new key", n)
	}
	t.Logf("the new key was known after %s", time.Since(start))

	checkSharedFetches(t, shelf, func() string { return reason(w.token(t, nil, demo.WithHeader("kid", "nobody"))) })
	close(stop)
	walkers.Wait()

	// A third key comes, and the first one is gone: the token that was good a moment ago is good no longer.
	if err := w.issuer.Rotate(); err != nil {
		t.Fatal(err)
	}
	shelf.publish(second, keysOf(t, w.issuer))
	newest := w.token(t, nil)
	eventually(t, "the third key is known", func() bool { return reason(newest) == "Allowed" })
	for name, test := range map[string]struct{ token, want string }{
		"first": {old, "UnknownKey"}, "second": {fresh, "Allowed"}, "third": {newest, "Allowed"},
	} {
		if got := reason(test.token); got != test.want {
			t.Errorf("a token of the %s key: %s, want %s", name, got, test.want)
		}
	}
}

// checkSharedFetches sees that tokens of a key that nobody has share one fetch in each minInterval of a second.
func checkSharedFetches(t *testing.T, s *shelf, reason func() string) {
	t.Helper()
	start, fetched := time.Now(), s.fetches.Load()
	for range 100 {
		if got := reason(); got != "UnknownKey" {
			t.Fatalf("a key that nobody has: %s", got)
		}
	}
	if n, most := s.fetches.Load()-fetched, int64(time.Since(start)/time.Second)+1; n > most {
		t.Errorf("%d fetches for 100 unknown keys within %s", n, time.Since(start))
	}
}

// TestKeysThatAreGone shows that keys that were fetched once serve on while the issuer is down.
func TestKeysThatAreGone(t *testing.T) {
	w := newWorld(t, []string{"reasons.yaml"})
	e := w.edge(t, demo.EnvoyConfig{})
	w.issuer.SetFault(demo.Fault{Status: http.StatusInternalServerError})
	for name, test := range map[string]struct{ token, want string }{
		"a known key":              {w.token(t, nil), "Allowed"},
		"an unknown key":           {w.token(t, nil, demo.WithHeader("kid", "nobody")), "UnknownKey"},
		"a known key, and expired": {w.token(t, map[string]any{"exp": 1}), "TokenExpired"},
	} {
		if a := do(t, e.Address(), call{host: "shop.test", target: "/any", token: test.token}); a.reason() != test.want {
			t.Errorf("%s: %s, want %s", name, a.reason(), test.want)
		}
	}
}
