package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// crowd sends a workload of HTTP requests to one listener of an Envoy, over connections that stay from round to round.
type crowd struct {
	work     *workload
	open     bool // nothing is refused there, and all is expected to be allowed
	timeout  time.Duration
	inOrder  bool // tokens come one after the other
	visitors []*visitor
}

// visitor is one HTTP/1.1 connection with its part of the workload, and one request under way at most.
type visitor struct {
	*crowd
	net     net.Conn
	in      *bufio.Reader
	next    int // request of the workload that comes next
	step    int
	payload []byte
	result  result
}

// newCrowd opens connections to address.
func newCrowd(address string, work *workload, open bool, connections int, timeout time.Duration) (*crowd, error) {
	c := &crowd{work: work, open: open, timeout: timeout}
	for i := range connections {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("connecting to Envoy: %w", err), c.close())
		}
		c.visitors = append(c.visitors, &visitor{crowd: c, net: conn, in: bufio.NewReader(conn), next: i, step: connections})
	}
	return c, nil
}

func (c *crowd) close() error {
	var failed []error
	for _, v := range c.visitors {
		failed = append(failed, v.net.Close())
	}
	return errors.Join(failed...)
}

// visit sends one round in a closed loop, over as many connections as there may be requests in flight. A status other than
// the one that is due is an error.
func (c *crowd) visit(r *round) (*result, error) {
	began := time.Now()
	if r.length > 0 {
		r.end = began.Add(r.length)
	}
	r.left.Store(r.checks)
	active := c.visitors[:r.inFlight]
	failed := make([]error, len(active))
	var group sync.WaitGroup
	for i, v := range active {
		v.result = result{}
		group.Go(func() { failed[i] = v.walk(r) })
	}
	group.Wait()
	total := &result{took: time.Since(began)}
	for _, v := range active {
		total.checks += v.result.checks
		total.refused += v.result.refused
		total.latency.merge(&v.result.latency)
	}
	return total, errors.Join(failed...)
}

// warm sends requests, and at least each token once.
func (c *crowd) warm(requests int) error {
	c.inOrder = true
	defer func() { c.inOrder = false }()
	_, err := c.visit(&round{inFlight: len(c.visitors), checks: int64(max(requests, 2*len(c.work.tokens)))})
	return err
}

// walk sends one request after the other until the round is over.
func (v *visitor) walk(r *round) error {
	for {
		start := time.Now()
		if r.length > 0 && start.After(r.end) || r.checks > 0 && r.left.Add(-1) < 0 {
			return nil
		}
		var want int
		v.payload, want, _ = v.work.render(v.payload, v.next, v.inOrder)
		v.next += v.step
		if v.open {
			want = allowed
		}
		got, err := v.ask(start)
		if err != nil {
			return fmt.Errorf("asking Envoy: %w", err)
		}
		if got != want {
			return &verdictError{got: got, want: want, reply: string(v.payload)}
		}
		v.result.checks++
		if got != allowed {
			v.result.refused++
		}
		v.result.latency.add(time.Since(start))
	}
}

// ask sends the request in payload, and returns the verdict.
func (v *visitor) ask(now time.Time) (verdict int, err error) {
	if err := v.net.SetDeadline(now.Add(v.timeout)); err != nil {
		return 0, err
	}
	if _, err := v.net.Write(v.payload); err != nil {
		return 0, err
	}
	status, err := v.in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	const before = len("HTTP/1.1 ")
	if len(status) < before+3 {
		return 0, fmt.Errorf("no status line: %q", status)
	}
	if verdict, err = strconv.Atoi(string(status[before : before+3])); err != nil {
		return 0, fmt.Errorf("no status line: %q", status)
	}
	if verdict == http.StatusOK {
		verdict = allowed
	}
	for body := 0; ; {
		line, err := v.in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			_, err = v.in.Discard(body)
			return verdict, err
		}
		if size, ok := bytes.CutPrefix(line, []byte("content-length: ")); ok {
			if body, err = strconv.Atoi(string(size)); err != nil {
				return 0, err
			}
		}
		if bytes.HasPrefix(line, []byte("transfer-encoding:")) {
			return 0, fmt.Errorf("an answer without a length: %q", line)
		}
	}
}
