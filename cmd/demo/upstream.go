package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Echo is a request as the upstream received it.
type Echo struct {
	Method   string              `json:"method"`
	Host     string              `json:"host"`
	Path     string              `json:"path"`  // as sent, escapes and all, without the query
	Query    string              `json:"query"` // raw, without "?"
	Protocol string              `json:"protocol"`
	Headers  map[string][]string `json:"headers"` // lower-case names
}

// Upstream is an application on a loopback port of its own that answers with what it received: an Echo as JSON over
// HTTP/1.1 and HTTP/2 without TLS, an empty message with status 0 to a unary gRPC call. Safe for concurrent use.
type Upstream struct {
	server *server

	mu       sync.Mutex
	requests int
	last     Echo
}

// StartUpstream starts an Upstream. Close ends it.
func StartUpstream() (*Upstream, error) {
	u := &Upstream{}
	var err error
	if u.server, err = listen(u); err != nil {
		return nil, fmt.Errorf("starting upstream: %w", err)
	}
	return u, nil
}

// Address is the host and port.
func (u *Upstream) Address() string { return u.server.address() }

// Requests is how many requests have arrived.
func (u *Upstream) Requests() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.requests
}

// Last is the request that arrived last; the zero Echo before the first. It is not to be written.
func (u *Upstream) Last() Echo {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last
}

// Close ends the Upstream and its connections.
func (u *Upstream) Close() error { return u.server.close() }

// ServeHTTP answers one request.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, query, _ := strings.Cut(r.RequestURI, "?")
	echo := Echo{
		Method: r.Method, Host: r.Host, Path: path, Query: query, Protocol: r.Proto, Headers: map[string][]string{},
	}
	for name, values := range r.Header {
		echo.Headers[strings.ToLower(name)] = values
	}
	u.mu.Lock()
	u.requests++
	u.last = echo
	u.mu.Unlock()

	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write(emptyMessage) // a client that has gone needs no answer
		w.Header().Set("Grpc-Status", "0")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(echo)
}

// emptyMessage is a gRPC message without fields: no compression, length 0.
var emptyMessage = []byte{0, 0, 0, 0, 0}

// server is an HTTP server on a loopback port that the system picks.
type server struct {
	http     *http.Server
	listener net.Listener
	done     chan struct{}
	err      error // of Serve; to be read once done is closed
}

func listen(handler http.Handler) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &server{
		http:     &http.Server{Handler: handler, Protocols: protocols, ReadHeaderTimeout: 10 * time.Second},
		listener: listener,
		done:     make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		s.err = s.http.Serve(listener)
	}()
	return s, nil
}

func (s *server) address() string { return s.listener.Addr().String() }

// close lets answers that are being written end, for a second, and then cuts what is left.
func (s *server) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close()
	}
	<-s.done
	if errors.Is(s.err, http.ErrServerClosed) {
		return nil
	}
	return s.err
}
