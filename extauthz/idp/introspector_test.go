package idp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/token"
)

// played is an Introspector that knows p, whose server is answer, in a bubble of time.
func played(t *testing.T, p *token.Provider, answer func(n int32) ([]byte, error)) (i *Introspector, asked *atomic.Int32, results func() []string) {
	t.Helper()
	asked = new(atomic.Int32)
	i, results = introspector(t, IntrospectorConfig{})
	i.wrap = func(c *client) {
		c.send = func(*http.Request) ([]byte, error) { return answer(asked.Add(1)) }
	}
	i.Sync([]*token.Provider{p})
	return i, asked, results
}

func somewhere(t *testing.T) *token.Provider {
	t.Helper()
	p := introspecting(t, "https://id.example.com", nil)
	p.Introspection.Timeout = 100 * time.Millisecond
	return p
}

func TestAnswersServeForCacheTTLAndNotBeyondTheToken(t *testing.T) {
	for _, tt := range []struct {
		name        string
		ttl, life   time.Duration
		after       []time.Duration // of the first question
		want        []error
		wantedAsked int32
	}{
		{"within the TTL", time.Minute, time.Hour, []time.Duration{0, 59 * time.Second}, []error{nil, nil}, 1},
		{"after the TTL", time.Minute, time.Hour, []time.Duration{0, time.Minute}, []error{nil, nil}, 2},
		{"no TTL", 0, time.Hour, []time.Duration{0, 0}, []error{nil, nil}, 2},
		{"not beyond the token", time.Minute, 10 * time.Second, []time.Duration{0, 9 * time.Second, 10 * time.Second}, []error{nil, nil, token.ErrExpired}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := somewhere(t)
				p.Introspection.CacheTTL = tt.ttl
				begin := time.Now()
				i, asked, _ := played(t, p, func(int32) ([]byte, error) {
					return fmt.Appendf(nil, `{"active":true,"sub":"a","aud":"orders-api","exp":%d}`, begin.Add(tt.life).Unix()), nil
				})
				for n, after := range tt.after {
					time.Sleep(after - time.Since(begin))
					if _, err := i.Introspect(t.Context(), "x", p); !errors.Is(err, tt.want[n]) || (err == nil) != (tt.want[n] == nil) {
						t.Errorf("after %s: %v, want %v", after, err, tt.want[n])
					}
				}
				if got := asked.Load(); got != tt.wantedAsked {
					t.Errorf("%d questions, want %d", got, tt.wantedAsked)
				}
			})
		})
	}
}

func TestRefusalsAreRememberedShortly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := somewhere(t)
		i, asked, _ := played(t, p, func(n int32) ([]byte, error) {
			if n == 1 {
				return []byte(`{"active":false}`), nil
			}
			return active(time.Now()), nil
		})
		for range 3 {
			if _, err := i.Introspect(t.Context(), "x", p); !errors.Is(err, token.ErrInactive) {
				t.Fatalf("error %v, want %v", err, token.ErrInactive)
			}
		}
		if got := asked.Load(); got != 1 {
			t.Errorf("%d questions, want 1", got)
		}
		time.Sleep(refusedFor)
		if _, err := i.Introspect(t.Context(), "x", p); err != nil {
			t.Errorf("later: %v", err)
		}
	})
}

func TestEqualQuestionsShareOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := somewhere(t)
		i, asked, _ := played(t, p, func(int32) ([]byte, error) {
			time.Sleep(50 * time.Millisecond)
			return active(time.Now()), nil
		})
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if _, err := i.Introspect(t.Context(), "x", p); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if got := asked.Load(); got != 1 {
			t.Errorf("%d questions, want 1", got)
		}
	})
}

// Who gives up does not end the question of those who wait on.
func TestOneWhoGivesUpDoesNotEndTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := somewhere(t)
		i, asked, _ := played(t, p, func(int32) ([]byte, error) {
			time.Sleep(50 * time.Millisecond)
			return active(time.Now()), nil
		})
		hurried, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		begin := time.Now()
		if _, err := i.Introspect(hurried, "x", p); !errors.Is(err, token.ErrIntrospection) {
			t.Errorf("hurried: %v, want %v", err, token.ErrIntrospection)
		}
		if took := time.Since(begin); took != 15*time.Millisecond {
			t.Errorf("took %s of 20ms: nothing is left to answer in", took)
		}
		if _, err := i.Introspect(t.Context(), "x", p); err != nil || asked.Load() != 1 {
			t.Errorf("%v after %d questions, want the answer to the first", err, asked.Load())
		}
	})
}

func TestTheCircuitOpensIsTriedAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := somewhere(t)
		sound := new(atomic.Bool)
		i, asked, results := played(t, p, func(int32) ([]byte, error) {
			if !sound.Load() {
				return nil, failure(BadStatus)
			}
			return active(time.Now()), nil
		})
		ask := func(n int) error {
			_, err := i.Introspect(t.Context(), fmt.Sprint("token-", n), p)
			return err
		}
		for n := range failuresInARow + 3 {
			if err := ask(n); !errors.Is(err, token.ErrIntrospection) {
				t.Fatalf("error %v, want %v", err, token.ErrIntrospection)
			}
		}
		if got := asked.Load(); got != failuresInARow {
			t.Errorf("%d questions, want %d", got, failuresInARow)
		}
		time.Sleep(brokenFor + time.Millisecond)
		_ = ask(20) // the one that tries, in vain
		_ = ask(21)
		if got := asked.Load(); got != failuresInARow+1 {
			t.Errorf("%d questions, want one more than %d", got, failuresInARow)
		}
		sound.Store(true)
		time.Sleep(brokenFor + time.Millisecond)
		for n := range 3 {
			if err := ask(30 + n); err != nil {
				t.Errorf("after it was mended: %v", err)
			}
		}
		want := strings.Fields(strings.Repeat("BadStatus ", failuresInARow) + strings.Repeat("CircuitOpen ", 3) + "BadStatus CircuitOpen Active Active Active")
		if diff := cmp.Diff(want, results()); diff != "" {
			t.Errorf("results (-want +got):\n%s", diff)
		}
	})
}

// Refused tokens are answers: they open no circuit.
func TestRefusedTokensOpenNoCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := somewhere(t)
		i, asked, _ := played(t, p, func(int32) ([]byte, error) { return []byte(`{"active":false}`), nil })
		for n := range 100 {
			if _, err := i.Introspect(t.Context(), fmt.Sprint(n), p); !errors.Is(err, token.ErrInactive) {
				t.Fatalf("token %d: %v", n, err)
			}
		}
		if asked.Load() != 100 {
			t.Errorf("%d questions, want 100", asked.Load())
		}
	})
}

// Made-up tokens reach the provider no faster than its bounds allow, and a server that hangs holds no more of them.
func TestAFloodIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := somewhere(t)
		p.Introspection.MaxPerSecond, p.Introspection.MaxConcurrent = 10, 3
		i, asked, _ := played(t, p, func(int32) ([]byte, error) {
			time.Sleep(90 * time.Millisecond)
			return []byte(`{"active":false}`), nil
		})
		var all sync.WaitGroup
		for n := range 1000 {
			all.Go(func() { _, _ = i.Introspect(t.Context(), fmt.Sprint("a", n), p) })
		}
		all.Wait()
		if got := asked.Load(); got != 3 {
			t.Errorf("%d questions at a time, want 3", got)
		}
		begin := time.Now()
		for n := range 1000 {
			if _, err := i.Introspect(t.Context(), fmt.Sprint("b", n), p); err == nil {
				t.Fatal("a made-up token passed")
			}
		}
		// The bucket holds ten, and ten more flow in every second that the answers take.
		if got, most := int(asked.Load()), 10+int(10*(time.Since(begin)+90*time.Millisecond).Seconds())+1; got < 10 || got > most {
			t.Errorf("%d questions, want from 10 to %d", got, most)
		}
	})
}

func TestMadeUpTokensDoNotDriveOutGoodOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := somewhere(t)
		p.Introspection.MaxPerSecond = 100_000
		i, asked, _ := played(t, p, func(n int32) ([]byte, error) {
			if n == 1 {
				return active(time.Now()), nil
			}
			return []byte(`{"active":false}`), nil
		})
		i.good.limit, i.refused.limit = 4<<10, 4<<10
		if _, err := i.Introspect(t.Context(), "good", p); err != nil {
			t.Fatal(err)
		}
		for n := range 1000 {
			_, _ = i.Introspect(t.Context(), fmt.Sprint("made-up-", n), p)
		}
		if s := i.Stats(); s.Bytes > 8<<10 || s.Entries < 3 {
			t.Errorf("the caches hold %+v", s)
		}
		before := asked.Load()
		if _, err := i.Introspect(t.Context(), "good", p); err != nil || asked.Load() != before {
			t.Errorf("%v, %d more questions: the good token was driven out", err, asked.Load()-before)
		}
	})
}

