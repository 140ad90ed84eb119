package idp

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/sallyport/sallyport/extauthz/token"
)

// Keys are kept for an object, not for its name: one that was made anew may be another's.
func TestKeysAreThoseOfTheVeryProvider(t *testing.T) {
	for _, tt := range []struct {
		name      string
		kept, now []string // UIDs of the providers that share the remote
		ready     bool
	}{
		{"the same", []string{"a"}, []string{"a"}, true},
		{"made anew", []string{"a"}, []string{"b"}, false},
		{"another shares it now", []string{"a"}, []string{"b", "a"}, true},
		{"one of two is gone", []string{"a", "b"}, []string{"b"}, true},
		{"from files to a cluster", []string{""}, []string{"a"}, false},
		{"from a cluster to files", []string{"a"}, []string{""}, false},
		{"of files", []string{""}, []string{""}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sharing := func(uids []string) (out []*token.Provider) {
					for i, uid := range uids {
						p := provider(fmt.Sprint("p", i), testURL)
						p.UID = uid
						out = append(out, p)
					}
					return out
				}
				o := &origins{}
				o.answer(testURL, jwks(t, "a"))
				first := newTestKeeper(t, o, Config{})
				first.Sync(sharing(tt.kept))
				pass(0)
				k := newTestKeeper(t, away(), Config{})
				restore(t, k, encode(t, first), 1)
				now := sharing(tt.now)
				k.Sync(now)
				if err := k.WaitTried(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := k.Status(now[0]).Ready; got != tt.ready {
					t.Errorf("ready is %t, want %t", got, tt.ready)
				}
			})
		})
	}
}
