package kube_test

import (
	"fmt"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// TestLargePolicyIsAccepted sends as many rules as the schema allows, each with what the rules of the schema look at: what
// they cost when they run must fit the API server's budget too, not only its estimate when the CRD is installed.
func TestLargePolicyIsAccepted(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	segment := strings.Repeat("a", 60)
	match := "{path: {type: Exact, value: /" + segment + "/%d}, methods: [GET, HEAD, POST, PUT]}"
	rule := "{name: r%d, matches: " + many(12, match) + `,
		from: {cidrs: [10.0.0.0/8, "2001:db8::/32"], principals: ["spiffe://cluster.local/ns/monitoring/sa/*"]},
		require: {scopes: [read, write], claims: [{claim: tier, operator: In, values: [gold, silver]}, {claim: sub, operator: Exists}]},
		denied: {status: 404, realm: shop, headers: [{name: x-a, value: b}], unauthenticated: {redirect: {url: "https://login.example.com"}}}}`
	spec := fmt.Sprintf("{hosts: %s, identityProviders: %s, rules: %s}",
		many(64, "host-%d."+segment+".example.com"), many(16, "{name: idp-%d}"), many(256, rule))
	t.Logf("a policy of %d bytes", len(spec))
	c.create(t, objectOf(t, v1alpha1.KindAuthPolicy, ns, "large", spec))
}

// TestSchemaLeavesRoomInTheCostBudget: the estimate of the rules grows with the number of rules of a policy. A quarter
// more of these would still do, so a field that is added, or an API server that counts a little otherwise, does as well.
func TestSchemaLeavesRoomInTheCostBudget(t *testing.T) {
	c := sharedCluster(t)
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := c.client.Get(t.Context(), client.ObjectKey{Name: "authpolicies." + v1alpha1.GroupVersion.Group}, crd); err != nil {
		t.Fatal(err)
	}
	spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	rules := spec.Properties["rules"]
	more := *rules.MaxItems * 5 / 4
	rules.MaxItems = &more
	spec.Properties["rules"] = rules
	if err := c.client.Update(t.Context(), crd, client.DryRunAll); err != nil {
		t.Error(err)
	}
}
