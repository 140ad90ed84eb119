package controller

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

func policyOn(namespace, name string, hosts ...string) *v1alpha1.AuthPolicy {
	public := v1alpha1.AccessPublic
	return &v1alpha1.AuthPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.AuthPolicySpec{Hosts: hosts, Rules: []v1alpha1.Rule{{Name: "all", Access: &public}}},
	}
}

func policyAt(namespace, name, kind, target string) *v1alpha1.AuthPolicy {
	p := policyOn(namespace, name)
	p.Spec.TargetRefs = []v1alpha1.TargetReference{{Kind: kind, Name: target}}
	return p
}

func TestNeighbours(t *testing.T) {
	all := []*v1alpha1.AuthPolicy{
		policyOn("shop", "same", "ORDERS.example.com."), policyOn("attic", "same", "orders.example.com"),
		policyOn("attic", "wildcard", "*.example.com"), policyOn("attic", "everything", "*"), policyOn("shop", "wildcard", "*.example.com"),
		policyOn("attic", "below", "a.orders.example.com"), policyOn("attic", "other", "example.com"), policyOn("shop", "self", "orders.example.com"),
		policyAt("shop", "target", "Service", "orders"), policyAt("attic", "target", "Service", "orders"), policyAt("shop", "kind", "HTTPRoute", "orders"),
	}
	for _, tt := range []struct {
		name   string
		of     *v1alpha1.AuthPolicy
		grants bool
		want   []string
	}{
		{"of one host", policyOn("shop", "self", "orders.example.com"), true, []string{"attic/same", "shop/same"}},
		{"without grants, wildcards of others too", policyOn("shop", "self", "orders.example.com"), false,
			[]string{"attic/same", "shop/same", "attic/everything", "attic/wildcard"}},
		{"a wildcard", policyOn("shop", "new", "*.orders.example.com"), false, []string{"attic/below", "attic/everything", "attic/wildcard"}},
		{"everything", policyOn("attic", "new", "*"), false, []string{"attic/everything", "shop/same", "shop/self", "shop/wildcard"}},
		{"of one target", policyAt("shop", "new", "Service", "orders"), false, []string{"shop/target"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, left := neighbours(all, tt.of, policy.Options{HostGrants: tt.grants})
			var names []string
			for _, p := range got {
				names = append(names, p.Namespace+"/"+p.Name)
			}
			if diff := cmp.Diff(tt.want, names); diff != "" || left != 0 {
				t.Errorf("%d left (-want +got)\n%s", left, diff)
			}
		})
	}
}

func TestNeighboursAreBounded(t *testing.T) {
	objects := policy.Objects{Namespaces: []*corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}}}
	for i := range maxNeighbours + 10 {
		objects.AuthPolicies = append(objects.AuthPolicies, policyOn("shop", fmt.Sprintf("p%d", i), "orders.example.com"))
	}
	w := testWebhook(t, WebhookConfig{Objects: func() (policy.Objects, policy.Options, bool) { return objects, policy.Options{}, true }})
	causes, warned := webhookSaid(t, w.Handle(t.Context(), reviewOf(t, "", ordersWith("{hosts: [orders.example.com], rules: [{name: a, matches: [{path: {type: Exact, value: /a}}], access: Public}]}"))))
	wantPrefixes(t, "causes", causes, nil)
	wantPrefixes(t, "warnings", warned, []string{"it was not compared with 10 more policies"})
}

func TestWorldHoldsOnlyWhatHasASay(t *testing.T) {
	provider := func(namespace, name string) *v1alpha1.IdentityProvider {
		return &v1alpha1.IdentityProvider{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	}
	secret := func(namespace string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "s"}}
	}
	o := policyOn("shop", "orders", "orders.example.com")
	o.Spec.IdentityProviders = []v1alpha1.IdentityProviderReference{{Name: "corp"}}
	ref := policy.ObjectRef{Kind: v1alpha1.KindAuthPolicy, Namespace: "shop", Name: "orders"}
	other := policy.ObjectRef{Kind: v1alpha1.KindAuthPolicy, Namespace: "shop", Name: "other"}
	all := policy.Objects{
		AuthPolicies:      []*v1alpha1.AuthPolicy{policyOn("shop", "orders", "a.example.com"), policyOn("shop", "other", "b.example.com")},
		IdentityProviders: []*v1alpha1.IdentityProvider{provider("shop", "corp"), provider("shop", "else"), provider("attic", "corp")},
		Secrets:           []*corev1.Secret{secret("shop"), secret("attic"), secret("sallyport")},
		Undecoded:         map[policy.ObjectRef][]policy.UndecodedField{ref: {{Path: "spec.x"}}, other: {{Path: "spec.y"}}},
	}
	world, _ := worldOf(&all, o, ref, policy.Options{OwnNamespace: "sallyport"})
	want := policy.Objects{
		AuthPolicies:      []*v1alpha1.AuthPolicy{o},
		IdentityProviders: all.IdentityProviders[:1],
		Secrets:           []*corev1.Secret{all.Secrets[0], all.Secrets[2]},
		Undecoded:         map[policy.ObjectRef][]policy.UndecodedField{other: {{Path: "spec.y"}}},
	}
	if diff := cmp.Diff(want, world); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if len(all.Undecoded) != 2 {
		t.Error("what was handed in was written")
	}
}

// BenchmarkWebhook is a review among ten thousand policies, one of which shares its host.
func BenchmarkWebhook(b *testing.B) {
	var objects policy.Objects
	for i := range 10_000 {
		objects.AuthPolicies = append(objects.AuthPolicies, policyOn(fmt.Sprintf("ns%d", i%100), fmt.Sprintf("p%d", i), fmt.Sprintf("h%d.example.com", i)))
	}
	w := testWebhook(b, WebhookConfig{Objects: func() (policy.Objects, policy.Options, bool) { return objects, policy.Options{}, true }})
	req := reviewOf(b, "", ordersWith("{hosts: [h7.example.com], rules: [{name: all, access: Public}]}"))
	b.ReportAllocs()
	for b.Loop() {
		if r := w.Handle(b.Context(), req); !r.Allowed {
			b.Fatal(r.Result)
		}
	}
}
