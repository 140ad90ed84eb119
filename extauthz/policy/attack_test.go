package policy

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/token"
)

// This file holds what an attacker, or a slip of an author, made the engine say once, and that it says no more.

// twoRules are a policy each for the header and the cookie of their providers; both rules decide /acme/admin.
const twoRules = `
kind: IdentityProvider
metadata: {name: web}
spec: {issuer: https://web.example.com, audiences: [a], tokenSources: [{cookie: {name: session}}]}
---
kind: IdentityProvider
metadata: {name: api}
spec: {issuer: https://api.example.com, audiences: [a]}
---
kind: AuthPolicy
metadata: {name: p}
spec:
  hosts: [a.com]
  identityProviders: [{name: web}, {name: api}]
  rules:
  - {name: either, matches: [{path: {type: Template, value: "/{tenant}/admin"}}], access: Optional}
  - {name: api, matches: [{path: {value: /acme}}], identityProviders: [api], access: Optional}
  - {name: web, matches: [{path: {value: /web}}], identityProviders: [web], access: Optional}
  - {name: web-too, matches: [{path: {type: Template, value: "/{tenant}/admin/web"}}], identityProviders: [web], access: Optional}
---
`

// TestTrustedSees shows that a token which one of two rules would see is seen where both decide: what one of them
// refuses as two tokens, or as a token of nobody, both refuse.
func TestTrustedSees(t *testing.T) {
	s := compile(t, twoRules, Options{})
	for _, tt := range []struct {
		name, path, cookie, authorization string
		want                              string // of token.Extract: "none", "one" or "ambiguous"
	}{
		{name: "nothing", path: "/acme/admin", want: "none"},
		{name: "header", path: "/acme/admin", authorization: "Bearer x", want: "one"},
		{name: "cookie of the provider that one rule believes", path: "/acme/admin", cookie: "session=x", want: "one"},
		{name: "both", path: "/acme/admin", cookie: "session=x", authorization: "Bearer x", want: "ambiguous"},
		{name: "no provider in common, cookie", path: "/acme/admin/web", cookie: "session=x", want: "one"},
		{name: "no provider in common, both", path: "/acme/admin/web", cookie: "session=x", authorization: "Bearer x", want: "ambiguous"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := get("https://a.com" + tt.path)
			for name, value := range map[string]string{"cookie": tt.cookie, "authorization": tt.authorization} {
				if value != "" {
					c = c.header(name, value)
				}
			}
			req, reason := NewRequest(c.Input)
			if reason != "" {
				t.Fatal(reason)
			}
			l := s.Lookup(req)
			cred, err := token.Extract(req, l.Enforced.Trusted())
			got := "none"
			switch {
			case err != nil:
				got = "ambiguous"
			case cred.Raw != "":
				got = "one"
			}
			if got != tt.want {
				t.Errorf("sees %s, want %s", got, tt.want)
			}
		})
	}
}

