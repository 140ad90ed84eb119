package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a child of ours whose output is kept.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *logTail
	done chan struct{} // closed when the child has ended
	err  error         // how it ended; to be read once done is closed
}

// startProcess runs bin with args. The look at bin first also lets go test notice that it was built anew.
func startProcess(name, bin string, args ...string) (*process, error) {
	if _, err := os.Stat(bin); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p := &process{name: name, cmd: exec.Command(bin, args...), log: &logTail{}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	// A group of its own, so that Ctrl-C in a terminal reaches us alone and we end the children in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// await asks ready again and again until it returns nil, the child ends, or ctx does.
func (p *process) await(ctx context.Context, ready func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended while starting (%s), its log ends with:\n%s", p.name, p.cmd.ProcessState, p.log.last(20))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w: %w, its log ends with:\n%s", p.name, ctx.Err(), err, p.log.last(20))
		case <-tick.C:
		}
	}
}

// stop asks the child to end, and makes it after grace. A child that had to be made, or that ended badly, is an error.
func (p *process) stop(grace time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", p.name, err)
	}
	select {
	case <-p.done:
	case <-time.After(grace):
		_ = p.cmd.Process.Kill() // it may have ended meanwhile
		<-p.done
		return fmt.Errorf("stopping %s: it had not ended after %s", p.name, grace)
	}
	if p.err != nil {
		return fmt.Errorf("%s ended badly: %w, its log ends with:\n%s", p.name, p.err, p.log.last(20))
	}
	return nil
}

// logTail keeps the last four to eight MiB that were written to it.
type logTail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const logTailBytes = 4 << 20

// Write appends b.
func (l *logTail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buf.Len() > 2*logTailBytes {
		l.buf.Next(l.buf.Len() - logTailBytes)
	}
	return l.buf.Write(b)
}

// String is what is kept.
func (l *logTail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logTail) last(lines int) string {
	all := strings.Split(strings.TrimSpace(l.String()), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// answersOK asks url once; nil means status 200.
func answersOK(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}
