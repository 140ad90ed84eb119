package policy

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// TestProviderIsKept shows that a provider which is read again, and says the same, stays the one that others know, and that
// one which says something else does not.
func TestProviderIsKept(t *testing.T) {
	c := new(Compiler)
	first, _ := c.Compile(parse(t, corp), Options{})
	again, _ := c.Compile(parse(t, corp), Options{})
	if first.Providers()[0] != again.Providers()[0] {
		t.Error("the same provider, read again, is another one")
	}
	other, _ := c.Compile(parse(t, strings.Replace(corp, "orders-api", "bills-api", 1)), Options{})
	if p := other.Providers()[0]; p == first.Providers()[0] || !slices.Equal(p.Audiences, []string{"bills-api"}) {
		t.Errorf("audiences %q, kept %t", p.Audiences, p == first.Providers()[0])
	}
}

func TestStats(t *testing.T) {
	s := compile(t, corp+onHost("a", "rules: [{name: a, access: Public}, {name: b, matches: [{path: {value: /b}}], access: Public}]")+onHost("b", "mode: DryRun, rules: [{name: a, access: Public}]")+onHost("c", "mode: DryRun, rules: [{name: c, matches: [{path: {value: /c}}], access: Public}]"), Options{})
	if got, want := s.Stats(), (Stats{Policies: 3, DryRunPolicies: 2, Rules: 4, Hosts: 1, Providers: 1}); got != want {
		t.Errorf("got %+v", got)
	}
}

// TestReportFollows shows that a Compiler that has told of a conflict, or of a target that is missing, tells anew when it
// is over.
func TestReportFollows(t *testing.T) {
	born := func(name, ns, year, spec string) string {
		return strings.Replace(attached(name, ns, spec), "namespace: "+ns, "namespace: "+ns+", creationTimestamp: \""+year+"-01-01T00:00:00Z\"", 1)
	}
	objs := parse(t, born("older", "a", "2024", "hosts: [x.com]")+born("younger", "b", "2026", "hosts: [x.com, y.com]")+born("service", "c", "2026", "targetRefs: [{kind: Service, name: s}]")+"kind: Service\nmetadata: {name: s, namespace: c}\n")
	c := new(Compiler)
	for i, want := range []string{"HostConflict RefNotFound", "Accepted ResolvedRefs", "HostConflict ResolvedRefs"} {
		step := objs
		switch i {
		case 0:
			step.Services = nil
		case 1:
			step.AuthPolicies = step.AuthPolicies[1:]
		}
		_, r := c.Compile(step, Options{})
		if r.Errors() != strings.Count(want, "HostConflict")+strings.Count(want, "RefNotFound") {
			t.Errorf("step %d: %d errors", i, r.Errors())
		}
		var got []string
		for _, o := range r.Objects {
			switch o.Name {
			case "younger":
				got = append(got, meta.FindStatusCondition(o.Conditions, v1alpha1.ConditionAccepted).Reason)
				if fine := len(o.Hosts) == 2; fine != (got[0] == v1alpha1.ReasonAccepted) {
					t.Errorf("step %d: hosts %q", i, o.Hosts)
				}
			case "service":
				got = append(got, meta.FindStatusCondition(o.Conditions, v1alpha1.ConditionResolvedRefs).Reason)
				if there := o.Ancestors[0].Conditions[0].Reason == v1alpha1.ReasonAccepted; there != (got[1] == v1alpha1.ReasonResolvedRefs) {
					t.Errorf("step %d: ancestors %+v", i, o.Ancestors)
				}
			}
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("step %d: %s, want %s", i, got, want)
		}
	}
}

