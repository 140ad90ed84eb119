package extauthz

import (
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

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

// A refusal whose status a policy has changed tells no nonce, which would say that there is something.
func TestAHiddenRefusalTellsNoNonce(t *testing.T) {
	for _, tc := range []struct {
		reason policy.Reason
		status int32
		want   bool
	}{
		{policy.ReasonProofNonceRequired, 0, true}, {policy.ReasonProofNonceRequired, 404, false},
		{policy.ReasonInsufficientScope, 0, true}, {policy.ReasonInsufficientScope, 404, false}, {policy.ReasonInsufficientScope, 401, true},
	} {
		c := check{nonce: "n", decision: policy.Decision{Verdict: policy.Verdict{Reason: tc.reason}, Refusal: &policy.Refusal{Status: tc.status}}}
		if _, told := headersOf(t, c.response().GetDeniedResponse().GetHeaders())["dpop-nonce"]; told != tc.want {
			t.Errorf("%s with status %d: a nonce %t, want %t", tc.reason, tc.status, told, tc.want)
		}
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
