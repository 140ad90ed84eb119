package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// problemsOf are the problems of one object, each as "field: message", warnings with "warning: " in front.
func problemsOf(r Report, name string) []string {
	var out []string
	for _, o := range r.Objects {
		if o.Name != name {
			continue
		}
		for _, p := range o.Problems {
			line := p.Field + ": " + p.Message
			if p.Severity == SeverityWarning {
				line = "warning: " + line
			}
			out = append(out, line)
		}
	}
	return out
}

// TestCompileProblems gives each mistake that an author can make in a rule, with what he is told and what the rule does:
// it claims its routes and refuses them, and the rule beside it works on.
func TestCompileProblems(t *testing.T) {
	for _, tt := range []struct {
		name string
		rule string // of a rule on the prefix /x, in flow style
		want string // part of a problem
		path string // that the rule still claims; /x/1 by default
	}{
		{name: "both access and require", rule: `access: Public, require: {scopes: [a]}`, want: "spec.rules[0]: say exactly one of access and require"},
		{name: "neither", rule: `from: {principals: ["spiffe://a/b"]}`, want: "spec.rules[0]: say exactly one of access and require"},
		{name: "unknown access", rule: `access: Publik`, want: `spec.rules[0].access: "Publik": is not known`},
		{name: "empty require", rule: `require: {}`, want: "spec.rules[0].require: is missing: say what is required"},
		{name: "empty alternative", rule: `require: {anyOf: [{}]}`, want: "spec.rules[0].require.anyOf[0]: is missing"},
		{name: "empty list of alternatives", rule: `require: {scopes: [a], anyOf: []}`, want: "spec.rules[0].require.anyOf: is missing"},
		{name: "scope with a space", rule: `require: {scopes: ["a b"]}`, want: `spec.rules[0].require.scopes[0]: "a b": no token can have it`},
		{name: "unknown operator", rule: `require: {claims: [{claim: sub, operator: Is, values: [a]}]}`, want: `spec.rules[0].require.claims[0].operator: "Is": is not known`},
		{name: "operator without values", rule: `require: {claims: [{claim: sub, operator: In}]}`, want: "spec.rules[0].require.claims[0].values: is missing"},
		{name: "Exists with values", rule: `require: {claims: [{claim: sub, operator: Exists, values: [a]}]}`, want: "spec.rules[0].require.claims[0].values: Exists compares with no values"},
		{name: "claim without a name", rule: `require: {claims: [{claim: "", operator: Exists}]}`, want: "spec.rules[0].require.claims[0].claim: "},
		{name: "capture that nothing captures", rule: `require: {claims: [{claim: sub, operator: In, values: ["{user}"]}]}`, want: `spec.rules[0].require.claims[0].values[0]: "{user}": no path of this rule captures {user}`},
		{name: "brace that is no capture", rule: `require: {claims: [{claim: sub, operator: In, values: ["{a-b}"]}]}`, want: `values[0]: "{a-b}": a brace stands for a capture`},
		{name: "capture in Matches", rule: `matches: [{path: {type: Template, value: "/x/{user}"}}], require: {claims: [{claim: sub, operator: Matches, values: ["{user}"]}]}`, want: "is no capture in a Matches"},
		{name: "expression of Matches", rule: `require: {claims: [{claim: sub, operator: Matches, values: ["("]}]}`, want: `values[0]: "(": error parsing regexp`},
		{name: "CEL that is no CEL", rule: `require: {expressions: [{expression: "claims."}]}`, want: `spec.rules[0].require.expressions[0].expression: "claims.": ERROR`},
		{name: "CEL that is not bool", rule: `require: {expressions: [{expression: "claims.sub"}]}`, want: "must evaluate to bool, but is dyn"},
		{name: "CEL with an unknown variable", rule: `require: {expressions: [{expression: "request.methd == 'GET'"}]}`, want: "undeclared reference"},
		{name: "CEL that could run for long", rule: `require: {expressions: [{expression: "claims.a.all(x, claims.b.all(y, x == y))"}]}`, want: "may cost too much"},
		{name: "provider that the policy does not have", rule: `identityProviders: [partner], access: Authenticated`, want: `spec.rules[0].identityProviders[0]: "partner": is none of spec.identityProviders`},
		{name: "providers on Public", rule: `identityProviders: [corp], access: Public`, want: "access: Public looks at no token"},
		{name: "cidrs and nobody says whose", rule: `from: {cidrs: [10.0.0.0/8]}, access: Public`, want: "--client-address"},
		{name: "cidr that is none", rule: `from: {cidrs: [10.0.0.0]}, access: Public`, want: "must be a range of addresses"},
		{name: "cidr with host bits", rule: `from: {cidrs: [10.1.0.0/8]}, access: Public`, want: "write 10.0.0.0/8"},
		{name: "service account without trust domain", rule: `from: {serviceAccounts: [a/b]}, access: Public`, want: "--trust-domain"},
		{name: "principal that is no URI", rule: `from: {principals: ["prometheus"]}, access: Public`, want: "must be a URI"},
		{name: "principal with part of a segment", rule: `from: {principals: ["spiffe://a/ns/x*"]}, access: Public`, want: "must be a URI"},
		{name: "empty from", rule: `from: {}, access: Public`, want: "spec.rules[0].from: is missing"},
		{name: "bad name", rule: `name: A, access: Public`, want: `spec.rules[0].name: "A": use lower-case letters`},
		{name: "unknown mode", rule: `mode: Dry, access: Authenticated`, want: `spec.rules[0].mode: "Dry": is not known`},
		{name: "method in lower case", rule: `matches: [{path: {value: /x}, methods: [get]}], access: Public`, want: "write GET"},
		{name: "empty list of methods", rule: `matches: [{path: {value: /x}, methods: []}], access: Public`, want: "spec.rules[0].matches[0].methods: is missing"},
		{name: "star for every method", rule: `matches: [{path: {value: /x}, methods: ["*"]}], access: Public`, want: "is no HTTP method"},
		{name: "condition on the host header", rule: `matches: [{path: {value: /x}, headers: [{name: Host, value: a.com}]}], access: Public`, want: "name hosts in spec.hosts"},
		{name: "grpc and methods", rule: `matches: [{grpc: {service: x, method: Pay}, methods: [GET]}], access: Public`, want: "say either grpc, or path and methods", path: "/x/Pay"},
		{name: "empty list of scopes", rule: `require: {scopes: [], roles: [a]}`, want: "spec.rules[0].require.scopes: is missing"},
		{name: "empty list of expressions", rule: `require: {roles: [a], expressions: []}`, want: "spec.rules[0].require.expressions: is missing"},
		{name: "empty list in an alternative", rule: `require: {anyOf: [{roles: [a], claims: []}]}`, want: "spec.rules[0].require.anyOf[0].claims: is missing"},
		{name: "empty list of principals", rule: `from: {principals: [], serviceAccounts: [b]}, access: Public`, want: "spec.rules[0].from.principals: is missing"},
		{name: "empty expression of a path", rule: `matches: [{path: {type: Template, value: "/x/{id:}"}}], access: Public`, want: "an empty expression matches no segment"},
		{name: "method that is none", rule: `matches: [{path: {value: /x}, methods: ["G T"]}], access: Public`, want: "is no HTTP method"},
		{name: "header that is none", rule: `matches: [{path: {value: /x}, headers: [{name: "a b", value: c}]}], access: Public`, want: "is no name of a header"},
		{name: "header expression", rule: `matches: [{path: {value: /x}, headers: [{name: a, type: RegularExpression, value: "("}]}], access: Public`, want: "error parsing regexp"},
		{name: "unknown type of a header match", rule: `matches: [{path: {value: /x}, headers: [{name: a, type: Prefix, value: c}]}], access: Public`, want: "must be Exact or RegularExpression"},
		{name: "query parameter twice", rule: `matches: [{path: {value: /x}, queryParams: [{name: a, value: c}, {name: a, value: d}]}], access: Public`, want: "stands here twice"},
		{name: "expression of a path stands for any segment", rule: `matches: [{path: {type: Template, value: "/x/{a:(}"}}], access: Public`, want: "error parsing regexp"},
		{name: "expression that closes its group", rule: `matches: [{path: {type: Template, value: "/x/{a:b)|(c}"}}], access: Public`, want: "error parsing regexp"},
		{name: "capture twice", rule: `matches: [{path: {type: Template, value: "/x/{a}/{a}"}}], access: Public`, want: `captures "a" twice`, path: "/x/1/2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rule := tt.rule
			if !strings.Contains(rule, "matches:") {
				rule = `matches: [{path: {value: /x}}], ` + rule
			}
			if !strings.Contains(rule, "name: A") {
				rule = `name: broken, ` + rule
			}
			s, r := new(Compiler).Compile(parse(t, corp+`
kind: AuthPolicy
metadata: {name: p}
spec:
  hosts: [a.com]
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  rules:
  - {`+rule+`}
  - {name: fine, matches: [{path: {value: /y}}], access: Public}
`), Options{})
			got := problemsOf(r, "p")
			if !slices.ContainsFunc(got, func(p string) bool { return strings.Contains(p, tt.want) }) {
				t.Errorf("problems %q, want %q", got, tt.want)
			}
			path := tt.path
			if path == "" {
				path = "/x/1"
			}
			d := get("https://a.com"+path).with(`{"sub":"a","scope":"a b"}`).decide(t, s)
			if d.Allow || d.Reason != ReasonNotCompiled {
				t.Errorf("the rule says %q", said(d.Verdict))
			}
			if got := said(get("https://a.com/y").decide(t, s).Verdict); got != "Public fine" {
				t.Errorf("the other rule says %q", got)
			}
		})
	}
}