// TestConditionsInOrder shows that the reason of a condition is the gravest, and that overlaps are told in one of their own.
func TestConditionsInOrder(t *testing.T) {
	_, r := new(Compiler).Compile(parse(t, strings.Replace(attached("older", "a", "hosts: [x.com]"), "namespace: a", "namespace: a, creationTimestamp: \"2020-01-01T00:00:00Z\"", 1)+`
kind: AuthPolicy
metadata: {name: p, namespace: b, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  hosts: [x.com, y.com, "z com"]
  rules:
  - {name: left, matches: [{path: {type: Template, value: "/{a}/x"}}], access: Public}
  - {name: right, matches: [{path: {type: Template, value: "/x/{b}"}}], access: Public}
  - {name: get, matches: [{path: {type: Exact, value: /x/y/z}, methods: [GET]}], access: Public}
`), Options{})
	i := slices.IndexFunc(r.Objects, func(o *ObjectReport) bool { return o.Name == "p" })
	accepted := meta.FindStatusCondition(r.Objects[i].Conditions, v1alpha1.ConditionAccepted)
	if lines := strings.Split(accepted.Message, "\n"); accepted.Reason != v1alpha1.ReasonHostConflict || len(lines) != 2 || !strings.HasPrefix(lines[0], "spec.hosts[0]") || !strings.HasPrefix(lines[1], "spec.hosts[2]") {
		t.Errorf("%s: %q", accepted.Reason, accepted.Message)
	}
	overlap := meta.FindStatusCondition(r.Objects[i].Conditions, v1alpha1.ConditionOverlap)
	if overlap == nil || strings.Count(overlap.Message, "overlaps") != 2 || strings.Contains(overlap.Message, "HEAD") || strings.Contains(overlap.Message, "namespace") {
		t.Errorf("%+v", overlap)
	}
}

// TestEveryProblemOfAList shows that what is wrong in one entry of a list hides nothing that is wrong in the next, and
// spoils nothing that is not.
func TestEveryProblemOfAList(t *testing.T) {
	const other = "kind: ClusterIdentityProvider\nmetadata: {name: other}\nspec: {issuer: https://other.example.com, audiences: [orders-api]}\n---\n"
	policy := func(spec string) string {
		return corp + other + "kind: AuthPolicy\nmetadata: {name: p}\nspec: {" + spec + "}\n"
	}
	for _, tt := range []struct {
		name, spec string
		want       []string
	}{
		{"hosts", "hosts: [a b, a.com, c d, a.com], rules: [{name: r, access: Public}]", []string{"spec.hosts[0]", "spec.hosts[2]", "spec.hosts[3]"}},
		{"matches", "hosts: [a.com], rules: [{name: r, access: Public, matches: [{path: {value: x}}, {path: {value: /ok}}, {path: {value: z}}]}]", []string{"spec.rules[0].matches[0].path.value", "spec.rules[0].matches[2].path.value"}},
		{"expressions", `hosts: [a.com], identityProviders: [{kind: ClusterIdentityProvider, name: corp}], rules: [{name: r, require: {expressions: [{expression: "a"}, {expression: "true"}, {expression: "b"}]}}]`, []string{"spec.rules[0].require.expressions[0].expression", "spec.rules[0].require.expressions[2].expression"}},
		{"providers", "hosts: [a.com], identityProviders: [{kind: Provider, name: x}, {kind: ClusterIdentityProvider, name: corp}, {kind: ClusterIdentityProvider, name: corp}, {kind: ClusterIdentityProvider, name: none}], rules: [{name: r, access: Authenticated}]", []string{"spec.identityProviders[0].kind", "spec.identityProviders[2].name", "spec.identityProviders[3].name"}},
		{"a name as long as may be", "hosts: [a.com], rules: [{name: " + strings.Repeat("a", 63) + ", access: Public}]", nil},
		{"a name of one letter more", "hosts: [a.com], rules: [{name: " + strings.Repeat("a", 64) + ", access: Public}]", []string{"spec.rules[0].name"}},
		{"a name that ends with a hyphen", "hosts: [a.com], rules: [{name: a-, access: Public}]", []string{"spec.rules[0].name"}},
		{"a name with a dot", "hosts: [a.com], rules: [{name: a.b, access: Public}]", []string{"spec.rules[0].name"}},
		{"captures of every match", `hosts: [a.com], identityProviders: [{kind: ClusterIdentityProvider, name: corp}], rules: [{name: r, matches: [{path: {type: Template, value: "/a/{u}"}}, {path: {type: Template, value: "/{v}/{u}/x"}}], require: {claims: [{claim: sub, operator: In, values: ["{u}"]}]}}]`, nil},
		{"captures of another match", `hosts: [a.com], identityProviders: [{kind: ClusterIdentityProvider, name: corp}], rules: [{name: r, matches: [{path: {type: Template, value: "/a/{u}"}}, {path: {type: Template, value: "/b/{v}"}}], require: {claims: [{claim: sub, operator: In, values: ["{u}"]}]}}]`, []string{"spec.rules[0].require.claims[0].values[0]"}},
		{"nothing that can be read", "hosts: [a.com], rules: [{name: r, access: Public, matches: [{path: {value: x}}]}]", []string{"spec.rules[0].matches[0].path.value"}},
		{"captures of one match", `hosts: [a.com], identityProviders: [{kind: ClusterIdentityProvider, name: corp}], rules: [{name: r, matches: [{path: {type: Template, value: "/a/{u}"}}, {path: {type: Template, value: "/c/{u}"}}, {path: {type: Template, value: "/b/{v}"}}], require: {claims: [{claim: sub, operator: In, values: ["{u}"]}]}}]`, []string{"spec.rules[0].require.claims[0].values[0]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, r := new(Compiler).Compile(parse(t, policy(tt.spec)), Options{})
			got := problemsOf(r, "p")
			for i := range got {
				if strings.Contains(got[i], ".path.value: ") && !strings.Contains(got[i], `: "x": `) && !strings.Contains(got[i], `: "z": `) {
					t.Errorf("%q does not quote the path", got[i])
				}
				got[i], _, _ = strings.Cut(got[i], ": ")
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("problems at %q, want %q", problemsOf(r, "p"), tt.want)
			}
		})
	}
}

