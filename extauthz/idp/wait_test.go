package idp

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/token"
)

// caller is the key of who waits, in a context.
type caller struct{}

func calledBy(t *testing.T, who string) context.Context {
	return context.WithValue(t.Context(), caller{}, who)
}

// waiting notes who waited, for what, how long, and what became of it.
type waiting struct {
	mu  sync.Mutex
	saw []string
}

func (w *waiting) wait(ctx context.Context, name string) func(string, bool) {
	begin := time.Now()
	return func(result string, failed bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.saw = append(w.saw, fmt.Sprintf("%s %s %s %s %t", ctx.Value(caller{}), name, time.Since(begin), result, failed))
	}
}

func (w *waiting) want(t *testing.T, want ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if diff := cmp.Diff(want, w.saw); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	w.saw = nil
}

func TestWaitsForIntrospectionAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := somewhere(t)
		takes, body := 20*time.Millisecond, string(active(time.Now()))
		i, _, _ := played(t, p, func(int32) ([]byte, error) {
			time.Sleep(takes)
			return []byte(body), nil
		})
		w := &waiting{}
		i.config.OnWait = w.wait
		ask := func(raw string) { _, _ = i.Introspect(calledBy(t, "alice"), raw, p) }
		ask("x")
		ask("x") // from memory: nobody waits
		w.want(t, "alice "+p.Name+" 20ms Active false")
		body = `{"active":false}`
		ask("y")
		w.want(t, "alice "+p.Name+" 20ms Inactive false")
		body = "no JSON"
		ask("z")
		w.want(t, "alice "+p.Name+" 20ms InvalidDocument true")
		takes = time.Hour
		ask("slow")
		w.want(t, "alice "+p.Name+" 100ms Timeout true")
		time.Sleep(takes)
	})
}

func TestWaitsForLookupsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := looks(t, "https://rights.example.com", nil)
		l.Timeout = 100 * time.Millisecond
		takes, body, err := 20*time.Millisecond, `{"a":1}`, error(nil)
		k, _ := looker(t, func(n *looking) {
			n.send = func(*http.Request) ([]byte, error) {
				time.Sleep(takes)
				return []byte(body), err
			}
		}, l)
		w := &waiting{}
		k.config.OnWait = w.wait
		ask := func(tenant string) { _, _ = k.Look(calledBy(t, "bob"), l, alice(tenant), "raw") }
		ask("a")
		ask("a")
		w.want(t, "bob shop/orders/rights 20ms Found false")
		err = errGone
		ask("b")
		w.want(t, "bob shop/orders/rights 20ms NotFound false")
		body, err = "[]", nil
		ask("c")
		w.want(t, "bob shop/orders/rights 20ms InvalidDocument true")
		takes = time.Hour
		ask("d")
		w.want(t, "bob shop/orders/rights 100ms Timeout true")
		time.Sleep(takes)
	})
}

func TestWaitsForKeysAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origins{}
		o.answer(testURL, jwks(t, "a"))
		w := &waiting{}
		k := newTestKeeper(t, o, Config{OnWait: w.wait})
		p := provider("p", testURL)
		k.Sync([]*token.Provider{p})
		ask := func(after *token.KeySet) *token.KeySet {
			set, _ := k.Keys(calledBy(t, "carol"), p, after)
			return set
		}
		o.slow(20 * time.Millisecond)
		first := ask(nil)
		w.want(t, "carol p 20ms Success false")
		ask(nil) // they are there: nobody waits
		w.want(t)
		o.answer(testURL, jwks(t, "b"))
		second := ask(first)
		w.want(t, "carol p 20ms Success false")
		ask(second) // in the cool-down there is nothing to wait for
		w.want(t)
		time.Sleep(time.Minute)
		o.answer(testURL, nil)
		ask(second)
		w.want(t, "carol p 20ms ConnectionFailed true")
		time.Sleep(time.Minute)
		o.slow(time.Hour)
		ask(second)
		w.want(t, "carol p 100ms Timeout true")
	})
}
