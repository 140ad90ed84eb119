package docs_test

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/sallyport/sallyport/extauthz"
	"github.com/sallyport/sallyport/extauthz/idp"
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// faultObjects believe a provider that does all of it: its JWTs, its opaque tokens, and a lookup beside.
const faultObjects = `
apiVersion: v1
kind: ConfigMap
metadata: {name: authority}
data: {ca.crt: %s}
---
apiVersion: v1
kind: Secret
metadata: {name: client}
stringData: {secret: s3cret}
---
apiVersion: sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: corp}
spec:
  issuer: https://id.example.com
  audiences: [orders-api]
  tls: {caConfigMapKeyRef: {name: authority, key: ca.crt}}
  keys: {remote: {url: "%[2]s/keys"}}
  refresh: {interval: 24h, minInterval: 1s}
  introspection: {endpoint: "%[2]s/introspect", clientID: c, clientSecretRef: {name: client, key: secret}, cacheTTL: 1h, timeout: 5s}
---
apiVersion: sallyport.dev/v1alpha1
kind: AuthPolicy
metadata: {name: faults}
spec:
  hosts: [orders.example.com]
  identityProviders: [{name: corp}]
  lookups:
  - name: rights
    http: {url: "%[2]s/rights/{claims.sub}", tls: {caConfigMapKeyRef: {name: authority, key: ca.crt}}}
    cacheTTL: 1h
    timeout: 5s
  rules:
  - {name: token, matches: [{path: {value: /token}}], access: Authenticated}
  - {name: rights, matches: [{path: {value: /rights}}], require: {expressions: [{expression: "lookups.rights.ok == true"}]}}
`

// TestProviderFaultsOfThePage does to a server what each row of the table says, and sends the requests of its columns.
func TestProviderFaultsOfThePage(t *testing.T) {
	rows := rowsUnder(t, "docs/reliability.md", "what it does")
	if len(rows) != len(faults) {
		t.Errorf("%d rows, and %d faults", len(rows), len(faults))
	}
	for _, row := range rows {
		t.Run(row[0], func(t *testing.T) {
			t.Parallel() // they mostly wait
			fault, known := faults[row[0]]
			if !known {
				t.Fatal("the test knows no such fault")
			}
			w := newFaultWorld(t)
			w.remember(t)
			if fault == "back" {
				w.provider.set(t, "500")
				w.ask(t, w.server, "/token", "opaque-"+rand.Text(), policy.ReasonIntrospectionUnavailable)
				w.cold = w.newServer(t)
			}
			w.provider.set(t, fault)
			w.checkRow(t, row[1:], fault)
		})
	}
}

// checkRow sends the requests of a row. Where the provider answers again, or with another key, that takes a moment.
func (w *faultWorld) checkRow(t *testing.T, want []string, fault string) {
	t.Helper()
	cold := cmp.Or(w.cold, w.newServer(t))
	back, rotated, unknown := fault == "back", fault == "rotated", w.jwt(t, "new", "alice")
	for i, r := range []struct {
		server      *extauthz.Server
		path, token string
		late        bool
	}{
		{cold, "/token", w.known, back},
		{w.server, "/token", w.known, false},
		{w.server, "/token", unknown, back || rotated},
		{w.server, "/token", "opaque-remembered", false},
		{w.server, "/token", "opaque-fresh", back},
		{w.server, "/rights", w.known, false},
		{w.server, "/rights", w.jwt(t, "old", "bob"), back},
	} {
		if rotated && i > 2 { // the set was fetched for the token of the new key
			w.ask(t, w.server, "/token", w.known, policy.ReasonUnknownKey)
			r.token = cmp.Or(map[int]string{5: unknown, 6: w.jwt(t, "new", "bob")}[i], r.token)
		}
		reason := policy.Reason(code(want[i]))
		if !r.late {
			w.ask(t, r.server, r.path, r.token, reason)
			continue
		}
		within(t, fmt.Sprintf("column %d is %s", i+1, reason), func() bool { return w.reason(t, r.server, r.path, r.token) == string(reason) })
	}
}

// faultWorld is a server that believes a provider which fails.
type faultWorld struct {
	provider *faultyProvider
	snapshot *policy.Snapshot
	server   *extauthz.Server
	cold     *extauthz.Server // one that began while the provider failed
	keys     map[string]*ecdsa.PrivateKey
	known    string // a token of alice, of the old key
}