// TestRequireOfPolicy shows that a requirement of the policy that does not compile closes the rules that it is for, and that
// one which compiles closes none.
func TestRequireOfPolicy(t *testing.T) {
	for expression, want := range map[string]string{"claims.x == 1": "allow token", "claims.x +": "NotCompiled token"} {
		s, _ := new(Compiler).Compile(parse(t, corp+onHost("p", `require: {expressions: [{expression: "`+expression+`"}]}, rules: [{name: token, access: Authenticated}, {name: maybe, matches: [{path: {value: /maybe}}], access: Optional}, {name: open, matches: [{path: {value: /open}}], access: Public}]`)), Options{})
		if got := said(get("https://a.com/maybe").decide(t, s).Verdict); got != "Anonymous maybe" {
			t.Errorf("%q: without a token, where none is needed: %q", expression, got)
		}
		if got := said(get("https://a.com/maybe").with(`{"sub":"a","x":1}`).decide(t, s).Verdict); got != strings.Replace(want, "token", "maybe", 1) {
			t.Errorf("%q: with one: %q", expression, got)
		}
		if got := said(get("https://a.com/").with(`{"sub":"a","x":1}`).decide(t, s).Verdict); got != want {
			t.Errorf("%q: got %q, want %q", expression, got, want)
		}
		if got := said(get("https://a.com/open").decide(t, s).Verdict); got != "Public open" {
			t.Errorf("%q: a public rule says %q", expression, got)
		}
	}
}

// TestRuleNarrows shows that a rule believes the providers that it names, wherever they stand in the policy's list.
func TestRuleNarrows(t *testing.T) {
	const other = "kind: ClusterIdentityProvider\nmetadata: {name: other}\nspec: {issuer: https://other.example.com, audiences: [orders-api]}\n---\n"
	s := compile(t, corp+other+"kind: AuthPolicy\nmetadata: {name: p}\nspec: {hosts: [a.com], identityProviders: [{kind: ClusterIdentityProvider, name: corp}, {kind: ClusterIdentityProvider, name: other}], rules: [{name: r, identityProviders: [other], access: Authenticated}]}\n", Options{})
	for issuer, want := range map[string]string{"https://other.example.com": "allow r", "https://id.example.com": "UntrustedIssuer r"} {
		if got := said(get("https://a.com/").with(`{"sub":"a","iss":"`+issuer+`"}`).decide(t, s).Verdict); got != want {
			t.Errorf("%s: got %q, want %q", issuer, got, want)
		}
	}
}

