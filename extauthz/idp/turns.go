package idp

import (
	"time"

	"golang.org/x/time/rate"

	"github.com/sallyport/sallyport/extauthz/token"
)

// turnsPerInterval is how many tenants of one provider may be asked for keys within minInterval because of tokens with
// unknown keys. The next has to wait for its turn: whoever makes such tokens for every tenant starts no more fetches in sum,
// and holds no tenant's turn up for longer than all of them take.
const turnsPerInterval = 8

// turnsKey is what remotes have in common that take turns.
type turnsKey struct {
	among       string
	minInterval time.Duration
}

// turnsOf is whose turns the refresher of remote takes; nil: it is alone. Those of before go on.
func turnsOf(remote *token.Remote, s schedule, before, now map[turnsKey]*rate.Limiter) *rate.Limiter {
	if remote.Among == "" {
		return nil
	}
	key := turnsKey{remote.Among, s.minInterval}
	if now[key] == nil {
		if now[key] = before[key]; now[key] == nil {
			now[key] = rate.NewLimiter(rate.Every(s.minInterval/turnsPerInterval), turnsPerInterval)
		}
	}
	return now[key]
}

// turn is how long the refresher must wait for its turn, which is then taken. Turns are given in the order in which they
// are asked for, and a refresher asks for no second one while it waits.
func (r *refresher) turn(now time.Time) time.Duration {
	if r.turns == nil {
		return 0
	}
	return r.turns.ReserveN(now, 1).DelayFrom(now)
}

// askLater asks for an attempt when the turn has come. Nobody waits for it.
func (r *refresher) askLater() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flight == nil && r.ctx.Err() == nil {
		r.start()
	}
}
