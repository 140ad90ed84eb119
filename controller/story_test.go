package controller

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// storyObjects are two providers and a policy with most of what an answer can have.
const storyObjects = `Why it is right.
-- policy.yaml --
apiVersion: sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: corp}
spec: {issuer: https://corp.example.com, audiences: [api]}
---
apiVersion: sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: customers}
spec: {issuer: https://customers.example.com, audiences: [api]}
---
apiVersion: sallyport.dev/v1alpha1
kind: AuthPolicy
metadata: {name: p}
spec:
  hosts: [a.com]
  identityProviders: [{name: corp}, {name: customers}]
  rules:
  - {name: public, matches: [{path: {value: /public}}], access: Public}
  - {name: own, matches: [{path: {value: /own}}], identityProviders: [corp], require: {scopes: [own]}, denied: {status: 404, realm: shop}}
  - {name: any, matches: [{path: {value: /any}}], access: Authenticated}
  - {name: near, matches: [{path: {value: /near}}], from: {cidrs: [10.0.0.0/8]}, access: Public}
  - {name: try, matches: [{path: {value: /any}, headers: [{name: x-try, value: "a b"}]}], mode: DryRun, access: Denied}
  upstream:
    headers: [{name: x-user, claim: sub}, {name: x-tier, claim: tier}]
    token: Remove
    metadata: [{key: sub, claim: sub}]
`

func TestStoryAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, check string
	}{
		{"public", `GET https://a.com/public => allow public Public`},
		{"no path", `GET https://a.com => deny 403 NoRule`},
		{"query alone", `GET https://a.com?x=/public => deny 403 NoRule`},
		{"no token", `GET https://a.com/own - => deny 404 MissingToken own`},
		{"scope", `GET https://a.com/own {"scope": "own"} => allow own`},
		{"challenge", `GET https://a.com/own {} => deny 404 InsufficientScope own | scopes own | realm shop`},
		{"broken token", `GET https://a.com/own ! => deny 404 InvalidSignature own`},
		{"token of a reason", `GET https://a.com/own !KeysUnavailable => deny 404 KeysUnavailable own`},
		{"issuer by name", `GET https://a.com/any {} issuer=customers => allow any`},
		{"issuer that the rule does not trust", `GET https://a.com/own {"scope":"own"} issuer=customers => deny 404 UntrustedIssuer own`},
		{"issuer in the claims", `GET https://a.com/any {"iss":"https://corp.example.com"} => allow any`},
		{"issuer of nobody", `GET https://a.com/any {"iss":"https://corp.example.com/"} => deny 401 UntrustedIssuer any`},
		{"issuer not said", `GET https://a.com/any {} => error: the rule trusts several providers: say with issuer= whose token it is`},
		{"claim taken away", `GET https://a.com/own {"scope":"own","sub":null} => deny 404 InvalidSubject own`},
		{"audience", `GET https://a.com/own {"scope":"own","aud":"other"} => deny 404 InvalidAudience own`},
		{"expired", `GET https://a.com/own {"scope":"own","exp":1} => deny 404 TokenExpired own`},
		{"the time", `GET https://a.com/own {"scope":"own","exp":100} now=1970-01-01T00:01:00Z => allow own`},
		{"address", `GET https://a.com/near from=10.1.2.3 => allow near Public`},
		{"other address", `GET https://a.com/near from=192.0.2.1 => deny 403 SourceNotAllowed near`},
		{"header with a space", `GET https://a.com/any {"sub":"x"} header.X-Try="a b" issuer=corp => allow any | dry-run deny 403 Denied try`},
		{"header twice", `GET https://a.com/any {"sub":"x"} header.x-try=a header.x-try=b issuer=corp => allow any | dry-run -`},
		{"scope that fits", `GET https://a.com/public scope=namespace/default => allow public Public`},
		{"other scope", `GET https://a.com/public scope=namespace/other => deny 403 NoPolicy`},
		{"scope that cannot be read", `GET https://a.com/public scope=other => deny 403 InvalidScope`},
		{"no host", `GET https:///public => deny 400 InvalidRequest`},
		{"upstream", `GET https://a.com/own {"scope":"own","sub":"al ice"} header.X_user=me => allow own | set x-user="al ice" | remove x-tier x_tier x_user | token header:authorization | metadata sub="al ice"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := storyObjects + "-- checks --\n# a comment\n\n" + tt.check + "\n"
			s, err := ParseStory("s.txtar", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range s.Run() {
				t.Error(d)
			}
			if s.Checks() != 1 || s.Comment != "Why it is right." {
				t.Errorf("got %d checks and comment %q", s.Checks(), s.Comment)
			}
			if diff := cmp.Diff(text, string(s.Format())); diff != "" {
				t.Errorf("formatting changed it (-before +after)\n%s", diff)
			}
		})
	}
}

func TestStorySaysWhatDiffers(t *testing.T) {
	text := storyObjects + `-- checks --
# kept
GET https://a.com/public => deny 403 NoRule
GET https://a.com/own {"scope":"own"}
  POST https://a.com/own   =>   deny 404 MissingToken own | set
GET https://a.com/public => allow public Public | nonsense
-- options --
dry-run=true
`
	s, err := ParseStory("s.txtar", []byte(strings.Replace(text, "-- options --\ndry-run=true\n", "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range s.Run() {
		got = append(got, d.String())
	}
	parts := "is no part of an answer; there are " + strings.Join(answerParts(), ", ")
	want := []string{
		"s.txtar:31: GET https://a.com/public: got allow public Public, want deny 403 NoRule",
		`s.txtar:32: GET https://a.com/own {"scope":"own"}: got allow own, want `,
		"s.txtar:33: POST https://a.com/own: got deny 404 MissingToken own | set -, want deny 404 MissingToken own | set",
		"s.txtar:34: GET https://a.com/public: got allow public Public | nonsense " + parts + ", want allow public Public | nonsense",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	_, updated, _ := strings.Cut(string(s.Format()), "-- checks --\n")
	wantUpdated := `# kept
GET https://a.com/public => allow public Public
GET https://a.com/own {"scope":"own"} => allow own
  POST https://a.com/own   => deny 404 MissingToken own | set -
GET https://a.com/public => allow public Public | nonsense ` + parts + "\n"
	if diff := cmp.Diff(wantUpdated, updated); diff != "" {
		t.Errorf("updated (-want +got)\n%s", diff)
	}
}

func TestStoryOptionsAndProblems(t *testing.T) {
	bad := strings.Replace(storyObjects, "cidrs: [10.0.0.0/8]", "cidrs: [10.0.0.1/8]", 1)
	check := "-- checks --\nGET https://b.com/ => "
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"dry run", storyObjects + "-- options --\n# for all\ndry-run=true\n" + check + "allow - DryRun | dry-run deny 403 NoPolicy\n", nil},
		{"an error that nobody expects", bad + check + "deny 403 NoPolicy\n", []string{
			`s.txtar:23: got spec.rules[3].from.cidrs[0]: "10.0.0.1/8": has bits behind the prefix; write 10.0.0.0/8, want no error, or one in a file "problems"`}},
		{"an error that is expected", bad + "-- problems --\n" +
			"AuthPolicy default/p: spec.rules[3].from.cidrs[0]: \"10.0.0.1/8\": has bits behind the prefix; write 10.0.0.0/8\n" +
			check + "deny 403 NoPolicy\n", nil},
		{"an error that is not there", storyObjects + "-- problems --\nnone\n" + check + "deny 403 NoPolicy\n", []string{
			"s.txtar:29: got problems\n, want problems\nnone\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := ParseStory("s.txtar", []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range s.Run() {
				got = append(got, d.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestParseStorySaysWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		name, text, want string
	}{
		{"no checks", storyObjects, `s.txtar: has no checks; write them into a file "checks"`},
		{"bad object, by its line in the story", "why\n-- a.yaml --\n# a\n-- b.yaml --\napiVersion: v1\nkind: Namespace\nmetadata:\n  nam: a\n-- checks --\nGET https://a.com => allow\n",
			`s.txtar:8: metadata.nam: unknown field, did you mean "name"?`},
		{"other file", "-- a.json --\n-- checks --\nGET https://a.com/ =>\n", `s.txtar:1: "a.json" is no file of a story; there are *.yaml, checks, options and problems`},
		{"no URL", "-- checks --\nGET /v1 => allow\n", `s.txtar:2: "/v1" is no URL: write METHOD URL, such as GET https://orders.example.com/v1`},
		{"claims", "-- checks --\nGET https://a.com/ {a} => allow\n", "s.txtar:2: claims are no JSON object: invalid character 'a' looking for beginning of object key string"},
		{"key", "-- checks --\nGET https://a.com/ form=1 => allow\n", "s.txtar:2: form: no such key; there are header.NAME, lookup.NAME, from, principal, destination, certificate, proof, scope, context.NAME, issuer and now"},
		{"no key", "-- checks --\nGET https://a.com/ - x => allow\n", `s.txtar:2: "x": expected key=value`},
		{"address", "-- checks --\nGET https://a.com/ from=x => allow\n", `s.txtar:2: from: ParseAddr("x"): unable to parse IP`},
		{"reason of a token", "-- checks --\nGET https://a.com/ !NoRule => allow\n", "s.txtar:2: !NoRule: no token is refused for that reason before its claims are read"},
		{"option", "-- options --\nx=1\ndry-run=x\nclient-address=x\n-- checks --\nGET https://a.com/ =>\n", `s.txtar:2: "x" is no option; there are client-address, trust-domain, namespace, dry-run, require-scope, cluster, and in a cluster host-grants, gateway-principals and cluster-domain
s.txtar:3: dry-run must be true or false
s.txtar:4: client-address must be peer, xff or empty`},
		{"kinds of a cluster in a story that is about none", "-- a.yaml --\napiVersion: v1\nkind: Service\nmetadata: {name: a}\n-- checks --\nGET https://a.com/ =>\n",
			`s.txtar:3: kind: "Service" is no kind that a folder may hold; possible are ` + possibleKinds},
		{"another kind in one of a cluster", "-- a.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n-- checks --\nGET https://a.com/ =>\n-- options --\ncluster=true\n",
			`s.txtar:3: kind: "Deployment" is no kind that a folder may hold; possible are ` + possibleKinds + possibleRoutingKinds},
		{"a route is read strictly", "-- a.yaml --\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a}\nspec: {hostname: a.com}\n-- checks --\nGET https://a.com/ =>\n-- options --\ncluster=true\n",
			`s.txtar:5: spec.hostname: unknown field, did you mean "hostnames"?`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseStory("s.txtar", []byte(tt.text))
			if err == nil {
				t.Fatal("no error")
			}
			want := strings.Split(tt.want, "\n")
			got := strings.Split(err.Error(), "\n")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestAnswerReadsEveryReason(t *testing.T) {
	for _, r := range policy.Reasons() {
		allow := r.Status() == 0
		got := Answer(policy.Decision{Verdict: policy.Verdict{Allow: allow, Reason: r, Rule: "x"}})
		if allow != strings.HasPrefix(got, "allow ") || r != policy.ReasonAllowed && !strings.Contains(got, string(r)) {
			t.Errorf("%s: got %q", r, got)
		}
	}
}

// TestStoryOfACluster: the options of a cluster in a row, each with a request that shows it.
func TestStoryOfACluster(t *testing.T) {
	const objects = `Why it is right.
-- policy.yaml --
apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop}
---
apiVersion: sallyport.dev/v1alpha1
kind: AuthPolicy
metadata: {name: service, namespace: shop}
spec: {targetRefs: [{kind: Service, name: a}], rules: [{name: service, access: Public}]}
---
apiVersion: sallyport.dev/v1alpha1
kind: AuthPolicy
metadata: {name: host, namespace: shop}
spec: {hosts: [a.com], rules: [{name: host, access: Public}]}
-- options --
`
	const me = " destination=spiffe://cluster.local/ns/shop/sa/a"
	for _, tt := range []struct{ name, options, check string }{
		{"no grants", "cluster=true\nhost-grants=false\n", "GET https://a.com/ => allow host Public"},
		{"a principal", "cluster=true\nhost-grants=false\n", "GET https://a/" + me + " => allow service Public"},
		{"a scope goes before the principal", "cluster=true\nhost-grants=false\n", "GET https://a/ scope=service/shop/b" + me + " => deny 403 NoPolicy"},
		{"a principal of another domain", "trust-domain=mesh\ncluster=true\nhost-grants=false\n", "GET https://a/" + me + " => deny 403 InvalidScope"},
		{"a gateway by its principal", "cluster=true\nhost-grants=false\ngateway-principals=spiffe://x/y,spiffe://cluster.local/ns/shop/sa/*\n", "GET https://a.com/" + me + " => allow host Public"},
		{"the domain of Services", "cluster=true\nhost-grants=false\ncluster-domain=example.org\n", "GET https://a.shop.svc.example.org/" + me + " => allow service Public"},
		{"a scope is required", "cluster=true\nhost-grants=false\nrequire-scope=true\n", "GET https://a.com/ => deny 403 ScopeRequired"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := ParseStory("s.txtar", []byte(objects+tt.options+"-- checks --\n"+tt.check+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range s.Run() {
				t.Error(d)
			}
		})
	}
	s, err := ParseStory("s.txtar", []byte(objects+"cluster=true\n-- checks --\nGET https://a.com/ => deny 403 NoPolicy\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diffs := s.Run(); len(diffs) != 1 || !strings.Contains(diffs[0].Got, "is not granted") {
		t.Errorf("without a grant: %v", diffs)
	}
}

// FuzzParseRequest: a request that can be read can be asked, and gets an answer in one line.
func FuzzParseRequest(f *testing.F) {
	s, err := ParseStory("s.txtar", []byte(storyObjects+"-- checks --\nGET https://a.com/ =>\n"))
	if err != nil {
		f.Fatal(err)
	}
	snapshot, _ := new(policy.Compiler).Compile(s.listing.Objects, s.options)
	f.Add(`GET https://a.com/own {"scope":"own"} header.a="b c" from=::1`)
	f.Add("POST x://?#/ !TokenExpired now=2026-01-01T00:00:00Z scope=")
	f.Fuzz(func(t *testing.T, line string) {
		r, err := ParseRequest(line)
		if err != nil {
			return
		}
		d, err := r.Ask(snapshot)
		if err != nil {
			return
		}
		if got := Answer(d); d.Allow != strings.HasPrefix(got, "allow ") || strings.Contains(got, "\n") {
			t.Errorf("got %q for %+v", got, d.Verdict)
		}
	})
}
