package idp

import (
	"context"
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/time/rate"
)

const (
	// brokenFor is how long a server that fails is left alone before one question tries it again.
	brokenFor = 2 * time.Second
	// failuresInARow open the circuit.
	failuresInARow = 5
	// brokenWindow is the time in which failures are counted; of at least brokenLeast questions half must fail.
	brokenWindow = 10 * time.Second
	brokenLeast  = 20
	// triedShare is the part of the questions in a second that there may be more of, for rules that are only tried out.
	triedShare = 10
)

// gate is what every question to one server passes: a bound on those at a time and in a second, and a circuit breaker. So
// neither a flood of tokens reaches the server, nor does a server that hangs hold up every request.
type gate[T any] struct {
	asked   bounds
	tried   bounds // of the questions that nobody waits for; apart, so that they take nothing from the others
	breaker *gobreaker.CircuitBreaker[T]
	now     func() time.Time
}

// bounds are those on questions at a time and in a second.
type bounds struct {
	slots chan struct{}
	limit *rate.Limiter
}

func newBounds(concurrent, perSecond int) bounds {
	return bounds{make(chan struct{}, concurrent), rate.NewLimiter(rate.Limit(perSecond), perSecond)}
}

// enter takes a slot and a question, where there is one left of each.
func (b *bounds) enter(now time.Time) (leave func(), ok bool) {
	select {
	case b.slots <- struct{}{}:
	default:
		return nil, false
	}
	if !b.limit.AllowN(now, 1) {
		<-b.slots
		return nil, false
	}
	return func() { <-b.slots }, true
}

// newGate returns a gate; changed is told when its circuit opens or closes.
func newGate[T any](concurrent, perSecond int, now func() time.Time, changed func(open bool)) *gate[T] {
	return &gate[T]{
		asked: newBounds(concurrent, perSecond),
		tried: newBounds(1, max(1, perSecond/triedShare)),
		now:   now,
		breaker: gobreaker.NewCircuitBreaker[T](gobreaker.Settings{
			MaxRequests: 1, Timeout: brokenFor, Interval: brokenWindow, ReadyToTrip: isBroken,
			OnStateChange: func(_ string, _, to gobreaker.State) { changed(to != gobreaker.StateClosed) },
			// Nothing that this side has brought about says anything of the server.
			IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) },
		}),
	}
}

func isBroken(c gobreaker.Counts) bool {
	return c.ConsecutiveFailures >= failuresInARow || c.Requests >= brokenLeast && 2*c.TotalFailures >= c.Requests
}

// ask lets question through, or returns failure(Busy) or failure(CircuitOpen). An error of question counts as a failure of
// the server.
func (g *gate[T]) ask(question func() (T, error)) (T, error) {
	var none T
	if g.breaker.State() == gobreaker.StateOpen {
		return none, failure(CircuitOpen) // before it takes anything from the bounds
	}
	leave, ok := g.asked.enter(g.now())
	if !ok {
		return none, failure(Busy)
	}
	defer leave()
	out, err := g.breaker.Execute(question)
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return none, failure(CircuitOpen)
	}
	return out, err
}

// try lets question through in such a way that it makes no difference to those that ask: it has bounds of its own, the
// circuit must be closed, and what becomes of it does not count.
func (g *gate[T]) try(question func() (T, error)) (T, error) {
	var none T
	if g.breaker.State() != gobreaker.StateClosed {
		return none, failure(CircuitOpen)
	}
	leave, ok := g.tried.enter(g.now())
	if !ok {
		return none, failure(Busy)
	}
	defer leave()
	return question()
}
