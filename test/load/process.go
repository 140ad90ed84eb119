package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// server is a child process that answers Checks.
type server struct {
	name      string
	address   string // host:port, or unix:///path
	admin     string // of Sallyport's or Envoy's administration, else ""
	readyPath string // what it answers with 200 there, once it is ready
	ready     time.Duration
	parents   bool // Checks that are sent to it belong to traces
	cmd       *exec.Cmd
	log       *tail
	ended     chan struct{}
}

// maxStarts bounds the starts that find a port taken: one that was free a moment ago may be somebody's by now.
const maxStarts = 5

// unixScheme is in front of the path of a Unix socket.
const unixScheme = "unix://"

// how says how to run a server.
type how struct {
	under     []string // the command that runs it; empty: none
	variables []string // of its environment, beside our own
}

// startSallyport runs bin as a user would, with the folder of policies at dir, on the cores of cpus. It listens at address;
// "": on a free port.
func startSallyport(ctx context.Context, bin, dir, address string, cpus []int, how how, args ...string) (*server, error) {
	return start(ctx, "Sallyport", cpus, how, func(s *server) ([]string, error) {
		admin, err := freeAddress()
		s.admin, s.readyPath = admin, "/readyz"
		s.address = cmp.Or(address, s.address)
		return append([]string{bin, "serve", "--from", dir, "--grpc-address", s.address, "--admin-address", admin, "--drain-delay", "0s"}, args...), err
	})
}

// startAllowAll runs the server that looks at nothing, at address; "": on a free port. bare: it does not even decode.
func startAllowAll(ctx context.Context, bin, address string, bare bool, cpus []int, how how) (*server, error) {
	return start(ctx, "allowall", cpus, how, func(s *server) ([]string, error) {
		s.address = cmp.Or(address, s.address)
		return []string{bin, "-address", s.address, fmt.Sprintf("-bare=%t", bare)}, nil
	})
}

// start runs what command says and returns once it is ready.
func start(ctx context.Context, name string, cpus []int, how how, command func(*server) ([]string, error)) (*server, error) {
	for n := 1; ; n++ {
		s := &server{name: name, log: &tail{}, ended: make(chan struct{})}
		var err error
		if s.address, err = freeAddress(); err != nil {
			return nil, fmt.Errorf("starting %s: %w", name, err)
		}
		line, err := command(s)
		if err != nil {
			return nil, fmt.Errorf("starting %s: %w", name, err)
		}
		if err = s.run(ctx, append(slices.Clip(how.under), line...), how.variables, cpus); err == nil {
			return s, nil
		}
		if n == maxStarts || !strings.Contains(strings.ToLower(s.log.String()), "address already in use") {
			return nil, err
		}
	}
}

func (s *server) run(ctx context.Context, line, variables []string, cpus []int) error {
	s.cmd = exec.Command(line[0], line[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.Env = append(os.Environ(), variables...)
	began := time.Now()
	if err := startPinned(s.cmd, cpus); err != nil {
		return fmt.Errorf("starting %s: %w", s.name, err)
	}
	go func() {
		defer close(s.ended)
		_ = s.cmd.Wait() // whoever waits for the end looks at the log
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.answers(ctx)
		if err == nil {
			s.ready = time.Since(began)
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("%s ended while starting (%s): %s", s.name, s.cmd.ProcessState, s.log)
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s is not ready: %w: %w: %s", s.name, ctx.Err(), err, s.log), s.stop())
		case <-tick.C:
		}
	}
}

// answers tells whether the server is ready: nil if so.
func (s *server) answers(ctx context.Context) error {
	if s.admin == "" {
		network, address := "tcp", s.address
		if path, ok := strings.CutPrefix(address, unixScheme); ok {
			network, address = "unix", path
		}
		conn, err := net.Dial(network, address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	_, err := s.get(ctx, s.readyPath)
	return err
}

// get fetches what the admin address has under path.
func (s *server) get(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s%s answers %s: %s", s.admin, path, resp.Status, body.String())
	}
	return body.String(), nil
}

// pid is the id of the process.
func (s *server) pid() int { return s.cmd.Process.Pid }

// stop ends the process, if need be by force, and returns once it has ended.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", s.name, err)
	}
	select {
	case <-s.ended:
		return nil
	case <-time.After(30 * time.Second):
		_ = s.cmd.Process.Kill() // it may have ended meanwhile
		<-s.ended
		return fmt.Errorf("stopping %s: it had not ended after 30 s", s.name)
	}
}

// freeAddress is a loopback port that was free a moment ago.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// tail keeps the first and last output of a process, 64 KiB each at most. Safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	head []byte
	rest []byte
}

const tailBytes = 64 << 10

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(b), tailBytes-len(t.head))
	t.head = append(t.head, b[:n]...)
	if t.rest = append(t.rest, b[n:]...); len(t.rest) > 2*tailBytes {
		t.rest = append([]byte(nil), t.rest[len(t.rest)-tailBytes:]...)
	}
	return len(b), nil
}

// String is what is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.head) + string(t.rest)
}
