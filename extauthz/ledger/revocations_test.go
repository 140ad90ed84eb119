package ledger

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/valkey-io/valkey-go"

	"github.com/sallyport/sallyport/extauthz/token"
)

// follower is one replica's revocations.
type follower struct {
	*opened
	*Revocations
	changed chan struct{} // holds one

	mu    sync.Mutex
	known []string
	until time.Time
	log   []string
}

func follow(t *testing.T, url string) *follower {
	t.Helper()
	f := &follower{opened: open(t, Config{URL: url}), changed: make(chan struct{}, 1)}
	f.await(t, true)
	var err error
	f.Revocations, err = NewRevocations(f.Shared, RevocationsConfig{
		StaleAfter: time.Minute,
		Add: func(list []token.Revocation, _ time.Time) {
			f.note(func() {
				for _, r := range list {
					f.known = append(f.known, r.Value)
				}
			})
		},
		Fresh: func(until time.Time) { f.note(func() { f.until = until }) },
		Log:   logr.New(funcr.New(func(_, args string) { f.note(func() { f.log = append(f.log, args) }) }, funcr.Options{}).GetSink()),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); f.Revocations.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return f
}

func (f *follower) note(change func()) {
	f.mu.Lock()
	change()
	f.mu.Unlock()
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// waitFor waits until it is so, however long that takes.
func (f *follower) waitFor(t *testing.T, so func() bool) {
	t.Helper()
	for {
		f.mu.Lock()
		done := so()
		f.mu.Unlock()
		if done {
			return
		}
		select {
		case <-f.changed:
		case <-t.Context().Done():
			t.Fatal("the test ended first")
		}
	}
}

func session(id string, ends time.Duration) token.Revocation {
	return token.Revocation{Scope: token.RevocationScope{Issuer: "https://id.example.com"}, By: token.RevokedBySession, Value: id, Expires: time.Now().Add(ends)}
}

// TestRevocationsAreShared: what one replica writes every other knows, one that starts later and one that was cut off too.
func TestRevocationsAreShared(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	s := startServer(t, dir, "port 0", "unixsocket "+socket, "appendonly yes", "appendfsync always")
	a, b := follow(t, "unix://"+socket), follow(t, "unix://"+socket)
	var want []string
	var list []token.Revocation
	for i := range 2*revocationsEntry + 3 {
		want = append(want, fmt.Sprint("s", i))
		list = append(list, session(want[i], time.Hour))
	}
	if err := a.Write(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a.known, want) {
		t.Errorf("who has written knows %q", a.known)
	}
	b.waitFor(t, func() bool { return slices.Equal(b.known, want) })
	fresh := follow(t, "unix://"+socket)
	fresh.waitFor(t, func() bool { return fresh.Ready() == nil && slices.Equal(fresh.known, want) })

	s.kill()
	a.await(t, false)
	if err := a.Write(t.Context(), list[:1]); !errors.Is(err, token.ErrLedger) {
		t.Errorf("written into nothing: %v", err)
	}
	s.start()
	a.await(t, true)
	if err := a.Write(t.Context(), []token.Revocation{session("later", time.Hour)}); err != nil {
		t.Fatal(err)
	}
	b.waitFor(t, func() bool { return slices.Equal(b.known, append(slices.Clone(want), "later")) })
	a.mu.Lock()
	defer a.mu.Unlock()
	if got := len(a.known); got != len(want)+1 {
		t.Errorf("who has written reads its own again: it knows %d of %d", got, len(want)+1)
	}
}

// TestSharedRevocationsEnd: entries that have ended leave the stream, and others stay.
func TestSharedRevocationsEnd(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	startServer(t, dir, "port 0", "unixsocket "+socket)
	f := follow(t, "unix://"+socket)
	write := func(id string, ends time.Duration) {
		t.Helper()
		if err := f.Write(t.Context(), []token.Revocation{session(id, ends)}); err != nil {
			t.Fatal(err)
		}
	}
	length := func() int64 {
		t.Helper()
		answer, err := f.do(t.Context(), func(b valkey.Builder) valkey.Completed { return b.Xlen().Key(revocationsKey).Build() })
		if err != nil {
			t.Fatal(err)
		}
		n, err := answer.AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i := range 5 {
		write(fmt.Sprint("old", i), -time.Hour)
	}
	write("holds", time.Hour)
	write("old, behind one that holds", -time.Hour)
	if err := f.trim(t.Context()); err != nil || length() != 2 {
		t.Errorf("%d are left, want 2 (%v)", length(), err)
	}
	fresh := follow(t, "unix://"+socket)
	fresh.waitFor(t, func() bool { return fresh.Ready() == nil })
	fresh.mu.Lock()
	defer fresh.mu.Unlock()
	if !slices.Equal(fresh.known, []string{"holds"}) {
		t.Errorf("one that starts now knows %q", fresh.known)
	}
	if !fresh.until.After(time.Now()) {
		t.Errorf("and it is good until %s", fresh.until)
	}
}

// TestForeignEntriesAreLoud: what cannot be read is told, and stays for whoever can; the rest is read.
func TestForeignEntriesAreLoud(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	startServer(t, dir, "port 0", "unixsocket "+socket)
	f := follow(t, "unix://"+socket)
	_, err := f.do(t.Context(), func(b valkey.Builder) valkey.Completed {
		return b.Xadd().Key(revocationsKey).Id("*").FieldValue().FieldValue("r", `{"iss":"a","new":1}`).Build()
	})
	if err != nil {
		t.Fatal(err)
	}
	other := follow(t, "unix://"+socket)
	if err := f.Write(t.Context(), []token.Revocation{session("s", time.Hour)}); err != nil {
		t.Fatal(err)
	}
	other.waitFor(t, func() bool { return slices.Equal(other.known, []string{"s"}) })
	other.mu.Lock()
	defer other.mu.Unlock()
	if log := strings.Join(other.log, "\n"); !strings.Contains(log, "cannot be read") || strings.Contains(log, "iss") {
		t.Errorf("the log says %q", log)
	}
	if err := f.trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, err := f.page(t.Context(), "-")
	if err != nil || len(left) != 2 {
		t.Errorf("of what another version may read %d entries are left, want both (%v)", len(left), err)
	}
}

func TestRevocationsConfig(t *testing.T) {
	shared, err := Open(Config{URL: "unix:///nowhere"})
	if err != nil {
		t.Fatal(err)
	}
	add, fresh := func([]token.Revocation, time.Time) {}, func(time.Time) {}
	for name, cfg := range map[string]RevocationsConfig{
		"nobody takes them": {Fresh: fresh, StaleAfter: time.Minute}, "nobody asks how fresh": {Add: add, StaleAfter: time.Minute},
		"stale at once": {Add: add, Fresh: fresh, StaleAfter: time.Millisecond},
	} {
		if _, err := NewRevocations(shared, cfg); err == nil {
			t.Error(name)
		}
	}
	r, err := NewRevocations(shared, RevocationsConfig{Add: add, Fresh: fresh, StaleAfter: time.Minute})
	if err != nil || r.Ready() == nil {
		t.Errorf("ready before anything was read (%v)", err)
	}
}
