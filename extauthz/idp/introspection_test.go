package idp

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/token"
)

// patient is a timeout that no sound server of these tests needs, however busy the machine is.
const patient = 30 * time.Second

// introspecting is a provider whose opaque tokens are asked about at server's /introspect.
func introspecting(t testing.TB, server string, roots []byte) *token.Provider {
	t.Helper()
	return &token.Provider{
		Name: "IdentityProvider/shop/p", Fingerprint: [32]byte{1}, Issuer: server, Audiences: []string{"orders-api"}, TokenTypes: []string{"jwt"},
		Sources: []token.Source{{Header: "authorization", Scheme: "Bearer"}},
		Introspection: &token.Introspection{
			Endpoint: server + "/introspect", Issuer: server, RootCAs: roots, ClientID: "sallyport:1", Secret: "s3cret+/ü",
			CacheTTL: time.Minute, Timeout: patient, MaxConcurrent: 8, MaxPerSecond: 1000,
			Interval: time.Hour, MinInterval: time.Minute,
		},
	}
}

// active is an answer about a token that is good for some minutes.
func active(now time.Time) []byte {
	return fmt.Appendf(nil, `{"active":true,"sub":"alice","aud":"orders-api","exp":%d,"note":%q}`, now.Add(5*time.Minute).Unix(), secret)
}

// asked is handler once the question was read: only then does a server see that the client goes away.
func asked(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		handler(w, r)
	}
}

// introspector returns one that knows p, and the results of its questions.
func introspector(t testing.TB, config IntrospectorConfig, p ...*token.Provider) (*Introspector, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var results []string
	config.AllowLoopback = true
	if config.CacheBytes == 0 {
		config.CacheBytes = DefaultAnswerBytes
	}
	config.OnAnswer = func(_, result string, _ time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		results = append(results, result)
	}
	i, err := NewIntrospector(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	i.Sync(p)
	return i, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(results)
	}
}

// TestIntrospectionVerdicts is the table of what becomes of a token, however the provider behaves: nothing but a sound
// answer lets it pass.
func TestIntrospectionVerdicts(t *testing.T) {
	ok := active(time.Now())
	large := append(bytes.TrimSuffix(bytes.Clone(ok), []byte("}")), []byte(`,"x":"`+strings.Repeat("x", 10<<20)+`"}`)...)
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		want    error
		result  string
	}{
		{"active", write(200, "application/json", ok), nil, ResultActive},
		{"in gzip", encoded("gzip", compressed(t, ok)), nil, ResultActive},
		{"inactive", write(200, "application/json", []byte(`{"active":false}`)), token.ErrInactive, ResultInactive},
		{"another audience", write(200, "application/json", bytes.Replace(ok, []byte("orders-api"), []byte("billing"), 1)), token.ErrAudience, ResultRefused},
		{"another issuer", write(200, "application/json", bytes.Replace(ok, []byte(`"sub"`), []byte(`"iss":"x","sub"`), 1)), token.ErrUntrustedIssuer, ResultRefused},
		{"active as text", write(200, "application/json", bytes.Replace(ok, []byte("true"), []byte(`"true"`), 1)), token.ErrIntrospection, "InvalidDocument"},
		{"HTML", write(200, "text/html", []byte("<html>"+secret)), token.ErrIntrospection, "InvalidDocument"},
		{"wrong JSON", write(200, "application/json", []byte(`["`+secret+`"]`)), token.ErrIntrospection, "InvalidDocument"},
		{"nothing", write(200, "application/json", nil), token.ErrIntrospection, "InvalidDocument"},
		{"10 MiB", write(200, "application/json", large), token.ErrIntrospection, "TooLarge"},
		{"10 MiB without a length", pour(10 << 20), token.ErrIntrospection, "TooLarge"},
		{"a bomb", encoded("gzip", compressed(t, large)), token.ErrIntrospection, "TooLarge"},
		{"another encoding", encoded("br", ok), token.ErrIntrospection, "InvalidDocument"},
		{"500", write(500, "application/json", ok), token.ErrIntrospection, "BadStatus"},
		{"401: the client is not known", write(401, "application/json", ok), token.ErrIntrospection, "BadStatus"},
		{"201", write(201, "application/json", ok), token.ErrIntrospection, "BadStatus"},
		{"redirect", redirectTo(307, "/elsewhere"), token.ErrIntrospection, "RedirectRefused"},
		{"broken off", breakOff, token.ErrIntrospection, "ConnectionFailed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			certificate, bundle := certify(t, "localhost", time.Now().Add(time.Hour))
			server := serve(t, tt.handler, &tls.Config{Certificates: []tls.Certificate{certificate}})
			var log bytes.Buffer
			i, results := introspector(t, IntrospectorConfig{Log: funcr.New(func(_, args string) { log.WriteString(args) }, funcr.Options{})},
				introspecting(t, server.URL, bundle))
			id, err := i.Introspect(t.Context(), "8xLOxBtZp8", introspecting(t, server.URL, bundle))
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) || (id != nil) != (err == nil) {
				t.Errorf("%+v, %v, want %v", id, err, tt.want)
			}
			if diff := cmp.Diff([]string{tt.result}, results()); diff != "" {
				t.Errorf("results (-want +got):\n%s", diff)
			}
			if err != nil && strings.Contains(err.Error()+log.String(), secret) {
				t.Errorf("%v, log %s: tells what was answered", err, log.String())
			}
		})
	}
}

