package chart_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/cmd/demo"
)

// policies are what docs/envoy-gateway.md has users apply: the grant of a host, a provider, and a policy.
const policies = "examples/envoy-gateway-securitypolicy/sallyport.yaml"

// TestFirstHour is the story of a user's first hour, told with the real parts: helm, an API server, the pods with the
// rights of their ServiceAccount, an identity provider, an Envoy and the application behind it.
func TestFirstHour(t *testing.T) {
	h := newHour(t)

	// Install it. Nothing is let in before a policy says so.
	h.helm(t, "install", "sallyport", chartDir, "--create-namespace", "--set=allowLoopbackProviders=true")
	h.roll(t)
	h.check(t, []request{{name: "no policy yet", path: "/healthz", status: 403, reason: "NoPolicy"}})

	// Apply the example, with the identity provider in the place of the one that it names.
	h.apply(t, policies)
	h.becomes(t, "the policy is in force", request{path: "/healthz", status: 200})
	h.check(t, h.requests(t))
	h.shows(t, "authpolicies", `orders ["orders.example.com"] 2 True True`)
	h.shows(t, "clusteridentityproviders", "corp "+h.issuer.URL()+" True True")

	// Edit the policy: the verdict on one and the same request is another one.
	reader := request{path: "/v1/orders", token: h.token(t, map[string]any{"scope": "orders.read"}), status: 200}
	h.becomes(t, "the reader is let in", reader)
	h.apply(t, policies, "scopes: [orders.read]", "scopes: [orders.audit]")
	h.becomes(t, "the edit is enforced", reader.refused(403, "InsufficientScope"))

	// Make a mistake: the door closes, and kubectl get says that something is wrong.
	h.apply(t, policies, "require: {scopes: [orders.read]}", "require: {expressions: [{expression: claims.}]}")
	h.becomes(t, "what does not compile refuses", reader.refused(403, "NotCompiled"))
	h.shows(t, "authpolicies", `orders ["orders.example.com"] 1 False False`)

	// Mend it.
	h.apply(t, policies)
	h.becomes(t, "the mended policy is in force", reader)
	h.shows(t, "authpolicies", `orders ["orders.example.com"] 2 True True`)

	// Upgrade, while requests flow: not one is refused.
	flowing := h.flow(t, reader)
	h.helm(t, "upgrade", "sallyport", chartDir, "--reset-then-reuse-values", "--set=log.level=debug,webhook.enabled=true")
	h.roll(t)
	if n := flowing(); n < 100 {
		t.Errorf("only %d requests flowed during the upgrade", n)
	}
	h.check(t, h.requests(t))
	h.checkLogs(t)
	eventually(t, "Sallyport has written what is its own", func() bool {
		left := h.left(t)
		return slices.Contains(left, "ConfigMap sallyport-keys with 1") && slices.Contains(left, "Secret sallyport-webhook with 3")
	})

	// Remove it. The policies stay, nothing else does, and Envoy lets nobody in.
	h.helm(t, "uninstall", "sallyport")
	h.stop(t)
	if left := h.left(t); len(left) > 0 {
		t.Errorf("the uninstall leaves %q", left)
	}
	h.shows(t, "authpolicies", `orders ["orders.example.com"] 2 True True`)
	h.check(t, []request{{name: "nobody to ask", path: "/v1/orders", token: reader.token, status: 503}})
}

// requests are what the policy of the example is about.
func (h *hour) requests(t *testing.T) []request {
	t.Helper()
	stranger, err := demo.StartIssuer()
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	scope := map[string]any{"scope": "orders.read orders.write"}
	foreign, err := stranger.Token(map[string]any{"sub": "alice", "aud": "orders-api", "scope": "orders.read"})
	if err != nil {
		t.Fatal(err)
	}
	return []request{
		{name: "public", path: "/healthz", header: http.Header{"X-User": {"root"}}, status: 200},
		{name: "scope", path: "/v1/orders", token: h.token(t, scope), status: 200, user: "alice"},
		{name: "below the prefix", path: "/v1/orders/7?token=x", token: h.token(t, scope), status: 200, user: "alice"},
		{name: "no token", path: "/v1/orders", status: 401, reason: "MissingToken"},
		{name: "no such scope", path: "/v1/orders", token: h.token(t, map[string]any{"scope": "profile"}), status: 403, reason: "InsufficientScope"},
		{name: "another audience", path: "/v1/orders", token: h.token(t, map[string]any{"aud": "billing-api"}), status: 401, reason: "InvalidAudience"},
		{name: "expired", path: "/v1/orders", token: h.token(t, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), status: 401, reason: "TokenExpired"},
		{name: "another issuer", path: "/v1/orders", token: foreign, status: 401, reason: "UntrustedIssuer"},
		{name: "another method", method: http.MethodPost, path: "/v1/orders", token: h.token(t, scope), status: 403, reason: "NoRule"},
		{name: "another path", path: "/admin", token: h.token(t, scope), status: 403, reason: "NoRule"},
		{name: "a slash in disguise", path: "/v1%2Forders", token: h.token(t, scope), status: 400, reason: "AmbiguousRequest"},
	}
}

// apply does what kubectl apply --server-side does with a file of examples, once the identity provider stands in it in
// the place of the one that it names, and other texts are replaced.
func (h *hour) apply(t *testing.T, file string, replace ...string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	replace = append(replace, "https://id.example.com/realms/corp", h.issuer.URL()+"\n  allowHTTP: true")
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(string(content), replace[i]) {
			t.Fatalf("%s has no %q", file, replace[i])
		}
	}
	for _, document := range strings.Split(strings.NewReplacer(replace...).Replace(string(content)), "\n---\n") {
		h.applyObject(t, document)
	}
}
