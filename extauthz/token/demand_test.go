package token

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// everything is a token in which every field of an identity is said.
func everything(t testing.TB) string {
	t.Helper()
	return sign(t, RS256, "rsa", rs256Header, claims(map[string]string{
		"aud": `["orders-api","x"]`, "nbf": "1799999000.25", "scope": `"orders.read orders.write"`, "realm_access": `{"roles":["admin","dev"]}`,
		"groups": `["ops","sre"]`, "jti": `"t-17"`, "sid": `"s-4"`, "n": `12345678901234567890`, "none": "null", "a.b": `{"c":"dotted"}`, "a": `{"b":{"c":"stepped"},"d":[1,"two",{}]}`,
	}))
}

func sight(t testing.TB, v *Verifier, raw string, p *Provider) *Identity {
	t.Helper()
	id, err := v.Verify(context.Background(), Credential{raw, bearer}, []*Provider{p})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A token from the cache says what it said when it was verified, in every field. A field that is new has to be in the token
// of this test; a text has to be brought into the cache's own memory by pack.
func TestPackedIdentityIsWhole(t *testing.T) {
	t.Run("one issuer", func(t *testing.T) { packsWhole(t, corp(t, nil), "Issuer") })
	t.Run("tenants", func(t *testing.T) {
		packsWhole(t, corp(t, func(p *Provider) {
			p.Issuer = realmIssuer
			p.Tenants = tenantsOf(t, realmIssuer, "", "corp")
		}))
	})
}

// packsWhole has the token of everything verified for p; elsewhere are fields that need not lie with the token.
func packsWhole(t *testing.T, p *Provider, elsewhere ...string) {
	raw := everything(t)
	fresh := sight(t, verifier(t, Config{}), raw, p)
	v := verifier(t, Config{CacheBytes: 1 << 20})
	sight(t, v, raw, p)
	packed := sight(t, v, raw, p)
	if _, _, hits, _ := v.CacheStats(); hits != 1 || packed.claims != nil {
		t.Fatal("it was not found in the cache")
	}
	if diff := cmp.Diff(fresh, packed, cmpopts.IgnoreUnexported(Identity{}, Provider{}, ClaimPath{}, KeySet{}, Tenants{})); diff != "" {
		t.Error(diff)
	}
	within := func(s string) bool {
		at, from := uintptr(unsafe.Pointer(unsafe.StringData(s))), uintptr(unsafe.Pointer(unsafe.StringData(packed.entry.raw)))
		return from <= at && at+uintptr(len(s)) <= from+uintptr(packed.entry.bytes)
	}
	fields := reflect.ValueOf(packed).Elem()
	for i := range fields.NumField() {
		name, value := fields.Type().Field(i).Name, fields.Field(i)
		if !fields.Type().Field(i).IsExported() || name == "Provider" || slices.Contains(elsewhere, name) {
			continue
		}
		if value.IsZero() {
			t.Errorf("%s: the token of this test does not say it", name)
		}
		texts, _ := value.Interface().([]string)
		if text, ok := value.Interface().(string); ok {
			texts = append(texts, text)
		}
		for _, s := range texts {
			if !within(s) {
				t.Errorf("%s lies in another memory than the token", name)
			}
		}
	}
}

// paths are names of claims in the token of everything, and of some that are not there.
func paths(t testing.TB) (out []ClaimPath) {
	t.Helper()
	for _, name := range []string{
		"sub", "iss", "aud", "exp", "scope", "groups", "n", "none", "a.b", "a.b.c", "a", "a.d", "a.d.x", "realm_access.roles", "realm_access",
		"missing", "missing.x", "none.x", "sub.x", ".a", "a..b", "SUB",
	} {
		p, err := ParseClaimPath(name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// Claims on demand are those at once, in whatever order they are asked for, by path, by name or all together.
func TestClaimsOnDemand(t *testing.T) {
	raw := everything(t)
	for _, subject := range []string{"", "sub", "a.b.c"} {
		p := corp(t, func(p *Provider) {
			if subject != "" {
				p.Subject = mustPath(t, subject)
			}
		})
		fresh := sight(t, verifier(t, Config{}), raw, p)
		all := paths(t)
		for start := range all {
			v := verifier(t, Config{CacheBytes: 1 << 20})
			sight(t, v, raw, p)
			id := sight(t, v, raw, p)
			for i := range 2 * len(all) {
				path := all[(start+i*7)%len(all)]
				want, there := fresh.Claim(path)
				if got, ok := id.Claim(path); ok != there || !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %v %v, at once %v %v", path, got, ok, want, there)
				}
				want, there = fresh.Member(path.String())
				if got, ok := id.Member(path.String()); ok != there || !reflect.DeepEqual(got, want) {
					t.Errorf("member %s: %v %v, at once %v %v", path, got, ok, want, there)
				}
				if own, ok := id.Own(path); ok {
					if want, _ := fresh.Claim(path); want != own {
						t.Errorf("%s is %q of its own, and %v in the claims", path, own, want)
					}
				}
				if i == len(all) && !reflect.DeepEqual(id.Claims(), fresh.claims) {
					t.Errorf("all: %v, at once %v", id.Claims(), fresh.claims)
				}
			}
		}
	}
}

// The subject and the issuer need no decoding, and what was asked for once is not decoded again.
func TestClaimsOnDemandAreKept(t *testing.T) {
	p, v := corp(t, nil), verifier(t, Config{CacheBytes: 1 << 20})
	raw := everything(t)
	sight(t, v, raw, p)
	id := sight(t, v, raw, p)
	sub, iss, scope, step := mustPath(t, "sub"), mustPath(t, "iss"), mustPath(t, "scope"), mustPath(t, "realm_access.roles")
	free := func(what string, f func()) {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	free("subject and issuer", func() { id.Own(sub); id.Own(iss) })
	if id.known.Load() != nil {
		t.Error("the payload was decoded")
	}
	_, before, _, _ := v.CacheStats()
	free("what was asked for", func() { id.Claim(scope); id.Claim(step); id.Member("missing") })
	if _, after, _, _ := v.CacheStats(); after-before != id.known.Load().bytes || after == before {
		t.Errorf("%d bytes are counted, %d kept", after-before, id.known.Load().bytes)
	}
	for i := range maxKnown + 1 {
		id.Member(fmt.Sprint(i))
	}
	if known := id.known.Load(); known.all == nil || len(known.members) != 0 {
		t.Error("so many are not kept as a whole")
	}
	free("the whole", func() { _ = id.Claims(); id.Claim(step) })
	if _, after, _, _ := v.CacheStats(); after-before != id.known.Load().bytes {
		t.Errorf("%d bytes are counted, %d kept", after-before, id.known.Load().bytes)
	}
}

func mustPath(t testing.TB, name string) ClaimPath {
	t.Helper()
	p, err := ParseClaimPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Claims that the cache has no room for are decoded each time.
func TestClaimsOnDemandWithoutRoom(t *testing.T) {
	p := corp(t, nil)
	raw := sign(t, RS256, "rsa", rs256Header, claims(map[string]string{"x": `"` + strings.Repeat("x", 2000) + `"`}))
	v := verifier(t, Config{CacheBytes: 5 << 10})
	sight(t, v, raw, p)
	id := sight(t, v, raw, p)
	if _, _, hits, _ := v.CacheStats(); hits != 1 {
		t.Fatal("the token itself does not fit")
	}
	for range 2 {
		if x, ok := id.Member("x"); !ok || len(x.(string)) != 2000 || len(id.Claims()) < 5 {
			t.Error("the claim is lost")
		}
	}
	if _, bytes, _, _ := v.CacheStats(); id.known.Load() != nil || bytes > 5<<10 {
		t.Errorf("it was kept: %d bytes", bytes)
	}
}

// Many goroutines ask for claims of few tokens in a cache that is too small: each gets those of its own, and the count of
// bytes stays true.
func TestClaimsOnDemandUnderContention(t *testing.T) {
	const limit = 24 << 10
	v := verifier(t, Config{CacheBytes: limit})
	p := corp(t, func(p *Provider) {
		p.Algorithms, p.Static = NewAlgorithms(HS256), mustSet(t, jwks(jwk("hmac", "")), true)
	})
	var raws [12]string
	for i := range raws {
		raws[i] = sign(t, HS256, "hmac", `{"alg":"HS256"}`, claims(map[string]string{"jti": fmt.Sprintf(`"%d"`, i), "list": fmt.Sprintf(`["%d"]`, i)}))
	}
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for n := range 400 {
				i := (n*5 + g) % len(raws)
				id, err := v.Verify(context.Background(), Credential{raws[i], bearer}, []*Provider{p})
				if err != nil {
					t.Error(err)
					return
				}
				want := fmt.Sprint(i)
				list, _ := id.Member("list")
				if member(id, "jti") != want || list.([]any)[0] != want || n%50 == 0 && id.Claims()["jti"] != want {
					t.Errorf("token %d: claims of another", i)
				}
				id.Member(fmt.Sprint("missing", n%12))
			}
		})
	}
	group.Wait()
	var counted int64
	for i := range v.cache.shards {
		for _, id := range v.cache.shards[i].slots {
			if id == nil {
				continue
			}
			counted += id.entry.bytes
			known := id.known.Load()
			if least := perEntryBytes + int64(len(id.entry.raw)); known == nil || id.entry.bytes < least+known.bytes || id.entry.bytes > 2*least+known.bytes {
				t.Errorf("an entry of at least %d bytes, beside known claims of %d, is counted as %d", least, known.bytes, id.entry.bytes)
			}
		}
	}
	if _, bytes, _, _ := v.CacheStats(); bytes != counted || bytes > limit {
		t.Errorf("%d bytes, counted %d", bytes, counted)
	}
}

// FuzzClaimsOnDemand's law: whatever a payload is made of, its members read one by one, by name or by path, are those of
// the payload read at once.
func FuzzClaimsOnDemand(f *testing.F) {
	f.Add(`{"sub":"alice","a":{"b":1},"a.b":null}`, "a.b", "a")
	f.Add(`{"sub":"\u0061","x":"\ud83d\ude00","é":[{"y":"\n"}]}`, "é", "x")
	f.Add(` {"iss":"other","sub":7}`, "iss", "sub")
	f.Add(`{"0":0,"1":1,"2":2,"3":3,"4":4,"5":5,"6":6,"7":7,"8":8,"9":9}`, "0.1", "9")
	p := corp(f, nil)
	f.Fuzz(func(t *testing.T, payload, one, other string) {
		all, err := parseObject(payload)
		if err != nil {
			return
		}
		now := time.Unix(testNow.Unix(), 0)
		for name, value := range map[string]any{"iss": p.Issuer, "sub": "alice", "aud": "orders-api", "exp": json.Number(fmt.Sprint(now.Unix() + 60))} {
			all[name] = value
		}
		for _, name := range []string{"iat", "nbf"} {
			delete(all, name)
		}
		fresh, err := NewIdentity(p, all, now)
		if err != nil {
			t.Fatal(err)
		}
		again, err := NewIdentity(p, all, now)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		c := newCache(1 << 20)
		c.add("raw", string(text), again, p.Static, now)
		id := c.find(c.hash("raw"), "raw", p)
		if id == nil {
			return // too large
		}
		for _, name := range []string{one, other, "sub", "iss", one, other + "." + one} {
			want, there := fresh.Member(name)
			if got, ok := id.Member(name); ok != there || !reflect.DeepEqual(got, want) {
				t.Fatalf("%q of %q: %v %v, at once %v %v", name, payload, got, ok, want, there)
			}
			path, err := ParseClaimPath(name)
			if err != nil {
				continue
			}
			want, there = fresh.Claim(path)
			if got, ok := id.Claim(path); ok != there || !reflect.DeepEqual(got, want) {
				t.Fatalf("path %q of %q: %v %v, at once %v %v", name, payload, got, ok, want, there)
			}
		}
		if !reflect.DeepEqual(id.Claims(), fresh.Claims()) {
			t.Fatalf("%v, at once %v", id.Claims(), fresh.Claims())
		}
	})
}
