package extauthz

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// dpopPolicies have a provider that takes proofs, one that wants nonces in them too, and one that takes none.
const dpopPolicies = `
kind: IdentityProvider
metadata: {name: corp, namespace: shop}
spec: {issuer: "https://id.example.com", audiences: [orders-api], keys: {inline: '%[1]s'}, senderConstraint: {dpop: {algorithms: [ES256, EdDSA]}}}
---
kind: IdentityProvider
metadata: {name: strict, namespace: shop}
spec:
  issuer: https://id.example.com
  audiences: [orders-api]
  keys: {inline: '%[1]s'}
  senderConstraint: {mode: Required, dpop: {algorithms: [ES256], nonce: Required}}
---
kind: IdentityProvider
metadata: {name: plain, namespace: shop}
spec: {issuer: "https://id.example.com", audiences: [orders-api], keys: {inline: '%[1]s'}}
---
kind: AuthPolicy
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders.example.com]
  identityProviders: [{name: corp}]
  rules:
  - {name: orders, matches: [{path: {value: /v1}}], require: {scopes: [orders.read]}}
  - {name: optional, matches: [{path: {value: /optional}}], access: Optional}
  denied: {realm: shop}
---
kind: AuthPolicy
metadata: {name: strict, namespace: shop}
spec:
  hosts: [strict.example.com]
  identityProviders: [{name: strict}]
  rules: [{name: all, access: Authenticated}]
  upstream: {token: Remove}
---
kind: AuthPolicy
metadata: {name: plain, namespace: shop}
spec:
  hosts: [plain.example.com]
  identityProviders: [{name: plain}]
  rules: [{name: all, access: Authenticated}]
---
kind: AuthPolicy
metadata: {name: tried, namespace: shop}
spec:
  hosts: [tried.example.com]
  mode: DryRun
  identityProviders: [{name: corp}]
  rules: [{name: all, access: Authenticated}]
---
kind: AuthPolicy
metadata: {name: half, namespace: shop}
spec:
  hosts: [half.example.com]
  identityProviders: [{name: corp}]
  rules:
  - {name: all, access: Authenticated}
  - {name: tried, mode: DryRun, matches: [{path: {value: /v1}}], access: Authenticated}
`

// remembered are Proofs that note what they are asked, and answer with err, or as they should.
type remembered struct {
	err  error
	used map[[32]byte]time.Time
	asks int
}

func (r *remembered) Use(_ context.Context, key [32]byte, until time.Time) error {
	r.asks++
	if r.err != nil {
		return r.err
	}
	if _, used := r.used[key]; used {
		return token.ErrReplayed
	}
	r.used[key] = until
	return nil
}

// dpopWorld is a server with these policies, and what it remembers.
func dpopWorld(t *testing.T, change func(*Config)) (*world, *remembered) {
	t.Helper()
	proofs := &remembered{used: map[[32]byte]time.Time{}}
	w := newWorld(t, func(c *Config) {
		c.Proofs = proofs
		if change != nil {
			change(c)
		}
	})
	w.snapshot.Store(compileSound(t, fmt.Sprintf(dpopPolicies, worldJWKS(t)), policy.Options{}))
	return w, proofs
}

// holder is a client with a key.
type holder struct {
	t   testing.TB
	key *ecdsa.PrivateKey
	n   int
}

func newHolder(t testing.TB, seed string) *holder {
	t.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), []byte(strings.Repeat(seed, 8)))
	if err != nil {
		t.Fatal(err)
	}
	return &holder{t: t, key: key}
}

