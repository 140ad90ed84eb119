package policy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

const lookupWorld = `
kind: Secret
metadata: {name: s}
stringData: {token: "t0ken\n", basic: "user:password", empty: "", bad: "a\nb"}
---
kind: ConfigMap
metadata: {name: c}
data: {ca: x}
---
kind: IdentityProvider
metadata: {name: id}
spec: {issuer: "https://id.example.com", audiences: [a]}
---
kind: IdentityProvider
metadata: {name: plain}
spec: {issuer: plain, audiences: [a], keys: {remote: {url: "https://id.example.com/keys"}}}
---
`

// lookupPolicy is a policy with one lookup, and rules with these expressions.
func lookupPolicy(lookup, providers string, expressions ...string) string {
	text := lookupWorld + "kind: AuthPolicy\nmetadata: {name: p}\nspec:\n  hosts: [a.com]\n  identityProviders: [" + providers + "]\n  lookups: [" + lookup + "]\n  rules:\n"
	for i, e := range expressions {
		name := string(rune('a' + i))
		text += "  - {name: " + name + ", matches: [{path: {value: /" + name + "}}], require: {expressions: [{expression: " + quote(e) + "}]}}\n"
	}
	return text
}

func TestLookupProblems(t *testing.T) {
	http := func(more string) string {
		return `{name: rights, http: {url: "https://r.example.com/{claims.sub}"` + more + `}}`
	}
	const read = "lookups.rights.a == 1"
	for _, tt := range []struct{ name, lookup, providers, expression, want string }{
		{"name", `{name: Rights, userInfo: {}}`, "{name: id}", "true", "spec.lookups[0].name"},
		{"name twice", `{name: rights, userInfo: {}}, {name: rights, userInfo: {}}`, "{name: id}", read, "spec.lookups[1].name"},
		{"neither", `{name: rights}`, "{name: id}", read, "spec.lookups[0]: say exactly one"},
		{"both", `{name: rights, userInfo: {}, http: {url: "https://a/"}}`, "{name: id}", read, "spec.lookups[0]: say exactly one"},
		{"a claim in the host", `{name: rights, http: {url: "https://{claims.sub}.example.com/"}}`, "{name: id}", read, "spec.lookups[0].http.url"},
		{"over http", `{name: rights, http: {url: "http://r.example.com/"}}`, "{name: id}", read, "spec.lookups[0].http.url"},
		{"another method", http(`, method: DELETE`), "{name: id}", read, "spec.lookups[0].http.method"},
		{"a body of a GET", http(`, body: [{name: a, value: b}]`), "{name: id}", read, "spec.lookups[0].http.body"},
		{"a header of the connection", http(`, headers: [{name: Host, value: b}]`), "{name: id}", read, "spec.lookups[0].http.headers[0].name"},
		{"an Authorization header", http(`, headers: [{name: Authorization, value: b}]`), "{name: id}", read, "write credentials"},
		{"a header with a line end", http(`, headers: [{name: x-a, value: "a\nb"}]`), "{name: id}", read, "spec.lookups[0].http.headers[0].name"},
		{"a header that is none", http(`, headers: [{name: "a b", value: b}]`), "{name: id}", read, "is no name of a header"},
		{"a template that is none", http(`, headers: [{name: x-a, value: "{sub}"}]`), "{name: id}", read, "spec.lookups[0].http.headers[0].value"},
		{"a Secret that is missing", http(`, credentials: {type: Bearer, secretRef: {name: x, key: y}}`), "{name: id}", read, "there is no Secret default/x"},
		{"an empty secret", http(`, credentials: {type: Bearer, secretRef: {name: s, key: empty}}`), "{name: id}", read, "the secret is empty"},
		{"a secret with a line end within", http(`, credentials: {type: Bearer, secretRef: {name: s, key: bad}}`), "{name: id}", read, "no visible ASCII"},
		{"no user", http(`, credentials: {type: Basic, secretRef: {name: s, key: token}}`), "{name: id}", read, "must be user:password"},
		{"another type", http(`, credentials: {type: Digest, secretRef: {name: s, key: token}}`), "{name: id}", read, "spec.lookups[0].http.credentials.type"},
		{"no authority", http(`, tls: {caConfigMapKeyRef: {name: c, key: ca}}`), "{name: id}", read, "holds no certificate"},
		{"half a certificate", http(`, tls: {certificateSecretRef: {name: s, key: token}}`), "{name: id}", read, "go together"},
		{"no certificate", http(`, tls: {certificateSecretRef: {name: s, key: token}, privateKeySecretRef: {name: s, key: token}}`), "{name: id}", read, "is no certificate in PEM"},
		{"UserInfo of a provider without metadata", `{name: rights, userInfo: {}}`, "{name: plain}", read, "spec.lookups[0].userInfo"},
		{"remembered too long", `{name: rights, cacheTTL: 2h, userInfo: {}}`, "{name: id}", read, "spec.lookups[0].cacheTTL"},
		{"taking too long", `{name: rights, timeout: 6s, userInfo: {}}`, "{name: id}", read, "spec.lookups[0].timeout"},
		{"without limits", `{name: rights, maxPerSecond: 0, userInfo: {}}`, "{name: id}", read, "spec.lookups[0].maxPerSecond"},
		{"an expression that reads another", http(""), "{name: id}", "lookups.right.a == 1", "spec.lookups has none of this name"},
		{"has() of another", http(""), "{name: id}", "!has(lookups.right)", "spec.lookups has none of this name"},
		{"an expression that reads all", http(""), "{name: id}", "size(lookups) == 0", "as lookups.NAME only"},
		{"an expression that picks one", http(""), "{name: id}", "lookups[claims.sub].a == 1", "as lookups.NAME only"},
		{"one that hides them", http(""), "{name: id}", "[1].exists(lookups, lookups == 1)", "as lookups.NAME only"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, report := new(Compiler).Compile(parse(t, lookupPolicy(tt.lookup, tt.providers, tt.expression)), Options{})
			got := problemsOf(report, "p")
			if !slices.ContainsFunc(got, func(p string) bool { return strings.Contains(p, tt.want) }) {
				t.Errorf("problems %q, want %q", got, tt.want)
			}
			if strings.Contains(strings.Join(got, ""), "t0ken") {
				t.Errorf("a Secret shows in %q", got)
			}
			if tt.expression == "true" {
				return
			}
			req, _ := NewRequest(Input{Method: "GET", Scheme: "https", Host: "a.com", Path: "/a"})
			l := s.Lookup(req)
			if d := l.Decide(Facts{}, Facts{}); d.Reason != ReasonNotCompiled {
				t.Errorf("reason %s of a rule that reads what does not compile", d.Reason)
			}
		})
	}
}

