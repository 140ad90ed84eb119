package policy_test

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// costly is a policy with every kind of pattern and requirement that a request meets.
const costly = `
spec:
  hosts: [orders.example.com, "*.example.com"]
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  paths: {encodedSlash: Keep, semicolon: Strip}
  rules:
  - {name: prefix, matches: [{path: {value: /v1}, queryParams: [{name: a, value: b}], headers: [{name: x, value: y}]}, {path: {value: /v1}}], require: {scopes: [read]}}
  - {name: segment, matches: [{path: {type: Template, value: "/users/{user:[a-z]+}/**"}}], require: {claims: [{claim: sub, operator: In, values: ["{user}"]}]}}
  - {name: other, matches: [{path: {type: Template, value: "/users/{user:.{1,40}}/**"}}], require: {claims: [{claim: sub, operator: Matches, values: ["[a-z]+"]}]}}
  - {name: cel, matches: [{path: {value: /cel}}], require: {expressions: [{expression: "request.path.startsWith('/cel') && request.headers.exists(h, h == 'x')"}]}}
  - {name: from, matches: [{path: {value: /from}}], from: {principals: ["spiffe://a/ns/b/sa/*"]}, access: Authenticated}
`

func costlySnapshot(t testing.TB) *policy.Snapshot {
	t.Helper()
	p := &v1alpha1.AuthPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "shop"}}
	idp := &v1alpha1.ClusterIdentityProvider{ObjectMeta: metav1.ObjectMeta{Name: "corp"}}
	for text, into := range map[string]any{costly: p, "spec: {issuer: https://id.example.com, audiences: [a]}": idp} {
		if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	s, report := new(policy.Compiler).Compile(policy.Objects{
		AuthPolicies: []*v1alpha1.AuthPolicy{p}, ClusterIdentityProviders: []*v1alpha1.ClusterIdentityProvider{idp},
	}, policy.Options{})
	if report.Errors() > 0 {
		t.Fatalf("%+v", report)
	}
	return s
}

// judge takes a request the whole way, with a token that has what the rules want.
func judge(s *policy.Snapshot, in policy.Input) (policy.Decision, bool) {
	req, reason := policy.NewRequest(in)
	if reason != "" {
		return policy.Decision{}, false
	}
	land := s.Lookup(req)
	facts := func(trusted []*token.Provider) policy.Facts {
		f := policy.Facts{Now: time.Unix(1_800_000_000, 0)}
		if len(trusted) > 0 {
			f.Identity, f.Err = token.NewIdentity(trusted[0], token.Claims{
				"iss": trusted[0].Issuer, "sub": "alice", "aud": trusted[0].Audiences[0], "scope": "read", "exp": json.Number("1800000300"),
			}, f.Now)
		}
		return f
	}
	return land.Decide(facts(land.Enforced.Trusted()), facts(land.DryRun.Trusted())), true
}

// FuzzRequestCost states the law of requests: whatever a client writes into host, path, query and headers, to judge it
// takes at most 100 times the memory that a typical request takes. And what is allowed with one more query parameter or
// header of the client's own making is allowed without, unless a rule names it: nothing that is added opens a door.
func FuzzRequestCost(f *testing.F) {
	s := costlySnapshot(f)
	cost := func(in policy.Input) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		judge(s, in)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	input := func(host, path, name, value string) policy.Input {
		return policy.Input{Method: "GET", Scheme: "https", Host: host, Path: path, Headers: policy.Fields{{Name: name, Value: value}}, SourcePrincipal: value}
	}
	usual := input("orders.example.com", "/cel/1?a=b", "x", "y")
	cost(usual)
	typical := cost(usual)
	f.Add("orders.example.com", "/v1?a=b", "x", "y")
	f.Add("orders.example.com", "/users/alice/"+strings.Repeat("a/", 120), "x", "y")
	f.Add("orders.example.com", "/users/"+strings.Repeat("%C3%A9", 1300), "x", "y")
	f.Add("orders.example.com", "/v1?"+strings.Repeat("%61&", 20000), "x", strings.Repeat("y,", 40000))
	f.Add("x.example.com", "/v1/"+strings.Repeat("a;b", 2000), "x", "spiffe://a/ns/b/sa/c")
	f.Add("orders.example.com.:443", "/cel/"+strings.Repeat("a%2Fb/", 100), strings.Repeat("h", 90000), "y")
	f.Add(strings.Repeat("a.", 120)+"example.com", "/from/", "x", strings.Repeat("/", 90000))
	f.Fuzz(func(t *testing.T, host, path, name, value string) {
		in := input(host, path, name, value)
		if c := cost(in); c > 100*typical {
			t.Errorf("%d bytes, of which a typical request takes %d", c, typical)
		}
		with, ok := judge(s, in)
		if !ok || !with.Allow || name == "x" || strings.Contains(path, "a=b") {
			return
		}
		bare := in
		bare.Headers = nil
		bare.Path, _, _ = strings.Cut(path, "?")
		if without, ok := judge(s, bare); !ok || !without.Allow {
			t.Errorf("%s%s is allowed (%s) with a query and a header that no rule names, and without them %s", host, path, with.Rule, without.Reason)
		}
	})
}
