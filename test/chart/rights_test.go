package chart_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
)

// Words of the table of rights in docs/install.md that say when a right is granted.
const (
	whenAlways     = "always"
	whenReferences = "referenceNamespaces"
	whenAll        = `referenceNamespaces: ["*"]`
	whenOwnCert    = "webhook without cert-manager"
	whenLogout     = "backChannelLogout"
)

// TestRightsAreThoseOfThePage compares what the roles grant, right by right, with what docs/install.md lists.
func TestRightsAreThoseOfThePage(t *testing.T) {
	page := rightsOfThePage(t)
	for _, tt := range []struct {
		name string
		set  []string
		when []string
	}{
		{"defaults", nil, []string{whenAlways}},
		{"references in two namespaces", []string{"referenceNamespaces={shop,billing}"}, []string{whenAlways, whenReferences}},
		{"references in its own namespace", []string{"referenceNamespaces={sallyport}"}, []string{whenAlways}},
		{"references everywhere", []string{"referenceNamespaces={*}"}, []string{whenAlways, whenAll}},
		{"webhook", []string{"webhook.enabled=true"}, []string{whenAlways, whenOwnCert}},
		{"logouts", []string{"backChannelLogout.enabled=true"}, []string{whenAlways, whenLogout}},
		{"webhook with cert-manager", []string{"webhook.enabled=true,webhook.certManager.enabled=true"}, []string{whenAlways}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var want []string
			for _, when := range tt.when {
				for _, right := range page[when] {
					// The table says "each that is named"; here are their names.
					rest, each := strings.CutPrefix(right, "each that is named")
					if !each {
						want = append(want, right)
						continue
					}
					for _, namespace := range []string{"shop", "billing"} {
						want = append(want, namespace+rest)
					}
				}
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, granted(t, template(t, tt.set...))); diff != "" {
				t.Errorf("rights (-page +chart):\n%s", diff)
			}
		})
	}
}

// rightsOfThePage are the rows of the table by their last column, taken apart into single rights.
func rightsOfThePage(t *testing.T) map[string][]string {
	t.Helper()
	content, err := os.ReadFile(root + "/docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(content), "| where | API group | resources | names | verbs | when |\n")
	if !found {
		t.Fatal("docs/install.md has no table of rights")
	}
	page := map[string][]string{}
	for _, line := range strings.Split(table, "\n")[1:] {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 6 {
			break
		}
		for i := range cells {
			cells[i] = strings.ReplaceAll(cells[i], "`", "")
		}
		if !slices.Contains([]string{whenAlways, whenReferences, whenAll, whenOwnCert, whenLogout}, cells[5]) {
			t.Errorf("%q is no case that is tested", cells[5])
		}
		list := func(cell string) []string { return strings.Split(cell, ", ") }
		page[cells[5]] = append(page[cells[5]], rights(cells[0], list(cells[1]), list(cells[2]), list(cells[3]), list(cells[4]))...)
	}
	return page
}

// rights is each combination, one a line.
func rights(where string, groups, resources, names, verbs []string) []string {
	var out []string
	for _, group := range groups {
		for _, resource := range resources {
			for _, name := range names {
				for _, verb := range verbs {
					out = append(out, strings.Join([]string{where, group, resource, name, verb}, " | "))
				}
			}
		}
	}
	return out
}

// granted is what the roles that are bound to the ServiceAccount of the pods grant.
func granted(t *testing.T, all objects) []string {
	t.Helper()
	account := deploymentOf(t, all).Spec.Template.Spec.ServiceAccountName
	rules := map[string][]rbacv1.PolicyRule{} // by name of the role, as objects have it
	bound := map[string]string{}              // where, by name of the role
	for _, o := range all {
		switch role := o.typed.(type) {
		case *rbacv1.ClusterRole:
			rules[o.name()] = role.Rules
		case *rbacv1.Role:
			rules[o.name()] = role.Rules
		case *rbacv1.ClusterRoleBinding:
			bound[role.RoleRef.Kind+"/"+role.RoleRef.Name] = "cluster"
			checkSubject(t, o.name(), role.Subjects, account)
		case *rbacv1.RoleBinding:
			where := role.Namespace
			if where == "sallyport" {
				where = "its own namespace"
			}
			bound[role.RoleRef.Kind+"/"+role.Namespace+"/"+role.RoleRef.Name] = where
			checkSubject(t, o.name(), role.Subjects, account)
		}
	}
	var out []string
	for name, rules := range rules {
		if bound[name] == "" {
			t.Errorf("%s is bound to nobody", name)
		}
		for _, rule := range rules {
			groups := slices.Clone(rule.APIGroups)
			for i := range groups {
				if groups[i] == "" {
					groups[i] = "core"
				}
			}
			names := rule.ResourceNames
			if len(names) == 0 {
				names = []string{"any"}
			}
			out = append(out, rights(bound[name], groups, rule.Resources, names, rule.Verbs)...)
		}
	}
	if len(bound) != len(rules) {
		t.Errorf("%d roles are bound, %d are there", len(bound), len(rules))
	}
	slices.Sort(out)
	return out
}

func checkSubject(t *testing.T, binding string, subjects []rbacv1.Subject, account string) {
	t.Helper()
	want := []rbacv1.Subject{{Kind: "ServiceAccount", Name: account, Namespace: "sallyport"}}
	if diff := cmp.Diff(want, subjects); diff != "" {
		t.Errorf("%s: subjects (-want +got):\n%s", binding, diff)
	}
}
