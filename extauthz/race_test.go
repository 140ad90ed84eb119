package extauthz

import (
	mathrand "math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// moment is one state of the three.
type moment struct{ generation, rotation, second int64 }

func (w *turmoil) moment() moment {
	g, _ := w.snapshots.Load(w.world.snapshot.Load())
	return moment{g.(int64), w.keys.Load().n, w.seconds.Load()}
}

// want is the reason that is right at one moment, by the plain words of the policy above. p is nil for no token.
func (m moment) want(path string, p *passed) string {
	switch {
	case path == "/open" && m.generation%2 == 0:
		return "Public"
	case path == "/open":
		return "Denied"
	case p == nil:
		return "MissingToken"
	case m.rotation%3 == 0 && p.key == 2 || m.rotation%3 == 2 && p.key == 1:
		return "UnknownKey"
	case m.generation%5 == 4:
		return "InvalidAudience"
	case m.second >= p.expires:
		return "TokenExpired"
	case int64(p.scope) != m.generation%3:
		return "InsufficientScope"
	}
	return "Allowed"
}

// right tells whether the answer is that of some moment between two, in the generation that it names.
func right(out *authv3.CheckResponse, path string, p *passed, before, after moment) bool {
	text, _ := strings.CutPrefix(meta(out, "policy"), "shop/g")
	generation, err := strconv.ParseInt(text, 10, 64)
	if err != nil || generation < before.generation || generation > after.generation {
		return false
	}
	for r := before.rotation; r <= after.rotation && r < before.rotation+3; r++ {
		for _, s := range []int64{before.second, after.second} {
			if (moment{generation, r, s}).want(path, p) == meta(out, "reason") {
				return true
			}
		}
	}
	return false
}

// TestEveryAnswerIsOfOneMoment swaps snapshots, rotates keys, lets tokens expire and drives entries out of the cache
// while clients ask over a Unix socket. Each answer names its generation, which was current at some time during the
// Check, and is right for it, with a key set and a time of the same span.
func TestEveryAnswerIsOfOneMoment(t *testing.T) {
	const clients, each, pool = 4, 1200, 96
	w := &turmoil{progress: make(chan struct{}, clients)}
	w.sets = [3]*token.KeySet{keySet(t, 1), keySet(t, 1, 2), keySet(t, 2)}
	w.keys.Store(&rotation{0, w.sets[0]})
	verifier, err := token.NewVerifier(token.Config{Keys: w, Now: w.now, CacheBytes: 128 << 10})
	if err != nil {
		t.Fatal(err)
	}
	w.world = newWorld(t, func(c *Config) { c.Verifier, c.CacheStats, c.Now = verifier, verifier.CacheStats, w.now })
	compiler := new(policy.Compiler)
	w.compile(t, compiler, 0)
	var tokens []passed
	for i := range pool {
		tokens = append(tokens, newPassed(t, 1+i%2, i%3, 20+int64(i)*4))
	}
	listener, err := Listen("unix://"+filepath.Join(t.TempDir(), "s"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	conn, _ := w.world.serveOn(t, listener)
	done, seen := make(chan struct{}), make([]map[string]int, clients)
	var changing, asking sync.WaitGroup
	changing.Go(func() { w.change(t, compiler, done) })
	for n := range clients {
		seen[n] = map[string]int{}
		asking.Go(func() { w.ask(t, authv3.NewAuthorizationClient(conn), uint64(n), each, tokens, seen[n]) })
	}
	asking.Wait()
	close(done)
	changing.Wait()
	w.summarize(t, verifier, seen, len(tokens))
}

// change makes one change each time that some Checks were answered.
func (w *turmoil) change(t *testing.T, c *policy.Compiler, done <-chan struct{}) {
	for n := int64(1); ; n++ {
		select {
		case <-done:
			return
		case <-w.progress:
		}
		w.seconds.Add(1)
		if n%3 == 0 {
			w.keys.Store(&rotation{n / 3, w.sets[n/3%3]})
		}
		w.compile(t, c, n)
	}
}

// ask sends requests one after the other, and judges each answer.
func (w *turmoil) ask(t *testing.T, client authv3.AuthorizationClient, seed uint64, times int, tokens []passed, seen map[string]int) {
	r := mathrand.New(mathrand.NewPCG(seed, 1))
	for i := range times {
		path, headers, p := "/v1", []string(nil), &tokens[(r.IntN(len(tokens))+r.IntN(len(tokens)))/2]
		switch r.IntN(10) {
		case 0:
			path, p = "/open", nil
		case 1:
			p = nil
		default:
			headers = []string{"authorization: Bearer " + p.raw}
		}
		before := w.moment()
		out, err := client.Check(t.Context(), ask("GET", "https://orders.example.com"+path, headers...))
		after := w.moment()
		if err != nil {
			t.Errorf("an error instead of an answer: %v", err)
			return
		}
		if !right(out, path, p, before, after) {
			t.Errorf("%s with %+v between %+v and %+v: %v", path, p, before, after, out.GetDynamicMetadata())
		}
		seen[meta(out, "reason")]++
		if w.checks.Add(1); i%20 == 0 {
			select {
			case w.progress <- struct{}{}:
			default:
			}
		}
	}
}

// summarize wants everything that could happen to have happened.
func (w *turmoil) summarize(t *testing.T, v *token.Verifier, seen []map[string]int, tokens int) {
	t.Helper()
	all := map[string]int{}
	for _, m := range seen {
		for reason, n := range m {
			all[reason] += n
		}
	}
	for _, reason := range []string{"Public", "Denied", "MissingToken", "UnknownKey", "InvalidAudience", "TokenExpired", "InsufficientScope", "Allowed"} {
		if all[reason] == 0 {
			t.Errorf("no answer was %s: %v", reason, all)
		}
	}
	entries, bytes, hits, misses := v.CacheStats()
	if entries >= tokens || hits == 0 || misses < uint64(tokens) {
		t.Errorf("the cache was not driven: %d entries, %d hits, %d misses", entries, hits, misses)
	}
	m := w.moment()
	if m.generation < 40 || m.rotation < 9 {
		t.Errorf("too little changed: %+v", m)
	}
	t.Logf("%d Checks %v; %d snapshots, %d rotations, %d s; cache: %d entries of %d bytes, %d hits, %d misses", w.checks.Load(), all, m.generation, m.rotation, m.second, entries, bytes, hits, misses)
}
