package revocation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

func named(id string) token.Revocation {
	return token.Revocation{Scope: token.RevocationScope{Issuer: issuer}, Value: id}
}

// TestKeeperGathers: what comes while one write runs is the next, and each waits for its own.
func TestKeeperGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		k := NewKeeper(func(_ context.Context, list []token.Revocation) error {
			sizes = append(sizes, len(list))
			time.Sleep(time.Second) // time of the bubble
			if list[0].Value == "bad" {
				return errors.New("no room")
			}
			return nil
		})
		begin := time.Now()
		var all sync.WaitGroup
		keep := func(id string, after time.Duration, wrong bool, within time.Duration) {
			all.Go(func() {
				time.Sleep(after)
				err := k.Keep(t.Context(), named(id))
				if (err != nil) != wrong || time.Since(begin) > within {
					t.Errorf("%s: %v after %s", id, err, time.Since(begin))
				}
			})
		}
		first := gather + time.Second
		keep("a", 0, false, first)
		keep("b", 10*time.Millisecond, false, first)
		keep("bad", 500*time.Millisecond, true, 2*first)
		keep("d", 900*time.Millisecond, true, 2*first)
		keep("e", 10*time.Second, false, 10*time.Second+first)
		all.Wait()
		if got := fmt.Sprint(sizes); got != "[2 2 1]" {
			t.Errorf("writes of %s", got)
		}
	})
}

// TestKeeperLetsGo: who cannot wait any longer gets the error of that, and the others are written all the same.
func TestKeeperLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		written := 0
		k := NewKeeper(func(ctx context.Context, list []token.Revocation) error {
			written += len(list)
			return ctx.Err()
		})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := k.Keep(ctx, named("a")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if err := k.Keep(t.Context(), named("b")); err != nil || written != 2 {
			t.Errorf("%d written, %v", written, err)
		}
	})
}

func TestKeeperIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := NewKeeper(func(context.Context, []token.Revocation) error { return nil })
		var all sync.WaitGroup
		for i := range mostWaiting {
			all.Go(func() {
				if err := k.Keep(t.Context(), named(fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if err := k.Keep(t.Context(), named("one too many")); !errors.Is(err, ErrTooMany) {
			t.Errorf("got %v", err)
		}
		all.Wait()
	})
}

// TestTail puts in a log piece by piece: all of it is revoked, in lists of a bounded number.
func TestTail(t *testing.T) {
	s := NewSet()
	tail := NewTail(s, FromLogout)
	const n = 2*tailList + 500
	for i := 0; i < n; {
		var list []token.Revocation
		for range min(1+i%700, n-i) {
			list = append(list, token.Revocation{Scope: token.RevocationScope{Issuer: issuer}, By: token.RevokedBy(i % 3), Value: fmt.Sprint(i), Expires: noon.Add(time.Duration(i) * time.Second)})
			i++
		}
		tail.Add(list, noon)
	}
	if got := s.Stats(FromLogout).Entries; got != n {
		t.Fatalf("%d entries, want %d", got, n)
	}
	if got := len(s.lists); got > 5 {
		t.Errorf("%d lists", got)
	}
	for i := range n {
		id := proved("", func(id *token.Identity) {
			id.TokenID, id.SessionID, id.Subject = fmt.Sprint(i), fmt.Sprint(i), fmt.Sprint(i)
		})
		if !s.Revoked(id, noon.Add(-time.Second)) {
			t.Fatalf("%d is not revoked", i)
		}
	}
	s.Prune(noon.Add(time.Duration(n-100) * time.Second))
	if got := s.Stats(FromLogout).Entries; got != 99 {
		t.Errorf("%d entries are left, want 99", got)
	}
	tail.Add([]token.Revocation{named("later")}, noon)
	s.Prune(noon.Add(time.Duration(n) * time.Second))
	if got := s.Stats(FromLogout).Entries; got != 1 {
		t.Errorf("%d entries are left, want the one without an end", got)
	}
}

func TestJudge(t *testing.T) {
	s := NewSet()
	id := proved("", func(id *token.Identity) { id.Provider.Logout = &token.Logout{} })
	for _, step := range []struct {
		name string
		do   func()
		want error
	}{
		{"nobody says how fresh it is", func() {}, nil},
		{"nothing was read yet", func() { s.Fresh(time.Time{}) }, token.ErrRevocations},
		{"it was read", func() { s.Fresh(noon.Add(time.Second)) }, nil},
		{"too long ago", func() { s.Fresh(noon) }, token.ErrRevocations},
		{"revoked, whatever else", func() { s.Put(FromLogout, "a", s.Digest([]token.Revocation{named("j1")}), noon) }, token.ErrRevoked},
	} {
		step.do()
		if err := s.Judge(id, noon); !errors.Is(err, step.want) {
			t.Errorf("%s: %v, want %v", step.name, err, step.want)
		}
	}
	s.Put(FromLogout, "a", nil, noon)
	if err := s.Judge(proved(""), noon); err != nil {
		t.Errorf("a provider that tells of no logouts: %v", err)
	}
	if err := (*Set)(nil).Judge(id, noon); err != nil {
		t.Errorf("no set: %v", err)
	}
}
