package extauthz

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// TestRefusalTable holds the table of the design beside that of the code.
func TestRefusalTable(t *testing.T) {
	type row struct {
		status    int32
		code      codes.Code
		challenge string // "" for none
	}
	want := map[policy.Reason]row{}
	for _, r := range []policy.Reason{"InvalidRequest", "AmbiguousRequest", "AmbiguousCredential"} {
		want[r] = row{400, codes.InvalidArgument, `Bearer error="invalid_request"`}
	}
	want["MissingToken"] = row{401, codes.Unauthenticated, `Bearer`}
	for _, r := range []policy.Reason{
		"MalformedToken", "UntrustedIssuer", "AlgorithmNotAllowed", "UnknownKey", "InvalidSignature", "InvalidTokenType",
		"InvalidAudience", "InvalidSubject", "TokenExpired", "TokenNotYetValid", "TokenTooOld", "TokenInactive",
		"TokenRevoked", "SenderNotProven", "ClaimValidationFailed",
	} {
		want[r] = row{401, codes.Unauthenticated, `Bearer error="invalid_token"`}
	}
	// With a proof, which these have, it is DPoP: TestTokensBoundToAKey.
	for _, r := range []policy.Reason{"InvalidProof", "ProofReplayed"} {
		want[r] = row{401, codes.Unauthenticated, `Bearer error="invalid_dpop_proof"`}
	}
	want["ProofNonceRequired"] = row{401, codes.Unauthenticated, `Bearer error="use_dpop_nonce"`}
	want["InsufficientUserAuthentication"] = row{401, codes.Unauthenticated, `Bearer error="insufficient_user_authentication"`}
	want["InsufficientScope"] = row{403, codes.PermissionDenied, `Bearer error="insufficient_scope", scope="a b"`}
	for _, r := range []policy.Reason{"InsufficientClaims", "ExpressionFailed"} {
		want[r] = row{403, codes.PermissionDenied, `Bearer error="insufficient_scope"`}
	}
	for _, r := range []policy.Reason{
		"InvalidScope", "ScopeRequired", "NoPolicy", "NoRule", "Denied", "NotCompiled", "SourceNotAllowed", "UpstreamValueInvalid",
	} {
		want[r] = row{403, codes.PermissionDenied, ""}
	}
	for _, r := range []policy.Reason{"KeysUnavailable", "RevocationsUnavailable", "IntrospectionUnavailable", "ProofStoreUnavailable", "LookupFailed", "Overloaded", "InternalError"} {
		want[r] = row{503, codes.Unavailable, ""}
	}
	allows := []policy.Reason{"Public", "Anonymous", "Allowed", "Preflight", "DryRun"}
	// What Sallyport serves itself has a test of its own.
	reasons := slices.DeleteFunc(policy.Reasons(), func(r policy.Reason) bool { return r == policy.ReasonResourceMetadata })
	for _, r := range reasons {
		t.Run(string(r), func(t *testing.T) {
			w, refuses := want[r]
			if refuses == slices.Contains(allows, r) {
				t.Fatal("neither a reason to allow nor one to refuse, or both")
			}
			if _, inTable := refusals[r]; inTable != refuses {
				t.Fatalf("in the table of refusals: %v", inTable)
			}
			if !refuses {
				return
			}
			c := check{id: "ID", decision: policy.Decision{Verdict: policy.Verdict{Reason: r}, Scopes: []string{"a", "b"}}}
			out := c.response()
			h := headersOf(t, out.GetDeniedResponse().GetHeaders())
			got := row{int32(out.GetDeniedResponse().GetStatus().GetCode()), codes.Code(out.GetStatus().GetCode()), h["www-authenticate"]}
			if d := cmp.Diff(w, got, cmp.AllowUnexported(row{})); d != "" {
				t.Error(d)
			}
			if h[DecisionIDHeader] != "ID" || h["cache-control"] != "no-store" {
				t.Errorf("headers %v", h)
			}
		})
	}
	if len(want)+len(allows) != len(reasons) {
		t.Errorf("%d reasons here, %d in package policy", len(want)+len(allows), len(reasons))
	}
}

