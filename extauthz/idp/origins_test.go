package idp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/token"
)

// jwks returns a key set with a new P-256 key for each kid.
func jwks(t testing.TB, kids ...string) []byte {
	t.Helper()
	keys := []map[string]string{}
	for _, kid := range kids {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, err := private.PublicKey.Bytes() // 4, x, y
		if err != nil {
			t.Fatal(err)
		}
		b64 := base64.RawURLEncoding
		keys = append(keys, map[string]string{
			"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
			"x": b64.EncodeToString(point[1:33]), "y": b64.EncodeToString(point[33:]),
		})
	}
	data, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// origins stands for the network: what each URL answers, how long it takes, and when it was asked.
type origins struct {
	mu     sync.Mutex
	body   map[string][]byte // absent: ConnectionFailed
	takes  time.Duration
	asked  map[string][]time.Time
	active atomic.Int32
}

func (o *origins) answer(url string, body []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.body == nil {
		o.body, o.asked = map[string][]byte{}, map[string][]time.Time{}
	}
	if body == nil {
		delete(o.body, url)
		return
	}
	o.body[url] = body
}

func (o *origins) slow(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.takes = d
}

func (o *origins) fetches(url string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.asked[url])
}

func (o *origins) fetcher(remote *token.Remote) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		o.active.Add(1)
		defer o.active.Add(-1)
		o.mu.Lock()
		o.asked[remote.URL] = append(o.asked[remote.URL], time.Now())
		takes := o.takes
		o.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, refine(ctx, ctx.Err(), keySetDocument)
		case <-time.After(takes):
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		body, ok := o.body[remote.URL]
		if !ok {
			return nil, &FetchError{Reason: ConnectionFailed, Document: keySetDocument}
		}
		return body, nil
	}
}

// newTestKeeper returns a Keeper that fetches from o, without jitter.
func newTestKeeper(t testing.TB, o *origins, config Config) *Keeper {
	t.Helper()
	if config.Random == nil {
		config.Random = func() float64 { return 0.5 }
	}
	k, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	k.newFetch = o.fetcher
	t.Cleanup(k.Close)
	return k
}

const (
	testURL  = "https://id.example.com/keys"
	otherURL = "https://other.example.com/keys"
)

func provider(name, url string) *token.Provider {
	return &token.Provider{Name: name, Issuer: "https://id.example.com", Remote: &token.Remote{
		URL: url, Interval: 10 * time.Minute, MinInterval: 10 * time.Second, StaleFor: time.Hour,
	}}
}

func mustKeys(t *testing.T, k *Keeper, p *token.Provider, after *token.KeySet) *token.KeySet {
	t.Helper()
	set, err := k.Keys(t.Context(), p, after)
	if err != nil {
		t.Fatalf("Keys: %v", err)
	}
	return set
}

func wantNoKeys(t *testing.T, k *Keeper, p *token.Provider) {
	t.Helper()
	if set, err := k.Keys(t.Context(), p, nil); set != nil || !errors.Is(err, token.ErrKeysUnavailable) {
		t.Errorf("Keys = %v, %v, want %v", set, err, token.ErrKeysUnavailable)
	}
}

func wantKeyIDs(t *testing.T, set *token.KeySet, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, set.KeyIDs()); diff != "" {
		t.Errorf("key IDs (-want +got):\n%s", diff)
	}
}

// pass lets d pass, and everything come to rest. Only for use in a bubble, where no real time passes.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
