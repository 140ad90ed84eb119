package paths

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// patience bounds one exchange; the machine may be busy.
const patience = 30 * time.Second

// answer is what came back of one request, with the words of the decision that Envoy shows.
type answer struct {
	status         int
	allowed        bool
	reason, rule   string
	judged         string // the path as Sallyport has read it
	resource, path string // what the application serves, and how it has read the path
}

// served tells whether the application serves something.
func (a *answer) served() bool { return a.allowed && a.status == http.StatusOK }

// client sends raw requests, one after the other, over one connection that it keeps as long as Envoy does.
type client struct {
	address string
	conn    net.Conn
	in      *bufio.Reader
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// get asks for target as it stands. An Envoy that closes the connection without an answer has refused.
func (c *client) get(target, host, token string) (answer, error) {
	raw := "GET " + strings.ReplaceAll(target, "HOST", host) + " HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: Bearer " + token + "\r\n\r\n"
	kept := c.conn != nil
	a, err := c.exchange(raw)
	if err != nil && kept {
		a, err = c.exchange(raw) // the kept connection may have been closed before
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return answer{}, nil
	}
	return a, err
}

func (c *client) exchange(raw string) (a answer, err error) {
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.conn == nil {
		if c.conn, err = net.Dial("tcp", c.address); err != nil {
			return a, err
		}
		c.in = bufio.NewReader(c.conn)
	}
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return a, err
	}
	if _, err := io.WriteString(c.conn, raw); err != nil {
		return a, io.ErrUnexpectedEOF
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return a, err
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return a, fmt.Errorf("reading a body: %w", err)
	}
	resp.Body.Close()
	if resp.Close {
		c.close()
	}
	h := resp.Header
	return answer{
		status: resp.StatusCode, allowed: h.Get("x-demo-decision") == "Allow",
		reason: h.Get("x-demo-reason"), rule: h.Get("x-demo-rule"), judged: h.Get(judgedHeader),
		resource: h.Get(resourceHeader), path: h.Get(pathHeader),
	}, nil
}