func newFaultWorld(t *testing.T) *faultWorld {
	t.Helper()
	w := &faultWorld{keys: map[string]*ecdsa.PrivateKey{}}
	for _, kid := range []string{"old", "new"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		w.keys[kid] = key
	}
	w.provider = newFaultyProvider(t, w.keys)
	bundle, err := json.Marshal(string(w.provider.bundle))
	if err != nil {
		t.Fatal(err)
	}
	w.snapshot = compileText(t, fmt.Sprintf(faultObjects, bundle, "https://"+w.provider.address))
	w.server = w.newServer(t)
	w.known = w.jwt(t, "old", "alice")
	return w
}

// newServer is one that has just started, and has tried to fetch the keys.
func (w *faultWorld) newServer(t *testing.T) *extauthz.Server {
	t.Helper()
	keeper, err := idp.New(idp.Config{AllowLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(keeper.Close)
	config := idp.IntrospectorConfig{AllowLoopback: true, CacheBytes: idp.DefaultAnswerBytes}
	introspector, err := idp.NewIntrospector(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(introspector.Close)
	looker, err := idp.NewLooker(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(looker.Close)
	keeper.Sync(w.snapshot.Providers())
	introspector.Sync(w.snapshot.Providers())
	looker.Sync(w.snapshot.Lookups())
	for _, wait := range []func() error{
		func() error { return keeper.WaitTried(t.Context()) },
		func() error { return introspector.WaitTried(t.Context()) },
		func() error { return looker.WaitTried(t.Context()) },
	} {
		if err := wait(); err != nil {
			t.Fatal(err)
		}
	}
	verifier, err := token.NewVerifier(token.Config{Keys: keeper, CacheBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	published := new(atomic.Pointer[policy.Snapshot])
	published.Store(w.snapshot)
	server, err := extauthz.New(extauthz.Config{
		Snapshot: published, Verifier: verifier, Introspector: introspector, Looker: looker, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// remember sends what is remembered later, while the provider is sound.
func (w *faultWorld) remember(t *testing.T) {
	t.Helper()
	w.ask(t, w.server, "/token", w.known, policy.ReasonAllowed)
	w.ask(t, w.server, "/token", "opaque-remembered", policy.ReasonAllowed)
	w.ask(t, w.server, "/rights", w.known, policy.ReasonAllowed)
}

// jwt is a token of a user, signed with a key of the provider.
func (w *faultWorld) jwt(t *testing.T, kid, sub string) string {
	t.Helper()
	tok := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": "https://id.example.com", "aud": "orders-api", "sub": sub, "exp": time.Now().Add(time.Hour).Unix(),
	})
	tok.Header["kid"] = kid
	signed, err := tok.SignedString(w.keys[kid])
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// ask sends a request, and checks the reason of the answer and its status.
func (w *faultWorld) ask(t *testing.T, s *extauthz.Server, path, token string, want policy.Reason) {
	t.Helper()
	if got := w.reason(t, s, path, token); got != string(want) {
		name, _, _ := strings.Cut(token, ".")
		t.Errorf("%s, token %.20s: %s, want %s", path, name, got, want)
	}
}

// statuses are those of the reasons of the table.
var statuses = map[string]string{
	"Allowed": "", "UnknownKey": "Unauthorized",
	"KeysUnavailable": "ServiceUnavailable", "IntrospectionUnavailable": "ServiceUnavailable", "LookupFailed": "ServiceUnavailable",
}

func (w *faultWorld) reason(t *testing.T, s *extauthz.Server, path, token string) string {
	t.Helper()
	out, err := s.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "GET", Scheme: "https", Host: "orders.example.com", Path: path,
			Headers: map[string]string{"authorization": "Bearer " + token},
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	reason, status := out.GetDynamicMetadata().GetFields()["reason"].GetStringValue(), ""
	if denied := out.GetDeniedResponse(); denied != nil {
		status = denied.GetStatus().GetCode().String()
	}
	if want, known := statuses[reason]; !known || status != want {
		t.Errorf("%s: status %q for %s", path, status, reason)
	}
	return reason
}

// within waits until ok is true.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("after a minute still not: %s", what)
		}
	}
}