// TestIntrospectionOfServersThatDoNotAnswer is the rest of the table: connections that fail, and answers that take too long.
func TestIntrospectionOfServersThatDoNotAnswer(t *testing.T) {
	certificate, bundle := certify(t, "localhost", time.Now().Add(time.Hour))
	expired, expiredBundle := certify(t, "localhost", time.Now().Add(-time.Hour))
	_, stranger := certify(t, "localhost", time.Now().Add(time.Hour))
	sound := &tls.Config{Certificates: []tls.Certificate{certificate}}
	good := write(200, "application/json", active(time.Now()))
	for _, tt := range []struct {
		name    string
		url     string
		roots   []byte
		timeout time.Duration
		want    string
	}{
		{"refused", "https://" + unused(t), bundle, patient, "ConnectionFailed"},
		{"accepted and never read", "https://" + blackHole(t), bundle, 20 * time.Millisecond, "Timeout"},
		{"hanging", serve(t, asked(hang), sound).URL, bundle, 20 * time.Millisecond, "Timeout"},
		{"slow drip", serve(t, asked(drip), sound).URL, bundle, 100 * time.Millisecond, "Timeout"},
		{"expired certificate", serve(t, good, &tls.Config{Certificates: []tls.Certificate{expired}}).URL, expiredBundle, patient, "TLSFailed"},
		{"of an authority that is not trusted", serve(t, good, sound).URL, stranger, patient, "TLSFailed"},
		{"no certificate in the bundle", serve(t, good, sound).URL, []byte("none"), patient, "InvalidCABundle"},
		{"metadata of a cloud", "https://169.254.169.254", bundle, patient, "AddressRefused"},
		{"plain HTTP that is not allowed", "http://127.0.0.1:1", bundle, patient, "EndpointUnknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := introspecting(t, tt.url, tt.roots)
			p.Introspection.Timeout = tt.timeout
			i, results := introspector(t, IntrospectorConfig{}, p)
			if id, err := i.Introspect(t.Context(), "x", p); !errors.Is(err, token.ErrIntrospection) || id != nil {
				t.Errorf("%+v, %v, want %v", id, err, token.ErrIntrospection)
			}
			i.Close() // who asks may be gone before the question has ended
			if got := results(); len(got) > 1 || len(got) == 1 && got[0] != tt.want && tt.timeout == patient {
				t.Errorf("results %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLoopbackIsDialledOnlyWhereAllowed(t *testing.T) {
	certificate, bundle := certify(t, "localhost", time.Now().Add(time.Hour))
	server := serve(t, write(200, "application/json", active(time.Now())), &tls.Config{Certificates: []tls.Certificate{certificate}})
	p := introspecting(t, server.URL, bundle)
	i, err := NewIntrospector(IntrospectorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	i.Sync([]*token.Provider{p})
	var refused *FetchError
	if _, err := i.Introspect(t.Context(), "x", p); !errors.As(err, &refused) || refused.Reason != AddressRefused {
		t.Errorf("error %v, want %s", err, AddressRefused)
	}
}

// TestQuestions sees what a provider receives: the token, who asks, and the proof of it in each of three ways.
func TestQuestions(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := token.ParseClientKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	key.ID = "k1"
	const raw = "a+b/c=&token=other"
	form := func(more url.Values) url.Values {
		out := url.Values{"token": {raw}, "token_type_hint": {"access_token"}}
		for name, value := range more {
			out[name] = value
		}
		return out
	}
	for _, tt := range []struct {
		name          string
		change        func(*token.Introspection)
		authorization string // as user:password, decoded
		form          url.Values
	}{
		{"client_secret_basic", func(*token.Introspection) {}, "sallyport%3A1:s3cret%2B%2F%C3%BC", form(nil)},
		{"client_secret_post", func(in *token.Introspection) { in.InBody = true }, "", form(url.Values{"client_id": {"sallyport:1"}, "client_secret": {"s3cret+/ü"}})},
		{"private_key_jwt", func(in *token.Introspection) { in.Key, in.Secret = key, "" }, "", form(url.Values{
			"client_id": {"sallyport:1"}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got atomic.Pointer[http.Request]
			certificate, bundle := certify(t, "localhost", time.Now().Add(time.Hour))
			server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := r.ParseForm(); err != nil {
					t.Error(err)
				}
				got.Store(r)
				_, _ = w.Write(active(time.Now()))
			}), &tls.Config{Certificates: []tls.Certificate{certificate}})
			p := introspecting(t, server.URL, bundle)
			tt.change(p.Introspection)
			i, _ := introspector(t, IntrospectorConfig{}, p)
			if _, err := i.Introspect(t.Context(), raw, p); err != nil {
				t.Fatal(err)
			}
			r := got.Load()
			user, password, _ := r.BasicAuth()
			if given := strings.TrimSuffix(user+":"+password, ":"); given != tt.authorization {
				t.Errorf("authorization %q, want %q", given, tt.authorization)
			}
			if assertion := r.PostForm.Get("client_assertion"); assertion != "" {
				checkAssertion(t, assertion, server.URL, &private.PublicKey)
				r.PostForm.Del("client_assertion")
			} else if p.Introspection.Key != nil {
				t.Error("no assertion")
			}
			if diff := cmp.Diff(tt.form, r.PostForm); diff != "" {
				t.Errorf("form (-want +got):\n%s", diff)
			}
			if r.Method != http.MethodPost || r.URL.Path != "/introspect" || r.URL.RawQuery != "" || r.Header.Get("Accept") != "application/json" || r.Header.Values("Idempotency-Key") != nil {
				t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
			}
		})
	}
}

func checkAssertion(t *testing.T, assertion, issuer string, key *ecdsa.PublicKey) {
	t.Helper()
	parsed, err := jwt.Parse(assertion, func(tok *jwt.Token) (any, error) {
		if tok.Header["kid"] != "k1" {
			t.Errorf("kid %v", tok.Header["kid"])
		}
		return key, nil
	}, jwt.WithValidMethods([]string{"ES256"}), jwt.WithAudience(issuer), jwt.WithIssuer("sallyport:1"), jwt.WithSubject("sallyport:1"),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	if err != nil {
		t.Error(err)
		return
	}
	if id, _ := parsed.Claims.(jwt.MapClaims)["jti"].(string); len(id) < 20 {
		t.Errorf("jti %q", id)
	}
}

// TestIntrospectionEndpointIsDiscovered takes the endpoint from either kind of metadata, and asks nowhere while there is none.
func TestIntrospectionEndpointIsDiscovered(t *testing.T) {
	certificate, bundle := certify(t, "localhost", time.Now().Add(time.Hour))
	for _, tt := range []struct {
		name, at, document string
		want               error
	}{
		{"OpenID Connect", "/.well-known/openid-configuration", `{"issuer":"ISSUER","introspection_endpoint":"ISSUER/introspect"}`, nil},
		{"RFC 8414", "/.well-known/oauth-authorization-server", `{"issuer":"ISSUER","introspection_endpoint":"ISSUER/introspect"}`, nil},
		{"another issuer", "/.well-known/openid-configuration", `{"issuer":"ISSUER/","introspection_endpoint":"ISSUER/introspect"}`, token.ErrIntrospection},
		{"none is named", "/.well-known/openid-configuration", `{"issuer":"ISSUER"}`, token.ErrIntrospection},
		{"plain HTTP", "/.well-known/openid-configuration", `{"issuer":"ISSUER","introspection_endpoint":"http://127.0.0.1/introspect"}`, token.ErrIntrospection},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case tt.at:
					_, _ = w.Write([]byte(strings.ReplaceAll(tt.document, "ISSUER", "https://"+r.Host)))
				case "/introspect":
					_, _ = w.Write(active(time.Now()))
				default:
					http.NotFound(w, r)
				}
			}), &tls.Config{Certificates: []tls.Certificate{certificate}})
			p := introspecting(t, server.URL, bundle)
			p.Introspection.Endpoint = ""
			i, results := introspector(t, IntrospectorConfig{}, p)
			if err := i.WaitTried(t.Context()); err != nil {
				t.Fatal(err)
			}
			_, err := i.Introspect(t.Context(), "x", p)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if tt.want != nil && !slices.Equal(results(), []string{string(EndpointUnknown)}) {
				t.Errorf("results %q, want %s", results(), EndpointUnknown)
			}
		})
	}
}