// jwk is its public key.
func (h *holder) jwk() map[string]any {
	point, err := h.key.PublicKey.Bytes()
	if err != nil {
		h.t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return map[string]any{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
}

// jkt is the thumbprint of its key, made here anew.
func (h *holder) jkt() string {
	k := h.jwk()
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, k["x"], k["y"]))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// token is one of corp that is bound to the key.
func (h *holder) token(more jwt.MapClaims) string {
	claims := jwt.MapClaims{"scope": "orders.read", "cnf": map[string]any{"jkt": h.jkt()}}
	for name, value := range more {
		claims[name] = value
	}
	return mint(h.t, claims)
}

// proof makes one for a request with a token, with changes of its claims.
func (h *holder) proof(method, uri, raw string, changes jwt.MapClaims) string {
	h.n++
	sum := sha256.Sum256([]byte(raw))
	claims := jwt.MapClaims{
		"jti": fmt.Sprint("id-", h.n), "htm": method, "htu": uri, "iat": worldNow.Unix(), "ath": base64.RawURLEncoding.EncodeToString(sum[:]),
	}
	for name, value := range changes {
		claims[name] = value
	}
	p := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	p.Header["typ"], p.Header["jwk"] = "dpop+jwt", h.jwk()
	out, err := p.SignedString(h.key)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// request is one with a token and its proof.
func (h *holder) request(uri, raw string, changes jwt.MapClaims) *authv3.CheckRequest {
	return ask("GET", uri, "authorization: DPoP "+raw, "dpop: "+h.proof("GET", uri, raw, changes))
}

func TestTokensBoundToAKey(t *testing.T) {
	w, _ := dpopWorld(t, nil)
	h, thief := newHolder(t, "mine"), newHolder(t, "them")
	const uri = "https://orders.example.com/v1/orders"
	bound, free := h.token(nil), mint(t, jwt.MapClaims{"scope": "orders.read"})
	narrow := h.token(jwt.MapClaims{"scope": "other"})
	good := h.proof("GET", uri, bound, nil)
	const algs = `algs="ES256 EdDSA"`
	for _, tc := range []struct {
		name      string
		in        *authv3.CheckRequest
		want      string
		challenge string
	}{
		{"with its proof", ask("GET", uri, "authorization: DPoP "+bound, "dpop: "+good), "Allowed", ""},
		{"again, with the same proof", ask("GET", uri, "authorization: DPoP "+bound, "dpop: "+good), "ProofReplayed", `DPoP realm="shop", error="invalid_dpop_proof", ` + algs},
		{"again, with another proof", h.request(uri, bound, nil), "Allowed", ""},
		{"the scheme in other case", ask("GET", uri, "authorization: dpop "+bound, "dpop: "+h.proof("GET", uri, bound, nil)), "Allowed", ""},
		{"with a query", ask("GET", uri+"?a=b", "authorization: DPoP "+bound, "dpop: "+h.proof("GET", uri, bound, nil)), "Allowed", ""},
		{"nothing", ask("GET", uri), "MissingToken", `Bearer realm="shop", DPoP realm="shop", ` + algs},
		{"as Bearer", ask("GET", uri, "authorization: Bearer "+bound), "SenderNotProven", `Bearer realm="shop", error="invalid_token", DPoP realm="shop", ` + algs},
		{"as Bearer, with its proof", ask("GET", uri, "authorization: Bearer "+bound, "dpop: "+h.proof("GET", uri, bound, nil)), "SenderNotProven", `Bearer realm="shop", error="invalid_token", DPoP realm="shop", ` + algs},
		{"without its proof", ask("GET", uri, "authorization: DPoP "+bound), "InvalidProof", `DPoP realm="shop", error="invalid_dpop_proof", ` + algs},
		{"with two proofs", ask("GET", uri, "authorization: DPoP "+bound, "dpop: "+h.proof("GET", uri, bound, nil), "dpop: "+h.proof("GET", uri, bound, nil)), "InvalidProof", `DPoP realm="shop", error="invalid_dpop_proof", ` + algs},
		{"with somebody else's proof", thief.request(uri, bound, nil), "SenderNotProven", `DPoP realm="shop", error="invalid_token", ` + algs},
		{"with a proof for another path", ask("GET", uri, "authorization: DPoP "+bound, "dpop: "+h.proof("GET", uri+"/7", bound, nil)), "InvalidProof", `DPoP realm="shop", error="invalid_dpop_proof", ` + algs},
		{"with a proof for another method", ask("GET", uri, "authorization: DPoP "+bound, "dpop: "+h.proof("POST", uri, bound, nil)), "InvalidProof", `DPoP realm="shop", error="invalid_dpop_proof", ` + algs},
		{"with a proof for another token", ask("GET", uri, "authorization: DPoP "+bound, "dpop: "+h.proof("GET", uri, free, nil)), "InvalidProof", `DPoP realm="shop", error="invalid_dpop_proof", ` + algs},
		{"too late", h.request(uri, bound, jwt.MapClaims{"iat": worldNow.Unix() - 91}), "InvalidProof", `DPoP realm="shop", error="invalid_dpop_proof", ` + algs},
		{"not bound, with a proof", h.request(uri, free, nil), "SenderNotProven", `DPoP realm="shop", error="invalid_token", ` + algs},
		{"not bound, as Bearer", ask("GET", uri, "authorization: Bearer "+free), "Allowed", ""},
		{"both schemes", ask("GET", uri, "authorization: Bearer "+free, "authorization: DPoP "+bound), "AmbiguousCredential", `Bearer realm="shop", error="invalid_request", DPoP realm="shop", error="invalid_request", ` + algs},
		{"an expired token", h.request(uri, h.token(jwt.MapClaims{"exp": worldNow.Unix() - 60}), nil), "TokenExpired", `DPoP realm="shop", error="invalid_token", ` + algs},
		{"without the scope", h.request(uri, narrow, nil), "InsufficientScope", `DPoP realm="shop", error="insufficient_scope", scope="orders.read", ` + algs},
		{"without the scope, as Bearer", ask("GET", uri, "authorization: Bearer "+mint(t, nil)), "InsufficientScope", `Bearer realm="shop", error="insufficient_scope", scope="orders.read", DPoP realm="shop", ` + algs},
		{"on an optional rule, without its proof", ask("GET", "https://orders.example.com/optional", "authorization: DPoP "+bound), "InvalidProof", `DPoP realm="shop", error="invalid_dpop_proof", ` + algs},
		{"where nobody takes proofs", h.request("https://plain.example.com/", bound, nil), "MissingToken", `Bearer`},
		{"where nobody takes proofs, as Bearer", ask("GET", "https://plain.example.com/", "authorization: Bearer "+bound), "SenderNotProven", `Bearer error="invalid_token"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := w.check(t, tc.in)
			if got := meta(out, "reason"); got != tc.want {
				t.Fatalf("%s, want %s", got, tc.want)
			}
			headers := headersOf(t, out.GetDeniedResponse().GetHeaders())
			if diff := cmp.Diff(tc.challenge, headers["www-authenticate"]); diff != "" {
				t.Error(diff)
			}
			if nonce, there := headers["dpop-nonce"]; there {
				t.Errorf("a nonce that nobody needs: %q", nonce)
			}
		})
	}
	if log := w.logged(); strings.Contains(log, good) || strings.Contains(log, bound) {
		t.Error("the log has a token or a proof")
	}
}

// TestNoncesOfTheServer plays through how a client comes by a nonce, and by the next one.
func TestNoncesOfTheServer(t *testing.T) {
	now := worldNow
	w, _ := dpopWorld(t, func(c *Config) { c.Now = func() time.Time { return now } })
	h := newHolder(t, "mine")
	const uri = "https://strict.example.com/"
	raw := h.token(jwt.MapClaims{"exp": worldNow.Unix() + 3600})
	with := func(nonce string) *authv3.CheckResponse {
		changes := jwt.MapClaims{"iat": now.Unix()}
		if nonce != "" {
			changes["nonce"] = nonce
		}
		return w.check(t, h.request(uri, raw, changes))
	}
	out := with("")
	headers := headersOf(t, out.GetDeniedResponse().GetHeaders())
	first := headers["dpop-nonce"]
	if meta(out, "reason") != "ProofNonceRequired" || out.GetDeniedResponse().GetStatus().GetCode() != 401 || first == "" ||
		headers["www-authenticate"] != `DPoP error="use_dpop_nonce", algs="ES256"` {
		t.Fatalf("%s %v", meta(out, "reason"), headers)
	}
	next := func(out *authv3.CheckResponse) string {
		return headersOf(t, out.GetOkResponse().GetResponseHeadersToAdd())["dpop-nonce"]
	}
	if out = with(first); meta(out, "reason") != "Allowed" || next(out) != "" {
		t.Fatalf("with it: %v", out)
	}
	if got := out.GetOkResponse().GetHeadersToRemove(); !cmp.Equal(got, []string{"authorization", "dpop"}) {
		t.Errorf("the application is spared %q", got)
	}
	now = now.Add(3 * time.Minute)
	out = with(first)
	second := next(out)
	if meta(out, "reason") != "Allowed" || second == "" || second == first {
		t.Fatalf("when it grows old: %v", out)
	}
	now = now.Add(3 * time.Minute)
	if out = with(first); meta(out, "reason") != "ProofNonceRequired" {
		t.Errorf("when it is too old: %v", meta(out, "reason"))
	}
	if out = with(second); meta(out, "reason") != "Allowed" {
		t.Errorf("with the next: %v", meta(out, "reason"))
	}
	if out = w.check(t, ask("GET", uri, "authorization: Bearer "+mint(t, nil))); meta(out, "reason") != "SenderNotProven" {
		t.Errorf("a token that is not bound, where it must be: %v", meta(out, "reason"))
	}
}

// Replicas that share the key know each other's nonces; others do not.
func TestReplicasShareNonces(t *testing.T) {
	nonces, err := token.NewNonces([]byte(strings.Repeat("shared", 6)))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := dpopWorld(t, func(c *Config) { c.Nonces = nonces })
	b, _ := dpopWorld(t, func(c *Config) { c.Nonces = nonces })
	alone, _ := dpopWorld(t, nil)
	h := newHolder(t, "mine")
	const uri = "https://strict.example.com/"
	raw := h.token(nil)
	nonce := headersOf(t, a.check(t, h.request(uri, raw, nil)).GetDeniedResponse().GetHeaders())["dpop-nonce"]
	for want, w := range map[string]*world{"Allowed": b, "ProofNonceRequired": alone} {
		if got := meta(w.check(t, h.request(uri, raw, jwt.MapClaims{"nonce": nonce})), "reason"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestTheURIOfAProof: the host, with its port, and the path are those of the request; the scheme may be stated.
func TestTheURIOfAProof(t *testing.T) {
	h := newHolder(t, "mine")
	raw := h.token(nil)
	for _, tc := range []struct{ name, public, request, htu, want string }{
		{"as Envoy says", "", "https://orders.example.com/v1", "https://orders.example.com/v1", "Allowed"},
		{"another scheme", "", "http://orders.example.com/v1", "https://orders.example.com/v1", "InvalidProof"},
		{"behind a balancer with TLS", "https", "http://orders.example.com/v1", "https://orders.example.com/v1", "Allowed"},
		{"behind a balancer, the scheme of the inside", "https", "http://orders.example.com/v1", "http://orders.example.com/v1", "InvalidProof"},
		{"no scheme", "", "://orders.example.com/v1", "https://orders.example.com/v1", "InvalidProof"},
		{"a port", "", "https://orders.example.com:8443/v1", "https://orders.example.com:8443/v1", "Allowed"},
		{"another port", "", "https://orders.example.com:8443/v1", "https://orders.example.com/v1", "InvalidProof"},
		{"the scheme's port", "", "https://orders.example.com:443/v1", "https://orders.example.com/v1", "Allowed"},
		{"a final dot", "", "https://orders.example.com./v1", "https://orders.example.com/v1", "Allowed"},
		{"escapes", "", "https://orders.example.com/v1/%7e%c3%a4", "https://orders.example.com/v1/~%C3%A4", "Allowed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, _ := dpopWorld(t, func(c *Config) { c.PublicScheme = tc.public })
			in := ask("GET", tc.request, "authorization: DPoP "+raw, "dpop: "+h.proof("GET", tc.htu, raw, nil))
			if got := meta(w.check(t, in), "reason"); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

// TestWhatIsAskedOfTheLedger: a proof is used up only when all else about it is right, once a request, and never for rules
// that are only tried out.
func TestWhatIsAskedOfTheLedger(t *testing.T) {
	h, thief := newHolder(t, "mine"), newHolder(t, "them")
	raw := h.token(nil)
	const uri = "https://orders.example.com/v1"
	for _, tc := range []struct {
		name string
		in   *authv3.CheckRequest
		asks int
	}{
		{"a good proof", h.request(uri, raw, nil), 1},
		{"a wrong proof", h.request(uri, raw, jwt.MapClaims{"htm": "POST"}), 0},
		{"somebody else's", thief.request(uri, raw, nil), 0},
		{"as Bearer", ask("GET", uri, "authorization: Bearer "+raw), 0},
		{"a host with DryRun rules only", h.request("https://tried.example.com/", raw, nil), 0},
		{"a rule beside one that is tried out", h.request("https://half.example.com/v1", raw, nil), 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, proofs := dpopWorld(t, nil)
			out := w.check(t, tc.in)
			if proofs.asks != tc.asks {
				t.Errorf("asked %d times, want %d", proofs.asks, tc.asks)
			}
			if would := out.GetDynamicMetadata().GetFields()["dryRun"].GetStructValue().GetFields()["reason"].GetStringValue(); would != "" && would != "Allowed" {
				t.Errorf("DryRun rules say %s", would)
			}
			for _, until := range proofs.used {
				if want := worldNow.Add(90 * time.Second); !until.Equal(want) {
					t.Errorf("remembered until %s, want %s", until, want)
				}
			}
		})
	}
}

func TestALedgerThatCannotTellRefuses(t *testing.T) {
	h := newHolder(t, "mine")
	raw := h.token(nil)
	w, proofs := dpopWorld(t, nil)
	proofs.err = fmt.Errorf("%w: it is full", token.ErrLedger)
	none, _ := dpopWorld(t, func(c *Config) { c.Proofs = nil })
	for name, w := range map[string]*world{"it fails": w, "there is none": none} {
		out := w.check(t, h.request("https://orders.example.com/v1", raw, nil))
		if meta(out, "reason") != "ProofStoreUnavailable" || out.GetDeniedResponse().GetStatus().GetCode() != 503 {
			t.Errorf("%s: %v", name, out)
		}
	}
	if out := w.check(t, ask("GET", "https://orders.example.com/v1", "authorization: Bearer "+mint(t, jwt.MapClaims{"scope": "orders.read"}))); meta(out, "reason") != "Allowed" {
		t.Errorf("a token that needs no ledger: %v", out)
	}
}

// BenchmarkCheckDPoP has a warm token, and a proof that is verified each time.
func BenchmarkCheckDPoP(b *testing.B) {
	w := newWorld(b, func(c *Config) { c.Proofs, c.Now = forgetful{}, func() time.Time { return worldNow } })
	w.snapshot.Store(compileSound(b, fmt.Sprintf(dpopPolicies, worldJWKS(b)), policy.Options{}))
	h := newHolder(b, "mine")
	raw := h.token(jwt.MapClaims{"iat": time.Now().Unix() - 60, "exp": time.Now().Unix() + 3600})
	w.answers(b, h.request("https://orders.example.com/v1", raw, nil), "Allowed")
}

// forgetful are Proofs that remember nothing, for a benchmark.
type forgetful struct{}

func (forgetful) Use(context.Context, [32]byte, time.Time) error { return nil }
