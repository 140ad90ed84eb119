package idp

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/token"
)

// looks is a lookup of a URL below server.
func looks(t testing.TB, server string, roots []byte) *token.Lookup {
	t.Helper()
	u, err := token.ParseURLTemplate(server + "/users/{claims.sub}?t={claims.tenant}")
	if err != nil {
		t.Fatal(err)
	}
	return &token.Lookup{
		Name: "shop/orders/rights", Fingerprint: [32]byte{1}, URL: u, RootCAs: roots, CacheTTL: time.Minute, Timeout: patient,
		MaxConcurrent: 8, MaxPerSecond: 1000,
	}
}

func alice(tenant string) *token.Identity {
	return proven(token.Claims{"sub": "alice", "tenant": tenant})
}

// proven is the identity that a token with these claims proves.
func proven(claims token.Claims) *token.Identity {
	user, _ := token.ParseClaimPath("user")
	p := &token.Provider{Issuer: "https://id.example.com", Audiences: []string{"a"}, Subject: user, TokenTypes: []string{"jwt"}}
	claims["iss"], claims["aud"], claims["user"], claims["exp"] = p.Issuer, "a", "alice", json.Number("253402300799")
	id, err := token.NewIdentity(p, claims, time.Unix(1_800_000_000, 0))
	if err != nil {
		panic(err)
	}
	return id
}

// looker returns one that knows lookups, and the results of its questions.
func looker(t testing.TB, wrap func(*looking), lookups ...*token.Lookup) (*Looker, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var results []string
	k, err := NewLooker(IntrospectorConfig{AllowLoopback: true, CacheBytes: 1 << 20, OnAnswer: func(_, result string, _ time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		results = append(results, result)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if wrap != nil {
		k.wrap = wrap
	}
	t.Cleanup(k.Close)
	k.Sync(lookups)
	return k, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(results)
	}
}

// TestLookupVerdicts is the table of what is found, however the service behaves: nothing but one strict JSON object counts.
func TestLookupVerdicts(t *testing.T) {
	certificate, bundle := certify(t, "localhost", time.Now().Add(time.Hour))
	expired, expiredBundle := certify(t, "localhost", time.Now().Add(-time.Hour))
	sound := &tls.Config{Certificates: []tls.Certificate{certificate}}
	ok := []byte(`{"admin":true}`)
	large := []byte(`{"admin":true,"x":"` + strings.Repeat("x", 10<<20) + `"}`)
	server := func(h http.HandlerFunc) string { return serve(t, h, sound).URL }
	for _, tt := range []struct {
		name    string
		url     string
		roots   []byte
		timeout time.Duration
		result  string
	}{
		{"an object", server(write(200, "application/json", ok)), bundle, patient, ResultFound},
		{"404", server(write(404, "application/json", ok)), bundle, patient, ResultNotFound},
		{"410", server(write(410, "application/json", ok)), bundle, patient, ResultNotFound},
		{"403", server(write(403, "application/json", ok)), bundle, patient, "BadStatus"},
		{"500", server(write(500, "application/json", ok)), bundle, patient, "BadStatus"},
		{"204", server(write(204, "", nil)), bundle, patient, "BadStatus"},
		{"redirect", server(redirectTo(302, "/elsewhere")), bundle, patient, "RedirectRefused"},
		{"HTML", server(write(200, "text/html", []byte("<html>"+secret))), bundle, patient, "InvalidDocument"},
		{"an array", server(write(200, "application/json", []byte(`[true]`))), bundle, patient, "InvalidDocument"},
		{"a member twice", server(write(200, "application/json", []byte(`{"admin":false,"admin":true}`))), bundle, patient, "InvalidDocument"},
		{"10 MiB", server(write(200, "application/json", large)), bundle, patient, "TooLarge"},
		{"10 MiB without a length", server(pour(10 << 20)), bundle, patient, "TooLarge"},
		{"broken off", server(breakOff), bundle, patient, "ConnectionFailed"},
		{"refused", "https://" + unused(t), bundle, patient, "ConnectionFailed"},
		{"hanging", server(hang), bundle, 20 * time.Millisecond, "Timeout"},
		{"slow drip", server(drip), bundle, 100 * time.Millisecond, "Timeout"},
		{"expired certificate", serve(t, write(200, "application/json", ok), &tls.Config{Certificates: []tls.Certificate{expired}}).URL, expiredBundle, patient, "TLSFailed"},
		{"metadata of a cloud", "https://169.254.169.254", bundle, patient, "AddressRefused"},
		{"plain HTTP that is not allowed", "http://127.0.0.1:1", bundle, patient, "InvalidURL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := looks(t, tt.url, tt.roots)
			l.Timeout = tt.timeout
			k, results := looker(t, nil, l)
			answer, err := k.Look(t.Context(), l, alice("acme"), "raw")
			if tt.result == ResultFound {
				if err != nil || answer["admin"] != true {
					t.Errorf("%v, %v", answer, err)
				}
			} else if !errors.Is(err, token.ErrLookup) || answer != nil || strings.Contains(err.Error(), secret) {
				t.Errorf("%v, %v, want %v that tells of nothing", answer, err, token.ErrLookup)
			}
			k.Close() // who asks may be gone before the question has ended
			if got := results(); len(got) > 1 || len(got) == 1 && got[0] != tt.result && tt.timeout == patient {
				t.Errorf("results %q, want %q", got, tt.result)
			}
		})
	}
}

// TestLookupQuestions sees what a service receives.
func TestLookupQuestions(t *testing.T) {
	certificate, bundle := certify(t, "localhost", time.Now().Add(time.Hour))
	type received struct {
		Request, Authorization, Tenant, Body, ContentType, Certificate string
	}
	var got atomic.Pointer[received]
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		in := received{r.Method + " " + r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("X-Tenant"), string(body), r.Header.Get("Content-Type"), ""}
		if certs := r.TLS.PeerCertificates; len(certs) > 0 {
			in.Certificate = certs[0].DNSNames[0]
		}
		got.Store(&in)
		_, _ = w.Write([]byte(`{}`))
	}), &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert})
	get := looks(t, server.URL, bundle)
	get.Authorization = "Bearer s3cret"
	tenant, err := token.ParseTemplate("t {claims.tenant}")
	if err != nil {
		t.Fatal(err)
	}
	post := looks(t, server.URL, bundle)
	post.Fingerprint, post.Post = [32]byte{2}, true
	post.Headers, post.Body = []token.LookupField{{Name: "X-Tenant", Value: tenant}}, []token.LookupField{{Name: "of", Value: tenant}}
	shown, _ := certify(t, "client.example.com", time.Now().Add(time.Hour))
	key, err := x509.MarshalPKCS8PrivateKey(shown.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	post.Certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: shown.Certificate[0]})
	post.PrivateKey = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	k, _ := looker(t, nil, get, post)
	for _, tt := range []struct {
		lookup *token.Lookup
		tenant string
		want   received
	}{
		{get, "a&t=b", received{Request: "GET /users/alice?t=a%26t%3Db", Authorization: "Bearer s3cret"}},
		{post, `a"b`, received{"POST /users/alice?t=a%22b", "", `t a"b`, `{"of":"t a\"b"}`, "application/json", "client.example.com"}},
	} {
		if _, err := k.Look(t.Context(), tt.lookup, alice(tt.tenant), "raw-token"); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, *got.Load()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	got.Store(nil)
	if _, err := k.Look(t.Context(), post, alice("a\r\nx-admin: 1"), "raw-token"); !errors.Is(err, token.ErrLookup) || got.Load() != nil {
		t.Errorf("a claim with a line end: %v, and the service received %+v", err, got.Load())
	}
}

