package idp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"

	"github.com/sallyport/sallyport/extauthz/token"
)

// encode returns the state of k.
func encode(t testing.TB, k *Keeper) []byte {
	t.Helper()
	data, dropped, err := k.State().Encode(0)
	if err != nil || dropped != nil {
		t.Fatalf("dropped %v, error %v", dropped, err)
	}
	return data
}

// life returns the state that a Keeper leaves which fetched body for p, and closes it.
func life(t testing.TB, p *token.Provider, body []byte) []byte {
	t.Helper()
	o := &origins{}
	o.answer(p.Remote.URL, body)
	k := newTestKeeper(t, o, Config{})
	k.Sync([]*token.Provider{p})
	if err := k.WaitTried(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.Close()
	return encode(t, k)
}

// away is a network in which nobody answers.
func away() *origins {
	o := &origins{}
	o.answer(testURL, nil)
	return o
}

// restore gives data to k, which must take sets key sets of it without a word.
func restore(t testing.TB, k *Keeper, data []byte, sets int) {
	t.Helper()
	if got, err := k.Restore(data); got != sets || err != nil {
		t.Fatalf("Restore = %d, %v, want %d", got, err, sets)
	}
}

// TestRestartWhileTheProviderIsAway uses a real server, which is gone in the second life, and comes back in the third.
func TestRestartWhileTheProviderIsAway(t *testing.T) {
	server, p := identityProvider(t, write(http.StatusOK, "application/json", jwks(t, "a")))
	start := func(data []byte) *Keeper {
		k, err := New(Config{AllowLoopback: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(k.Close)
		if data != nil {
			restore(t, k, data, 1)
		}
		k.Sync([]*token.Provider{p})
		if err := k.WaitTried(t.Context()); err != nil {
			t.Fatal(err)
		}
		return k
	}
	first := start(nil)
	wantKeyIDs(t, mustKeys(t, first, p, nil), "a")
	first.Close()
	server.Close()

	wantNoKeys(t, start(nil), p) // without a state there is nothing to serve
	second := start(encode(t, first))
	wantKeyIDs(t, mustKeys(t, second, p, nil), "a")
	if s := second.Status(p); !s.Ready || !s.Stale || s.Reason != ConnectionFailed || s.LastSuccess.IsZero() {
		t.Errorf("status %+v", s)
	}
	second.Close()
	third := start(encode(t, second)) // away still: what was restored is kept again
	wantKeyIDs(t, mustKeys(t, third, p, nil), "a")
	// The wall clock and the monotonic one do not tick alike to the nanosecond.
	if first, third := first.Status(p).LastSuccess, third.Status(p).LastSuccess; third.Sub(first.Round(0)).Abs() > time.Second/10 {
		t.Errorf("fetched at %s, and after two restarts at %s", first, third)
	}
}

func TestRestoredKeysServeDuringTheFirstFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := provider("p", testURL)
		data := life(t, p, jwks(t, "a"))
		o := &origins{}
		o.answer(testURL, jwks(t, "b"))
		o.slow(time.Second)
		k := newTestKeeper(t, o, Config{})
		restore(t, k, data, 1)
		begin := time.Now()
		k.Sync([]*token.Provider{p})
		set := mustKeys(t, k, p, nil)
		wantKeyIDs(t, set, "a")
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("waited %s for keys that are there", waited)
		}
		if s := k.Status(p); !s.Ready || !s.Stale || s.Reason != "" {
			t.Errorf("status %+v", s)
		}
		if mustKeys(t, k, p, set); time.Since(begin) != MaxWait {
			t.Errorf("waited %s for a kid that is not there, want %s", time.Since(begin), MaxWait)
		}
		if err := k.WaitTried(t.Context()); err != nil || time.Since(begin) != time.Second {
			t.Errorf("tried after %s, want after the first fetch (%v)", time.Since(begin), err)
		}
		wantKeyIDs(t, mustKeys(t, k, p, nil), "b")
		if s := k.Status(p); !s.Ready || s.Stale {
			t.Errorf("status after the fetch %+v", s)
		}
	})
}

func TestStaleForCountsFromTheFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := provider("p", testURL) // staleFor is an hour
		data := life(t, p, jwks(t, "a"))
		pass(40 * time.Minute)
		o := &origins{}
		o.answer(testURL, nil)
		k := newTestKeeper(t, o, Config{})
		restore(t, k, data, 1)
		k.Sync([]*token.Provider{p})
		pass(19 * time.Minute)
		wantKeyIDs(t, mustKeys(t, k, p, nil), "a")
		k.Close()
		data = encode(t, k) // a second restart does not make them younger
		k = newTestKeeper(t, o, Config{})
		restore(t, k, data, 1)
		k.Sync([]*token.Provider{p})
		pass(time.Minute)
		wantKeyIDs(t, mustKeys(t, k, p, nil), "a")
		pass(time.Nanosecond)
		wantNoKeys(t, k, p)
		if got := k.State().Len(); got != 0 {
			t.Errorf("%d key sets kept that may not be used", got)
		}

		k = newTestKeeper(t, o, Config{})
		restore(t, k, data, 1)
		k.Sync([]*token.Provider{p})
		wantNoKeys(t, k, p) // too old before the first fetch
		if s := k.Status(p); s.Ready || !s.LastSuccess.IsZero() {
			t.Errorf("status %+v", s)
		}
	})
}

// Without a failure, fetched keys may outlive a short staleFor until the next attempt. Restored ones may not.
func TestRestoredKeysNeverOutliveStaleFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := provider("p", testURL)
		p.Remote.StaleFor = time.Minute
		data := life(t, p, jwks(t, "a"))
		o := away()
		o.slow(time.Hour)
		k := newTestKeeper(t, o, Config{FetchTimeout: 2 * time.Hour})
		restore(t, k, data, 1)
		k.Sync([]*token.Provider{p})
		pass(time.Minute)
		wantKeyIDs(t, mustKeys(t, k, p, nil), "a")
		pass(time.Nanosecond)
		wantNoKeys(t, k, p)
	})
}

func TestKeysAreOnlyRestoredForTheirOwnRemote(t *testing.T) {
	tests := []struct {
		name   string
		change func(*token.Provider)
		serves bool
	}{
		{name: "another name for the same remote", change: func(p *token.Provider) { p.Name = "q" }, serves: true},
		{name: "another URL", change: func(p *token.Provider) { p.Remote.URL = otherURL }},
		{name: "another issuer", change: func(p *token.Provider) { p.Remote.Issuer = "https://other.example.com" }},
		{name: "other authorities", change: func(p *token.Provider) { p.Remote.RootCAs = []byte("other") }},
		{name: "HTTP", change: func(p *token.Provider) { p.Remote.AllowHTTP = true }},
		{name: "discovery", change: func(p *token.Provider) { p.Remote.Discovery = true }},
		{name: "another staleFor", change: func(p *token.Provider) { p.Remote.StaleFor *= 2 }},
		{name: "keys of its own", change: func(p *token.Provider) { p.Remote = nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := provider("p", testURL)
				data := life(t, p, jwks(t, "a"))
				k := newTestKeeper(t, away(), Config{})
				restore(t, k, data, 1)
				tt.change(p)
				k.Sync([]*token.Provider{p})
				if !tt.serves {
					wantNoKeys(t, k, p)
					return
				}
				wantKeyIDs(t, mustKeys(t, k, p, nil), "a")
			})
		})
	}
}

