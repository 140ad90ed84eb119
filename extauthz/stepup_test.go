package extauthz

import (
	"encoding/json"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// TestStepUpChallenge compares with the examples of RFC 9470 §3, and shows that nothing breaks out of a parameter.
func TestStepUpChallenge(t *testing.T) {
	for _, tt := range []struct {
		name    string
		require string
		want    map[string]string
	}{
		{"acr", `{acr: [myACR]}`, map[string]string{"acr_values": "myACR"}},
		{"max age", `{maxAge: 5s}`, map[string]string{"max_age": "5"}},
		{"both, in order", `{acr: [urn:b, a], maxAge: 1h}`, map[string]string{"acr_values": "urn:b a", "max_age": "3600"}},
		{"letters to escape", `{acr: ['a"b\c', 'd, error="x"']}`, nil},
		{"letters to escape, without spaces", `{acr: ['a"b\c', 'd,error="x"']}`, map[string]string{"acr_values": `a"b\c d,error="x"`}},
		{"amr has no parameter", `{amr: [otp]}`, map[string]string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := check{decision: decideStepUp(t, tt.require)}
			out := c.response().GetDeniedResponse()
			h := headersOf(t, out.GetHeaders())["www-authenticate"]
			if tt.want == nil {
				if out.GetStatus().GetCode() != 403 || h != "" {
					t.Fatalf("a rule that does not compile answers %d %s", out.GetStatus().GetCode(), h)
				}
				return
			}
			tt.want["error"] = "insufficient_user_authentication"
			if d := cmp.Diff(tt.want, parseBearer(t, h)); d != "" || out.GetStatus().GetCode() != 401 {
				t.Errorf("%d %s", out.GetStatus().GetCode(), d)
			}
		})
	}
}

// decideStepUp is the decision of a rule that asks for this, on a token that has nothing of it.
func decideStepUp(t *testing.T, stepUp string) policy.Decision {
	t.Helper()
	snap, _ := compileText(t, `
kind: ClusterIdentityProvider
metadata: {name: corp}
spec: {issuer: "https://id.example.com", audiences: [api]}
---
kind: AuthPolicy
metadata: {name: p, namespace: shop}
spec:
  hosts: [a.com]
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  rules: [{name: all, require: {stepUp: `+stepUp+`}}]
`, policy.Options{})
	req, reason := policy.NewRequest(policy.Input{Method: "GET", Scheme: "https", Host: "a.com", Path: "/"})
	if reason != "" {
		t.Fatal(reason)
	}
	l := snap.Lookup(req)
	f := policy.Facts{Now: worldNow}
	if trusted := l.Enforced.Trusted(); trusted != nil {
		f.Identity, f.Err = token.NewIdentity(trusted[0], token.Claims{
			"iss": "https://id.example.com", "aud": "api", "sub": "a", "exp": json.Number("1900000000"),
		}, worldNow)
	}
	return l.Decide(f, policy.Facts{Now: worldNow})
}

// TestStepUpRedirect: a browser goes to the login only where the policy says that it hands on what is asked for.
func TestStepUpRedirect(t *testing.T) {
	for _, tt := range []struct {
		name   string
		look   policy.Redirect
		reason policy.Reason
		want   string // query of the login; "-": no redirect
	}{
		{"not said", policy.Redirect{URL: "https://l/?a=b", ReturnParameter: "rd"}, policy.ReasonInsufficientUserAuthentication, "-"},
		{"said", policy.Redirect{URL: "https://l/?a=b", ReturnParameter: "rd", StepUp: true}, policy.ReasonInsufficientUserAuthentication, "a=b&acr_values=urn%3Ab+a&max_age=60&rd=https%3A%2F%2Fa.com%2Fx"},
		{"said, and another reason", policy.Redirect{URL: "https://l/?a=b", ReturnParameter: "rd", StepUp: true}, policy.ReasonTokenExpired, "a=b&rd=https%3A%2F%2Fa.com%2Fx"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := policy.Input{Method: "GET", Scheme: "https", Host: "a.com", Path: "/x"}
			req, reason := policy.NewRequest(in)
			if reason != "" {
				t.Fatal(reason)
			}
			c := check{req: req, decision: refuse(tt.reason)}
			c.input = in
			c.decision.Refusal = &policy.Refusal{Redirect: &tt.look}
			if tt.reason == policy.ReasonInsufficientUserAuthentication {
				c.decision.StepUp = decideStepUp(t, `{acr: [urn:b, a], maxAge: 1m}`).StepUp
			}
			out := c.response().GetDeniedResponse()
			u, err := url.Parse(headersOf(t, out.GetHeaders())["location"])
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "-" {
				if u.String() != "" || out.GetStatus().GetCode() != 401 {
					t.Errorf("got %d, %s", out.GetStatus().GetCode(), u)
				}
				return
			}
			if u.RawQuery != tt.want || out.GetStatus().GetCode() != 302 {
				t.Errorf("got %d, %s", out.GetStatus().GetCode(), u.RawQuery)
			}
		})
	}
}