// TestCompileUnreadable gives paths of which nobody knows what they claim: the hosts of the policy refuse.
func TestCompileUnreadable(t *testing.T) {
	paths := map[string]string{"semicolon that the host strips": "paths: {semicolon: Strip}"}
	for _, tt := range []struct{ name, path, want string }{
		{"no slash in front", `{value: x}`, `must start with "/"`},
		{"dot segment", `{value: /a/../b}`, "no request can have this path"},
		{"empty segment", `{value: /a//b}`, "no request can have this path"},
		{"not encoded", `{value: "/é"}`, "no request can have this path"},
		{"semicolon that the host refuses", `{value: "/a;b"}`, "no request can have this path"},
		{"braces in a prefix", `{value: "/a/{b}"}`, "only in type Template"},
		{"star in a prefix", `{value: "/a/*"}`, `"*" means nothing here`},
		{"star in a template", `{type: Template, value: "/a/*"}`, `"*" means nothing here`},
		{"two stars in the middle", `{type: Template, value: "/**/a"}`, `"*" means nothing here`},
		{"brace open", `{type: Template, value: "/{a"}`, `has a "{" without "}"`},
		{"brace closed", `{type: Template, value: "/a}"}`, `has a "{" without "}"`},
		{"part of a segment", `{type: Template, value: "/a-{b}"}`, "as a whole"},
		{"name that is none", `{type: Template, value: "/{a-b}"}`, "is no name"},
		{"semicolon that the host strips", `{value: "/a;b"}`, "no request can have this path"},
		{"two expressions in one segment", `{type: Template, value: "/a/{b:[a-z]+}{c:[0-9]+}"}`, "as a whole"},
		{"unknown type", `{type: Regex, value: "/a"}`, `type "Regex" is not known`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, r := new(Compiler).Compile(parse(t, corp+`
kind: AuthPolicy
metadata: {name: p}
spec:
  hosts: [a.com]
  `+paths[tt.name]+`
  rules:
  - {name: fine, matches: [{path: {value: /y}}], access: Public}
  - {name: broken, matches: [{path: `+tt.path+`}], access: Public}
---
kind: AuthPolicy
metadata: {name: q}
spec: {hosts: [b.com], rules: [{name: fine, access: Public}]}
`), Options{})
			if got := problemsOf(r, "p"); !slices.ContainsFunc(got, func(p string) bool {
				return strings.HasPrefix(p, "spec.rules[1].matches[0].path.value: ") && strings.Contains(p, tt.want)
			}) {
				t.Errorf("problems %q, want %q", got, tt.want)
			}
			if got := said(get("https://a.com/y").decide(t, s).Verdict); got != "NotCompiled broken" {
				t.Errorf("its host says %q", got)
			}
			if got := said(get("https://b.com/y").decide(t, s).Verdict); got != "Public fine" {
				t.Errorf("another host says %q", got)
			}
		})
	}
}