func TestRestoredKeysNeverReplaceFetchedOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := provider("p", testURL)
		data := life(t, p, jwks(t, "old"))
		o := &origins{}
		o.answer(testURL, jwks(t, "new"))
		k := newTestKeeper(t, o, Config{})
		k.Sync([]*token.Provider{p})
		wantKeyIDs(t, mustKeys(t, k, p, nil), "new")
		restore(t, k, data, 1)
		k.Sync([]*token.Provider{p})
		o.answer(testURL, nil)
		pass(30 * time.Minute)
		wantKeyIDs(t, mustKeys(t, k, p, nil), "new")

		other := provider("p", testURL) // another ID that has the old keys waiting, and the new ones beside it
		other.Remote.Interval = time.Minute
		restore(t, k, life(t, other, jwks(t, "old")), 1)
		k.Sync([]*token.Provider{other})
		wantKeyIDs(t, mustKeys(t, k, other, nil), "new")
	})
}

// A writer of the state may forge keys until the first fetch, not beyond it, whatever the fetch brings.
func TestAFetchReplacesRestoredKeysOfTheSameKid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := provider("p", testURL)
		data := life(t, p, jwks(t, "a"))
		o := &origins{}
		o.answer(testURL, jwks(t, "a"))
		o.slow(time.Millisecond)
		k := newTestKeeper(t, o, Config{})
		restore(t, k, data, 1)
		k.Sync([]*token.Provider{p})
		forged := mustKeys(t, k, p, nil)
		pass(time.Millisecond)
		if mustKeys(t, k, p, nil) == forged {
			t.Error("the restored set outlived a fetch")
		}
	})
}

// reseal replaces old by new within data, and mends the checksum.
func reseal(t testing.TB, data []byte, old, new string) []byte {
	t.Helper()
	var outer sealed
	if err := json.Unmarshal(data, &outer); err != nil {
		t.Fatal(err)
	}
	inner := bytes.Replace(outer.State, []byte(old), []byte(new), 1)
	if bytes.Equal(inner, outer.State) {
		t.Fatalf("no %q in %s", old, outer.State)
	}
	return sealState(inner)
}

func sealState(inner []byte) []byte {
	sum := sha256.Sum256(inner)
	return fmt.Appendf(nil, `{"version":1,"sha256":%q,"state":%s}`, hex.EncodeToString(sum[:]), inner)
}

func TestRestoreIgnoresWhatItCannotTrust(t *testing.T) {
	p := provider("p", testURL)
	data := life(t, p, jwks(t, "zanzibar"))
	saved, err := unseal(data)
	if err != nil {
		t.Fatal(err)
	}
	fetched := saved.Remotes[0].Fetched
	id, stamp := saved.Remotes[0].ID, fetched.Format(time.RFC3339Nano)
	bit := bytes.Clone(data)
	bit[bytes.Index(bit, []byte(`"x":"`))+8] ^= 1
	tests := []struct {
		name string
		data []byte
		now  time.Time
		want error
	}{
		{name: "nothing", want: ErrStateDamaged},
		{name: "half of it", data: data[:len(data)/2], want: ErrStateDamaged},
		{name: "one bit", data: bit, want: ErrStateDamaged},
		{name: "something else", data: []byte(`{"keys":[]}`), want: ErrStateVersion},
		{name: "no object", data: []byte(`["zanzibar"]`), want: ErrStateDamaged},
		{name: "a later version", data: bytes.Replace(data, []byte(`"version":1`), []byte(`"version":2`), 1), want: ErrStateVersion},
		{name: "a member that is not known", data: reseal(t, data, `{"saved"`, `{"zanzibar":1,"saved"`), want: ErrStateDamaged},
		{name: "an ID that is none", data: reseal(t, data, id, id[2:]), want: ErrStateDamaged},
		{name: "one remote twice", data: twice(t, data), want: ErrStateDamaged},
		{name: "too large", data: make([]byte, MaxState+1), want: ErrStateDamaged},
		{name: "no usable key", data: reseal(t, data, `"kty":"EC"`, `"kty":"??"`), want: ErrStateKeys},
		{name: "a private key", data: reseal(t, data, `"kty":"EC"`, `"d":"zanzibar","kty":"EC"`), want: ErrStateKeys},
		{name: "fetched in the future", data: reseal(t, data, `"fetched":"`+stamp, `"fetched":"`+fetched.Add(time.Hour).Format(time.RFC3339Nano)), want: ErrStateFuture},
		{name: "fetched after it was saved", now: fetched.Add(time.Hour), data: reseal(t, data, `"fetched":"`+stamp, `"fetched":"`+fetched.Add(time.Minute).Format(time.RFC3339Nano)), want: ErrStateFuture},
		{name: "a clock that was set back", data: data, now: fetched.Add(-2 * time.Minute), want: ErrStateFuture},
		{
			name: "keys of before, in a state of after the clock was set back", now: fetched.Add(-time.Hour), want: ErrStateFuture,
			data: reseal(t, data, `"fetched":"`+stamp, `"fetched":"`+fetched.Add(-2*time.Hour).Format(time.RFC3339Nano)),
		},
		{name: "set back to just before the fetch", data: data, now: fetched.Add(-time.Second), want: ErrStateFuture},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config := Config{}
			if !tt.now.IsZero() {
				config.Now = func() time.Time { return tt.now }
			}
			k := newTestKeeper(t, away(), config)
			sets, err := k.Restore(tt.data)
			if sets != 0 || !errors.Is(err, tt.want) {
				t.Fatalf("Restore = %d, %v, want %v", sets, err, tt.want)
			}
			if strings.Contains(err.Error(), "zanzibar") {
				t.Errorf("%q quotes the state", err)
			}
			k.Sync([]*token.Provider{p})
			wantNoKeys(t, k, p)
		})
	}
}

