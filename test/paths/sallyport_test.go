package paths

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc"
	"sigs.k8s.io/yaml"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz"
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

const issuer = "https://id.test"

var signingKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

// mint signs a token of the one provider.
func mint(t testing.TB, claims jwt.MapClaims) string {
	t.Helper()
	now := time.Now().Unix()
	all := jwt.MapClaims{"iss": issuer, "aud": "shop", "sub": "alice", "iat": now - 60, "exp": now + 24*3600}
	for name, value := range claims {
		all[name] = value
	}
	unsigned := jwt.NewWithClaims(jwt.SigningMethodES256, all)
	unsigned.Header["kid"] = "k1"
	signed, err := unsigned.SignedString(signingKey())
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// provider believes the tokens of mint, wherever they are shown.
func provider(t testing.TB) *v1alpha1.IdentityProvider {
	t.Helper()
	point, err := signingKey().PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	keys := fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-256","kid":"k1","x":%q,"y":%q}]}`, b64(point[1:33]), b64(point[33:65]))
	p := &v1alpha1.IdentityProvider{}
	decode(t, fmt.Sprintf(`
metadata: {name: plain, namespace: shop}
spec:
  issuer: %s
  audiences: [shop]
  claimMappings: {roles: roles}
  keys: {inline: '%s'}
  tokenSources:
  - header: {name: Authorization, scheme: Bearer}
  - cookie: {name: access_token}
`, issuer, keys), p)
	return p
}

// policies reads a file of testdata.
func policies(t testing.TB, name string) (all []*v1alpha1.AuthPolicy) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	for doc := range strings.SplitSeq(string(text), "\n---\n") {
		p := &v1alpha1.AuthPolicy{}
		decode(t, doc, p)
		all = append(all, p)
	}
	return all
}

func decode(t testing.TB, text string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
}

// newSallyport makes a server over these policies, which must all compile.
func newSallyport(t testing.TB, all []*v1alpha1.AuthPolicy) *extauthz.Server {
	t.Helper()
	snap, report := new(policy.Compiler).Compile(policy.Objects{
		AuthPolicies: all, IdentityProviders: []*v1alpha1.IdentityProvider{provider(t)},
	}, policy.Options{})
	for _, o := range report.Objects {
		for _, p := range o.Problems {
			if p.Severity == policy.SeverityError {
				t.Fatalf("%s: %s: %s", o.ObjectRef, p.Field, p.Message)
			}
		}
	}
	verifier, err := token.NewVerifier(token.Config{Keys: noKeys{}, Now: time.Now, CacheBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	current := &atomic.Pointer[policy.Snapshot]{}
	current.Store(snap)
	s, err := extauthz.New(extauthz.Config{Snapshot: current, Verifier: verifier})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// noKeys is for providers that have their keys with them.
type noKeys struct{}

// Keys has none.
func (noKeys) Keys(context.Context, *token.Provider, *token.KeySet) (*token.KeySet, error) {
	return nil, token.ErrKeysUnavailable
}

// serve lets Envoy ask s until the test ends, and returns the address.
func serve(t *testing.T, s *extauthz.Server) string {
	t.Helper()
	lis, err := extauthz.Listen("127.0.0.1:0", 0)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(lis) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("stopping Sallyport: %v", err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return lis.Addr().String()
}

// serveAny does the same for any server of ext_authz.
func serveAny(t *testing.T, s authv3.AuthorizationServer) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	authv3.RegisterAuthorizationServer(g, s)
	done := make(chan error, 1)
	go func() { done <- g.Serve(lis) }()
	t.Cleanup(func() {
		g.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return lis.Addr().String()
}
