package docs_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/sallyport/sallyport/extauthz"
	"github.com/sallyport/sallyport/extauthz/idp"
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// TestOpaqueTokensOfThePage serves the objects of the page, and sends a request for each row of its table to a provider that
// answers so. The provider is on this machine, and serves plain http.
func TestOpaqueTokensOfThePage(t *testing.T) {
	const page = "docs/opaque-tokens.md"
	var answer atomic.Pointer[string]
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if r.URL.Path == "/realms/corp/.well-known/openid-configuration" {
			_, _ = w.Write([]byte(`{"issuer":"http://` + r.Host + `/realms/corp","introspection_endpoint":"http://` + r.Host + `/introspect"}`))
			return
		}
		if r.URL.Path != "/introspect" || user != "sallyport" || password != "s3cret" || r.FormValue("token") == "" {
			t.Errorf("%s %s by %q for %q", r.Method, r.URL, user, r.FormValue("token"))
		}
		_, _ = w.Write([]byte(*answer.Load()))
	}))
	defer provider.Close()
	objects := blocksOf(t, page)[0].text
	objects = strings.Replace(objects, "issuer: https://id.example.com", "allowHTTP: true\n  issuer: "+provider.URL, 1)
	objects = strings.Replace(objects, "cacheTTL:", "timeout: 5s\n    cacheTTL:", 1) // the machine may be busy
	snapshot := new(atomic.Pointer[policy.Snapshot])
	snapshot.Store(compileText(t, objects))
	introspector, err := idp.NewIntrospector(idp.IntrospectorConfig{AllowLoopback: true, CacheBytes: idp.DefaultAnswerBytes})
	if err != nil {
		t.Fatal(err)
	}
	defer introspector.Close()
	introspector.Sync(snapshot.Load().Providers())
	if err := introspector.WaitTried(t.Context()); err != nil {
		t.Fatal(err)
	}
	verifier, err := token.NewVerifier(token.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server, err := extauthz.New(extauthz.Config{Snapshot: snapshot, Verifier: verifier, Introspector: introspector, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	rows := rowsUnder(t, page, "answer of the provider")
	for i, row := range rows {
		t.Run(row[0], func(t *testing.T) {
			text := code(row[0])
			answer.Store(&text)
			out, err := server.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
				Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
					Method: "GET", Scheme: "https", Host: "orders.example.com", Path: "/v1/orders",
					Headers: map[string]string{"authorization": "Bearer token-" + strings.Repeat("x", i)},
				}},
			}})
			if err != nil {
				t.Fatal(err)
			}
			status := "200"
			if denied := out.GetDeniedResponse(); denied != nil {
				status = denied.GetStatus().GetCode().String()
				status = map[string]string{"Unauthorized": "401", "Forbidden": "403", "ServiceUnavailable": "503"}[status]
			}
			if reason := out.GetDynamicMetadata().GetFields()["reason"].GetStringValue(); status != row[1] || reason != code(row[2]) {
				t.Errorf("%s %s, want %s %s", status, reason, row[1], row[2])
			}
		})
	}
	if len(rows) < 8 {
		t.Errorf("only %d rows", len(rows))
	}
}