// TestCompileUnreadableGRPC gives names of gRPC of which nobody knows what they claim. Read as they stand they would
// claim nothing, and leave their requests to looser rules.
func TestCompileUnreadableGRPC(t *testing.T) {
	for _, tt := range []struct{ name, match, want string }{
		{"slash in front", `{grpc: {service: /shop.v1.Checkout, method: Pay}}`, "spec.rules[1].matches[0].grpc.service"},
		{"service and method in one", `{grpc: {service: shop.v1.Checkout/Pay}}`, "spec.rules[1].matches[0].grpc.service"},
		{"star in the service", `{grpc: {service: "shop.*", method: Pay}}`, "spec.rules[1].matches[0].grpc.service"},
		{"star for every method", `{grpc: {service: shop.v1.Checkout, method: "*"}}`, "spec.rules[1].matches[0].grpc.method"},
		{"no service", `{grpc: {service: "", method: Pay}}`, "spec.rules[1].matches[0].grpc.service"},
		{"empty package", `{grpc: {service: "shop..Checkout", method: Pay}}`, "spec.rules[1].matches[0].grpc.service"},
		{"a path beside it", `{grpc: {service: shop.v1.Checkout}, path: {value: /admin}}`, "spec.rules[1].matches[0].grpc"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, r := new(Compiler).Compile(parse(t, `
kind: AuthPolicy
metadata: {name: p}
spec:
  hosts: [a.com]
  rules:
  - {name: fine, access: Public}
  - {name: broken, matches: [`+tt.match+`], access: Denied}
`), Options{})
			if got := problemsOf(r, "p"); !slices.ContainsFunc(got, func(p string) bool { return strings.HasPrefix(p, tt.want+": ") }) {
				t.Errorf("problems %q, want one of %s", got, tt.want)
			}
			for _, path := range []string{"/shop.v1.Checkout/Pay", "/admin"} {
				if got := said(request("POST", "https://a.com"+path).decide(t, s).Verdict); got != "NotCompiled broken" {
					t.Errorf("%s: %q", path, got)
				}
			}
		})
	}
}

