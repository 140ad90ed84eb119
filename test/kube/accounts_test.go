package kube_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/controller"
	"github.com/sallyport/sallyport/extauthz"
	"github.com/sallyport/sallyport/extauthz/idp"
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

const accountsProvider = `apiVersion: sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: cluster}
spec:
  audiences: [orders]
  keys: {kubernetes: {}}
  refresh: {interval: 10m, minInterval: 1s, staleFor: 24h}
---
apiVersion: sallyport.dev/v1alpha1
kind: AuthPolicy
metadata: {name: orders}
spec:
  hosts: [HOST]
  identityProviders: [{name: cluster}]
  rules:
  - name: own
    require: {groups: ["system:serviceaccounts:NAMESPACE"]}
  - name: cart
    matches: [{path: {value: /cart}}]
    require: {claims: [{claim: sub, operator: In, values: ["system:serviceaccount:NAMESPACE:cart"]}]}
`

// accountsServer is a replica with its server, which takes ServiceAccount tokens.
type accountsServer struct {
	*replica
	keeper *idp.Keeper
	server *extauthz.Server
	host   string
	own    atomic.Pointer[string] // the token with which it asks the API server
}

// renew gives it a new token, as the kubelet does.
func (a *accountsServer) renew(t *testing.T, c *cluster, ns string) {
	t.Helper()
	raw := c.accountToken(t, ns, "sallyport")
	a.own.Store(&raw)
}

// renewed sends with the token of now. The client of Kubernetes reads a file anew after a minute, which is a long time for
// a test.
type renewed struct {
	next http.RoundTripper
	own  *atomic.Pointer[string]
}

// RoundTrip implements http.RoundTripper.
func (r *renewed) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+*r.own.Load())
	return r.next.RoundTrip(req)
}

// apiServerOf is how idp reaches the API server with a config.
func apiServerOf(t *testing.T, config *rest.Config) *idp.APIServer {
	t.Helper()
	at, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return &idp.APIServer{URL: at, Transport: transport}
}

// startAccounts starts a replica that fetches keys with the rights of a ServiceAccount.
func startAccounts(t *testing.T, c *cluster, ns string) *accountsServer {
	t.Helper()
	a := &accountsServer{host: ns + ".example.com"}
	a.renew(t, c, ns)
	own := rest.AnonymousClientConfig(c.config)
	own.Wrap(func(next http.RoundTripper) http.RoundTripper { return &renewed{next, &a.own} })
	var err error
	if a.keeper, err = idp.New(idp.Config{APIServer: apiServerOf(t, own)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.keeper.Close)
	verifier, err := token.NewVerifier(token.Config{Keys: a.keeper, CacheBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	a.replica = startReplica(t, c, ns, func(config *controller.ClusterConfig) {
		config.BeforePublish = func(_ context.Context, s *policy.Snapshot) { a.keeper.Sync(s.Providers()) }
		config.Keys = func(p *token.Provider) controller.KeyStatus {
			s := a.keeper.Status(p)
			return controller.KeyStatus{Ready: s.Ready, KeyIDs: s.KeyIDs}
		}
	})
	if a.server, err = extauthz.New(extauthz.Config{Snapshot: &a.snapshot, Verifier: verifier}); err != nil {
		t.Fatal(err)
	}
	c.apply(t, ns, strings.NewReplacer("HOST", a.host, "NAMESPACE", ns).Replace(accountsProvider))
	return a
}

// accountToken is a token that the API server makes for a ServiceAccount; no audience: one for itself.
func (c *cluster) accountToken(t *testing.T, ns, name string, audiences ...string) string {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	if err := c.client.Create(t.Context(), account.DeepCopy()); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}
	if err := c.client.SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

// reason is that of the answer to a Check with a token.
func (a *accountsServer) reason(t *testing.T, path, raw string) string {
	t.Helper()
	out, err := a.server.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "GET", Scheme: "https", Host: a.host, Path: path, Headers: map[string]string{"authorization": "Bearer " + raw},
		}},
	}})
	if err != nil {
		return err.Error() // not ready yet
	}
	return out.GetDynamicMetadata().GetFields()["reason"].GetStringValue()
}

