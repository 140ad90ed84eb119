package docs_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// startProcess runs a command until the test ends, and returns once it is ready, which ctx bounds.
func startProcess(ctx context.Context, t *testing.T, cmd *exec.Cmd, ready func() bool) {
	t.Helper()
	log := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := &ending{done: make(chan struct{})}
	go func() {
		end.err = cmd.Wait()
		close(end.done)
	}()
	t.Cleanup(func() { stop(t, cmd, end, log) })
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-end.done:
			t.Fatalf("%q has ended: %v\n%s", cmd.Args, end.err, log)
		case <-ctx.Done():
			t.Fatalf("%q is not ready in time\n%s", cmd.Args, log)
		case <-tick.C:
		}
	}
}

// ending is how a command ended; err may be read once done is closed.
type ending struct {
	done chan struct{}
	err  error
}

// stop ends a command as Ctrl-C would. One that has ended by itself, or badly, fails the test.
func stop(t *testing.T, cmd *exec.Cmd, end *ending, log *lockedBuffer) {
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Errorf("ending %q: %v", cmd.Args, err)
	}
	select {
	case <-end.done:
		if end.err != nil {
			t.Errorf("%q ended with %v\n%s", cmd.Args, end.err, log)
		}
	case <-time.After(30 * time.Second):
		t.Errorf("%q does not end\n%s", cmd.Args, log)
		_ = cmd.Process.Kill() // it is reported already
		<-end.done
	}
}

// answering tells whether a URL answers with 200.
func answering(url string) func() bool {
	return func() bool {
		resp, err := http.Get(url)
		return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	}
}

// listening tells whether somebody takes connections.
func listening(address string) func() bool {
	return func() bool {
		conn, err := net.Dial("tcp", address)
		return err == nil && conn.Close() == nil
	}
}

// lockedBuffer is a buffer that a process writes while the test reads.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
