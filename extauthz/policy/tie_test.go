package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// onHost is a policy of a.com in the namespace default; spec is without hosts.
func onHost(name, spec string) string {
	return "kind: AuthPolicy\nmetadata: {name: " + name + "}\nspec: {hosts: [a.com], identityProviders: [{kind: ClusterIdentityProvider, name: corp}], " + spec + "}\n---\n"
}

// TestTies tells what becomes of a request on which several policies of a host have an equal claim: each one's first rule
// must hold.
func TestTies(t *testing.T) {
	preflight := func(s string) call {
		return request("OPTIONS", s).header("origin", "https://b").header("access-control-request-method", "PUT")
	}
	for _, tt := range []struct {
		name, policies string
		call           call
		want           string
	}{
		{"a second rule of the first hides no rule of the second", onHost("a", "rules: [{name: a1, access: Public}, {name: a2, access: Public}]") + onHost("b", "rules: [{name: b, access: Denied}]"), get("https://a.com/"), "Denied b"},
		{"a rule of lower rank is left out", onHost("a", "rules: [{name: a, matches: [{methods: [GET]}], access: Public}]") + onHost("b", "rules: [{name: b, access: Denied}]"), get("https://a.com/"), "Public a"},
		{"the first by name is named, in whatever order they are found", onHost("a", "rules: [{name: a, matches: [{path: {type: Exact, value: /x}}], access: Public}]") + onHost("b", "rules: [{name: b, matches: [{path: {type: Exact, value: /x/}}], access: Public}]"), get("https://a.com/x/"), "Public a"},
		{"preflight of one", onHost("a", "preflight: Allow, rules: [{name: a, access: Authenticated}]") + onHost("b", "rules: [{name: b, access: Authenticated}]"), preflight("https://a.com/"), "MissingToken a"},
		{"preflight of both", onHost("a", "preflight: Allow, rules: [{name: a, access: Authenticated}]") + onHost("b", "preflight: Allow, rules: [{name: b, access: Authenticated}]"), preflight("https://a.com/"), "Preflight a"},
		{"preflight to no rule, but its method to one", onHost("a", "preflight: Allow, rules: [{name: a, matches: [{methods: [OPTIONS]}], access: Public}]"), preflight("https://a.com/"), "Public a"},
		{"preflight opens nothing to what is none", onHost("a", "preflight: Allow, rules: [{name: a, access: Authenticated}]"), get("https://a.com/"), "MissingToken a"},
		{"preflight opens nothing to OPTIONS", onHost("a", "preflight: Allow, rules: [{name: a, access: Authenticated}]"), request("OPTIONS", "https://a.com/"), "MissingToken a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := said(tt.call.decide(t, compile(t, corp+tt.policies, Options{})).Verdict); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestUpstreamOfTies shows that every policy that looks at the token sets its headers, the first where two set the same,
// and none that does not look.
func TestUpstreamOfTies(t *testing.T) {
	sets := func(header, rules string) string {
		return "upstream: {headers: [{name: " + header + ", claim: sub}], metadata: [{key: id, expression: \"'" + header + "'\"}, {key: tier, claim: tier}]}, rules: [" + rules + "]"
	}
	const token, open = "{name: r, access: Authenticated}", "{name: r, access: Public}"
	twice := `{name: one, matches: [{path: {type: Template, value: "/{a}/x"}}], access: Authenticated}, {name: two, matches: [{path: {type: Template, value: "/x/{b}"}}], access: Authenticated}`
	for _, tt := range []struct {
		name, policies string
		set            []string
		metadata       string
	}{
		{"both look", onHost("a", sets("x-a", token)) + onHost("b", sets("x-b", token)), []string{"x-a", "x-b"}, "x-a"},
		{"the first is Public", onHost("a", sets("x-a", open)) + onHost("b", sets("x-b", token)), []string{"x-b"}, "x-b"},
		{"the second is Public", onHost("a", sets("x-a", token)) + onHost("b", sets("x-b", open)), []string{"x-a"}, "x-a"},
		{"two rules of the first", onHost("a", sets("x-a", twice)) + onHost("b", sets("x-b", twice)), []string{"x-a", "x-b"}, "x-a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := get("https://a.com/x/x").with(`{"sub":"alice"}`).decide(t, compile(t, corp+tt.policies, Options{}))
			var set []string
			for _, h := range d.Set {
				set = append(set, h.Name)
			}
			if !d.Allow || !slices.Equal(set, tt.set) {
				t.Errorf("%s sets %q, want %q", said(d.Verdict), set, tt.set)
			}
			if diff := cmp.Diff([]MetadataValue{{"id", tt.metadata}}, d.Metadata); diff != "" {
				t.Errorf("metadata (-want +got):\n%s", diff)
			}
		})
	}
}

// TestUpstreamInSum shows that the names and values of headers may have 8 KiB in sum, and no byte more.
func TestUpstreamInSum(t *testing.T) {
	s := compile(t, corp+onHost("a", `upstream: {headers: [{name: x-1, claim: a}, {name: x-2, claim: a}, {name: x-3, claim: a}, {name: x-4, claim: a}, {name: x-5, claim: b}]}, rules: [{name: a, access: Authenticated}]`), Options{})
	const names = 5 * len("x-1")
	for rest, want := range map[int]string{92: "allow a", 93: "UpstreamValueInvalid a"} {
		value := (maxUpstreamBytes - names - 92) / 4
		c := get("https://a.com/").with(fmt.Sprintf(`{"sub":"a","a":%q,"b":%q}`, strings.Repeat("a", value), strings.Repeat("b", rest+(maxUpstreamBytes-names-92)%4)))
		if got := said(c.decide(t, s).Verdict); got != want {
			t.Errorf("%d: got %q, want %q", rest, got, want)
		}
	}
}

// TestStripOfLevels shows that what policies of several levels set is taken from the client at each.
func TestStripOfLevels(t *testing.T) {
	s := compile(t, corp+"kind: Service\nmetadata: {name: app}\n---\n"+onHost("host", "upstream: {headers: [{name: x-host, claim: sub}]}, rules: [{name: host, access: Public}]")+
		strings.Replace(onHost("service", "upstream: {headers: [{name: xservice, claim: sub}]}, rules: [{name: service, access: Public}]"), "hosts: [a.com]", "targetRefs: [{kind: Service, name: app}]", 1)+
		strings.Replace(onHost("alias", "rules: [{name: alias, access: Public}]"), "hosts: [a.com]", "hosts: [app]", 1)+
		strings.Replace(onHost("more", "upstream: {headers: [{name: x-host, claim: sub}]}, rules: [{name: alias, access: Public}]"), "hosts: [a.com]", "hosts: [app]", 1), Options{})
	if got, want := scoped(t, "namespace/default", "https://app/").decide(t, s).Remove, []string{"x-host", "x_host", "xservice"}; !slices.Equal(got, want) {
		t.Errorf("removed are %q, want %q", got, want)
	}
}

// TestDryRunSpeaks tells when DryRun rules have something to say: where they would lead to other rules.
func TestDryRunSpeaks(t *testing.T) {
	const rules = `rules: [{name: any, access: Public}, {name: tried, matches: [{path: {value: /tried}}], mode: DryRun, access: Denied}]`
	s := compile(t, corp+onHost("a", rules), Options{})
	for path, want := range map[string]string{"/": "", "/tried": "Denied tried"} {
		d := get("https://a.com"+path).decide(t, s)
		got := ""
		if d.DryRun != nil {
			got = said(*d.DryRun)
		}
		if said(d.Verdict) != "Public any" || got != want {
			t.Errorf("%s: %q, DryRun %q, want %q", path, said(d.Verdict), got, want)
		}
	}
	// The preflight would not be one if the other policy, which lets none pass, were enforced.
	s = compile(t, corp+onHost("a", "preflight: Allow, rules: [{name: a, access: Authenticated}]")+onHost("b", "rules: [{name: b, matches: [{methods: [PUT]}], mode: DryRun, access: Public}, {name: c, matches: [{methods: [HEAD]}], access: Public}]"), Options{})
	d := request("OPTIONS", "https://a.com/").header("origin", "https://b").header("access-control-request-method", "PUT").decide(t, s)
	if got := said(d.Verdict); got != "Preflight a" || d.DryRun == nil || said(*d.DryRun) != "MissingToken a" {
		t.Errorf("%q, DryRun %+v", got, d.DryRun)
	}
}

// TestTrustedOfTies lists the providers that several rules believe: those of all that look, and none where one refuses
// whoever comes.
func TestTrustedOfTies(t *testing.T) {
	const providers = corp + `
kind: ClusterIdentityProvider
metadata: {name: other}
spec: {issuer: https://other.example.com, audiences: [orders-api]}
---
`
	both := func(policy string) string {
		return strings.Replace(policy, "name: corp}", "name: corp}, {kind: ClusterIdentityProvider, name: other}", 1)
	}
	for _, tt := range []struct{ name, policies, want string }{
		{"one is Denied", onHost("a", "rules: [{name: a, access: Authenticated}]") + onHost("b", "rules: [{name: b, access: Denied}]"), ""},
		{"one is Public between two that look", both(onHost("a", "rules: [{name: a, access: Authenticated}]")) + onHost("b", "rules: [{name: b, access: Public}]") + onHost("c", "rules: [{name: c, access: Authenticated}]"), "corp"},
		{"both believe the same", both(onHost("a", "rules: [{name: a, access: Authenticated}]")) + both(onHost("b", "rules: [{name: b, access: Authenticated}]")), "corp other"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, reason := NewRequest(get("https://a.com/").Input)
			if reason != "" {
				t.Fatal(reason)
			}
			l := compile(t, providers+tt.policies, Options{}).Lookup(req)
			var got []string
			for _, p := range l.Enforced.Trusted() {
				got = append(got, p.Name[strings.LastIndexByte(p.Name, '/')+1:])
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("trusted are %q, want %q", got, tt.want)
			}
		})
	}
}

// TestSharedHost shows that a host that policies share, and one of their own, each get their rules, and their warnings
// once each.
func TestSharedHost(t *testing.T) {
	const overlap = `{name: left, matches: [{path: {type: Template, value: "/{a}/x"}}], access: Public}, {name: right, matches: [{path: {type: Template, value: "/x/{b}"}}], access: Public}`
	policy := func(name, hosts, rules string) string {
		return strings.Replace(onHost(name, "rules: ["+rules+"]"), "hosts: [a.com]", "hosts: ["+hosts+"]", 1)
	}
	s, r := new(Compiler).Compile(parse(t, corp+policy("p", "a.com, b.com, c.com, d.com", overlap)+policy("q", "a.com, b.com, q.com", "{name: q, access: Public}")), Options{})
	if got := said(get("https://q.com/").decide(t, s).Verdict); got != "Public q" {
		t.Errorf("behind a shared host: %q", got)
	}
	// What is the same on every host that a policy has alone is told of the first. Each pair is told to both rules.
	for host, want := range map[string]int{"a.com": 2, "b.com": 2, "c.com": 2, "d.com": 0} {
		got := 0
		for _, p := range problemsOf(r, "p") {
			if strings.Contains(p, `"`+host+`"`) {
				got++
			}
		}
		if got != want {
			t.Errorf("%d warnings name %s, want %d: %q", got, host, want, problemsOf(r, "p"))
		}
	}
}

// TestOpenTables shows that what lands on no rule of a host that is tried out goes on to each wider host, up to "*", and
// passes where all are tried out.
func TestOpenTables(t *testing.T) {
	open := func(name, host string) string {
		return "kind: AuthPolicy\nmetadata: {name: " + name + "}\nspec: {mode: DryRun, hosts: ['" + host + "'], rules: [{name: " + name + ", mode: Enforce, matches: [{path: {value: /" + name + "}}], access: Public}]}\n---\n"
	}
	tried := open("exact", "a.b.c") + open("near", "*.b.c") + open("far", "*.c")
	for _, tt := range []struct{ name, policies, path, want string }{
		{"the exact host", tried + attached("deny", "default", "hosts: ['*']"), "/exact", "Public exact"},
		{"the near wildcard", tried + attached("deny", "default", "hosts: ['*']"), "/near", "Public near"},
		{"the far wildcard", tried + attached("deny", "default", "hosts: ['*']"), "/far", "Public far"},
		{"every host", tried + attached("deny", "default", "hosts: ['*']"), "/x", "Denied deny"},
		{"every host is tried out as well", tried + open("any", "*"), "/x", "DryRun"},
		{"a rule of it", tried + open("any", "*"), "/any", "Public any"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := said(get("https://a.b.c"+tt.path).decide(t, compile(t, tt.policies, Options{})).Verdict); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestPathsOfTies shows how a host reads paths where its policies do not agree: as the stricter one says. A policy that is
// tried out has no say in it.
func TestPathsOfTies(t *testing.T) {
	const rules = "rules: [{name: r, access: Public}]"
	for _, tt := range []struct{ name, policies, path, want string }{
		{"agreed on a semicolon", onHost("a", "paths: {semicolon: Strip}, "+rules) + onHost("b", "paths: {semicolon: Strip}, "+rules), "/a;b", "Public r"},
		{"a semicolon is disputed", onHost("a", "paths: {semicolon: Strip}, "+rules) + onHost("b", rules), "/a;b", "AmbiguousRequest"},
		{"the other way round", onHost("a", rules) + onHost("b", "paths: {semicolon: Strip}, "+rules), "/a;b", "AmbiguousRequest"},
		{"an encoded slash is disputed", onHost("a", "paths: {encodedSlash: Keep}, "+rules) + onHost("b", rules), "/a%2Fb", "AmbiguousRequest"},
		{"behind one that is tried out", onHost("a", "mode: DryRun, "+rules) + onHost("b", "paths: {semicolon: Strip}, "+rules), "/a;b", "Public r"},
		{"before one that is tried out", onHost("a", "paths: {semicolon: Strip}, "+rules) + onHost("b", "mode: DryRun, "+rules), "/a;b", "Public r"},
		{"of a policy that is tried out, but for a rule", onHost("a", "mode: DryRun, paths: {semicolon: Strip}, rules: [{name: r, mode: Enforce, access: Public}]"), "/a;b", "Public r"},
		{"of a policy of which every rule is tried out", onHost("a", "paths: {semicolon: Strip}, rules: [{name: r, mode: DryRun, access: Public}]"), "/a;b", "NoRule"},
		{"opened by none that is tried out", onHost("a", "mode: DryRun, paths: {semicolon: Strip}, "+rules) + onHost("b", rules), "/a;b", "AmbiguousRequest"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := new(Compiler).Compile(parse(t, corp+tt.policies), Options{})
			c := get("https://a.com/")
			c.Path = tt.path
			if got := said(c.decide(t, s).Verdict); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestConditions shows that a match with conditions takes requests that have what they ask for, with no other value.
func TestConditions(t *testing.T) {
	s := compile(t, corp+onHost("p", `rules: [{name: header, matches: [{headers: [{name: X-A, value: "1"}]}], access: Public}, {name: query, matches: [{path: {value: /q}, queryParams: [{name: a, value: "1"}]}], access: Public}]`), Options{})
	for _, tt := range []struct {
		call call
		want string
	}{
		{get("https://a.com/").header("x-a", "1"), "Public header"},
		{get("https://a.com/").header("x-a", "2"), "NoRule"},
		{get("https://a.com/").header("x-a", ""), "NoRule"},
		{get("https://a.com/"), "NoRule"},
		{get("https://a.com/q?a=1"), "Public query"},
		{get("https://a.com/q?a=2"), "NoRule"},
		{get("https://a.com/q?a="), "NoRule"},
		{get("https://a.com/q?b=1"), "NoRule"},
		{get("https://a.com/q"), "NoRule"},
	} {
		if got := said(tt.call.decide(t, s).Verdict); got != tt.want {
			t.Errorf("%s %v: got %q, want %q", tt.call.Path, tt.call.Headers, got, tt.want)
		}
	}
}
