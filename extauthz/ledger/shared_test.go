package ledger

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/valkey-io/valkey-go"

	"github.com/sallyport/sallyport/extauthz/token"
)

// opened is a Shared that runs, with what it tells.
type opened struct {
	*Shared
	proofs *SharedProofs
	states chan bool

	mu      sync.Mutex
	results []string
	log     []string
}

func open(t *testing.T, cfg Config) *opened {
	t.Helper()
	o := &opened{states: make(chan bool, 100)}
	cfg.OnState = func(up bool) { o.states <- up }
	cfg.OnAnswer = func(result string, _ time.Duration) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.results = append(o.results, result)
	}
	cfg.Log = logr.New(funcr.New(func(_, args string) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.log = append(o.log, args)
	}, funcr.Options{}).GetSink())
	if cfg.Timeout == 0 {
		cfg.Timeout = 2 * time.Second // a busy machine is no fault of the store
	}
	var err error
	if o.Shared, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	o.proofs = NewSharedProofs(o.Shared, nil)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); o.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return o
}

// await waits for a state, however long it takes.
func (o *opened) await(t *testing.T, up bool) {
	t.Helper()
	for {
		select {
		case got := <-o.states:
			if got == up {
				return
			}
		case <-t.Context().Done():
			t.Fatal("the test ended first")
		}
	}
}

func (o *opened) said() (results []string, log string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.results), strings.Join(o.log, "\n")
}

func (o *opened) use(n int) error {
	return o.proofs.Use(context.Background(), keyOf(n), time.Now().Add(time.Minute))
}

func TestTwoReplicasShareProofsInARealServer(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	startServer(t, dir, "port 0", "unixsocket "+socket)
	a, b := open(t, Config{URL: "unix://" + socket}), open(t, Config{URL: "unix://" + socket})
	a.await(t, true)
	b.await(t, true)
	if err := a.use(1); err != nil {
		t.Fatalf("the first time: %v", err)
	}
	for name, o := range map[string]*opened{"the same": a, "the other": b} {
		if err := o.use(1); !errors.Is(err, token.ErrReplayed) {
			t.Errorf("again, with %s: %v, want %v", name, err, token.ErrReplayed)
		}
	}
	if err := b.use(2); err != nil {
		t.Errorf("another proof: %v", err)
	}

	// Of many at once, over both connections, the server lets one be the first.
	var all sync.WaitGroup
	errs := make(chan error, 100)
	for i := range cap(errs) {
		all.Go(func() { errs <- []*opened{a, b}[i%2].use(3) })
	}
	all.Wait()
	close(errs)
	first := 0
	for err := range errs {
		if err == nil {
			first++
		} else if !errors.Is(err, token.ErrReplayed) {
			t.Error(err)
		}
	}
	if first != 1 {
		t.Errorf("%d were the first", first)
	}

	// What is stored ends by itself, and only a digest of the proof is in it.
	ttl, err := a.do(t.Context(), func(b valkey.Builder) valkey.Completed {
		return b.Pttl().Key(prefix + "proof:AAAAAAAAAAA" + strings.Repeat("A", 32)).Build()
	})
	if ms, _ := ttl.AsInt64(); err != nil || ms != -2 {
		t.Errorf("a key of nobody has a TTL of %d ms (%v)", ms, err)
	}
	keys, err := a.do(t.Context(), func(b valkey.Builder) valkey.Completed { return b.Keys().Pattern(prefix + "proof:*").Build() })
	names, _ := keys.AsStrSlice()
	if err != nil || len(names) != 3 {
		t.Fatalf("keys %q (%v)", names, err)
	}
	for _, name := range names {
		ttl, err := a.do(t.Context(), func(b valkey.Builder) valkey.Completed { return b.Pttl().Key(name).Build() })
		if ms, _ := ttl.AsInt64(); err != nil || ms < 1 || ms > (time.Minute+proofMargin).Milliseconds() {
			t.Errorf("%s ends in %d ms (%v)", name, ms, err)
		}
	}
}

