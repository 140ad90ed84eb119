package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestListClaimInOneText shows that a comma in a claim that holds roles or groups is not sent, list or not: providers
// write a list of one as a text.
func TestListClaimInOneText(t *testing.T) {
	s := compile(t, upstreamPolicies, Options{})
	for claims, want := range map[string]string{
		`{"sub":"a","groups":"ops"}`:       "allow token",
		`{"sub":"a","groups":"ops,admin"}`: "UpstreamValueInvalid token",
		`{"sub":"ops,admin"}`:              "allow token",
	} {
		if got := said(get("https://a.com/").with(claims).decide(t, s).Verdict); got != want {
			t.Errorf("%s: %q, want %q", claims, got, want)
		}
	}
}

// TestHostWithPort shows that a host that is written with a port is a mistake that closes a door, and opens none: no wider
// host speaks for it.
func TestHostWithPort(t *testing.T) {
	s, r := new(Compiler).Compile(parse(t, `
kind: AuthPolicy
metadata: {name: wide}
spec: {hosts: ["*.example.com"], rules: [{name: wide, access: Public}]}
---
kind: AuthPolicy
metadata: {name: narrow}
spec: {hosts: ["admin.example.com:8443", "*.internal.example.com:8443"], rules: [{name: narrow, access: Denied}]}
`), Options{})
	if got := said(get("https://x.internal.example.com/").decide(t, s).Verdict); got != "Denied narrow" {
		t.Errorf("a wildcard: %q", got)
	}
	if got := said(get("https://admin.example.com:8443/").decide(t, s).Verdict); got != "Denied narrow" {
		t.Errorf("got %q", got)
	}
	if got := problemsOf(r, "narrow"); len(got) != 2 || !strings.Contains(got[0], "without scheme, port or path") {
		t.Errorf("problems %q", got)
	}
}

func TestMethodInLowerCase(t *testing.T) {
	s := compile(t, orders, Options{})
	if got := said(request("get", "https://orders.example.com/healthz").decide(t, s).Verdict); got != "InvalidRequest" {
		t.Errorf("got %q", got)
	}
}

// TestManyPatternsForOnePath shows that a host with hundreds of templates that cannot be compared refuses what they all
// match, instead of taking the time of all.
func TestManyPatternsForOnePath(t *testing.T) {
	var rules []string
	for i := range 2 * maxFound {
		rules = append(rules, fmt.Sprintf(`{name: r%d, matches: [{path: {type: Template, value: "/{x:.{1,%d}}"}}], access: Public}`, i, i+10))
	}
	s := compile(t, "kind: AuthPolicy\nmetadata: {name: p}\nspec: {hosts: [a.com], rules: [{name: other, matches: [{path: {value: /other/x}}], access: Public}, "+strings.Join(rules, ", ")+"]}\n", Options{})
	if got := said(get("https://a.com/short").decide(t, s).Verdict); got != "NotCompiled" {
		t.Errorf("got %q", got)
	}
	// Each takes one letter more than the last: of maxFound+10 letters, all but the first i do.
	for letters, want := range map[int]string{maxFound + 9: "NotCompiled", maxFound + 10: "Public r128"} {
		if got := said(get("https://a.com/"+strings.Repeat("a", letters)).decide(t, s).Verdict); got != want {
			t.Errorf("%d letters: got %q, want %q", letters, got, want)
		}
	}
	if got := said(get("https://a.com/other/x/y").decide(t, s).Verdict); got != "Public other" {
		t.Errorf("another path: %q", got)
	}
}

// TestIdentityHeaders lists every mixture of spellings, whether a proxy shows it or not.
func TestIdentityHeaders(t *testing.T) {
	s := compile(t, upstreamPolicies, Options{})
	got := s.IdentityHeaders()
	for _, want := range []string{"x-user", "x_user", "x-other"} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is missing in %q", want, got)
		}
	}
	if got := spellings("x-user-groups"); !slices.Contains(got, "x_user-groups") || !slices.Contains(got, "x-user_groups") || len(got) != 4 {
		t.Errorf("got %q", got)
	}
	if got := spellings("a-b-c-d-e"); len(got) != 16 {
		t.Errorf("got %q", got)
	}
	if got := spellings("a-b-c-d-e-f"); !slices.Equal(got, []string{"a-b-c-d-e-f", "a-b-c-d-e-f", "a_b_c_d_e_f"}) {
		t.Errorf("got %q", got)
	}
}