func (a *accountsServer) waitReason(t *testing.T, c *cluster, path, raw, want string) {
	t.Helper()
	c.waitFor(t, path+" to be "+want, func(context.Context) error {
		if got := a.reason(t, path, raw); got != want {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
}

// TestServiceAccountTokens: tokens that the API server makes are believed, for their audience and as long as it signs so.
// It is started anew with another key, and then with another issuer.
func TestServiceAccountTokens(t *testing.T) {
	c, elsewhere := startCluster(t), sharedCluster(t)
	ns, other := c.namespace(t), c.namespace(t)
	a := startAccounts(t, c, ns)
	cart := c.accountToken(t, ns, "cart", "orders")
	a.waitReason(t, c, "/", cart, "Allowed")
	for _, tt := range []struct{ name, path, token, want string }{
		{"of the same namespace", "/", c.accountToken(t, ns, "report", "orders"), "Allowed"},
		{"for several audiences", "/", c.accountToken(t, ns, "report", "billing", "orders"), "Allowed"},
		{"the one that a rule names", "/cart", cart, "Allowed"},
		{"another than the rule names", "/cart", c.accountToken(t, ns, "report", "orders"), "InsufficientClaims"},
		{"of another namespace", "/", c.accountToken(t, other, "cart", "orders"), "InsufficientClaims"},
		{"of that name in another namespace", "/cart", c.accountToken(t, other, "cart", "orders"), "InsufficientClaims"},
		{"for another audience", "/", c.accountToken(t, ns, "cart", "billing"), "InvalidAudience"},
		{"for the API server", "/", c.accountToken(t, ns, "cart"), "InvalidAudience"},
		{"of another cluster", "/", elsewhere.accountToken(t, elsewhere.namespace(t), "cart", "orders"), "UntrustedIssuer"},
		{"one byte less", "/", cart[:len(cart)-1], "MalformedToken"},
	} {
		if got := a.reason(t, tt.path, tt.token); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	provider := &v1alpha1.IdentityProvider{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "cluster"}}
	c.waitCondition(t, provider, "KeysReady", "KeysReady")

	// Another key under the same issuer, as if it were another cluster at the same address: what the old one has signed is
	// over, and what the new one signs is believed, without a restart and long before the interval.
	c.crashAPIServer(t)
	if got := a.reason(t, "/", cart); got != "Allowed" {
		t.Errorf("while the API server is away: %s", got)
	}
	c.changeSigningKey(t)
	c.startAPIServer(t)
	a.renew(t, c, ns)
	second := c.accountToken(t, ns, "cart", "orders")
	a.waitReason(t, c, "/", second, "Allowed")
	if got := a.reason(t, "/", cart); got != "UnknownKey" {
		t.Errorf("what the key before has signed: %s", got)
	}

	// Another issuer: the API server says so, and nobody need edit the provider.
	c.crashAPIServer(t)
	c.env.ControlPlane.APIServer.Configure().Set("service-account-issuer", "https://cluster.example.com/second")
	c.startAPIServer(t)
	a.renew(t, c, ns)
	third := c.accountToken(t, ns, "cart", "orders")
	a.waitReason(t, c, "/", third, "Allowed")
	if got := a.reason(t, "/", second); got != "UntrustedIssuer" {
		t.Errorf("what the issuer before has issued: %s", got)
	}
	// One that is written down is then another cluster's.
	c.apply(t, ns, strings.Replace(strings.Split(accountsProvider, "\n---\n")[0], "spec:\n", "spec:\n  issuer: https://cluster.example.com/first\n", 1))
	if got := c.waitCondition(t, provider, "KeysReady", "KeysUnavailable"); !strings.Contains(got.Message, `the API server says "https://cluster.example.com/second"`) {
		t.Errorf("KeysReady says %q", got.Message)
	}
	a.waitReason(t, c, "/", third, "NotCompiled")
}

// changeSigningKey gives the API server, which is not running, another key for tokens.
func (c *cluster) changeSigningKey(t *testing.T) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		"sa-signer.key": {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)},
		"sa-signer.crt": {Type: "PUBLIC KEY", Bytes: public},
	} {
		if err := os.WriteFile(filepath.Join(c.dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKeysOfServiceAccountsNeedARight: what the keeper says of a user whom the API server does not let read them.
func TestKeysOfServiceAccountsNeedARight(t *testing.T) {
	c := sharedCluster(t)
	user, err := c.env.AddUser(envtest.User{Name: "nobody"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	keeper, err := idp.New(idp.Config{APIServer: apiServerOf(t, user.Config())})
	if err != nil {
		t.Fatal(err)
	}
	defer keeper.Close()
	p := &token.Provider{Name: "p", Remote: &token.Remote{Kubernetes: true, Issuer: "https://a", StaleFor: time.Hour}}
	keeper.Sync([]*token.Provider{p})
	if err := keeper.WaitTried(t.Context()); err != nil {
		t.Fatal(err)
	}
	var failed *idp.FetchError
	if s := keeper.Status(p); s.Reason != idp.Forbidden || !errors.As(s.Err, &failed) {
		t.Errorf("status %+v", s)
	}
}
