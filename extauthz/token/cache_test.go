package token

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// hits verifies raw and reports whether it was found in the cache.
func hits(t *testing.T, v *Verifier, raw string, providers ...*Provider) (hit bool, err error) {
	t.Helper()
	_, _, before, _ := v.CacheStats()
	_, err = v.Verify(context.Background(), Credential{raw, bearer}, providers)
	_, _, after, _ := v.CacheStats()
	return after > before, err
}

func TestCacheJudgesClockAndAudienceAgain(t *testing.T) {
	now := testNow
	v := verifier(t, Config{CacheBytes: 1 << 20, Now: func() time.Time { return now }})
	p := corp(t, func(p *Provider) { p.MaxTokenAge = 400 * time.Second })
	narrowed := *p
	narrowed.Audiences = []string{"stock-api"}
	shorter := *p
	shorter.MaxTokenAge = time.Minute
	raw := sign(t, RS256, "rsa", rs256Header, claims(map[string]string{"nbf": fmt.Sprint(testNow.Unix() - 10)}))
	steps := []struct {
		name string
		at   time.Duration
		p    *Provider
		hit  bool
		want error
	}{
		{"first", 0, p, false, nil},
		{"again", 0, p, true, nil},
		{"audience of a narrowed reference", 0, &narrowed, true, ErrAudience},
		{"shorter age", 0, &shorter, true, ErrTooOld},
		{"just before the end", 329 * time.Second, p, true, nil},
		{"expired", 330 * time.Second, p, true, ErrExpired},
		{"the clock went back before nbf", -41 * time.Second, p, true, ErrNotYetValid},
		{"and came back", 0, p, true, nil},
	}
	for _, step := range steps {
		now = testNow.Add(step.at)
		hit, err := hits(t, v, raw, step.p)
		if hit != step.hit {
			t.Errorf("%s: found in the cache: %v", step.name, hit)
		}
		wraps(t, err, step.want)
	}
}

func TestCacheEntryIsBoundToProviderAndKeys(t *testing.T) {
	v := verifier(t, Config{CacheBytes: 1 << 20})
	p := corp(t, nil)
	raw := sign(t, RS256, "rsa", rs256Header, claims(nil))
	if _, err := hits(t, v, raw, p); err != nil {
		t.Fatal(err)
	}
	change := func(f func(*Provider)) *Provider {
		other := *p
		f(&other)
		return &other
	}
	steps := []struct {
		name string
		p    *Provider
		hit  bool
		want error
	}{
		{"same provider, compiled anew", change(func(*Provider) {}), true, nil},
		{"same bytes of keys, read anew", change(func(p *Provider) { p.Static = publicSet(t) }), true, nil},
		{"other keys", change(func(p *Provider) { p.Static = mustSet(t, jwks(jwk("rsa2", `"kid":"rsa"`)), false) }), false, ErrSignature},
		{"keys gone", change(func(p *Provider) { p.Static = nil }), false, ErrKeysUnavailable},
		{"another generation", change(func(p *Provider) { p.Fingerprint[31]++ }), false, nil},
		{"that generation again", change(func(p *Provider) { p.Fingerprint[31]++ }), true, nil},
		{"another place", change(func(p *Provider) { p.Sources = []Source{{Cookie: "t"}} }), false, ErrUntrustedIssuer},
		{"another issuer of equal fingerprint", change(func(p *Provider) { p.Issuer = "https://other.example" }), false, ErrUntrustedIssuer},
		{"the first again", p, true, nil},
	}
	for _, step := range steps {
		hit, err := hits(t, v, raw, step.p)
		if hit != step.hit {
			t.Errorf("%s: found in the cache: %v", step.name, hit)
		}
		wraps(t, err, step.want)
	}
	if hit, err := hits(t, v, raw); hit || err == nil {
		t.Errorf("nobody trusted: found in the cache %v, error %v", hit, err)
	}
}