func TestAServerThatIsKilledRefusesUntilItIsBack(t *testing.T) {
	dir, port := t.TempDir(), freePort(t)
	s := startServer(t, dir, "bind 127.0.0.1", "port "+port)
	o := open(t, Config{URL: "redis://127.0.0.1:" + port})
	o.await(t, true)
	if err := o.use(1); err != nil {
		t.Fatal(err)
	}
	s.kill()
	for range failuresInARow + 2 {
		if err := o.use(2); !errors.Is(err, token.ErrLedger) {
			t.Errorf("while it is gone: %v, want %v", err, token.ErrLedger)
		}
	}
	o.await(t, false)
	if results, _ := o.said(); results[len(results)-1] != CircuitOpen || !slices.Contains(results, ConnectionFailed) {
		t.Errorf("results %q", results)
	}
	s.start()
	o.await(t, true)
	if err := o.use(2); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

func TestAServerThatHangsIsWaitedForNoLongerThanTheTimeout(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	s := startServer(t, dir, "port 0", "unixsocket "+socket)
	o := open(t, Config{URL: "unix://" + socket, Timeout: 100 * time.Millisecond})
	o.await(t, true)
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for range failuresInARow {
		if err := o.use(1); !errors.Is(err, token.ErrLedger) {
			t.Errorf("while it hangs: %v, want %v", err, token.ErrLedger)
		}
	}
	o.await(t, false)
	if results, _ := o.said(); !slices.Contains(results, Timeout) {
		t.Errorf("results %q", results)
	}
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	o.await(t, true)
	if err := o.use(2); err != nil {
		t.Errorf("when it goes on: %v", err)
	}
}

func TestAnyServerErrorRefuses(t *testing.T) {
	for _, tc := range []struct {
		name    string
		command []string
		code    string
	}{
		{"it is full", []string{"CONFIG", "SET", "maxmemory", "1"}, "OOM"},
		{"it became a replica", []string{"REPLICAOF", "127.0.0.1", "1"}, "READONLY"},
		{"the user lost a right", []string{"ACL", "SETUSER", "default", "-set"}, "NOPERM"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			socket := filepath.Join(dir, "s")
			startServer(t, dir, "port 0", "unixsocket "+socket)
			o := open(t, Config{URL: "unix://" + socket})
			o.await(t, true)
			if _, err := o.do(t.Context(), func(b valkey.Builder) valkey.Completed {
				return b.Arbitrary(tc.command[0]).Args(tc.command[1:]...).Build()
			}); err != nil {
				t.Fatal(err)
			}
			for range failuresInARow {
				if err := o.use(1); !errors.Is(err, token.ErrLedger) {
					t.Errorf("%v, want %v", err, token.ErrLedger)
				}
			}
			o.await(t, false)
			if results, _ := o.said(); !slices.Contains(results, Refused) {
				t.Errorf("results %q", results)
			}
		})
	}
}

func TestTLSAndAUserOfItsOwn(t *testing.T) {
	dir, port := t.TempDir(), freePort(t)
	cert, key := certificate(t, dir)
	startServer(t, dir, "bind 127.0.0.1", "port 0", "tls-port "+port, "tls-cert-file "+cert, "tls-key-file "+key, "tls-auth-clients no",
		"user default off", "user sallyport on >right ~sallyport:* resetchannels +set +hello +client|setname +ping +auth +select")
	url := "rediss://sallyport@127.0.0.1:" + port + "/2"
	password := func(text string) string {
		name := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	good := open(t, Config{URL: url, PasswordFile: password("right\n"), CAFile: cert})
	good.await(t, true)
	if err := good.use(1); err != nil {
		t.Error(err)
	}
	for _, tc := range []struct {
		name string
		cfg  Config
		log  string
	}{
		{"a wrong password", Config{URL: url, PasswordFile: password("wrong"), CAFile: cert}, "WRONGPASS"},
		{"no password", Config{URL: url, CAFile: cert}, "Refused"},
		{"authorities of others", Config{URL: url, PasswordFile: password("right")}, "x509"},
		{"no TLS", Config{URL: strings.Replace(url, "rediss", "redis", 1), PasswordFile: password("right")}, "ConnectionFailed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := open(t, tc.cfg)
			if err := o.WaitTried(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := o.use(2); !errors.Is(err, token.ErrLedger) || o.Up() {
				t.Errorf("%v, want %v", err, token.ErrLedger)
			}
			if _, log := o.said(); !strings.Contains(log, tc.log) || strings.Contains(log, "right") || strings.Contains(log, "wrong\"") {
				t.Errorf("the log says %s, want %s and no password", log, tc.log)
			}
		})
	}
}

func TestAServerThatForgetsIsToldOf(t *testing.T) {
	for policy, warns := range map[string]bool{"noeviction": false, "volatile-ttl": true, "allkeys-lru": true} {
		dir := t.TempDir()
		socket := filepath.Join(dir, "s")
		startServer(t, dir, "port 0", "unixsocket "+socket, "maxmemory-policy "+policy)
		o := open(t, Config{URL: "unix://" + socket})
		o.await(t, true)
		if _, log := o.said(); strings.Contains(log, policy) != warns {
			t.Errorf("%s: the log says %s", policy, log)
		}
	}
}

func TestWhoeverGivesUpOpensNoCircuit(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	startServer(t, dir, "port 0", "unixsocket "+socket)
	o := open(t, Config{URL: "unix://" + socket})
	o.await(t, true)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 * failuresInARow {
		if err := o.proofs.Use(gone, keyOf(1), time.Now().Add(time.Minute)); !errors.Is(err, token.ErrLedger) {
			t.Errorf("%v, want %v", err, token.ErrLedger)
		}
	}
	if err := o.use(2); err != nil || !o.Up() {
		t.Errorf("somebody else: %v", err)
	}
}

func TestBeforeItRunsEverythingIsRefused(t *testing.T) {
	s, err := Open(Config{URL: "redis://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := NewSharedProofs(s, nil).Use(t.Context(), keyOf(1), time.Now()); !errors.Is(err, token.ErrLedger) {
		t.Errorf("%v, want %v", err, token.ErrLedger)
	}
}