// TestUserInfo shows the token to the endpoint that the provider's metadata names, and believes it about its subject only.
func TestUserInfo(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		want         error
	}{
		{"of the caller", `{"sub":"alice","email":"a@example.com"}`, nil},
		{"of another", `{"sub":"bob"}`, token.ErrLookup},
		{"of nobody", `{}`, token.ErrLookup},
	} {
		t.Run(tt.name, func(t *testing.T) {
			certificate, bundle := certify(t, "localhost", time.Now().Add(time.Hour))
			server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/.well-known/openid-configuration" {
					_, _ = fmt.Fprintf(w, `{"issuer":"https://%s","userinfo_endpoint":"https://%s/me"}`, r.Host, r.Host)
					return
				}
				if r.Method != http.MethodGet || r.URL.Path != "/me" || r.Header.Get("Authorization") != "Bearer raw-token" {
					t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
				}
				_, _ = w.Write([]byte(tt.answer))
			}), &tls.Config{Certificates: []tls.Certificate{certificate}})
			l := looks(t, server.URL, bundle)
			l.URL, l.UserInfo = nil, &token.Remote{Issuer: server.URL, RootCAs: bundle}
			k, _ := looker(t, nil, l)
			if err := k.WaitTried(t.Context()); err != nil {
				t.Fatal(err)
			}
			if answer, err := k.Look(t.Context(), l, alice(""), "raw-token"); !errors.Is(err, tt.want) || (answer == nil) != (tt.want != nil) {
				t.Errorf("%v, %v, want %v", answer, err, tt.want)
			}
		})
	}
}

