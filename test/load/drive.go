package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// driver sends a workload to one server over connections that stay from round to round.
type driver struct {
	server   *server
	work     *workload
	allowAll bool // the server allows everything, and is expected to
	timeout  time.Duration
	tls      *tls.Config
	inOrder  bool // tokens and hosts come one after the other

	workers []*worker
}

// worker is one connection with its part of the workload.
type worker struct {
	*driver
	conn    *conn
	next    int // Check of the workload that comes next
	payload []byte
	round   *round
	result  result
}

// round says how long to send, and how.
type round struct {
	inFlight int           // of all connections together; 0: open loop
	rate     float64       // Checks a second of all connections together, for an open loop
	length   time.Duration // 0: until checks are reached
	checks   int64         // 0: until length is over

	left atomic.Int64
	end  time.Time
}

// result is what came of a round.
type result struct {
	checks  int64     // decided, as was due
	refused int64     // of these
	shed    int64     // refused for overload, in an open loop
	late    int64     // given up after the timeout, in an open loop
	started int64     // all of these
	writes  int64     // of the client
	latency histogram // of those that were decided
	took    time.Duration
}

// newDriver opens connections to s. timeout is what the client tells as grpc-timeout.
func newDriver(s *server, work *workload, connections int, timeout time.Duration, config *tls.Config) (*driver, error) {
	d := &driver{server: s, work: work, allowAll: s.admin == "", timeout: timeout, tls: config}
	for i := range connections {
		w := &worker{driver: d, next: i}
		d.workers = append(d.workers, w)
		if err := w.dial(); err != nil {
			return nil, errors.Join(err, d.close())
		}
	}
	return d, nil
}

func (d *driver) close() error {
	var failed []error
	for _, w := range d.workers {
		if w.conn != nil {
			failed = append(failed, w.conn.net.Close())
		}
	}
	return errors.Join(failed...)
}

// drive sends one round. A verdict other than the one that is due is an error.
func (d *driver) drive(r *round) (*result, error) {
	began := time.Now()
	if r.length > 0 {
		r.end = began.Add(r.length)
	}
	r.left.Store(r.checks)
	failed := make([]error, len(d.workers))
	var group sync.WaitGroup
	for i, w := range d.workers {
		w.round, w.result = r, result{}
		w.conn.written = 0
		group.Go(func() {
			if r.inFlight > 0 {
				failed[i] = w.closed(share(r.inFlight, len(d.workers), i))
			} else {
				failed[i] = w.open(r.rate / float64(len(d.workers)))
			}
		})
	}
	group.Wait()
	total := &result{took: time.Since(began)}
	for _, w := range d.workers {
		total.checks += w.result.checks
		total.refused += w.result.refused
		total.shed += w.result.shed
		total.late += w.result.late
		total.started += w.result.started
		total.writes += int64(w.conn.written)
		total.latency.merge(&w.result.latency)
	}
	return total, errors.Join(failed...)
}

// share is the i-th part of n things that are divided among parts.
func share(n, parts, i int) int { return (n + parts - 1 - i) / parts }

func (w *worker) dial() (err error) {
	old := w.conn
	if w.conn, err = dial(w.server.address, w.tls, w.timeout); err != nil {
		return fmt.Errorf("%s: %w", w.server.name, err)
	}
	w.conn.done, w.conn.traced = w.done, w.server.parents
	if old != nil {
		w.conn.order, w.conn.expires, w.conn.written = old.order, old.expires, old.written // order: what was never opened
		return errors.Join(old.net.Close(), w.conn.sendWaiting(), w.conn.flush())
	}
	return nil
}

// closed keeps n Checks in flight until the round is over, and waits for the last answer.
func (w *worker) closed(n int) error {
	for range n {
		if err := w.start(time.Now()); err != nil {
			return err
		}
	}
	for w.conn.busy() > 0 {
		if err := w.turn(time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

// open starts Checks at times that follow each other as in a Poisson process, whatever the server does. The latency of
// each counts from the time that was meant.
func (w *worker) open(rate float64) error {
	due := time.Now()
	w.conn.expires = true
	defer func() { w.conn.expires, w.conn.opened = false, nil }()
	for due.Before(w.round.end) || w.conn.busy() > 0 {
		for now := time.Now(); due.Before(w.round.end) && !now.Before(due); {
			if err := w.start(due); err != nil {
				return err
			}
			due = due.Add(time.Duration(rand.ExpFloat64() / rate * float64(time.Second)))
		}
		late, err := w.conn.expire(time.Now().Add(-w.timeout))
		if err != nil {
			return err
		}
		w.result.late += int64(late)
		deadline := due
		if !due.Before(w.round.end) {
			deadline = time.Now().Add(w.timeout)
		}
		if err := w.turn(deadline); err != nil {
			return err
		}
	}
	return nil
}

// turn writes what is due, waits for frames until deadline, and works through all that are there.
func (w *worker) turn(deadline time.Time) error {
	c := w.conn
	if err := c.flush(); err != nil {
		return fmt.Errorf("%s: %w", w.server.name, err)
	}
	if c.leaving && len(c.streams) == 0 {
		return w.dial()
	}
	some, err := c.await(deadline)
	if err != nil {
		return fmt.Errorf("%s: %w", w.server.name, err)
	}
	for some && c.whole() {
		if err := c.readFrame(); err != nil {
			return fmt.Errorf("%s: %w", w.server.name, err)
		}
	}
	return nil
}

// start sends the next Check, which is meant to start at that time, unless the round or the workload is at its end.
func (w *worker) start(at time.Time) error {
	r := w.round
	if r.length > 0 && at.After(r.end) || r.checks > 0 && r.left.Add(-1) < 0 {
		return nil
	}
	payload, want, more := w.work.render(w.payload, w.next, w.inOrder)
	w.payload = payload
	if !more {
		return nil
	}
	w.next += len(w.workers)
	w.result.started++
	if w.allowAll {
		want = allowed
	}
	return w.conn.send(payload, want, at)
}

// done holds the answer of s against the verdict that is due, and starts the next Check of a closed loop.
func (w *worker) done(s *stream) error {
	const deadlineExceeded = "4" // what Envoy counts as a timeout
	if s.status == deadlineExceeded && w.round.inFlight == 0 {
		w.result.late++
		return nil
	}
	if s.status != "0" {
		return fmt.Errorf("a Check ended with gRPC status %q", s.status)
	}
	got, err := verdict(s.reply)
	if err != nil {
		return err
	}
	now := time.Now()
	switch {
	case got == http.StatusServiceUnavailable && s.want != got && w.round.inFlight == 0:
		w.result.shed++
		return nil
	case got != s.want:
		return &verdictError{got: got, want: s.want, reply: string(s.reply)}
	case got != allowed:
		w.result.refused++
	}
	w.result.checks++
	w.result.latency.add(now.Sub(s.start))
	if w.round.inFlight == 0 {
		return nil
	}
	return w.start(now)
}

// verdictError is a verdict other than the one that was due.
type verdictError struct {
	got, want int
	reply     string
}

// Error implements error.
func (e *verdictError) Error() string {
	return fmt.Sprintf("wrong verdict: %s, where %s was due: %q", word(e.got), word(e.want), e.reply)
}

// word tells a verdict in words.
func word(verdict int) string {
	if verdict == allowed {
		return "allowed"
	}
	return fmt.Sprintf("refused with %d", verdict)
}