// TestCheckRefuses goes the whole way, from the CheckRequest to the answer.
func TestCheckRefuses(t *testing.T) {
	bearer := func(claims jwt.MapClaims) string { return "authorization: Bearer " + mint(t, claims) }
	good := mint(t, nil)
	for _, tt := range []struct {
		name, method, url string
		headers           []string
		reason            string
		status            int32
		challenge         string
	}{
		{"unknown host", "GET", "https://nobody.example.com/", nil, "NoPolicy", 403, ""},
		{"host that is none", "GET", "https://a b/", nil, "InvalidRequest", 400, `Bearer error="invalid_request"`},
		{"no rule", "GET", "https://orders.example.com/nowhere", nil, "NoRule", 403, ""},
		{"ambiguous path", "GET", "https://orders.example.com/healthz/../v1", nil, "AmbiguousRequest", 400, `Bearer realm="shop", error="invalid_request"`},
		{"denied", "GET", "https://orders.example.com/closed", nil, "Denied", 403, ""},
		{"no token", "GET", "https://orders.example.com/v1", nil, "MissingToken", 401, `Bearer realm="shop"`},
		{"two tokens", "GET", "https://orders.example.com/v1?access_token=" + good, []string{"authorization: Bearer " + good}, "AmbiguousCredential", 400, `Bearer realm="shop", error="invalid_request"`},
		{"two fields", "GET", "https://orders.example.com/v1", []string{"authorization: Bearer " + good, "authorization: Bearer " + good}, "AmbiguousCredential", 400, `Bearer realm="shop", error="invalid_request"`},
		{"no JWT", "GET", "https://orders.example.com/v1", []string{"authorization: Bearer x"}, "MalformedToken", 401, `Bearer realm="shop", error="invalid_token"`},
		{"expired", "GET", "https://orders.example.com/v1", []string{bearer(jwt.MapClaims{"exp": 1})}, "TokenExpired", 401, `Bearer realm="shop", error="invalid_token"`},
		{"audience", "GET", "https://orders.example.com/v1", []string{bearer(jwt.MapClaims{"aud": "x"})}, "InvalidAudience", 401, `Bearer realm="shop", error="invalid_token"`},
		{"issuer", "GET", "https://orders.example.com/v1", []string{bearer(jwt.MapClaims{"iss": "https://x"})}, "UntrustedIssuer", 401, `Bearer realm="shop", error="invalid_token"`},
		{"signature", "GET", "https://orders.example.com/v1", []string{"authorization: Bearer " + good[:len(good)-8] + "AAAAAAAA"}, "InvalidSignature", 401, `Bearer realm="shop", error="invalid_token"`},
		{"claim validation", "GET", "https://orders.example.com/v1", []string{bearer(jwt.MapClaims{"sub": "banned"})}, "ClaimValidationFailed", 401, `Bearer realm="shop", error="invalid_token"`},
		{"scope", "GET", "https://orders.example.com/v1", []string{bearer(jwt.MapClaims{"scope": "audit"})}, "InsufficientScope", 403, `Bearer realm="shop", error="insufficient_scope", scope="audit orders.read"`},
		{"role", "GET", "https://orders.example.com/roles", []string{bearer(nil)}, "InsufficientClaims", 403, `Bearer realm="shop", error="insufficient_scope"`},
		{"expression", "GET", "https://orders.example.com/cel", []string{bearer(nil)}, "ExpressionFailed", 403, `Bearer realm="shop", error="insufficient_scope"`},
		{"hidden", "GET", "https://orders.example.com/users/bob", []string{bearer(nil)}, "InsufficientClaims", 404, ""},
		{"hidden, no token", "GET", "https://orders.example.com/users/bob", nil, "MissingToken", 404, ""},
		{"upstream value", "GET", "https://orders.example.com/optional", []string{bearer(jwt.MapClaims{"team": "a\nb"})}, "UpstreamValueInvalid", 403, ""},
		{"keys", "GET", "https://far.example.com/", []string{bearer(jwt.MapClaims{"iss": "https://far.example.com"})}, "KeysUnavailable", 503, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, nil)
			out := w.check(t, ask(tt.method, tt.url, tt.headers...))
			denied := out.GetDeniedResponse()
			h := headersOf(t, denied.GetHeaders())
			if got := meta(out, "reason"); got != tt.reason {
				t.Fatalf("reason %q, want %q", got, tt.reason)
			}
			if got := int32(denied.GetStatus().GetCode()); got != tt.status || h["www-authenticate"] != tt.challenge {
				t.Errorf("got %d %q, want %d %q", got, h["www-authenticate"], tt.status, tt.challenge)
			}
			if id := meta(out, "decisionID"); len(id) < 20 || h[DecisionIDHeader] != id {
				t.Errorf("decision id %q, in the header %q", id, h[DecisionIDHeader])
			}
			if meta(out, "decision") != "Deny" || out.GetStatus().GetCode() == int32(codes.OK) {
				t.Errorf("decision %q, code %d", meta(out, "decision"), out.GetStatus().GetCode())
			}
			for _, secret := range []string{"shop/", meta(out, "rule"), tt.reason} {
				if secret != "" && strings.Contains(denied.GetBody(), secret) {
					t.Errorf("the body tells %q: %s", secret, denied.GetBody())
				}
			}
		})
	}
}

