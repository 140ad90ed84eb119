package policy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// loose reads objects without looking twice at them: what the schema would refuse comes through as well.
func loose(text string) (objs Objects) {
	for doc := range strings.SplitSeq(text, "\n---\n") {
		var meta metav1.TypeMeta
		if yaml.Unmarshal([]byte(doc), &meta) != nil {
			continue
		}
		switch meta.Kind {
		case "AuthPolicy":
			if p := new(v1alpha1.AuthPolicy); yaml.Unmarshal([]byte(doc), p) == nil {
				objs.AuthPolicies = append(objs.AuthPolicies, p)
			}
		case "IdentityProvider":
			if p := new(v1alpha1.IdentityProvider); yaml.Unmarshal([]byte(doc), p) == nil {
				objs.IdentityProviders = append(objs.IdentityProviders, p)
			}
		case "ClusterIdentityProvider":
			if p := new(v1alpha1.ClusterIdentityProvider); yaml.Unmarshal([]byte(doc), p) == nil {
				objs.ClusterIdentityProviders = append(objs.ClusterIdentityProviders, p)
			}
		}
	}
	return objs
}

// withoutFaulty are the objects without the rules that do not compile.
func withoutFaulty(objs Objects, env *environment) (out Objects, removed int) {
	out = objs
	out.AuthPolicies = nil
	for _, p := range objs.AuthPolicies {
		d := compileDraft(p, nil, &Options{}, env)
		p = p.DeepCopy()
		rules := p.Spec.Rules
		p.Spec.Rules = nil
		for i, r := range d.rules {
			if r.broken || r.unreadable {
				removed++
				continue
			}
			p.Spec.Rules = append(p.Spec.Rules, rules[i])
		}
		out.AuthPolicies = append(out.AuthPolicies, p)
	}
	return out, removed
}

// callsTo are requests to where rules of the objects may be, with a token that has much.
func callsTo(objs Objects) (out []call) {
	paths := []string{"/", "/a", "/a/b", "/a/", "/x/1"}
	hosts := []string{"a.com", "x.a.com"}
	for _, p := range objs.AuthPolicies {
		for _, h := range p.Spec.Hosts[:min(len(p.Spec.Hosts), 3)] {
			hosts = append(hosts, strings.ReplaceAll(h, "*", "y"))
		}
		for _, r := range p.Spec.Rules[:min(len(p.Spec.Rules), 6)] {
			for _, m := range r.Matches[:min(len(r.Matches), 3)] {
				if m.Path != nil {
					paths = append(paths, valueOr(m.Path.Value, "/"))
				}
				if m.GRPC != nil {
					paths = append(paths, "/"+m.GRPC.Service+"/"+m.GRPC.Method)
				}
			}
		}
	}
	for _, host := range hosts {
		for _, path := range paths {
			for _, method := range []string{"GET", "POST"} {
				c := get("https://a.com/").with(`{"sub":"a","aud":["orders-api"],"scope":"orders.read orders.pay a","roles":["admin"],"groups":["ops"],"email_verified":true}`)
				c.Method, c.Host, c.Path = method, host, path
				out = append(out, c)
			}
		}
	}
	return out
}

// FuzzCompile states the laws of a compile. It is total. It is a function of the objects: again, in another order and
// with what is kept between compiles, it says the same. And a rule that does not compile only closes: what is allowed
// beside it is allowed without it.
func FuzzCompile(f *testing.F) {
	f.Add(orders)
	f.Add(orders + "\n---\nkind: AuthPolicy\nmetadata: {name: q}\nspec: {hosts: [a.com], mode: DryRun, rules: [{name: a, mode: Enforce, access: Publik}]}\n")
	for _, rule := range []string{
		`access: Public, matches: [{path: {value: "/a/{b}"}}]`, `matches: [{path: {type: Template, value: "/x/{a:(}"}}], access: Public`,
		`require: {claims: [{claim: sub, operator: In, values: ["{user}"]}]}`, `require: {expressions: [{expression: "claims."}]}`,
		`matches: [{grpc: {service: /a, method: b}}], access: Denied`, `matches: [{path: {type: Exact, value: /a}, methods: [get]}], access: Denied`,
		`from: {cidrs: [10.0.0.0/8]}, access: Public`, `name: fine, access: Optional`,
	} {
		f.Add(corp + "\nkind: AuthPolicy\nmetadata: {name: p}\nspec:\n  hosts: [a.com, \"*.a.com\"]\n  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]\n" +
			"  rules:\n  - {name: fine, access: Public}\n  - {name: broken, " + rule + "}\n  - {name: y, matches: [{path: {value: /a}, methods: [GET]}], require: {scopes: [a]}}\n")
	}
	env := newEnvironment()
	f.Fuzz(func(t *testing.T, text string) {
		objs := loose(text)
		c := Compiler{env: env}
		s, report := c.Compile(objs, Options{})
		without, removed := withoutFaulty(objs, env)
		slices.Reverse(objs.IdentityProviders)
		again, second := c.Compile(objs, Options{})
		if diff := cmp.Diff(report, second); diff != "" {
			t.Fatalf("compiled again (-first +second):\n%s", diff)
		}
		calls := callsTo(objs)
		for _, c := range calls[:min(len(calls), 120)] {
			if a, b := c.decide(t, s), c.decide(t, again); a.Verdict != b.Verdict {
				t.Fatalf("%s %s%s: %+v, and compiled again %+v", c.Method, c.Host, c.Path, a.Verdict, b.Verdict)
			}
		}
		// Where namespaces quarrel about a host, a rule has a say in who keeps it.
		if removed == 0 || slices.ContainsFunc(report.Objects, func(o *ObjectReport) bool {
			return o.Conditions[0].Reason == v1alpha1.ReasonHostConflict
		}) {
			return
		}
		sound, _ := (&Compiler{env: env}).Compile(without, Options{})
		for _, c := range calls[:min(len(calls), 120)] {
			if a, b := c.decide(t, s), c.decide(t, sound); a.Allow && !b.Allow {
				t.Fatalf("%s %s%s: %+v beside a rule that does not compile, %+v without it", c.Method, c.Host, c.Path, a.Verdict, b.Verdict)
			}
		}
	})
}