// One connection serves questions that come one after the other.
func TestConnectionsAreUsedAgain(t *testing.T) {
	certificate, bundle := certify(t, "localhost", time.Now().Add(time.Hour))
	var mu sync.Mutex
	from := map[string]bool{}
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		from[r.RemoteAddr] = true
		mu.Unlock()
		_, _ = w.Write(active(time.Now()))
	}), &tls.Config{Certificates: []tls.Certificate{certificate}})
	p := introspecting(t, server.URL, bundle)
	i, _ := introspector(t, IntrospectorConfig{}, p)
	for n := range 10 {
		if _, err := i.Introspect(t.Context(), fmt.Sprint("token-", n), p); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(from) != 1 {
		t.Errorf("%d connections for ten questions, want 1", len(from))
	}
}

// TestIntrospectionUnderRace asks from many goroutines while providers come and go.
func TestIntrospectionUnderRace(t *testing.T) {
	p, other := introspecting(t, "https://id.example.com", nil), introspecting(t, "https://other.example.com", nil)
	other.Fingerprint = [32]byte{2}
	i, _ := introspector(t, IntrospectorConfig{CacheBytes: 16 << 10})
	now := time.Now()
	i.wrap = func(c *client) {
		c.send = func(*http.Request) ([]byte, error) { return active(now), nil }
	}
	i.Sync([]*token.Provider{p})
	ctx, cancel := context.WithCancel(t.Context())
	var all, stop sync.WaitGroup
	stop.Go(func() {
		for ctx.Err() == nil {
			i.Sync([]*token.Provider{p, other})
			i.Sync([]*token.Provider{p})
			i.Stats()
		}
	})
	for n := range 8 {
		all.Go(func() {
			for k := range 200 {
				raw := fmt.Sprint("token-", (n+k)%17)
				if k%3 == 0 {
					_, _, _ = i.Recall(raw, other)
				}
				if id, err := i.Introspect(ctx, raw, p); err == nil && id.Subject != "alice" {
					t.Errorf("subject %q", id.Subject)
				} else if err != nil && !errors.Is(err, token.ErrIntrospection) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	cancel()
	stop.Wait()
}