func TestBody(t *testing.T) {
	const grpc = "content-type: application/grpc+proto"
	for _, tt := range []struct {
		name, url, header string
		body, contentType string
	}{
		{"problem", "https://orders.example.com/v1", "a: b", `{"type":"about:blank","title":"Unauthorized","status":401,"decisionID":"ID"}`, "application/problem+json"},
		{"problem of a hidden thing", "https://orders.example.com/users/bob", "a: b", `{"type":"about:blank","title":"Not Found","status":404,"decisionID":"ID"}`, "application/problem+json"},
		{"text", "https://web.example.com/", "a: b", "sign in\n", "text/plain; charset=utf-8"},
		{"empty", "https://far.example.com/", "a: b", "", ""},
		{"no policy", "https://nobody.example.com/", "a: b", `{"type":"about:blank","title":"Forbidden","status":403,"decisionID":"ID"}`, "application/problem+json"},
		{"gRPC", "https://orders.example.com/v1", grpc, "", ""},
		{"gRPC without a subtype", "https://orders.example.com/v1", "content-type: application/grpc", "", ""},
		{"gRPC-Web is HTTP", "https://web.example.com/", "content-type: application/grpc-web", "sign in\n", "text/plain; charset=utf-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, nil)
			out := w.check(t, ask("POST", tt.url, tt.header))
			h := headersOf(t, out.GetDeniedResponse().GetHeaders())
			body := strings.ReplaceAll(out.GetDeniedResponse().GetBody(), meta(out, "decisionID"), "ID")
			if body != tt.body || h["content-type"] != tt.contentType {
				t.Errorf("got %q %q", body, h["content-type"])
			}
			if tt.contentType == "application/problem+json" && !json.Valid([]byte(body)) {
				t.Error("not JSON")
			}
		})
	}
}

func TestRefusalLook(t *testing.T) {
	for _, tt := range []struct {
		name   string
		reason policy.Reason
		look   policy.Refusal
		status int32
		want   map[string]string
	}{
		{"status as in the table keeps the challenge", policy.ReasonMissingToken, policy.Refusal{Status: 401, Realm: "r"}, 401, map[string]string{"www-authenticate": `Bearer realm="r"`}},
		{"another status drops it", policy.ReasonInsufficientScope, policy.Refusal{Status: 404, Realm: "r"}, 404, map[string]string{}},
		{"401 always has one, without a code", policy.ReasonNoRule, policy.Refusal{Status: 401}, 401, map[string]string{"www-authenticate": `Bearer`}},
		{"headers of the policy", policy.ReasonNoRule, policy.Refusal{Headers: []policy.HeaderValue{{Name: "x-help", Value: "h"}, {Name: "cache-control", Value: "private"}}}, 403, map[string]string{"x-help": "h", "cache-control": "private"}},
		{"our own headers stay ours", policy.ReasonNoRule, policy.Refusal{Headers: []policy.HeaderValue{{Name: DecisionIDHeader, Value: "h"}, {Name: "content-type", Value: "a/b"}}}, 403, map[string]string{}},
		{"a status without a name", policy.ReasonNoRule, policy.Refusal{Status: 599, Body: policy.BodyText}, 599, map[string]string{"content-type": "text/plain; charset=utf-8"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := check{id: "ID", decision: policy.Decision{Verdict: policy.Verdict{Reason: tt.reason}, Refusal: &tt.look}}
			out := c.response().GetDeniedResponse()
			want := map[string]string{DecisionIDHeader: "ID", "cache-control": "no-store", "content-type": "application/problem+json"}
			maps.Copy(want, tt.want)
			if d := cmp.Diff(want, headersOf(t, out.GetHeaders())); d != "" || int32(out.GetStatus().GetCode()) != tt.status {
				t.Errorf("status %d, headers %s", out.GetStatus().GetCode(), d)
			}
		})
	}
}

func TestAllowedAnswer(t *testing.T) {
	w := newWorld(t, nil)
	tok := mint(t, jwt.MapClaims{"scope": "audit orders.read"})
	out := w.check(t, ask("GET", "https://orders.example.com/v1?a=1", "authorization: Bearer "+tok, "x-user: root", "x_user: root", "x-team: ops"))
	ok := out.GetOkResponse()
	if ok == nil || out.GetStatus().GetCode() != int32(codes.OK) {
		t.Fatalf("not allowed: %v", out)
	}
	if d := cmp.Diff(map[string]string{"x-user": "alice"}, headersOf(t, ok.GetHeaders())); d != "" {
		t.Error(d)
	}
	removed := slices.Sorted(slices.Values(ok.GetHeadersToRemove()))
	if d := cmp.Diff([]string{"authorization", "x-team", "x_team", "x_user"}, removed); d != "" {
		t.Error(d)
	}
	got := out.GetDynamicMetadata().AsMap()
	id, _ := got["decisionID"].(string)
	want := map[string]any{"decision": "Allow", "reason": "Allowed", "policy": "shop/orders", "rule": "orders", "sub": "alice", "decisionID": id}
	if d := cmp.Diff(want, got); d != "" || len(id) < 20 {
		t.Error(d, id)
	}
}

// TestSnapshotIsNotWritten: Decision.Remove belongs to the snapshot, and one request must not grow it for the next.
func TestSnapshotIsNotWritten(t *testing.T) {
	w := newWorld(t, nil)
	tok := mint(t, nil)
	w.check(t, ask("GET", "https://orders.example.com/healthz", "authorization: Bearer "+tok, "cookie: access_token=x"))
	out := w.check(t, ask("GET", "https://orders.example.com/healthz", "cookie: a=1"))
	if d := cmp.Diff([]string{"x-team", "x-user", "x_team", "x_user"}, slices.Sorted(slices.Values(out.GetOkResponse().GetHeadersToRemove()))); d != "" {
		t.Error(d)
	}
}
