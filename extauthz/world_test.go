package extauthz

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// The world of the tests: two providers, one of which cannot be reached, a few policies, and a clock that stands still.
const worldPolicies = `
kind: ClusterIdentityProvider
metadata: {name: corp}
spec:
  issuer: https://id.example.com
  audiences: [orders-api]
  algorithms: [ES256]
  keys: {inline: '%s'}
  claimValidationRules: [{expression: "claims.sub != 'banned'", message: banned}]
  tokenSources:
  - header: {name: Authorization, scheme: Bearer}
  - cookie: {name: access_token}
  - queryParameter: {name: access_token}
---
kind: ClusterIdentityProvider
metadata: {name: far}
spec: {issuer: https://far.example.com, audiences: [orders-api]}
---
kind: AuthPolicy
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders.example.com]
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  rules:
  - {name: liveness, matches: [{path: {type: Exact, value: /healthz}}], access: Public}
  - {name: optional, matches: [{path: {type: Exact, value: /optional}}], access: Optional}
  - {name: closed, matches: [{path: {type: PathPrefix, value: /closed}}], access: Denied}
  - {name: inside, matches: [{path: {type: PathPrefix, value: /inside}}], from: {cidrs: [10.0.0.0/8, "fd00::/8"]}, access: Public}
  - {name: orders, matches: [{path: {type: PathPrefix, value: /v1}}], require: {scopes: [orders.read, audit]}}
  - {name: roles, matches: [{path: {type: PathPrefix, value: /roles}}], require: {roles: [admin]}}
  - {name: cel, matches: [{path: {type: PathPrefix, value: /cel}}], require: {expressions: [{expression: "claims.tier == 'gold'", message: tier}]}}
  - name: profile
    matches: [{path: {type: Template, value: "/users/{user}"}}]
    require: {claims: [{claim: sub, operator: In, values: ["{user}"]}]}
    denied: {status: 404}
  upstream:
    headers: [{name: x-user, claim: sub}, {name: x-team, claim: team}]
    token: Remove
    metadata: [{key: sub, claim: sub}]
  denied: {realm: shop, headers: [{name: x-help, value: ask shop}]}
---
kind: AuthPolicy
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.example.com]
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  rules: [{name: all, matches: [{path: {type: PathPrefix, value: /}}], access: Authenticated}]
  denied:
    body: {type: Text, text: sign in}
    unauthenticated: {redirect: {url: "https://login.example.com/start?client=web", returnParameter: rd}}
---
kind: AuthPolicy
metadata: {name: far, namespace: shop}
spec:
  hosts: [far.example.com]
  identityProviders: [{kind: ClusterIdentityProvider, name: far}]
  rules: [{name: all, matches: [{path: {type: PathPrefix, value: /}}], access: Authenticated}]
  denied: {body: {type: Empty}}
---
kind: AuthPolicy
metadata: {name: dry, namespace: shop}
spec:
  hosts: [dry.example.com]
  mode: DryRun
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  rules: [{name: all, matches: [{path: {type: PathPrefix, value: /}}], access: Authenticated}]
  upstream: {headers: [{name: x-user, claim: sub}]}
---
kind: AuthPolicy
metadata: {name: blog, namespace: other}
spec:
  hosts: [blog.example.com]
  rules: [{name: all, matches: [{path: {type: PathPrefix, value: /}}], access: Public}]
`

var worldNow = time.Unix(1_800_000_000, 0)

var worldKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	// The same in every process, so that fuzz workers know each other's tokens.
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), []byte(strings.Repeat("seed", 8)))
	if err != nil {
		panic(err)
	}
	return key
})

func worldJWKS(t testing.TB) string {
	t.Helper()
	point, err := worldKey().PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-256","kid":"k1","x":%q,"y":%q}]}`, b64(point[1:33]), b64(point[33:65]))
}

