package revocation

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

const issuer = "https://id.example.com"

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// proved is an identity as a token proves it.
func proved(namespace string, change ...func(*token.Identity)) *token.Identity {
	id := &token.Identity{
		Provider: &token.Provider{Namespace: namespace, Issuer: issuer}, Issuer: issuer, Subject: "alice",
		TokenID: "j1", SessionID: "s1", IssuedAt: noon.Add(-time.Minute), Expiry: noon.Add(time.Hour),
	}
	for _, f := range change {
		f(id)
	}
	return id
}

func TestRevoked(t *testing.T) {
	everywhere := token.RevocationScope{Issuer: issuer}
	shop := token.RevocationScope{Issuer: issuer, Namespace: "shop"}
	minutes := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	for _, tt := range []struct {
		name string
		r    token.Revocation
		id   *token.Identity
		want bool
	}{
		{"its id", token.Revocation{Scope: everywhere, By: token.RevokedByID, Value: "j1"}, proved(""), true},
		{"another id", token.Revocation{Scope: everywhere, By: token.RevokedByID, Value: "j2"}, proved(""), false},
		{"an id that is its session", token.Revocation{Scope: everywhere, By: token.RevokedByID, Value: "s1"}, proved(""), false},
		{"a token without id", token.Revocation{Scope: everywhere, By: token.RevokedByID},
			proved("", func(id *token.Identity) { id.TokenID = "" }), false},
		{"its session", token.Revocation{Scope: everywhere, By: token.RevokedBySession, Value: "s1"}, proved(""), true},
		{"its subject", token.Revocation{Scope: everywhere, By: token.RevokedBySubject, Value: "alice"}, proved(""), true},
		{"its subject, issued before", token.Revocation{Scope: everywhere, By: token.RevokedBySubject, Value: "alice", IssuedBefore: noon}, proved(""), true},
		{"its subject, issued at that very second", token.Revocation{Scope: everywhere, By: token.RevokedBySubject, Value: "alice", IssuedBefore: minutes(-1)}, proved(""), false},
		{"its subject, a fraction of a second before", token.Revocation{Scope: everywhere, By: token.RevokedBySubject, Value: "alice", IssuedBefore: minutes(-1)},
			proved("", func(id *token.Identity) { id.IssuedAt = minutes(-1).Add(-time.Millisecond) }), true},
		{"issued at a time that it does not say", token.Revocation{Scope: everywhere, By: token.RevokedBySubject, Value: "alice", IssuedBefore: minutes(-60)},
			proved("", func(id *token.Identity) { id.IssuedAt = time.Time{} }), true},
		{"the claim sub, and not what stands for the subject", token.Revocation{Scope: everywhere, By: token.RevokedBySubject, Value: "u7"},
			mapped(t, "email", token.Claims{"sub": "u7", "email": "alice"}), true},
		{"what stands for the subject, and not the claim sub", token.Revocation{Scope: everywhere, By: token.RevokedBySubject, Value: "alice"},
			mapped(t, "email", token.Claims{"sub": "u7", "email": "alice"}), false},
		{"everything of the issuer", token.Revocation{Scope: everywhere, By: token.RevokedByIssuer, IssuedBefore: noon}, proved(""), true},
		{"everything of the issuer that is older", token.Revocation{Scope: everywhere, By: token.RevokedByIssuer, IssuedBefore: minutes(-2)}, proved(""), false},
		{"another issuer", token.Revocation{Scope: token.RevocationScope{Issuer: issuer + "/"}, By: token.RevokedByID, Value: "j1"}, proved(""), false},
		{"everywhere, of a namespace's provider", token.Revocation{Scope: everywhere, By: token.RevokedByID, Value: "j1"}, proved("shop"), true},
		{"of its namespace", token.Revocation{Scope: shop, By: token.RevokedByID, Value: "j1"}, proved("shop"), true},
		{"of another namespace", token.Revocation{Scope: shop, By: token.RevokedByID, Value: "j1"}, proved("bank"), false},
		{"of a namespace, a provider of the cluster", token.Revocation{Scope: shop, By: token.RevokedByID, Value: "j1"}, proved(""), false},
		{"a second before its end", token.Revocation{Scope: everywhere, By: token.RevokedByID, Value: "j1", Expires: noon.Add(time.Second)}, proved(""), true},
		{"at its end", token.Revocation{Scope: everywhere, By: token.RevokedByID, Value: "j1", Expires: noon}, proved(""), false},
		{"an end after the year 2106", token.Revocation{Scope: everywhere, By: token.RevokedByID, Value: "j1", Expires: noon.AddDate(500, 0, 0)}, proved(""), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := NewSet()
			s.Put(FromObjects, "a", s.Digest([]token.Revocation{tt.r}), noon)
			if got := s.Revoked(tt.id, noon); got != tt.want {
				t.Errorf("revoked: %v, want %v", got, tt.want)
			}
			s.Put(FromObjects, "a", nil, noon)
			if s.Revoked(tt.id, noon) {
				t.Error("revoked by a list that was taken out")
			}
			if len(s.groups) > 0 || s.Stats(FromObjects).Entries != 0 {
				t.Errorf("%d scopes and %d entries are left of nothing", len(s.groups), s.Stats(FromObjects).Entries)
			}
		})
	}
}