// TestLookupsAreRemembered by the caller and by all that the template used, for their TTL.
func TestLookupsAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		l := looks(t, "https://r.example.com", nil)
		l.Timeout = 100 * time.Millisecond
		k, _ := looker(t, func(n *looking) {
			n.send = func(r *http.Request) ([]byte, error) {
				asked.Add(1)
				time.Sleep(50 * time.Millisecond)
				if strings.Contains(r.URL.RawQuery, "gone") {
					return nil, errGone
				}
				return []byte(`{"t":"` + r.URL.Query().Get("t") + `"}`), nil
			}
		}, l)
		look := func(id *token.Identity) token.Claims {
			answer, _ := k.Look(t.Context(), l, id, "raw")
			return answer
		}
		step := func(want int32, what string) {
			t.Helper()
			if got := asked.Swap(0); got != want {
				t.Errorf("%s: %d questions, want %d", what, got, want)
			}
		}
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if a := look(alice("one")); a["t"] != "one" {
					t.Errorf("%v", a)
				}
			})
		}
		all.Wait()
		step(1, "fifty at a time")
		if a := look(alice("two")); a["t"] != "two" {
			t.Errorf("%v", a)
		}
		step(1, "another tenant")
		other := alice("one")
		other.Issuer = "https://other.example.com"
		look(other)
		step(1, "the same name of another issuer")
		time.Sleep(50 * time.Second)
		look(alice("one"))
		step(0, "within the TTL")
		time.Sleep(10 * time.Second)
		look(alice("one"))
		step(1, "after the TTL")
		for range 20 {
			if a := look(alice("gone")); a != nil {
				t.Errorf("%v", a)
			}
		}
		step(1, "one that is not known")
		time.Sleep(refusedFor)
		look(alice("gone"))
		step(1, "the same later")
	})
}

// Whom a service does not know opens no circuit; failures do, and nobody waits then.
func TestLookupCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := errGone
		l := looks(t, "https://r.example.com", nil)
		l.CacheTTL = 0
		k, results := looker(t, func(n *looking) {
			n.send = func(*http.Request) ([]byte, error) { return nil, err }
		}, l)
		ask := func(n int) string {
			for range n {
				if _, err := k.Look(t.Context(), l, alice("x"), "raw"); !errors.Is(err, token.ErrLookup) {
					t.Fatalf("error %v, want %v", err, token.ErrLookup)
				}
			}
			all := results()
			return all[len(all)-1]
		}
		if got := ask(50); got != ResultNotFound {
			t.Errorf("result %s, want %s", got, ResultNotFound)
		}
		err = failure(BadStatus)
		time.Sleep(2 * brokenWindow)
		if got := ask(failuresInARow); got != "BadStatus" {
			t.Errorf("result %s, want BadStatus", got)
		}
		if got := ask(1); got != "CircuitOpen" {
			t.Errorf("result %s, want CircuitOpen", got)
		}
	})
}

func TestLookupRecall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := looks(t, "https://r.example.com", nil)
		k, _ := looker(t, func(n *looking) {
			n.send = func(*http.Request) ([]byte, error) { return []byte(`{"a":"b"}`), nil }
		}, l)
		if _, known, err := k.Recall(l, alice("x"), "raw"); known || err != nil {
			t.Errorf("known %v, %v", known, err)
		}
		synctest.Wait()
		if a, known, err := k.Recall(l, alice("x"), "raw"); !known || err != nil || a["a"] != "b" {
			t.Errorf("then: %v, known %v, %v", a, known, err)
		}
		nameless := proven(token.Claims{"tenant": "x"})
		if _, known, err := k.Recall(l, nameless, "raw"); !known || !errors.Is(err, token.ErrLookup) {
			t.Errorf("without the claim: known %v, %v", known, err)
		}
	})
}

// TestLookupsUnderRace looks up from many goroutines while lookups come and go.
func TestLookupsUnderRace(t *testing.T) {
	l, other := looks(t, "https://r.example.com", nil), looks(t, "https://o.example.com", nil)
	other.Fingerprint = [32]byte{2}
	k, _ := looker(t, func(n *looking) {
		n.send = func(*http.Request) ([]byte, error) { return []byte(`{"a":"b"}`), nil }
	}, l)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for i := range 200 {
				if n == 0 {
					k.Sync([]*token.Lookup{l, other})
					k.Sync([]*token.Lookup{l})
					continue
				}
				id := alice(fmt.Sprint(i % 17))
				_, _, _ = k.Recall(other, id, "raw")
				if a, err := k.Look(t.Context(), l, id, "raw"); err == nil && a["a"] != "b" || err != nil && !errors.Is(err, token.ErrLookup) {
					t.Errorf("%v, %v", a, err)
				}
			}
		})
	}
	all.Wait()
}
