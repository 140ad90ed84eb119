package paths

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// startWithin bounds the start of one part; the machine may be busy, and a JVM takes its time.
	startWithin = time.Minute
	// stopWithin is the time a part has to end before it is killed.
	stopWithin = 10 * time.Second
	// nobody is the user that servers run as where the tests run as root.
	nobody = 65534
)

// process is a part that runs until the test ends.
type process struct {
	name string
	log  output
	done chan struct{}
}

// start runs cmd until the test ends.
func start(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{name: name, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // a JVM that is asked to end says 143
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of %s ends with:\n%s", name, p.log.last(15))
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("stopping %s: %v", name, err)
		}
		select {
		case <-p.done:
		case <-time.After(stopWithin):
			_ = cmd.Process.Kill() // it may have ended meanwhile
			<-p.done
		}
	})
	return p
}

// await asks ready until it is nil.
func (p *process) await(t *testing.T, ready func() error) {
	t.Helper()
	deadline := time.NewTimer(startWithin)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-p.done:
			t.Fatalf("%s ended while starting; its log ends with:\n%s", p.name, p.log.last(15))
		case <-deadline.C:
			t.Fatalf("%s is not ready: %v; its log ends with:\n%s", p.name, err, p.log.last(15))
		}
	}
}

// output is what a process wrote.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends b.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) last(lines int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := strings.Split(strings.TrimSpace(o.buf.String()), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// folder is one that nobody may write to, for a process that has no rights.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sallyport-paths-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if os.Getuid() == 0 {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// unprivileged takes the rights of root from cmd.
func unprivileged(cmd *exec.Cmd) *exec.Cmd {
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return cmd
}

// write writes a file that everybody may read.
func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// freePorts are n loopback ports that were free a moment ago.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var ports []string
	for range n {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer lis.Close()
		_, port, _ := net.SplitHostPort(lis.Addr().String())
		ports = append(ports, port)
	}
	return ports
}