// FuzzParseScope states the law of scopes: what is read is written in one way only, and names no more than it says.
func FuzzParseScope(f *testing.F) {
	for _, s := range []string{"", "namespace/shop", "service/shop/orders", "gateway/infra/edge", "namespace/shop/", "namespace//shop", "Namespace/shop", "namespace/a b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		sc, err := ParseScope(s)
		if err != nil {
			if sc != (Scope{}) {
				t.Fatalf("%q is refused, and is %+v", s, sc)
			}
			return
		}
		again := map[ScopeKind]string{
			ScopeNamespace: "namespace/" + sc.Namespace,
			ScopeService:   "service/" + sc.Namespace + "/" + sc.Name,
			ScopeGateway:   "gateway/" + sc.Namespace + "/" + sc.Name,
		}[sc.Kind]
		if again != s {
			t.Fatalf("%q is %+v, which is written %q", s, sc, again)
		}
	})
}

// FuzzMatchPrincipal states the law of principals: a match leaves nothing over. Segment for segment the pattern's text
// stands in the principal, and "*" for one that is not empty, never in scheme or authority.
func FuzzMatchPrincipal(f *testing.F) {
	for _, p := range [][2]string{
		{"spiffe://a/ns/b/sa/*", "spiffe://a/ns/b/sa/c"}, {"spiffe://a/ns/b/sa/*", "spiffe://a/ns/b/sa/c/d"}, {"spiffe://a/*", "spiffe://a/"},
		{"spiffe://*/ns", "spiffe://a/ns"}, {"*://a/b", "spiffe://a/b"}, {"spiffe://a/ns/b*", "spiffe://a/ns/bc"}, {"CN=a", "CN=a"}, {"https://a/b", "https://a/b"},
	} {
		f.Add(p[0], p[1])
	}
	f.Fuzz(func(t *testing.T, pattern, principal string) {
		if !MatchPrincipal(pattern, principal) {
			if _, ok := splitPrincipal(pattern); ok && pattern == principal {
				t.Fatalf("%q does not match itself", pattern)
			}
			return
		}
		want, got := strings.Split(pattern, "/"), strings.Split(principal, "/")
		if len(want) != len(got) || len(want) < 3 || want[0] != got[0] || want[2] != got[2] || !strings.Contains(principal, "://") {
			t.Fatalf("%q matches %q", pattern, principal)
		}
		for i := range want {
			if want[i] != got[i] && (want[i] != "*" || got[i] == "") {
				t.Fatalf("%q matches %q at segment %d", pattern, principal, i)
			}
		}
	})
}

// FuzzCIDR states the law of ranges: a range of IPv4 takes an address in either of its spellings, and no other address.
func FuzzCIDR(f *testing.F) {
	f.Add("10.0.0.0/8", []byte{10, 1, 2, 3})
	f.Add("::/0", []byte{10, 1, 2, 3})
	f.Add("2001:db8::/32", []byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, s string, raw []byte) {
		addr, ok := netip.AddrFromSlice(raw)
		var p problems
		prefix := compileCIDR(s, &Options{ClientAddress: ClientAddressPeer}, nil, &p)
		if !ok || p.errors > 0 {
			return
		}
		holds := func(a netip.Addr) bool {
			return (&from{cidrs: []netip.Prefix{prefix}}).holds(&Request{in: Input{SourceAddress: a}})
		}
		plain := addr.Unmap()
		if holds(addr) != holds(plain) || holds(plain) && plain.BitLen() != prefix.Addr().BitLen() || holds(netip.Addr{}) {
			t.Fatalf("%s: %s %t, %s %t", prefix, addr, holds(addr), plain, holds(plain))
		}
	})
}
