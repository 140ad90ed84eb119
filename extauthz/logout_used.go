package extauthz

import (
	"sync"
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

const (
	// usedFor is for how long a logout token could be shown again: from before its iat, by the clock of its provider, until
	// nobody believes it any more.
	usedFor = token.MaxLogoutAge + 2*time.Minute
	// maxUsed bounds what is remembered, far above what the rate of one path lets through in that time.
	maxUsed = 250_000
)

// usedKey is a logout token: nobody but its provider gives out its id.
type usedKey struct{ provider, id string }

// usedOnce remembers which logout tokens were used, in two halves: when the younger is as old as usedFor, the older is
// forgotten. The zero value remembers none. Safe for concurrent use.
type usedOnce struct {
	mu           sync.Mutex
	young, older map[usedKey]struct{}
	since        time.Time // of young
}

// use notes that a token is used. used: it was before. full: it cannot be noted.
func (u *usedOnce) use(key usedKey, now time.Time) (used, full bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if age := now.Sub(u.since); u.young == nil || age >= usedFor {
		u.older = u.young
		if age >= 2*usedFor {
			u.older = nil
		}
		u.young, u.since = map[usedKey]struct{}{}, now
	}
	_, inYoung := u.young[key]
	_, inOlder := u.older[key]
	switch {
	case inYoung || inOlder:
		return true, false
	case len(u.young)+len(u.older) >= maxUsed:
		return false, true
	}
	u.young[key] = struct{}{}
	return false, false
}

// forget takes back a use that came to nothing.
func (u *usedOnce) forget(key usedKey) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.young, key)
	delete(u.older, key)
}
