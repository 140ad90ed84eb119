package idp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/token"
)

// realmsOf is a provider whose tenants have keys of their own, below base.
func realmsOf(t testing.TB, base string, names ...string) *token.Provider {
	t.Helper()
	pattern := base + "/realms/" + token.TenantMark
	tenants, err := token.NewTenants(pattern, names, token.ClaimPath{})
	if err != nil {
		t.Fatal(err)
	}
	p := &token.Provider{Name: "p", Issuer: pattern, Tenants: tenants}
	p.KeepApart(func(issuer string) *token.Remote {
		return &token.Remote{
			Discovery: true, Issuer: issuer, Among: pattern,
			Interval: 10 * time.Minute, MinInterval: 10 * time.Second, StaleFor: time.Hour,
		}
	})
	return p
}

// holderOf is who holds the keys of a tenant.
func holderOf(t testing.TB, p *token.Provider, tenant string) *token.Provider {
	t.Helper()
	for _, h := range p.KeyHolders() {
		if strings.HasSuffix(h.Issuer, "/"+tenant) {
			return h
		}
	}
	t.Fatalf("no tenant %s", tenant)
	return nil
}

// TestRealmsOnOneServer fetches the keys of each realm from where its own metadata says, and of no realm that is not listed.
func TestRealmsOnOneServer(t *testing.T) {
	keys := map[string][]byte{"acme": jwks(t, "1"), "globex": jwks(t, "1", "2"), "initech": jwks(t, "3")}
	var mu sync.Mutex
	asked := map[string]int{}
	server, sound := identityProvider(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.URL.Path]++
		mu.Unlock()
		realm, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/realms/"), "/")
		switch {
		case keys[realm] == nil:
			http.NotFound(w, r)
		case rest == "certs":
			_, _ = w.Write(keys[realm])
		default:
			_, _ = w.Write(discovery("https://"+r.Host+"/realms/"+realm, "https://"+r.Host+"/realms/"+realm+"/certs"))
		}
	}))
	p := realmsOf(t, server.URL, "acme", "globex", "hooli")
	for _, h := range p.KeyHolders() {
		h.Remote.RootCAs = sound.Remote.RootCAs
	}
	k, err := New(Config{AllowLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	k.Sync([]*token.Provider{p})
	if err := k.WaitTried(t.Context()); err != nil {
		t.Fatal(err)
	}
	acme, globex := mustKeys(t, k, holderOf(t, p, "acme"), nil), mustKeys(t, k, holderOf(t, p, "globex"), nil)
	wantKeyIDs(t, acme, "1")
	wantKeyIDs(t, globex, "1", "2")
	wantNoKeys(t, k, holderOf(t, p, "hooli"))
	wantNoKeys(t, k, p) // nobody asks the provider itself
	s := k.Status(p)
	want := Status{
		Providers: []string{"p"}, Issuer: p.Issuer, Tenants: 3, Wanting: []string{server.URL + "/realms/hooli"},
		KeyIDs: []string{"1", "2"}, Reason: BadStatus, Err: &FetchError{Reason: BadStatus, Document: discoveryDocument},
	}
	if s.LastFetch.IsZero() {
		t.Error("no fetch")
	}
	s.LastFetch = time.Time{}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	mu.Lock()
	defer mu.Unlock()
	for path := range asked {
		if strings.Contains(path, "initech") {
			t.Errorf("asked for %s, which is not listed", path)
		}
	}
}

// TestMetadataForAllTenants: the metadata that all share has a mark in the place of the tenant.
func TestMetadataForAllTenants(t *testing.T) {
	keys := jwks(t, "a")
	for _, tt := range []struct {
		name, issuer string // HOST stands for the server
		want         Reason
	}{
		{"Microsoft's word", "https://HOST/{tenantid}/v2.0", ""},
		{"our word", "https://HOST/{tenant}/v2.0", ""},
		{"one tenant", "https://HOST/acme/v2.0", IssuerMismatch},
		{"where it was found", "https://HOST/common/v2.0", IssuerMismatch},
		{"another host", "https://other.example.com/{tenantid}/v2.0", IssuerMismatch},
		{"another version", "https://HOST/{tenantid}/v1.0", IssuerMismatch},
		{"an empty word", "https://HOST/{}/v2.0", IssuerMismatch},
		{"more than a word", "https://HOST/{tenantid}/x/{y}/v2.0", IssuerMismatch},
		{"a final slash", "https://HOST/{tenantid}/v2.0/", IssuerMismatch},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, p := identityProvider(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/common/v2.0/.well-known/openid-configuration":
					_, _ = w.Write(discovery(strings.Replace(tt.issuer, "HOST", r.Host, 1), "https://"+r.Host+"/common/keys"))
				case "/common/keys":
					_, _ = w.Write(keys)
				default:
					t.Errorf("asked for %s", r.URL.Path)
				}
			}))
			p.Remote.Discovery, p.Remote.URL, p.Remote.Issuer = true, server.URL+"/common/v2.0", server.URL+"/{tenant}/v2.0"
			_, status, logged := outcome(t, p, Config{AllowLoopback: true})
			if tt.want != "" {
				checkFailure(t, tt.want, status, logged)
			} else if !status.Ready {
				t.Errorf("status %+v", status)
			}
		})
	}
}