// Only what a rule reads is fetched for it, and what a policy refers to changes what counts as the same lookup.
func TestLookupsOfARule(t *testing.T) {
	text := lookupPolicy(`{name: rights, http: {url: "https://r.example.com/{claims.sub}", credentials: {type: Bearer, secretRef: {name: s, key: token}}}}, {name: info, optional: true, userInfo: {}}`,
		"{name: id}", "lookups.rights.a == 1", "has(lookups.info) && lookups.rights.b == 2", "claims.sub == 'x'")
	s := compile(t, text, Options{})
	if n := len(s.Lookups()); n != 2 {
		t.Fatalf("%d lookups, want 2", n)
	}
	p := s.Providers()[slices.IndexFunc(s.Providers(), func(p *token.Provider) bool { return p.Issuer == "https://id.example.com" })]
	for path, want := range map[string][]string{"/a": {"default/p/rights"}, "/b": {"default/p/rights", "default/p/info"}, "/c": nil, "/none": nil} {
		req, _ := NewRequest(Input{Method: "GET", Scheme: "https", Host: "a.com", Path: path})
		l := s.Lookup(req)
		var got []string
		for _, o := range l.Enforced.Lookups(Facts{Identity: &token.Identity{Provider: p}}) {
			got = append(got, o.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s looks up %q, want %q", path, got, want)
		}
		if l.Enforced.Lookups(Facts{}) != nil || l.Enforced.Lookups(Facts{Identity: &token.Identity{Provider: &token.Provider{}}}) != nil {
			t.Errorf("%s looks up for nobody, or somebody who is not believed", path)
		}
	}
	rights := func(s *Snapshot) *token.Lookup {
		return s.Lookups()[slices.IndexFunc(s.Lookups(), func(l *token.Lookup) bool { return l.UserInfo == nil })]
	}
	l := rights(s)
	if l.Authorization != "Bearer t0ken" || l.CacheTTL != 30*time.Second || l.Timeout != 100*time.Millisecond || l.MaxConcurrent != 32 || l.MaxPerSecond != 200 {
		t.Errorf("%+v", l)
	}
	if rights(compile(t, strings.ReplaceAll(text, "t0ken", "another"), Options{})).Fingerprint == l.Fingerprint {
		t.Error("another secret, and the lookup counts as the same")
	}
	if rights(compile(t, text, Options{})).Fingerprint != l.Fingerprint {
		t.Error("nothing has changed, and the lookup counts as another")
	}
}

// A Compiler that keeps policies sees when a Secret that a lookup names changes.
func TestLookupsFollowTheirSecrets(t *testing.T) {
	text := lookupPolicy(`{name: rights, http: {url: "https://r.example.com/", credentials: {type: Bearer, secretRef: {name: s, key: token}}}}`, "{name: id}", "lookups.rights.a == 1")
	var c Compiler
	objs := parse(t, text)
	for _, secret := range []string{"one", "two"} {
		changed := *objs.Secrets[0]
		changed.StringData = map[string]string{"token": secret}
		objs.Secrets = objs.Secrets[:0:0]
		objs.Secrets = append(objs.Secrets, &changed)
		s, _ := c.Compile(objs, Options{})
		if got := s.Lookups()[0].Authorization; got != "Bearer "+secret {
			t.Errorf("authorization %q, want that of %q", got, secret)
		}
	}
	objs.Secrets = nil
	s, report := c.Compile(objs, Options{})
	if len(s.Lookups()) != 0 || len(problemsOf(report, "p")) == 0 {
		t.Errorf("without the Secret: %d lookups, problems %q", len(s.Lookups()), problemsOf(report, "p"))
	}
}