// TestCompileReferences gives what a policy may refer to and not get: only rules that need a token refuse.
func TestCompileReferences(t *testing.T) {
	for _, tt := range []struct{ name, objects, refs, want string }{
		{"missing", "", `[{name: none}]`, "there is no IdentityProvider default/none"},
		{"of another kind", "", `[{kind: Issuer, name: none}]`, `"Issuer": is not known`},
		{"none at all", "", `[]`, `rule "token" looks at a token, and nobody says whose`},
		{"not sound itself", "kind: IdentityProvider\nmetadata: {name: none}\nspec: {issuer: 'https://a', audiences: []}\n---\n", `[{name: none}]`, "has problems of its own"},
		{"does not serve the namespace", "kind: ClusterIdentityProvider\nmetadata: {name: none}\nspec: {issuer: 'https://a', audiences: [b], allowedNamespaces: {from: Selector, selector: {matchLabels: {a: b}}}}\n---\n",
			`[{kind: ClusterIdentityProvider, name: none}]`, "does not serve namespace"},
		{"several audiences and none named", "kind: IdentityProvider\nmetadata: {name: none}\nspec: {issuer: 'https://a', audiences: [b, c]}\n---\n", `[{name: none}]`, "has several audiences; name those"},
		{"an audience that is not the provider's", "kind: IdentityProvider\nmetadata: {name: none}\nspec: {issuer: 'https://a', audiences: [b, c]}\n---\n", `[{name: none, audiences: [d]}]`, "is none of the audiences"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, r := new(Compiler).Compile(parse(t, tt.objects+`
kind: AuthPolicy
metadata: {name: p}
spec:
  hosts: [a.com]
  identityProviders: `+tt.refs+`
  rules:
  - {name: token, matches: [{path: {value: /x}}], access: Authenticated}
  - {name: open, matches: [{path: {value: /y}}], access: Public}
`), Options{})
			if got := problemsOf(r, "p"); !slices.ContainsFunc(got, func(p string) bool { return strings.Contains(p, tt.want) }) {
				t.Errorf("problems %q, want %q", got, tt.want)
			}
			if got := said(get("https://a.com/x").with(`{"sub":"a"}`).decide(t, s).Verdict); got != "NotCompiled token" {
				t.Errorf("the rule with a token says %q", got)
			}
			if got := said(get("https://a.com/y").decide(t, s).Verdict); got != "Public open" {
				t.Errorf("the public rule says %q", got)
			}
		})
	}
}

