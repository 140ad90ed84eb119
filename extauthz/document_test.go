package extauthz

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/sallyport/sallyport/extauthz/policy"
)

const resourcePolicies = `
kind: ClusterIdentityProvider
metadata: {name: corp}
spec: {issuer: "https://id.example.com", audiences: [orders-api], algorithms: [ES256], keys: {inline: '%s'}}
---
kind: AuthPolicy
metadata: {name: p, namespace: shop}
spec:
  hosts: [a.com, "*.a.com"]
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  rules:
  - {name: all, access: Authenticated}
  - {name: hidden, matches: [{path: {value: /hidden}}], access: Denied, denied: {status: 404}}
  - {name: roles, matches: [{path: {value: /denied}}], access: Denied}
  - {name: loud, matches: [{path: {value: /loud}}], access: Denied, denied: {status: 401}}
  denied:
    headers: [{name: x-help, value: ask}, {name: cache-control, value: private}]
    body: {type: Text, text: nope}
    status: 401
    unauthenticated: {status: 401, redirect: {url: "https://login.example.com/"}}
    resourceMetadata: {resources: ["https://a.com", "https://a.com:8443/x", "https://a.com/x/y", "https://z.a.com/only"]}
---
kind: AuthPolicy
metadata: {name: tied, namespace: shop}
spec:
  hosts: [a.com]
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  rules: [{name: tied, matches: [{path: {type: Exact, value: /.well-known/oauth-protected-resource/x/y}, methods: [GET, HEAD]}], access: Optional}]
`

// serveDocumented is the answer of a server with the resourcePolicies.
func serveDocumented(t *testing.T, method, url string, headers ...string) (out, denied map[string]string, status, code int32, body string) {
	t.Helper()
	w := newWorld(t, nil)
	snap, report := compileText(t, fmt.Sprintf(resourcePolicies, worldJWKS(t)), policy.Options{})
	for _, o := range report.Objects {
		for _, p := range o.Problems {
			if p.Severity == policy.SeverityError {
				t.Fatal(p)
			}
		}
	}
	w.snapshot.Store(snap)
	r := w.check(t, ask(method, url, headers...))
	d := r.GetDeniedResponse()
	if r.GetOkResponse() != nil {
		t.Fatalf("%s %s went on to the application", method, url)
	}
	return map[string]string{"decision": meta(r, "decision"), "reason": meta(r, "reason"), "rule": meta(r, "rule")},
		headersOf(t, d.GetHeaders()), int32(d.GetStatus().GetCode()), r.GetStatus().GetCode(), d.GetBody()
}

// TestDocument: the metadata is served with nothing that the policy says of refusals, and the request goes no further.
func TestDocument(t *testing.T) {
	for _, method := range []string{"GET", "HEAD"} {
		verdict, h, status, code, body := serveDocumented(t, method, "https://A.com:1/.well-known/oauth-protected-resource/x?q=<script>",
			"accept: text/html", "x-forwarded-host: evil.com", "authorization: Bearer x")
		want := map[string]string{
			"content-type": "application/json", "cache-control": "public, max-age=300", "access-control-allow-origin": "*", "x-content-type-options": "nosniff",
		}
		if d := cmp.Diff(want, h); d != "" || status != 200 || code == int32(codes.OK) {
			t.Errorf("%s: status %d, code %d, headers %s", method, status, code, d)
		}
		if d := cmp.Diff(map[string]string{"decision": "Deny", "reason": "ResourceMetadata", "rule": "resource-metadata"}, verdict); d != "" {
			t.Error(d)
		}
		var doc map[string]any
		if err := json.Unmarshal([]byte(body), &doc); err != nil {
			t.Fatal(err)
		}
		wantDoc := map[string]any{
			"resource": "https://a.com:8443/x", "authorization_servers": []any{"https://id.example.com"}, "bearer_methods_supported": []any{"header"},
		}
		if d := cmp.Diff(wantDoc, doc); d != "" {
			t.Error(d)
		}
	}
}

// TestDocumentBehindAToken: where another rule looks at tokens, the document is not for shared caches.
func TestDocumentBehindAToken(t *testing.T) {
	const url = "https://a.com/.well-known/oauth-protected-resource/x/y"
	for _, header := range []string{"a: b", "authorization: Bearer " + mint(t, nil)} {
		if _, h, status, _, _ := serveDocumented(t, "GET", url, header); status != 200 || h["cache-control"] != "private, max-age=300" {
			t.Errorf("%d %v", status, h)
		}
	}
	if verdict, _, status, _, body := serveDocumented(t, "GET", url, "authorization: Bearer x"); status != 401 || strings.Contains(body, "resource") {
		t.Errorf("%d %v %s", status, verdict, body)
	}
}

// TestResourceMetadataInChallenges: the longest resource of the host is named, and nothing where a status hides.
func TestResourceMetadataInChallenges(t *testing.T) {
	const at = "https://a.com/.well-known/oauth-protected-resource"
	for _, tt := range []struct {
		url, want string // "" for a challenge without it, "-" for no challenge
	}{
		{"https://a.com/", at},
		{"https://a.com/xy", at},
		{"https://a.com/x", "https://a.com:8443/.well-known/oauth-protected-resource/x"},
		{"https://a.com/x/y/z?q", at + "/x/y"},
		{"https://a.com:1/x/yy", "https://a.com:8443/.well-known/oauth-protected-resource/x"},
		{"https://a.com/%78/y", at},
		{"https://z.a.com/", ""},
		{"https://z.a.com/only", "https://z.a.com/.well-known/oauth-protected-resource/only"},
		{"https://b.a.com/", ""},
		{"https://a.com/hidden", "-"},
		{"https://a.com/denied", at},
		{"https://a.com/loud", at},
	} {
		t.Run(tt.url, func(t *testing.T) {
			_, h, _, _, _ := serveDocumented(t, "GET", tt.url)
			value, there := h["www-authenticate"]
			if tt.want == "-" || !there {
				if there != (tt.want != "-") {
					t.Errorf("challenge %q", value)
				}
				return
			}
			if got := parseBearer(t, value)["resource_metadata"]; got != tt.want || tt.want == "" && strings.Contains(value, "resource_metadata") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