// A hash only says where to look: of two tokens of one hash the one that was not verified is not found.
func TestCacheComparesWholeTokens(t *testing.T) {
	c, p := newCache(1<<20), corp(t, nil)
	c.add("verified", "{}", &Identity{Provider: p, Issuer: p.Issuer, Expiry: testNow}, p.Static, testNow)
	hash := c.hash("verified")
	if c.find(hash, "verified", p) == nil {
		t.Error("the token itself is not found")
	}
	for _, other := range []string{"verifie", "verifiedd", "Verified", ""} {
		if c.find(hash, other, p) != nil {
			t.Errorf("%q is found in the place of another token", other)
		}
	}
}

// Two providers that vouch for the same token keep one entry each instead of pushing each other out.
func TestCacheHoldsOneTokenForTwoProviders(t *testing.T) {
	v := verifier(t, Config{CacheBytes: 1 << 20})
	a, b := corp(t, nil), corp(t, func(p *Provider) { p.Fingerprint = [32]byte{9} })
	raw := sign(t, RS256, "rsa", rs256Header, claims(nil))
	for round := range 3 {
		for _, p := range []*Provider{a, b} {
			if hit, err := hits(t, v, raw, p); err != nil || hit != (round > 0) {
				t.Errorf("round %d: found %v, error %v", round, hit, err)
			}
		}
	}
}

func TestCacheForgetsWithRemoteKeys(t *testing.T) {
	good := mustSet(t, jwks(jwk("rsa", `"kid":"rsa"`)), false)
	current := good
	v := verifier(t, Config{CacheBytes: 1 << 20, Keys: keyFunc(func(*KeySet) (*KeySet, error) {
		if current == nil {
			return nil, ErrKeysUnavailable
		}
		return current, nil
	})})
	p := corp(t, func(p *Provider) { p.Static, p.Remote = nil, &Remote{} })
	raw := sign(t, RS256, "rsa", rs256Header, claims(nil))
	steps := []struct {
		set  *KeySet
		hit  bool
		want error
	}{
		{good, false, nil},
		{good, true, nil},
		{mustSet(t, jwks(jwk("rsa2", `"kid":"new"`)), false), false, ErrUnknownKey},
		{nil, false, ErrKeysUnavailable},
		{good, true, nil},
	}
	for i, step := range steps {
		current = step.set
		hit, err := hits(t, v, raw, p)
		if hit != step.hit {
			t.Errorf("step %d: found in the cache: %v", i, hit)
		}
		wraps(t, err, step.want)
	}
}

func TestCacheKeepsItsOwnCopies(t *testing.T) {
	v := verifier(t, Config{CacheBytes: 1 << 20})
	p := corp(t, nil)
	raw := sign(t, RS256, "rsa", rs256Header, claims(map[string]string{"scope": `"orders.read"`}))
	buffer := []byte(raw)
	id, err := v.Verify(context.Background(), Credential{alias(buffer), bearer}, []*Provider{p})
	if err != nil {
		t.Fatal(err)
	}
	for i := range buffer {
		buffer[i] = 'X'
	}
	if id.Subject != "alice" || id.Scopes[0] != "orders.read" || member(id, "sub") != "alice" || member(id, "scope") != "orders.read" {
		t.Error("the identity shares memory with the request")
	}
	if hit, err := hits(t, v, raw, p); !hit || err != nil {
		t.Error("the entry shares memory with the request", err)
	}
	if hit, err := hits(t, v, string(buffer), p); hit || err == nil {
		t.Error("what came later into the buffer was accepted")
	}
}