// TestMetadataElsewhere: metadata may be at another address than the issuer, which it must name all the same.
func TestMetadataElsewhere(t *testing.T) {
	for issuer, want := range map[string]Reason{"https://id.example.com/realms/corp": "", "https://evil.example.com": IssuerMismatch} {
		keys := jwks(t, "a")
		server, p := identityProvider(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/keys" {
				_, _ = w.Write(keys)
				return
			}
			_, _ = w.Write(discovery(issuer, "https://"+r.Host+"/keys"))
		}))
		p.Remote.Discovery, p.Remote.URL, p.Remote.Issuer = true, server.URL+"/realms/corp", "https://id.example.com/realms/corp"
		_, status, logged := outcome(t, p, Config{AllowLoopback: true})
		if want != "" {
			checkFailure(t, want, status, logged)
		} else if !status.Ready {
			t.Errorf("status %+v", status)
		}
	}
}

// crowd is a provider of some tenants whose fetches are counted.
type crowd struct {
	*Keeper
	of *token.Provider

	mu      sync.Mutex
	fetches map[string][]time.Time // by issuer
	away    string                 // the issuer that answers nothing
}

func newCrowd(t *testing.T, n int) *crowd {
	t.Helper()
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("t%02d", i))
	}
	k, err := New(Config{Random: func() float64 { return 0.5 }})
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{Keeper: k, of: realmsOf(t, "https://id.example.com", names...), fetches: map[string][]time.Time{}}
	body := jwks(t, "a")
	k.newFetch = func(r *token.Remote) func(context.Context) ([]byte, error) {
		return func(context.Context) ([]byte, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.fetches[r.Issuer] = append(c.fetches[r.Issuer], time.Now()); r.Issuer == c.away {
				return nil, failure(BadStatus)
			}
			return body, nil
		}
	}
	t.Cleanup(k.Close)
	k.Sync([]*token.Provider{c.of})
	if err := k.WaitTried(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// leaves makes an issuer answer nothing from now on.
func (c *crowd) leaves(issuer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = issuer
}

// asked are the fetches of a tenant's keys after the first.
func (c *crowd) asked(issuer string) []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.fetches[issuer][1:])
}

// TestUnknownKeysOfManyTenantsAreBoundedInSum: whoever sends tokens with unknown keys for every tenant, again and again,
// starts as many fetches as one provider's share of turns allows, and every tenant gets its turn.
func TestUnknownKeysOfManyTenantsAreBoundedInSum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tenants, minutes = 64, 5
		c := newCrowd(t, tenants)
		begin := time.Now()
		for time.Since(begin) < minutes*time.Minute {
			for _, h := range c.of.KeyHolders() {
				set := mustKeys(t, c.Keeper, h, nil)
				mustKeys(t, c.Keeper, h, set)
			}
			pass(time.Second)
		}
		sum := 0
		for _, issuer := range c.of.Tenants.Issuers() {
			asked := c.asked(issuer)
			sum += len(asked)
			if len(asked) == 0 || asked[0].Sub(begin) > tenants/turnsPerInterval*10*time.Second+time.Second {
				t.Errorf("%s: no turn within a round", issuer)
			}
		}
		if most := turnsPerInterval + minutes*60/10*turnsPerInterval; sum > most+1 {
			t.Errorf("%d fetches in %d minutes, at most %d are allowed", sum, minutes, most)
		}
	})
}

// TestOneTenantAloneWaitsForNoTurn: a rotation is found at once where nobody floods.
func TestOneTenantAloneWaitsForNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 64)
		h := c.of.KeyHolders()[7]
		begin := time.Now()
		mustKeys(t, c.Keeper, h, mustKeys(t, c.Keeper, h, nil))
		if at := c.asked(h.Issuer); len(at) != 1 || at[0] != begin {
			t.Errorf("fetched at %v", at)
		}
	})
}

// TestTurnsOutliveASync: who changes a provider does not get new turns.
func TestTurnsOutliveASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 20)
		for i, h := range c.of.KeyHolders() {
			if i%10 == 0 {
				c.Sync([]*token.Provider{c.of})
				c.Sync([]*token.Provider{c.of, provider("other", "https://other.example.com/keys")})
			}
			mustKeys(t, c.Keeper, h, mustKeys(t, c.Keeper, h, nil))
		}
		sum := 0
		for _, issuer := range c.of.Tenants.Issuers() {
			sum += len(c.asked(issuer))
		}
		if sum != turnsPerInterval {
			t.Errorf("%d fetches at once, want %d", sum, turnsPerInterval)
		}
	})
}

// TestAgedTenant: of several tenants the status tells of those whose keys are old, and the time of the oldest.
func TestAgedTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 3)
		begin, away := time.Now(), c.of.KeyHolders()[1].Issuer
		c.leaves(away)
		pass(30 * time.Minute)
		s := c.Status(c.of)
		if !s.Ready || !s.Stale || !s.LastSuccess.Equal(begin) || len(s.Wanting) != 1 || s.Wanting[0] != away {
			t.Errorf("status %+v", s)
		}
		pass(time.Hour)
		if s := c.Status(c.of); s.Ready || len(s.Wanting) != 1 {
			t.Errorf("status %+v", s)
		}
	})
}

// TestKeptKeysStayBound: a key that names an issuer names it after a restart too.
func TestKeptKeysStayBound(t *testing.T) {
	body := strings.Replace(string(jwks(t, "a", "b")), `"kid":"a"`, `"kid":"a","issuer":"https://id.example.com/{tenantid}"`, 1)
	var kept struct {
		Keys []struct{ Kid, Issuer string }
	}
	if err := json.Unmarshal(publicKeys([]byte(body)), &kept); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "https://id.example.com/{tenantid}", "b": ""}
	for _, key := range kept.Keys {
		if want[key.Kid] != key.Issuer {
			t.Errorf("%s is kept with the issuer %q", key.Kid, key.Issuer)
		}
	}
}
