package demo

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

const shell = "/bin/sh"

// startShell runs a script and returns once it has ended or said "up".
func startShell(t *testing.T, script string) *process {
	t.Helper()
	p, err := startProcess("script", shell, "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	up := func() error {
		if !strings.Contains(p.log.String(), "up") {
			return errNotUp
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := p.await(ctx, up); err != nil && ctx.Err() != nil {
		t.Fatal(err)
	}
	return p
}

// errNotUp keeps await asking.
var errNotUp = errors.New("not up yet")

func TestStop(t *testing.T) {
	for _, test := range []struct {
		name   string
		script string
		grace  time.Duration
		want   string // part of the error; "": none
	}{
		{name: "a child that ends when asked", script: `trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done`, grace: time.Minute},
		{name: "a child that has ended already", script: "exit 0", grace: time.Minute},
		{name: "a child that ended badly says its last words", script: "echo ouch >&2; exit 3", grace: time.Minute, want: "ouch"},
		{name: "a child that does not listen is killed", script: `trap '' TERM; echo up; while :; do sleep 0.01; done`, grace: 50 * time.Millisecond, want: "had not ended"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := startShell(t, test.script)
			err := p.stop(test.grace)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("stop returns %v, want %q in it", err, test.want)
			}
			<-p.done
		})
	}
}

func TestAwaitGivesUp(t *testing.T) {
	never := func() error { return errNotUp }
	dead, err := startProcess("script", shell, "-c", "echo famous last words; exit 1")
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.await(t.Context(), never); err == nil || !strings.Contains(err.Error(), "famous last words") {
		t.Errorf("a child that ends while starting: %v", err)
	}
	if _, err := startProcess("nobody", "/nonexistent/binary"); err == nil {
		t.Error("a binary that is not there starts")
	}
}

func TestLogKeepsTheTail(t *testing.T) {
	var l logTail
	line := strings.Repeat("x", 1<<20-1) + "\n"
	for range 20 {
		if _, err := l.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Write([]byte("the end\n")); err != nil {
		t.Fatal(err)
	}
	if kept := len(l.String()); kept > 3*logTailBytes || kept < logTailBytes {
		t.Errorf("%d bytes are kept", kept)
	}
	if got := l.last(1); got != "the end" {
		t.Errorf("the last line is %.40q", got)
	}
}
