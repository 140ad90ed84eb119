package keycloak

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestKeyRotation rotates the realm's key as the page says, while requests flow: nobody notices, neither those with
// tokens of the old key nor the first one with a token of the new. Once the old key is gone, its tokens are refused.
func TestKeyRotation(t *testing.T) {
	w := newWorld(t, "claimMappings: {roles: realm_access.roles, groups: groups}",
		"refresh: {interval: 10s, minInterval: 1s}\n  claimMappings: {roles: realm_access.roles, groups: groups}")
	first := w.activeKey(t)
	old := w.byCredentials(t, "nightly")
	w.want(t, "orders", "/admin", old, "Allowed")
	flowing := w.flow(t)

	second := w.addKey(t, "second", false)
	fetched := w.fetches(t)
	eventually(t, "the keys were fetched anew", func() bool { return w.fetches(t) > fetched })
	w.setActive(t, second, true)
	fresh := w.byCredentials(t, "nightly")
	if kid(t, fresh) == kid(t, old) {
		t.Fatal("Keycloak signs with the old key")
	}
	w.want(t, "orders", "/admin", fresh, "Allowed")
	w.setActive(t, first, false)
	w.want(t, "orders", "/admin", old, "Allowed")
	flowing.stop(t)

	w.admin(t, http.MethodDelete, "/components/"+first, nil, nil)
	eventually(t, "tokens of the old key are refused", func() bool { return w.get(t, "orders", "/admin", old).reason == "UnknownKey" })
	w.want(t, "orders", "/admin", fresh, "Allowed")

	// In haste, with a key that signs at once: the first token may come before the key does, and the rest is well.
	w.addKey(t, "third", true)
	newest := w.byCredentials(t, "nightly")
	if kid(t, newest) == kid(t, fresh) {
		t.Fatal("Keycloak does not sign with the third key")
	}
	eventually(t, "the third key is known", func() bool {
		a := w.get(t, "orders", "/admin", newest)
		if a.reason != "Allowed" && a.reason != "UnknownKey" {
			t.Errorf("a token of the third key: %s", a.reason)
		}
		return a.reason == "Allowed"
	})
	w.want(t, "orders", "/admin", fresh, "Allowed")
}

// flow is two who send requests without end: one with the token that it got first, one with a new token each time.
type flow struct {
	cancel  context.CancelFunc
	walkers sync.WaitGroup
	answers atomic.Int64
}

func (w *world) flow(t *testing.T) *flow {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &flow{cancel: cancel}
	for _, renew := range []bool{false, true} {
		token := w.byCredentials(t, "nightly")
		f.walkers.Go(func() {
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
				if err := w.pass(&token, renew); err != nil {
					t.Errorf("while keys rotate: %v", err)
					return
				}
				f.answers.Add(1)
			}
		})
	}
	return f
}

// pass sends one request that should be allowed, with the token or with a new one in its place.
func (w *world) pass(token *string, renew bool) error {
	if renew {
		var err error
		if *token, err = w.tryCredentials("nightly"); err != nil {
			return err
		}
	}
	a, err := w.tryGet("orders", "/admin", *token)
	if err == nil && a.reason != "Allowed" {
		err = fmt.Errorf("%d %s", a.status, a.reason)
	}
	return err
}

func (f *flow) stop(t *testing.T) {
	t.Helper()
	f.cancel()
	f.walkers.Wait()
	t.Logf("%d requests passed meanwhile", f.answers.Load())
	if f.answers.Load() < 20 {
		t.Errorf("only %d requests were sent", f.answers.Load())
	}
}

// activeKey is the component whose key signs with RS256.
func (s *server) activeKey(t *testing.T) string {
	t.Helper()
	var keys struct {
		Active map[string]string
		Keys   []struct{ Kid, ProviderID string }
	}
	s.admin(t, http.MethodGet, "/keys", nil, &keys)
	for _, k := range keys.Keys {
		if k.Kid == keys.Active["RS256"] {
			return k.ProviderID
		}
	}
	t.Fatalf("no key is active: %v", keys)
	return ""
}

// addKey makes a key whose priority is above that of all before it, and returns its component.
func (s *server) addKey(t *testing.T, name string, active bool) string {
	t.Helper()
	var realm object
	s.admin(t, http.MethodGet, "", nil, &realm)
	const kind = "org.keycloak.keys.KeyProvider"
	s.keys++
	s.admin(t, http.MethodPost, "/components", object{
		"name": name, "providerId": "rsa-generated", "providerType": kind, "parentId": realm["id"],
		"config": object{
			"priority": []string{strconv.Itoa(200 + s.keys)}, "enabled": []string{"true"}, "active": []string{strconv.FormatBool(active)},
			"algorithm": []string{"RS256"}, "keySize": []string{"2048"},
		},
	}, nil)
	return s.one(t, "/components?name="+name+"&type="+kind)["id"].(string)
}

// setActive says whether a key signs; it is published all the same.
func (s *server) setActive(t *testing.T, component string, active bool) {
	t.Helper()
	var c object
	s.admin(t, http.MethodGet, "/components/"+component, nil, &c)
	c["config"].(object)["active"] = []string{strconv.FormatBool(active)}
	s.admin(t, http.MethodPut, "/components/"+component, c, nil)
}

var fetchesLine = regexp.MustCompile(`(?m)^sallyport_key_fetches_total{provider="IdentityProvider/shop/keycloak",reason="Success"} (\d+)$`)

// fetches is how often Sallyport has fetched the keys.
func (w *world) fetches(t *testing.T) int {
	t.Helper()
	resp, err := http.Get(w.sallyport.AdminURL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := fetchesLine.FindSubmatch(body)
	if m == nil {
		t.Fatal("there is no such metric")
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// kid is the name of the key that a token was signed with.
func kid(t *testing.T, token string) string {
	t.Helper()
	head, _, _ := strings.Cut(token, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		t.Fatal(err)
	}
	var header struct{ Kid string }
	if err := json.Unmarshal(b, &header); err != nil || header.Kid == "" {
		t.Fatal(fmt.Errorf("the header names no key: %w", err))
	}
	return header.Kid
}
