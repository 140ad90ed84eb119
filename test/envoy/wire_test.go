package envoy

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/cmd/demo"
)

// call is a request as it goes over the wire: nothing is cleaned, sorted or escaped on its way.
type call struct {
	method string // "": GET
	target string // "": /
	host   string
	header []string // whole lines, such as "X-User: root"
	token  string   // shown as Authorization: Bearer; "": none
}

func (c call) String() string {
	method, target := c.method, c.target
	if method == "" {
		method = http.MethodGet
	}
	if target == "" {
		target = "/"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", method, target)
	if c.host != "" {
		fmt.Fprintf(&b, "Host: %s\r\n", c.host)
	}
	if c.token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", c.token)
	}
	for _, line := range c.header {
		b.WriteString(line + "\r\n")
	}
	return b.String() + "\r\n"
}

// answer is what came back, with the words of the decision that Envoy shows.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) reason() string { return a.header.Get("x-demo-reason") }

func (a answer) rule() string { return a.header.Get("x-demo-rule") }

// passed tells whether the request reached the application.
func (a answer) passed() bool { return a.status == http.StatusOK }

// echo is the request as the application received it.
func (a answer) echo(t *testing.T) demo.Echo {
	t.Helper()
	e, err := a.readEcho()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (a answer) readEcho() (e demo.Echo, err error) {
	if err := json.Unmarshal([]byte(a.body), &e); err != nil {
		return demo.Echo{}, fmt.Errorf("the answer %d is not the application's: %w: %s", a.status, err, a.body)
	}
	return e, nil
}

// send writes raw as it stands over a connection of its own, and reads one answer. The error says that the connection
// was closed without one.
func send(address, raw string) (answer, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	return exchange(conn, raw)
}

func exchange(conn net.Conn, raw string) (answer, error) {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return answer{}, err
	}
	// Envoy may answer, and close, before it has read all of a request that it refuses.
	_, writeErr := io.WriteString(conn, raw)
	method, _, _ := strings.Cut(raw, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return answer{}, fmt.Errorf("reading the answer: %w (writing the request: %w)", err, writeErr)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, fmt.Errorf("reading the body of the answer: %w", err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}, nil
}

// do sends c, which must be answered.
func do(t *testing.T, address string, c call) answer {
	t.Helper()
	a, err := send(address, c.String())
	if err != nil {
		t.Fatalf("%s %s %s: %v", c.method, c.host, c.target, err)
	}
	return a
}

// crowd runs functions side by side, up to 48 at a time: Envoy takes a second to close a connection that it gives up.
type crowd struct {
	running sync.WaitGroup
	places  chan struct{}
}

func newCrowd() *crowd { return &crowd{places: make(chan struct{}, 48)} }

func (c *crowd) run(f func()) {
	c.places <- struct{}{}
	c.running.Go(func() {
		defer func() { <-c.places }()
		f()
	})
}
