package policy

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// TestHostsFollow shows that whatever has a say in whose a host is, and in what is told of it, is looked at anew when it
// changes, though the policies stand in the same places and name as many hosts.
func TestHostsFollow(t *testing.T) {
	const host = "hosts: [a.com]"
	born := func(year, name, ns, spec string) string {
		return strings.Replace(attached(name, ns, spec), "namespace: "+ns, "namespace: "+ns+", creationTimestamp: \""+year+"-01-01T00:00:00Z\"", 1)
	}
	rule := func(name, template string) string {
		return "kind: AuthPolicy\nmetadata: {name: " + name + ", namespace: b}\nspec: {" + host + `, rules: [{name: r, access: Public, matches: [{path: {type: Template, value: "` + template + `"}}]}]}` + "\n"
	}
	for _, tt := range []struct {
		name          string
		stays         string // a policy that is the same before and after
		before, after string // the other one
		differ        bool   // whether something else is told of the one that stays
	}{
		{"made anew, so younger", born("2022", "stays", "b", host), born("2020", "other", "a", host), born("2024", "other", "a", host), true},
		{"tried out from now on", born("2022", "stays", "b", host), born("2020", "other", "a", host), born("2020", "other", "a", "mode: DryRun, "+host), true},
		{"of another namespace", born("2022", "stays", "b", host), born("2020", "other", "a", host), born("2020", "other", "b", host), true},
		{"another host", born("2022", "stays", "b", host), born("2020", "other", "a", host), born("2020", "other", "a", "hosts: [c.com]"), true},
		{"the same host in another place", born("2020", "stays", "b", host), born("2022", "other", "c", host), born("2022", "other", "c", `hosts: ["no host", a.com]`), false},
		{"an overlap that comes", rule("stays", "/{x}/b"), rule("other", "/c/d"), rule("other", "/a/{y}"), true},
		{"an overlap that goes", rule("stays", "/{x}/b"), rule("other", "/a/{y}"), rule("other", "/c/d"), true},
		{"a rule that nothing overlaps", rule("stays", "/{x}/b"), rule("other", "/c/d"), rule("other", "/c/e"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stays := parse(t, tt.stays).AuthPolicies[0]
			with := func(other string) Objects {
				return Objects{AuthPolicies: []*v1alpha1.AuthPolicy{stays, parse(t, other).AuthPolicies[0]}}
			}
			kept, before, after := new(Compiler), with(tt.before), with(tt.after)
			_, first := kept.Compile(before, Options{})
			got, report := kept.Compile(after, Options{})
			want, fresh := new(Compiler).Compile(after, Options{})
			if diff := cmp.Diff(fresh, report); diff != "" {
				t.Errorf("report (-fresh +kept):\n%s", diff)
			}
			if differ := !slices.Equal(problemsOf(first, "stays"), problemsOf(report, "stays")); differ != tt.differ {
				t.Errorf("that something else is told of the policy that stays is %t", differ)
			}
			calls := []call{get("https://a.com/a/b"), get("https://a.com/"), get("https://c.com/")}
			for i, a := range answers(t, want, calls) {
				if kept := answers(t, got, calls)[i]; !reflect.DeepEqual(a, kept) {
					t.Errorf("%s: kept %+v, fresh %+v", calls[i].Host, kept, a)
				}
			}
		})
	}
}

// TestSharedHostIsToldBesideOneAlone: a policy that has one host alone is told of another that it shares.
func TestSharedHostIsToldBesideOneAlone(t *testing.T) {
	_, r := new(Compiler).Compile(parse(t, `
kind: AuthPolicy
metadata: {name: p}
spec: {hosts: [alone.com, shared.com], rules: [{name: r, access: Public, matches: [{path: {type: Template, value: "/{x}/b"}}]}]}
---
kind: AuthPolicy
metadata: {name: q}
spec: {hosts: [shared.com], rules: [{name: r, access: Public, matches: [{path: {type: Template, value: "/a/{y}"}}]}]}
`), Options{})
	for _, name := range []string{"p", "q"} {
		if got := problemsOf(r, name); len(got) != 1 || !strings.Contains(got[0], `on host "shared.com"`) {
			t.Errorf("%s is told %q", name, got)
		}
	}
}