// TestExpressionsOfStrangers shows what expressions do not see, and do not take for another: pseudo-headers, identities
// of a mesh when nobody said which, and numbers that a double would round.
func TestExpressionsOfStrangers(t *testing.T) {
	const mesh = "spiffe://elsewhere/ns/monitoring/sa/prometheus"
	for _, tt := range []struct {
		name, expression, trust string
		claims                  string
		want                    string
	}{
		{"pseudo-header", `":path" in request.headers`, "", `{"sub":"a"}`, "ExpressionFailed r"},
		{"header", `request.headers["x-a"] == "1" && size(request.headers) == 1`, "", `{"sub":"a"}`, "allow r"},
		{"namespace of any mesh", `source.namespace == "monitoring"`, "", `{"sub":"a"}`, "ExpressionFailed r"},
		{"service account of any mesh", `source.serviceAccount == "prometheus"`, "", `{"sub":"a"}`, "ExpressionFailed r"},
		{"namespace of another mesh", `source.namespace == "monitoring"`, "cluster.local", `{"sub":"a"}`, "ExpressionFailed r"},
		{"namespace of the mesh", `source.namespace == "monitoring"`, "elsewhere", `{"sub":"a"}`, "allow r"},
		{"2^53+1", `claims.n == 9007199254740992`, "", `{"sub":"a","n":9007199254740993}`, "ExpressionFailed r"},
		{"2^63", `claims.n == 9223372036854775808u`, "", `{"sub":"a","n":9223372036854775808}`, "allow r"},
		{"2^63+1", `claims.n == 9223372036854775808u`, "", `{"sub":"a","n":9223372036854775809}`, "ExpressionFailed r"},
		{"2^64+1", `claims.n == 18446744073709551616.0`, "", `{"sub":"a","n":18446744073709551617}`, "ExpressionFailed r"},
		{"2^64+1, itself", `claims.n == claims.m`, "", `{"sub":"a","n":18446744073709551617,"m":18446744073709551617}`, "allow r"},
		{"2^64+1, its neighbour", `claims.n == claims.m`, "", `{"sub":"a","n":18446744073709551617,"m":18446744073709551618}`, "ExpressionFailed r"},
		{"2^64+1, in order", `claims.n > 5`, "", `{"sub":"a","n":18446744073709551617}`, "ExpressionFailed r"},
		{"2^64+1, not another", `claims.n != 5`, "", `{"sub":"a","n":18446744073709551617}`, "allow r"},
		{"2^64+1 in a list", `claims.n == [1]`, "", `{"sub":"a","n":[18446744073709551617]}`, "ExpressionFailed r"},
		{"2^64+1 in an object", `claims.n == {"k": 1}`, "", `{"sub":"a","n":{"k":18446744073709551617}}`, "ExpressionFailed r"},
		{"beyond doubles", `claims.n == 1`, "", `{"sub":"a","n":1e400}`, "ExpressionFailed r"},
		{"beyond doubles, in a list", `claims.n == [1]`, "", `{"sub":"a","n":[1e400]}`, "ExpressionFailed r"},
		{"beyond doubles, in an object", `claims.n == {"k": 1}`, "", `{"sub":"a","n":{"k":1e400}}`, "ExpressionFailed r"},
		{"beyond doubles, in a list of lists", `claims.n == [[1], [2]]`, "", `{"sub":"a","n":[[1e400],[2]]}`, "ExpressionFailed r"},
		{"1e2", `claims.n == 100`, "", `{"sub":"a","n":1e2}`, "allow r"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := compile(t, corp+`
kind: AuthPolicy
metadata: {name: p}
spec:
  hosts: [a.com]
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  rules: [{name: r, require: {expressions: [{expression: '`+tt.expression+`'}]}}]
`, Options{TrustDomain: tt.trust})
			c := get("https://a.com/").with(tt.claims).header(":path", "/").header(":authority", "a.com").header("x-a", "1")
			c.SourcePrincipal = mesh
			if got := said(c.decide(t, s).Verdict); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestDryRunWithoutRules shows that a policy without rules compiles when it is tried out as when it is enforced.
func TestDryRunWithoutRules(t *testing.T) {
	for _, opts := range []Options{{}, {DryRun: true}} {
		s, _ := new(Compiler).Compile(parse(t, "kind: AuthPolicy\nmetadata: {name: p}\nspec: {hosts: [a.com], mode: DryRun, rules: []}\n"), opts)
		d := get("https://a.com/").decide(t, s)
		if d.Reason != ReasonDryRun || d.DryRun == nil || d.DryRun.Reason != ReasonNoRule {
			t.Errorf("%+v: %+v, and would be %+v", opts, d.Verdict, d.DryRun)
		}
	}
}

// TestDryRunChangesNoLook shows that a policy which is tried out beside another does not change what a refusal of the
// host looks like.
func TestDryRunChangesNoLook(t *testing.T) {
	const enforced = `
kind: AuthPolicy
metadata: {name: p}
spec: {hosts: [a.com], denied: {status: 404}, rules: [{name: r, matches: [{path: {value: /x}}], access: Denied}]}
---
`
	s := compile(t, enforced+`
kind: AuthPolicy
metadata: {name: q}
spec: {hosts: [a.com], mode: DryRun, rules: [{name: r, matches: [{path: {value: /y}}], access: Public}]}
`, Options{})
	d := get("https://a.com/").decide(t, s)
	if got := d.Status(); got != 404 {
		t.Errorf("status %d beside a policy that is tried out, 404 without it", got)
	}
}

// TestUnreadableRuleIsNamed shows that the rule is named that closes the host, not one of its policy that is DryRun.
func TestUnreadableRuleIsNamed(t *testing.T) {
	s, _ := new(Compiler).Compile(parse(t, `
kind: AuthPolicy
metadata: {name: p}
spec:
  hosts: [a.com]
  rules:
  - {name: tried, mode: DryRun, matches: [{path: {value: /a/*}}], access: Public}
  - {name: broken, matches: [{path: {value: /b/*}}], access: Public}
`), Options{})
	if got := said(get("https://a.com/").decide(t, s).Verdict); got != "NotCompiled broken" {
		t.Errorf("got %q", got)
	}
}

// TestUpstreamNamesThatAreNone shows that a header which may not be set is not taken from requests either: a policy that
// does not compile, or is only tried out, must not cost an application its Authorization.
func TestUpstreamNamesThatAreNone(t *testing.T) {
	s, _ := new(Compiler).Compile(parse(t, corp+`
kind: AuthPolicy
metadata: {name: p}
spec:
  hosts: [a.com]
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  rules: [{name: r, access: Public}]
  upstream: {headers: [{name: Authorization, claim: sub}, {name: x-user, claim: sub}]}
`), Options{})
	got := get("https://a.com/").header("authorization", "Bearer x").decide(t, s).Remove
	slices.Sort(got)
	if diff := cmp.Diff([]string{"x-user", "x_user"}, got); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
}

// TestUpstreamSpellings shows that of two policies that set one header in two spellings only one does: an application
// that folds them would read either.
func TestUpstreamSpellings(t *testing.T) {
	s := compile(t, corp+`
kind: AuthPolicy
metadata: {name: p}
spec:
  hosts: [a.com]
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  rules: [{name: r, access: Authenticated}]
  upstream: {headers: [{name: x-user, claim: sub}]}
---
kind: AuthPolicy
metadata: {name: q}
spec:
  hosts: [a.com]
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  rules: [{name: r, access: Authenticated}]
  upstream: {headers: [{name: x_user, claim: email}]}
`, Options{})
	d := get("https://a.com/").with(`{"sub":"a","email":"b"}`).header("x_user", "c").decide(t, s)
	if diff := cmp.Diff([]HeaderValue{{"x-user", "a"}}, d.Set); diff != "" {
		t.Errorf("set (-want +got):\n%s", diff)
	}
	if !slices.Contains(d.Remove, "x_user") {
		t.Errorf("removed %q", d.Remove)
	}
}

// TestManyExpressions shows that specificity holds for more expressions than sixteen bits can number.
func TestManyExpressions(t *testing.T) {
	tr := newTree()
	for i := range 1<<16 - int(shapeFirstExpression) {
		tr.expressions[string(rune(i+1<<17))] = shapeFirstExpression + shape(i)
	}
	tr.add(&pattern{segs: []segment{{kind: segmentExpression, text: "a"}}}, entry{})
	if got := tr.root.expressions[0].to.shapes[0].kind(); got != segmentExpression {
		t.Errorf("kind %d", got)
	}
}

// TestUpstreamNumbers shows that a number which CEL cannot hold stands in a header as it does in the token.
func TestUpstreamNumbers(t *testing.T) {
	s := compile(t, corp+`
kind: AuthPolicy
metadata: {name: p}
spec:
  hosts: [a.com]
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  rules: [{name: r, access: Authenticated}]
  upstream: {headers: [{name: x-claim, claim: big}, {name: x-expression, expression: claims.big}]}
`, Options{})
	d := get("https://a.com/").with(`{"sub":"a","big":18446744073709551617}`).decide(t, s)
	want := []HeaderValue{{"x-claim", "18446744073709551617"}, {"x-expression", "18446744073709551617"}}
	if diff := cmp.Diff(want, d.Set); diff != "" {
		t.Errorf("set (-want +got):\n%s", diff)
	}
}
