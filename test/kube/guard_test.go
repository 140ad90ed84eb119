package kube_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// guard ends the processes of a cluster where this process could not: go test kills a binary that takes too long, and
// its children would run on. It is a shell that waits for the end of its input, of which this process holds the other
// end, whatever becomes of it.
type guard struct {
	cmd   *exec.Cmd
	input io.WriteCloser
}

func startGuard(dir string) (*guard, error) {
	const script = `cat >/dev/null; for f in "$1"/*.pid; do test -e "$f" && kill -9 "$(cat "$f")"; done; rm -rf "$1"`
	g := &guard{cmd: exec.Command("sh", "-c", script, "guard", dir)}
	// A group of its own, so that what ends the group of this process leaves it alone.
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if g.input, err = g.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	return g, g.cmd.Start()
}

// release lets the guard go. What has a file in its folder still is ended, and the folder removed.
func (g *guard) release() error {
	return errors.Join(g.input.Close(), g.cmd.Wait())
}

// guarded is a program in dir that runs bin, under an id that it leaves where the guard looks.
func guarded(dir, bin string) (string, error) {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, filepath.Base(bin))
	text := fmt.Sprintf("#!/bin/sh\necho $$ >%q\nexec %q \"$@\"\n", path+".pid", bin)
	return path, os.WriteFile(path, []byte(text), 0o700)
}

func TestGuardEndsWhatIsLeft(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(t.TempDir(), "cluster")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path, err := guarded(dir, sleep)
	if err != nil {
		t.Fatal(err)
	}
	g, err := startGuard(dir)
	if err != nil {
		t.Fatal(err)
	}
	left := exec.Command(path, "600")
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	for {
		if id, err := os.ReadFile(path + ".pid"); err == nil && len(id) > 0 {
			break
		}
		runtime.Gosched() // the program is on its way there
	}
	if err := g.release(); err != nil {
		t.Error(err)
	}
	var ended *exec.ExitError
	if err := left.Wait(); !errors.As(err, &ended) || ended.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the program ended with %v, want that the guard ended it", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder: %v, want that it is gone", err)
	}
}