// mint signs a token of corp. claims are laid over those of a valid token; a nil one takes one out.
func mint(t testing.TB, claims jwt.MapClaims) string {
	t.Helper()
	all := jwt.MapClaims{
		"iss": "https://id.example.com", "aud": "orders-api", "sub": "alice",
		"iat": worldNow.Unix() - 60, "exp": worldNow.Unix() + 600,
	}
	for k, v := range claims {
		if all[k] = v; v == nil {
			delete(all, k)
		}
	}
	tok := jwt.NewWithClaims(jwt.SigningMethodES256, all)
	tok.Header["kid"] = "k1"
	raw, err := tok.SignedString(worldKey())
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

type noKeys struct{}

func (noKeys) Keys(context.Context, *token.Provider, *token.KeySet) (*token.KeySet, error) {
	return nil, fmt.Errorf("nobody answers: %w", token.ErrKeysUnavailable)
}

func decode[T any](t testing.TB, list *[]*T, doc string) {
	t.Helper()
	v := new(T)
	if err := yaml.UnmarshalStrict([]byte(doc), v); err != nil {
		t.Fatalf("%v in:\n%s", err, doc)
	}
	*list = append(*list, v)
}

func compileWorld(t testing.TB, opts policy.Options) *policy.Snapshot {
	t.Helper()
	return compileSound(t, fmt.Sprintf(worldPolicies, worldJWKS(t)), opts)
}

// compileSound compiles objects, in which nothing may be wrong.
func compileSound(t testing.TB, text string, opts policy.Options) *policy.Snapshot {
	t.Helper()
	snap, report := compileText(t, text, opts)
	for _, o := range report.Objects {
		for _, p := range o.Problems {
			if p.Severity == policy.SeverityError {
				t.Fatalf("%s: %s: %s", o.ObjectRef, p.Field, p.Message)
			}
		}
	}
	return snap
}

// compileText compiles objects, as they stand.
func compileText(t testing.TB, text string, opts policy.Options) (*policy.Snapshot, policy.Report) {
	t.Helper()
	var objs policy.Objects
	for doc := range strings.SplitSeq(text, "\n---\n") {
		var meta metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(doc), &meta); err != nil {
			t.Fatal(err)
		}
		switch meta.Kind {
		case "AuthPolicy":
			decode(t, &objs.AuthPolicies, doc)
		case "ClusterIdentityProvider":
			decode(t, &objs.ClusterIdentityProviders, doc)
		case "IdentityProvider":
			decode(t, &objs.IdentityProviders, doc)
		case "Secret":
			decode(t, &objs.Secrets, doc)
		default:
			t.Fatalf("kind %q", meta.Kind)
		}
	}
	return new(policy.Compiler).Compile(objs, opts)
}

// world is a server with what one sees of it.
type world struct {
	*Server
	snapshot *atomic.Pointer[policy.Snapshot]
	registry *prometheus.Registry

	mu    sync.Mutex
	lines []string
}

// newWorld makes a server; change may alter its Config.
func newWorld(t testing.TB, change func(*Config)) *world {
	t.Helper()
	w := &world{snapshot: &atomic.Pointer[policy.Snapshot]{}, registry: prometheus.NewRegistry()}
	clock := func() time.Time { return worldNow }
	log := funcr.New(w.write, funcr.Options{Verbosity: 1})
	if _, benchmark := t.(*testing.B); benchmark {
		clock, log = time.Now, logr.Discard()
	}
	verifier, err := token.NewVerifier(token.Config{Keys: noKeys{}, Now: clock, CacheBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Snapshot: w.snapshot, Verifier: verifier, CacheStats: verifier.CacheStats, Decryptions: verifier.Decryptions, Registerer: w.registry,
		Now: clock, Log: log, ClientAddress: policy.ClientAddressPeer,
	}
	if change != nil {
		change(&cfg)
	}
	w.snapshot.Store(compileWorld(t, policy.Options{ClientAddress: policy.ClientAddressPeer}))
	if w.Server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) write(_, args string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, args)
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.lines, "\n")
}

// serve starts the server on loopback and connects to it.
func (w *world) serve(t testing.TB, opts ...grpc.DialOption) (*grpc.ClientConn, <-chan error) {
	t.Helper()
	lis, err := Listen("127.0.0.1:0", 0)
	if err != nil {
		t.Fatal(err)
	}
	return w.serveOn(t, lis, opts...)
}

func (w *world) serveOn(t testing.TB, lis net.Listener, opts ...grpc.DialOption) (*grpc.ClientConn, <-chan error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- w.Serve(lis) }()
	t.Cleanup(w.grpc.Stop)
	if len(opts) == 0 {
		opts = []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	}
	target := lis.Addr().String()
	if lis.Addr().Network() == "unix" {
		target = "unix://" + target
	}
	conn, err := grpc.NewClient(target, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, done
}

// ask is a CheckRequest as Envoy sends it. headers are "name: value".
func ask(method, url string, headers ...string) *authv3.CheckRequest {
	scheme, rest, _ := strings.Cut(url, "://")
	host, path, _ := strings.Cut(rest, "/")
	h := map[string]string{}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if before, twice := h[name]; twice {
			value = before + "," + value
		}
		h[name] = value
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: peerOf("10.1.2.3"),
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: method, Scheme: scheme, Host: host, Path: "/" + path, Headers: h,
		}},
	}}
}

func peerOf(address string) *authv3.AttributeContext_Peer {
	return &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
		SocketAddress: &corev3.SocketAddress{Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 4711}},
	}}}
}

// check asks the server, which must answer.
func (w *world) check(t testing.TB, in *authv3.CheckRequest) *authv3.CheckResponse {
	t.Helper()
	out, err := w.Check(t.Context(), in)
	if err != nil {
		t.Fatalf("an error instead of a decision: %v", err)
	}
	return out
}

// headersOf are the headers of an answer, by name; a name that stands there twice fails.
func headersOf(t testing.TB, list []*corev3.HeaderValueOption) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, o := range list {
		if _, twice := out[o.Header.Key]; twice {
			t.Errorf("header %q stands there twice", o.Header.Key)
		}
		if o.AppendAction != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
			t.Errorf("header %q is not overwritten but %v", o.Header.Key, o.AppendAction)
		}
		out[o.Header.Key] = o.Header.Value
	}
	return out
}

func meta(out *authv3.CheckResponse, key string) string {
	return out.GetDynamicMetadata().GetFields()[key].GetStringValue()
}