// mapped is an identity of which another claim than sub is the subject.
func mapped(t *testing.T, claim string, claims token.Claims) *token.Identity {
	t.Helper()
	path, err := token.ParseClaimPath(claim)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]any{
		"iss": issuer, "aud": "api", "iat": json.Number(strconv.FormatInt(noon.Add(-time.Minute).Unix(), 10)),
		"exp": json.Number(strconv.FormatInt(noon.Add(time.Hour).Unix(), 10)),
	} {
		claims[name] = value
	}
	id, err := token.NewIdentity(&token.Provider{Issuer: issuer, Audiences: []string{"api"}, TokenTypes: []string{"JWT"}, Subject: path}, claims, noon)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestNoSetRevokesNothing(t *testing.T) {
	if (*Set)(nil).Revoked(proved(""), noon) || NewSet().Revoked(proved(""), noon) {
		t.Error("revoked by nothing")
	}
}

func TestWhatTwoListsHoldStaysWhenOneGoes(t *testing.T) {
	s := NewSet()
	d := s.Digest([]token.Revocation{{Scope: token.RevocationScope{Issuer: issuer}, Value: "j1"}})
	s.Put(FromObjects, "a", d, noon)
	s.Put(FromObjects, "b", d, noon)
	s.Put(FromLogout, "a", d, noon)
	for _, from := range []From{FromObjects, FromLogout} {
		s.Put(from, "a", nil, noon)
		if !s.Revoked(proved(""), noon) {
			t.Errorf("without list a of %s the token is good again", from)
		}
	}
	s.Put(FromObjects, "b", nil, noon)
	if s.Revoked(proved(""), noon) {
		t.Error("revoked by no list")
	}
}

// TestTablesAgreeWithALedger changes lists at random and compares with what a plain map says.
func TestTablesAgreeWithALedger(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s := NewSet()
	scope := token.RevocationScope{Issuer: issuer}
	plain := map[string][]token.Revocation{}
	at := noon
	for step := range 600 {
		name := fmt.Sprint(random.IntN(12))
		var list []token.Revocation
		for range random.IntN(200) {
			list = append(list, token.Revocation{Scope: scope, By: token.RevokedBy(random.IntN(3)), Value: fmt.Sprint(random.IntN(3000)),
				Expires: at.Add(time.Duration(random.IntN(100)) * time.Second)})
		}
		plain[name] = list
		s.Put(FromObjects, name, s.Digest(list), at)
		if step%10 == 0 {
			at = at.Add(20 * time.Second)
			s.Prune(at)
			for n, list := range plain {
				var left []token.Revocation
				for _, r := range list {
					if at.Before(r.Expires) {
						left = append(left, r)
					}
				}
				plain[n] = left
			}
		}
		revoked, n := map[token.Revocation]bool{}, 0
		for _, list := range plain {
			for _, r := range list {
				revoked[token.Revocation{By: r.By, Value: r.Value}] = revoked[token.Revocation{By: r.By, Value: r.Value}] || at.Before(r.Expires)
				n++
			}
		}
		if got := s.Stats(FromObjects).Entries; got != n || s.Count(scope) != n {
			t.Fatalf("step %d: %d entries, %d of the scope, want %d", step, got, s.Count(scope), n)
		}
		for range 50 {
			value := fmt.Sprint(random.IntN(3000))
			id := proved("", func(id *token.Identity) { id.TokenID, id.SessionID, id.Subject = value, "", "x" })
			if want := revoked[token.Revocation{Value: value}]; s.Revoked(id, at) != want {
				t.Fatalf("step %d: jti %s revoked: %v, want %v", step, value, !want, want)
			}
		}
	}
	s.Prune(at.Add(time.Hour))
	if s.total.Load() != 0 || len(s.lists) > 0 {
		t.Errorf("%d entries and %d lists outlive their end", s.total.Load(), len(s.lists))
	}
	for i := range s.shards {
		if s.shards[i].slots != nil {
			t.Fatalf("shard %d keeps %d slots for nothing", i, len(s.shards[i].slots))
		}
	}
}

// TestAReplacedListRevokesAllTheWhile puts in the same again and again, while others look.
func TestAReplacedListRevokesAllTheWhile(t *testing.T) {
	s := NewSet()
	var list []token.Revocation
	for i := range 500 {
		list = append(list, token.Revocation{Scope: token.RevocationScope{Issuer: issuer}, Value: fmt.Sprint("j", i)})
	}
	s.Put(FromObjects, "a", s.Digest(list), noon)
	done := make(chan struct{})
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			id := proved("")
			for {
				select {
				case <-done:
					return
				default:
				}
				if !s.Revoked(id, noon) {
					t.Error("not revoked for a moment")
					return
				}
			}
		})
	}
	for i := range 50 {
		s.Put(FromObjects, "a", s.Digest(list[:len(list)-i]), noon)
		s.Prune(noon)
	}
	close(done)
	all.Wait()
}

func TestLookingUpDoesNotAllocate(t *testing.T) {
	s := NewSet()
	s.Put(FromLogout, "a", s.Digest([]token.Revocation{
		{Scope: token.RevocationScope{Issuer: issuer}, By: token.RevokedBySession, Value: "s2"},
		{Scope: token.RevocationScope{Issuer: issuer, Namespace: "shop"}, By: token.RevokedByID, Value: "j2"},
		{Scope: token.RevocationScope{Issuer: issuer, Namespace: "shop"}, By: token.RevokedBySubject, Value: "bob"},
	}), noon)
	id := proved("shop")
	if n := testing.AllocsPerRun(100, func() {
		if s.Revoked(id, noon) {
			t.Error("revoked")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