// twice returns data with its one remote twice.
func twice(t *testing.T, data []byte) []byte {
	t.Helper()
	state, err := unseal(data)
	if err != nil {
		t.Fatal(err)
	}
	one, err := marshal(state.Remotes[0])
	if err != nil {
		t.Fatal(err)
	}
	return reseal(t, data, `"remotes":[`, `"remotes":[`+string(one)+`,`)
}

func TestOneBadKeySetDoesNotSpoilTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		o.answer(testURL, jwks(t, "good"))
		o.answer(otherURL, jwks(t, "bad"))
		k := newTestKeeper(t, o, Config{})
		good, bad := provider("good", testURL), provider("bad", otherURL)
		k.Sync([]*token.Provider{good, bad})
		pass(0)
		data := reseal(t, encode(t, k), `"alg":"ES256","kid":"bad"`, `"alg":"?","kid":"bad"`)
		k = newTestKeeper(t, away(), Config{})
		if sets, err := k.Restore(data); sets != 1 || !errors.Is(err, ErrStateKeys) || !strings.Contains(err.Error(), `"bad"`) {
			t.Errorf("Restore = %d, %v, want 1 and %v that names the provider", sets, err, ErrStateKeys)
		}
		k.Sync([]*token.Provider{good, bad})
		wantKeyIDs(t, mustKeys(t, k, good, nil), "good")
		wantNoKeys(t, k, bad)
	})
}

func TestRestoreIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := provider("p", testURL)
		p.Remote.Issuer = p.Issuer
		data := life(t, p, jwks(t, "a"))
		for _, tt := range []struct {
			after time.Duration
			want  string
		}{{time.Minute, `"msg"="Keys restored"`}, {2 * time.Hour, `"msg"="Kept keys are too old"`}} {
			pass(tt.after)
			var lines []string
			k := newTestKeeper(t, away(), Config{Log: funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})})
			restore(t, k, data, 1)
			k.Sync([]*token.Provider{p})
			pass(0)
			k.Close()
			if len(lines) == 0 || !strings.Contains(lines[0], tt.want) || !strings.Contains(lines[0], `"issuer"="https://id.example.com"`) {
				t.Errorf("after %s: log %q, want %s first", tt.after, lines, tt.want)
			}
		}
	})
}