// TestMissingProvider shows that a provider that is missing takes nothing from those behind it in the list.
func TestMissingProvider(t *testing.T) {
	s, _ := new(Compiler).Compile(parse(t, corp+"kind: AuthPolicy\nmetadata: {name: p}\nspec: {hosts: [a.com], identityProviders: [{kind: ClusterIdentityProvider, name: none}, {kind: ClusterIdentityProvider, name: corp}], rules: [{name: r, access: Authenticated}]}\n"), Options{})
	if got := said(get("https://a.com/").with(`{"sub":"a"}`).decide(t, s).Verdict); got != "allow r" {
		t.Errorf("got %q", got)
	}
}

// TestStatus tells the HTTP status of a decision.
func TestStatus(t *testing.T) {
	for _, tt := range []struct {
		name string
		d    Decision
		want int
	}{
		{"allowed", Decision{Verdict: Verdict{Allow: true, Reason: ReasonAllowed}}, 0},
		{"allowed, whatever a refusal would look like", Decision{Verdict: Verdict{Allow: true, Reason: ReasonAllowed}, Refusal: &Refusal{Status: 404}}, 0},
		{"of the reason", Decision{Verdict: Verdict{Reason: ReasonDenied}}, 403},
		{"of the reason, with a look", Decision{Verdict: Verdict{Reason: ReasonMissingToken}, Refusal: &Refusal{Realm: "a"}}, 401},
		{"of the look", Decision{Verdict: Verdict{Reason: ReasonDenied}, Refusal: &Refusal{Status: 404}}, 404},
	} {
		if got := tt.d.Status(); got != tt.want {
			t.Errorf("%s: %d", tt.name, got)
		}
	}
}

// TestParams shows that expressions know the captures of the path by their names.
func TestParams(t *testing.T) {
	s := compile(t, corp+onHost("p", `rules: [{name: r, matches: [{path: {type: Template, value: "/{a}/x/{b}"}}], require: {expressions: [{expression: "params == {'a': claims.a, 'b': claims.b}"}]}}, {name: none, matches: [{path: {value: /none}}], require: {expressions: [{expression: "size(params) == 0"}]}}]`), Options{})
	for path, want := range map[string]string{"/one/x/two": "allow r", "/two/x/one": "ExpressionFailed r", "/none": "allow none"} {
		if got := said(get("https://a.com"+path).with(`{"sub":"s","a":"one","b":"two"}`).decide(t, s).Verdict); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

// TestConflictIsTold names the other namespace, and says why its policy goes first.
func TestConflictIsTold(t *testing.T) {
	for mode, want := range map[string]string{"Enforce": "has an older policy", "DryRun": "has an enforced or older policy"} {
		_, r := new(Compiler).Compile(parse(t, strings.Replace(attached("first", "a", "hosts: ['*.x.com']"), "namespace: a", "namespace: a, creationTimestamp: \"2020-01-01T00:00:00Z\"", 1)+
			strings.Replace(attached("second", "b", "mode: "+mode+", hosts: ['*.x.com', w.x.com]"), "namespace: b", "namespace: b, creationTimestamp: \"2026-01-01T00:00:00Z\"", 1)), Options{})
		if got := problemsOf(r, "second"); len(got) != 2 || !strings.Contains(got[0], `namespace "a" `+want) || !strings.Contains(got[1], `namespace "a" `+want) {
			t.Errorf("%s: %q", mode, got)
		}
	}
}

// TestLongValueIsTold shows that a value is quoted up to 120 bytes.
func TestLongValueIsTold(t *testing.T) {
	for n, want := range map[int]string{120: strings.Repeat("!", 120) + `"`, 121: strings.Repeat("!", 120) + `…"`} {
		_, r := new(Compiler).Compile(parse(t, "kind: AuthPolicy\nmetadata: {name: p}\nspec: {hosts: ['"+strings.Repeat("!", n)+"'], rules: [{name: r, access: Public}]}\n"), Options{})
		if got := problemsOf(r, "p"); !strings.Contains(got[0], `"`+want) {
			t.Errorf("%d bytes: %q", n, got)
		}
	}
}