func TestCacheIsBounded(t *testing.T) {
	const limit = 256 << 10
	v := verifier(t, Config{CacheBytes: limit})
	p := corp(t, func(p *Provider) {
		p.Algorithms = NewAlgorithms(HS256)
		p.Static = mustSet(t, jwks(jwk("hmac", `"kid":"h"`)), true)
	})
	mint := func(i int) string {
		return sign(t, HS256, "hmac", `{"alg":"HS256","kid":"h"}`, claims(map[string]string{"jti": fmt.Sprint(i)}))
	}
	const asked = -1
	hot := mint(asked)
	for i := range 2000 {
		if _, err := hits(t, v, mint(i), p); err != nil {
			t.Fatal(err)
		}
		if hit, err := hits(t, v, hot, p); err != nil || hit != (i > 0) {
			t.Fatalf("what is asked for all the time: found %v after %d tokens, error %v", hit, i, err)
		}
		if _, bytes, _, _ := v.CacheStats(); bytes > limit {
			t.Fatalf("%d bytes after %d tokens", bytes, i)
		}
	}
	entries, bytes, _, _ := v.CacheStats()
	if entries < 50 || bytes < limit*9/10 {
		t.Errorf("%d entries of %d bytes: the room is not used", entries, bytes)
	}
	if hit, _ := hits(t, v, mint(0), p); hit {
		t.Error("what nobody asked for was kept")
	}
}

// TestCacheKeepsNoGiant: a token that alone would take the whole room is verified each time.
func TestCacheKeepsNoGiant(t *testing.T) {
	v := verifier(t, Config{CacheBytes: 4 << 10})
	p := corp(t, func(p *Provider) {
		p.Algorithms, p.Static = NewAlgorithms(HS256), mustSet(t, jwks(jwk("hmac", "")), true)
	})
	giant := sign(t, HS256, "hmac", `{"alg":"HS256","kid":"h"}`, claims(map[string]string{"a": `"` + strings.Repeat("x", 3<<10) + `"`}))
	small := sign(t, HS256, "hmac", `{"alg":"HS256","kid":"h"}`, claims(nil))
	for i := range 2 {
		if hit, err := hits(t, v, giant, p); hit || err != nil {
			t.Errorf("a token that does not fit: found %v, error %v", hit, err)
		}
		if hit, err := hits(t, v, small, p); hit != (i > 0) || err != nil {
			t.Errorf("one that does, time %d: found %v, error %v", i, hit, err)
		}
	}
}

func TestCacheGivesUpExpiredEntries(t *testing.T) {
	now := testNow
	v := verifier(t, Config{CacheBytes: 1 << 20, Now: func() time.Time { return now }})
	p := corp(t, func(p *Provider) {
		p.Algorithms, p.Static = NewAlgorithms(HS256), mustSet(t, jwks(jwk("hmac", "")), true)
	})
	add := func(jti string) {
		raw := sign(t, HS256, "hmac", `{"alg":"HS256"}`, claims(map[string]string{"jti": jti, "exp": fmt.Sprint(now.Unix() + 100)}))
		if _, err := hits(t, v, raw, p); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		add(fmt.Sprintf(`"old %d"`, i))
	}
	now = now.Add(time.Hour)
	for i := range 11 {
		add(fmt.Sprintf(`"new %d"`, i))
	}
	if entries, _, _, _ := v.CacheStats(); entries != 11 {
		t.Errorf("%d entries, want the 11 that have not expired", entries)
	}
}