func TestCompileWarnings(t *testing.T) {
	for _, tt := range []struct{ name, rules, want string }{
		{"never matches", `[{name: a, access: Public}, {name: b, matches: [{methods: [GET, HEAD]}], access: Denied}, {name: c, access: Denied}]`, `no request can land on rule "c"`},
		{"never matches, by methods together", `[{name: a, matches: [{methods: [GET]}], access: Public}, {name: b, matches: [{methods: [HEAD]}], access: Public}, {name: c, matches: [{methods: [HEAD, GET]}], access: Denied}]`, `no request can land on rule "c"`},
		{"GET without HEAD", `[{name: a, matches: [{path: {value: /x}, methods: [GET]}], access: Public}]`, `rule "a" takes GET on /x/** and no rule there takes HEAD`},
		{"never matches, behind a rule that is tried out", `[{name: t, mode: DryRun, access: Public}, {name: a, access: Public}, {name: c, access: Denied}]`, `no request can land on rule "c"`},
		{"never matches, by a second match", `[{name: a, matches: [{path: {value: /x}}, {path: {value: /y}}], access: Public}, {name: c, matches: [{path: {value: /y}}], access: Denied}]`, `no request can land on rule "c"`},
		{"never matches, both of its matches", `[{name: a, access: Public}, {name: b, matches: [{path: {value: /y}}], access: Public}, {name: c, matches: [{path: {value: /y}}, {}], access: Denied}]`, `no request can land on rule "c"`},
		{"GET without HEAD, in a second match", `[{name: a, matches: [{path: {value: /x}, methods: [POST]}, {path: {value: /x}, methods: [GET]}], access: Public}]`, `rule "a" takes GET on /x/** and no rule there takes HEAD`},
		{"overlap", `[{name: a, matches: [{path: {type: Template, value: "/{t}/admin"}}], access: Public}, {name: b, matches: [{path: {value: /acme}}], access: Public}]`, `/{t}/admin overlaps /acme/** of rule "b"`},
		{"overlap of expressions", `[{name: a, matches: [{path: {type: Template, value: "/{t:[a-z]+}"}}], access: Public}, {name: b, matches: [{path: {type: Template, value: "/{t:.+}"}}], access: Public}]`, `overlaps`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, r := new(Compiler).Compile(parse(t, "kind: AuthPolicy\nmetadata: {name: p}\nspec: {hosts: [a.com], rules: "+tt.rules+"}\n"), Options{})
			if got := problemsOf(r, "p"); !slices.ContainsFunc(got, func(p string) bool {
				return strings.HasPrefix(p, "warning: ") && strings.Contains(p, tt.want)
			}) {
				t.Errorf("problems %q, want %q", got, tt.want)
			}
			if r.Errors() != 0 {
				t.Errorf("errors %q", problemsOf(r, "p"))
			}
		})
	}
}

func TestCompileIsSilent(t *testing.T) {
	_, r := new(Compiler).Compile(parse(t, orders), Options{})
	if got := problemsOf(r, "orders"); len(got) > 0 {
		t.Errorf("problems %q", got)
	}
	for _, o := range r.Objects {
		for _, c := range o.Conditions {
			if c.Status != metav1.ConditionTrue {
				t.Errorf("%s: %s is %s: %s", o.ObjectRef, c.Type, c.Status, c.Message)
			}
		}
	}
}