// Recall never waits, takes nothing from those who do, and what it learns is remembered.
func TestRecall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := somewhere(t)
		p.Introspection.MaxConcurrent, p.Introspection.MaxPerSecond = 1, 1
		i, asked, _ := played(t, p, func(int32) ([]byte, error) {
			time.Sleep(50 * time.Millisecond)
			return active(time.Now()), nil
		})
		begin := time.Now()
		if _, known, err := i.Recall("tried", p); known || err != nil || time.Since(begin) != 0 {
			t.Errorf("known %v, %v after %s", known, err, time.Since(begin))
		}
		synctest.Wait()
		if _, known, _ := i.Recall("second", p); known {
			t.Error("a second one is known")
		}
		if _, err := i.Introspect(t.Context(), "asked", p); err != nil {
			t.Errorf("while a rule is tried out: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
		if got := asked.Load(); got != 2 {
			t.Errorf("%d questions, want one of each kind", got)
		}
		if id, known, err := i.Recall("tried", p); !known || err != nil || id.Subject != "alice" {
			t.Errorf("then: %v, known %v, %v", id, known, err)
		}
	})
}

// Failures of questions that nobody waits for do not open the circuit for those that somebody does.
func TestRecallOpensNoCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := somewhere(t)
		sound := new(atomic.Bool)
		i, _, _ := played(t, p, func(int32) ([]byte, error) {
			if !sound.Load() {
				return nil, failure(BadStatus)
			}
			return active(time.Now()), nil
		})
		for n := range 2 * failuresInARow {
			_, _, _ = i.Recall(fmt.Sprint(n), p)
			synctest.Wait()
		}
		sound.Store(true)
		if _, err := i.Introspect(t.Context(), "x", p); err != nil {
			t.Error(err)
		}
	})
}

func TestSyncForgetsProvidersThatAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, other := somewhere(t), somewhere(t)
		other.Fingerprint = [32]byte{2}
		i, asked, _ := played(t, p, func(int32) ([]byte, error) { return active(time.Now()), nil })
		ask := func() error {
			_, err := i.Introspect(t.Context(), "x", p)
			return err
		}
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		i.Sync([]*token.Provider{other})
		if err := ask(); err != nil || asked.Load() != 1 {
			t.Errorf("the old snapshot still serves: %v, %d questions", err, asked.Load())
		}
		i.Sync([]*token.Provider{other})
		if err := ask(); !errors.Is(err, token.ErrIntrospection) {
			t.Errorf("a provider that is gone: %v, want %v", err, token.ErrIntrospection)
		}
		if s := i.Stats(); s.Entries != 0 {
			t.Errorf("%d answers of a provider that is gone", s.Entries)
		}
		changed := *p
		changed.Fingerprint = [32]byte{3}
		i.Sync([]*token.Provider{&changed})
		if _, err := i.Introspect(t.Context(), "x", &changed); err != nil || asked.Load() != 2 {
			t.Errorf("a provider that was edited is asked anew: %v, %d questions", err, asked.Load())
		}
	})
}

func TestAPanicIsARefusal(t *testing.T) {
	p := somewhere(t)
	i, _, _ := played(t, p, func(int32) ([]byte, error) { panic(secret) })
	if _, err := i.Introspect(t.Context(), "x", p); !errors.Is(err, token.ErrIntrospection) {
		t.Errorf("error %v, want %v", err, token.ErrIntrospection)
	}
}

// alias is a text that shares the memory of b, as texts of a request do.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func TestNothingOfTheTokenIsKeptButCopies(t *testing.T) {
	p := somewhere(t)
	i, asked, _ := played(t, p, func(int32) ([]byte, error) { return active(time.Now()), nil })
	raw := []byte("8xLOxBtZp8")
	if _, err := i.Introspect(t.Context(), alias(raw), p); err != nil {
		t.Fatal(err)
	}
	copy(raw, "overwrites")
	if _, err := i.Introspect(t.Context(), "8xLOxBtZp8", p); err != nil || asked.Load() != 1 {
		t.Errorf("%v after %d questions: the answer is not found again", err, asked.Load())
	}
}

func TestAnswersAreBoundedInBytes(t *testing.T) {
	a := newAnswers[string, int](4 * (perAnswerBytes + 10))
	now := time.Unix(1, 0)
	for n := range 10 {
		a.put(fmt.Sprint(n), n, 10, now.Add(time.Second))
		_, _ = a.get("0", now) // asked for again and again
	}
	for key, want := range map[string]bool{"0": true, "9": true, "8": true, "1": false, "5": false} {
		if _, ok := a.get(key, now); ok != want {
			t.Errorf("%s is there: %v, want %v", key, ok, want)
		}
	}
	a.put("huge", 1, 1<<20, now.Add(time.Second))
	if s := a.stats(); s.Entries != 4 || s.Bytes != 4*(perAnswerBytes+10) {
		t.Errorf("%+v", s)
	}
	if _, ok := a.get("0", now.Add(time.Second)); ok {
		t.Error("an answer outlives its time")
	}
	if s := a.stats(); s.Entries != 3 {
		t.Errorf("%+v: what is too old stays", s)
	}
}