// What an entry is said to weigh is at least what it does weigh, and at most two fifths more.
func TestCacheWeighsHonestly(t *testing.T) {
	nested := "[" + strings.TrimSuffix(strings.Repeat(`{"a":[]},`, 300), ",") + "]"
	many := func(n int, format string) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(format, i))
		}
		return strings.Join(list, ",")
	}
	tests := []struct {
		name  string
		extra map[string]string
	}{
		{"small", nil},
		{"scopes and roles", map[string]string{"scope": `"` + strings.Repeat("orders.read ", 20) + `"`, "realm_access": `{"roles":["a","b","c"]}`}},
		{"objects in an array", map[string]string{"x": nested}},
		{"strings with escapes", map[string]string{"x": `["` + strings.Repeat(`\n`, 2000) + `"]`}},
		{"a long text", map[string]string{"x": `"` + strings.Repeat("x", 9000) + `"`}},
		{"numbers in an array", map[string]string{"x": "[" + many(1000, "%d") + "]"}},
		{"empty arrays", map[string]string{"x": "[" + strings.TrimSuffix(strings.Repeat("[],", 1000), ",") + "]"}},
		{"audiences", map[string]string{"aud": `["orders-api",` + many(1000, `"%d"`) + "]"}},
		{"objects of 8 members", map[string]string{"x": "[" + strings.TrimSuffix(strings.Repeat("{"+many(8, `"%d":null`)+"},", 100), ",") + "]"}},
		{"12 members", map[string]string{"x": "{" + many(12, `"%d":1`) + "}"}},
		{"700 members", map[string]string{"x": "{" + many(700, `"%d":1`) + "}"}},
		{"1000 members", map[string]string{"x": "{" + many(1000, `"%d":1`) + "}"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := verifier(t, Config{CacheBytes: 8 << 20}) // few shards, whose own memory is no entry's
			p := corp(t, func(p *Provider) {
				p.Algorithms, p.Static = NewAlgorithms(HS256), mustSet(t, jwks(jwk("hmac", "")), true)
			})
			tokens := 400_000 / int64(len(claims(test.extra)))
			if testing.Short() {
				tokens /= 4
			}
			before := heap()
			for i := range tokens {
				changes := map[string]string{"jti": fmt.Sprint(i)}
				for name, value := range test.extra {
					changes[name] = value
				}
				if _, err := hits(t, v, sign(t, HS256, "hmac", `{"alg":"HS256"}`, claims(changes)), p); err != nil {
					t.Fatal(err)
				}
			}
			real := heap() - before
			_, claimed, _, _ := v.CacheStats()
			t.Logf("%d bytes an entry, said to be %d", real/tokens, claimed/tokens)
			if claimed < real || claimed > real*7/5 {
				t.Errorf("%d bytes, said to be %d", real, claimed)
			}
			runtime.KeepAlive(v)
		})
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestWarmVerifyDoesNotAllocate(t *testing.T) {
	v := verifier(t, Config{CacheBytes: 1 << 20, Now: time.Now, Keys: nil})
	p := corp(t, func(p *Provider) { p.MaxTokenAge = time.Hour })
	now := time.Now().Unix()
	cred := Credential{sign(t, RS256, "rsa", rs256Header, claims(map[string]string{"exp": fmt.Sprint(now + 300), "iat": fmt.Sprint(now)})), bearer}
	trusted := []*Provider{corp(t, func(p *Provider) { p.Fingerprint = [32]byte{5} }), p}
	trusted[0].Issuer = "https://other.example"
	ctx := context.Background()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := v.Verify(ctx, cred, trusted); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Many tokens in many goroutines in a cache that is too small: each verdict is that of its own token.
func TestCacheUnderContention(t *testing.T) {
	v := verifier(t, Config{CacheBytes: 32 << 10})
	p := corp(t, func(p *Provider) {
		p.Algorithms, p.Static = NewAlgorithms(HS256), mustSet(t, jwks(jwk("hmac", "")), true)
	})
	var raws [50]string
	for i := range raws {
		raws[i] = sign(t, HS256, "hmac", `{"alg":"HS256"}`, claims(map[string]string{"sub": fmt.Sprintf(`"user %d"`, i)}))
	}
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for n := range 500 {
				i := (n*7 + g) % len(raws)
				id, err := v.Verify(context.Background(), Credential{raws[i], bearer}, []*Provider{p})
				if err != nil || id.Subject != fmt.Sprintf("user %d", i) {
					t.Errorf("token %d: %v %v", i, id, err)
					return
				}
			}
		})
	}
	group.Wait()
	if _, bytes, hits, misses := v.CacheStats(); bytes > 32<<10 || hits+misses != 8*500 {
		t.Errorf("%d bytes, %d hits, %d misses", bytes, hits, misses)
	}
}