// TestNoWarning gives rules that stand beside each other for good reason.
func TestNoWarning(t *testing.T) {
	for _, tt := range []struct{ name, rules string }{
		{"another path", `[{name: a, matches: [{path: {value: /x}}], access: Public}, {name: b, matches: [{path: {value: /y}}], access: Denied}]`},
		{"one of two matches can be reached", `[{name: a, access: Public}, {name: b, matches: [{}, {path: {value: /y}}], access: Denied}]`},
		{"another method", `[{name: a, matches: [{methods: [PUT]}], access: Public}, {name: b, matches: [{methods: [POST, PUT]}], access: Denied}]`},
		{"a header", `[{name: a, matches: [{headers: [{name: x, value: "1"}]}], access: Public}, {name: b, matches: [{headers: [{name: x, value: "2"}]}], access: Denied}]`},
		{"a parameter", `[{name: a, matches: [{queryParams: [{name: x, value: "1"}]}], access: Public}, {name: b, matches: [{queryParams: [{name: y, value: "1"}]}], access: Denied}]`},
		{"a rule that is tried out", `[{name: a, access: Public}, {name: b, mode: DryRun, access: Denied}]`},
		{"HEAD elsewhere", `[{name: a, matches: [{methods: [GET]}], access: Public}, {name: b, matches: [{methods: [HEAD]}], access: Denied}]`},
		{"every method elsewhere", `[{name: a, matches: [{methods: [GET]}], access: Public}, {name: b, access: Denied}]`},
	} {
		_, r := new(Compiler).Compile(parse(t, "kind: AuthPolicy\nmetadata: {name: p}\nspec: {hosts: [a.com], rules: "+tt.rules+"}\n"), Options{})
		if got := problemsOf(r, "p"); len(got) > 0 {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}

// TestHostConflict gives overlaps between namespaces: the oldest policy keeps the host, whatever the order of objects.
func TestHostConflict(t *testing.T) {
	for _, tt := range []struct{ name, older, younger, request, want string }{
		{"equal", "a.com", "a.com", "a.com", "older"},
		{"wildcard over exact", "*.com", "a.com", "a.com", "older"},
		{"exact under wildcard", "a.com", "*.com", "a.com", "older"},
		{"loser has nothing", "a.com", "*.com", "b.com", ""},
		{"wildcard over wildcard", "*.b.com", "*.com", "a.b.com", "older"},
		{"everything", "*", "a.com", "a.com", "older"},
		{"against everything", "a.com", "*", "b.com", ""},
		{"neighbours", "a.com", "b.com", "b.com", "younger"},
		{"suffix of a name, not of labels", "*.a.com", "ba.com", "ba.com", "younger"},
		{"parent of a wildcard", "*.a.com", "a.com", "a.com", "younger"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objs := parse(t, fmt.Sprintf(`
kind: AuthPolicy
metadata: {name: a, namespace: young}
spec: {hosts: [%q], rules: [{name: younger, access: Public}]}
---
kind: AuthPolicy
metadata: {name: b, namespace: old}
spec: {hosts: [%q], rules: [{name: older, access: Public}]}
`, tt.younger, tt.older))
			objs.AuthPolicies[0].CreationTimestamp = metav1.NewTime(time.Unix(2, 0))
			objs.AuthPolicies[1].CreationTimestamp = metav1.NewTime(time.Unix(1, 0))
			for range 2 {
				s, r := new(Compiler).Compile(objs, Options{})
				if got := get("https://"+tt.request+"/").decide(t, s).Rule; got != tt.want {
					t.Errorf("decided by %q, want %q", got, tt.want)
				}
				conflict := tt.want != "younger"
				if got := accepted(r, "a"); (got == v1alpha1.ReasonHostConflict) != conflict {
					t.Errorf("the younger is %s", got)
				}
				if got := accepted(r, "b"); got != v1alpha1.ReasonAccepted {
					t.Errorf("the older is %s", got)
				}
				slices.Reverse(objs.AuthPolicies)
			}
		})
	}
}

func accepted(r Report, name string) string {
	for _, o := range r.Objects {
		if o.Name == name {
			return o.Conditions[0].Reason
		}
	}
	return ""
}

// TestCompileAgain shows that what is kept between compiles changes nothing: the same objects, one changed, give the
// answers of a fresh compile, and providers that stay keep their identity.
func TestCompileAgain(t *testing.T) {
	objs := parse(t, orders)
	c := new(Compiler)
	before, _ := c.Compile(objs, Options{})
	changed := objs.AuthPolicies[0].DeepCopy()
	changed.Spec.Rules[1].Require = nil
	denied := v1alpha1.AccessDenied
	changed.Spec.Rules[1].Access = &denied
	objs.AuthPolicies = []*v1alpha1.AuthPolicy{changed}
	after, _ := c.Compile(objs, Options{})
	if before.Providers()[0] != after.Providers()[0] {
		t.Error("the provider is another, though nothing about it has changed")
	}
	read := get("https://orders.example.com/v1/orders").with(`{"sub":"a","scope":"orders.read"}`)
	if got := said(read.decide(t, before).Verdict); got != "allow read-orders" {
		t.Errorf("before: %q", got)
	}
	if got := said(read.decide(t, after).Verdict); got != "Denied read-orders" {
		t.Errorf("after: %q", got)
	}
	dry, _ := c.Compile(objs, Options{DryRun: true})
	if got := read.decide(t, dry); !got.Allow || got.DryRun == nil || got.DryRun.Reason != ReasonDenied {
		t.Errorf("with --dry-run: %+v", got)
	}
}
