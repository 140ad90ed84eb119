package chart_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// accountsPage is the page whose objects and table this is about.
const accountsPage = root + "/docs/serviceaccount-tokens.md"

// TestServiceAccountTokensOfThePage plays docs/serviceaccount-tokens.md with a pod that has the rights of its own
// ServiceAccount, in a cluster where not every one of them may read who issues tokens.
func TestServiceAccountTokensOfThePage(t *testing.T) {
	binary := sallyport(t)
	c := startCluster(t)
	everybody := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "system:service-account-issuer-discovery"}}
	// The API server makes it a moment after it is ready, and again when it starts.
	eventually(t, "nobody may read the issuer", func() bool { return c.Delete(t.Context(), everybody.DeepCopy()) == nil })
	c.helm(t, "install", "sallyport", chartDir, "--create-namespace")
	objects, rows := accountsOfThePage(t)
	for _, document := range strings.Split(objects, "---\n") {
		c.applyObject(t, document)
	}
	c.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "infra"}})
	p := startPod(t, c, binary, containerOf(t, template(t)).Args)

	p.eventually(t, "the status says which right is missing", func(ctx context.Context) bool {
		ready := c.keysReady(ctx)
		return ready != nil && ready.Status == metav1.ConditionFalse && strings.Contains(ready.Message, "serviceAccountTokens")
	})
	if got := p.check(t, "GET", "/v1/orders", "x"); got != "403 NotCompiled" {
		t.Errorf("without the right: %s", got)
	}
	c.helm(t, "upgrade", "sallyport", chartDir, "--set=serviceAccountTokens=true")
	p.eventually(t, "there are keys", func(ctx context.Context) bool {
		ready := c.keysReady(ctx)
		return ready != nil && ready.Status == metav1.ConditionTrue
	})
	for _, row := range rows {
		method, path, _ := strings.Cut(row[2], " ")
		if got := p.check(t, method, path, c.accountToken(t, row[0], row[1])); got != row[3]+" "+row[4] {
			t.Errorf("%q: %s", row, got)
		}
	}
	if len(rows) < 8 {
		t.Errorf("only %d rows", len(rows))
	}
	p.stop(t)
}

// accountsOfThePage are the objects of the page, and the rows of its first table without backquotes.
func accountsOfThePage(t *testing.T) (objects string, rows [][]string) {
	t.Helper()
	content, err := os.ReadFile(accountsPage)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(content), "```yaml\n")
	objects, rest, _ = strings.Cut(rest, "```\n")
	_, table, found := strings.Cut(rest, "| ServiceAccount | audience of its token | request | status | reason |\n|---|---|---|---|---|\n")
	if !found {
		t.Fatal("the page has no table")
	}
	for line := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(strings.ReplaceAll(strings.Trim(line, "| "), "`", ""), " | ")
		if len(cells) != 5 {
			break
		}
		rows = append(rows, cells)
	}
	return objects, rows
}

func (c cluster) create(t *testing.T, o client.Object) {
	t.Helper()
	if err := c.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// keysReady is that condition of the page's provider; nil where it is not written yet.
func (c cluster) keysReady(ctx context.Context) *metav1.Condition {
	var provider v1alpha1.ClusterIdentityProvider
	if err := c.Get(ctx, client.ObjectKey{Name: "cluster"}, &provider); err != nil {
		return nil
	}
	return meta.FindStatusCondition(provider.Status.Conditions, v1alpha1.ConditionKeysReady)
}

// accountToken is the token of a ServiceAccount, namespace/name, for an audience; both in the words of the page.
func (c cluster) accountToken(t *testing.T, account, audience string) string {
	t.Helper()
	namespace, name, ok := strings.Cut(account, "/")
	if !ok {
		return foreignToken(t, audience)
	}
	of := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := c.Create(t.Context(), of.DeepCopy()); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	request := &authenticationv1.TokenRequest{}
	if audience != "that of the API server" {
		request.Spec.Audiences = []string{audience}
	}
	if err := c.SubResource("token").Create(t.Context(), of, request); err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

// foreignToken is what another cluster's ServiceAccount of the same name would show.
func foreignToken(t *testing.T, audience string) string {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": "https://kubernetes.default.svc.cluster.local", "aud": []string{audience}, "exp": time.Now().Add(time.Hour).Unix(),
		"sub":           "system:serviceaccount:shop:cart",
		"kubernetes.io": map[string]any{"namespace": "shop", "serviceaccount": map[string]any{"name": "cart", "uid": "1"}},
	}).SignedString(private)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// check is status and reason of the answer to a Check of the page's host.
func (p *pod) check(t *testing.T, method, path, token string) string {
	t.Helper()
	conn, err := grpc.NewClient(p.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	resp, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: method, Host: "orders.internal.example.com", Path: path, Scheme: "http",
			Headers: map[string]string{"authorization": "Bearer " + token},
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	status := http.StatusOK
	if denied := resp.GetDeniedResponse(); denied != nil {
		status = int(denied.GetStatus().GetCode())
	}
	return fmt.Sprintf("%d %s", status, resp.GetDynamicMetadata().GetFields()["reason"].GetStringValue())
}
