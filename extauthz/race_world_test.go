package extauthz

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// The world of TestEveryAnswerIsOfOneMoment: three things that change while requests are judged. Each has a number that
// only grows.
type turmoil struct {
	world     *world
	snapshots sync.Map // *policy.Snapshot to its generation
	keys      atomic.Pointer[rotation]
	seconds   atomic.Int64 // the clock, from worldNow
	sets      [3]*token.KeySet
	progress  chan struct{}
	checks    atomic.Int64
}

// rotation is the n-th key set that is current.
type rotation struct {
	n   int64
	set *token.KeySet
}

// Keys implements token.KeySource.
func (w *turmoil) Keys(context.Context, *token.Provider, *token.KeySet) (*token.KeySet, error) {
	return w.keys.Load().set, nil
}

func (w *turmoil) now() time.Time { return worldNow.Add(time.Duration(w.seconds.Load()) * time.Second) }

// signingKey is the key with this number, 1 or 2.
func signingKey(n int) *ecdsa.PrivateKey {
	k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), []byte(strings.Repeat(fmt.Sprintf("key%d", n), 8)))
	if err != nil {
		panic(err)
	}
	return k
}

// keySet has the keys with these numbers. Rotation n is that of n modulo 3: the first key, both, the second.
func keySet(t *testing.T, numbers ...int) *token.KeySet {
	t.Helper()
	var list []string
	for _, n := range numbers {
		point, err := signingKey(n).PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		b64 := base64.RawURLEncoding.EncodeToString
		list = append(list, fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":"%d","x":%q,"y":%q}`, n, b64(point[1:33]), b64(point[33:])))
	}
	set, _, err := token.ParseJWKS([]byte(`{"keys":[`+strings.Join(list, ",")+`]}`), false)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// passed is a token that a client shows.
type passed struct {
	raw        string
	key, scope int
	expires    int64 // seconds after worldNow
}

// newPassed signs a token.
func newPassed(t *testing.T, key, scope int, expires int64) passed {
	t.Helper()
	payload, err := json.Marshal(map[string]any{
		"iss": "https://id.example.com", "aud": "even", "sub": "alice", "scope": fmt.Sprint("s", scope),
		"exp": worldNow.Unix() + expires, "pad": strings.Repeat("x", 600),
	})
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64(fmt.Appendf(nil, `{"alg":"ES256","kid":"%d"}`, key)) + "." + b64(payload)
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(noise{}, signingKey(key), digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return passed{input + "." + b64(append(pad(r), pad(s)...)), key, scope, expires}
}

func pad(n *big.Int) []byte { return n.FillBytes(make([]byte, 32)) }

// noise is randomness enough for a test's signature.
type noise struct{}

func (noise) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(mathrand.Uint32())
	}
	return len(p), nil
}

// compile makes the snapshot of a generation. Its policy bears the number; what its rules want depends on it.
func (w *turmoil) compile(t *testing.T, c *policy.Compiler, generation int64) {
	access, audience := "Public", "even"
	if generation%2 == 1 {
		access = "Denied"
	}
	if generation%5 == 4 {
		audience = "odd"
	}
	var objs policy.Objects
	decode(t, &objs.ClusterIdentityProviders, fmt.Sprintf(`
metadata: {name: corp}
spec: {issuer: https://id.example.com, audiences: [%s], algorithms: [ES256], clockSkew: 0s}`, audience))
	decode(t, &objs.AuthPolicies, fmt.Sprintf(`
metadata: {name: g%d, namespace: shop}
spec:
  hosts: [orders.example.com]
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  rules:
  - {name: open, matches: [{path: {value: /open}}], access: %s}
  - {name: read, matches: [{path: {value: /v1}}], require: {scopes: [s%d]}}
  upstream: {metadata: [{key: sub, claim: sub}]}`, generation, access, generation%3))
	snap, report := c.Compile(objs, policy.Options{})
	if report.Errors() > 0 {
		t.Errorf("generation %d does not compile: %+v", generation, report)
	}
	w.snapshots.Store(snap, generation)
	w.world.snapshot.Store(snap)
}
