package kube_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

func TestColumnsAnswerTheFirstQuestion(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	policy := newPolicy(ns, "orders")
	c.create(t, policy)
	policy.Status = v1alpha1.AuthPolicyStatus{Hosts: []string{"orders.example.com", "*.orders.example.com"}, Rules: 3}
	setCondition(&policy.Status.Conditions, v1alpha1.ConditionAccepted, metav1.ConditionTrue)
	setCondition(&policy.Status.Conditions, v1alpha1.ConditionProgrammed, metav1.ConditionFalse)
	c.updateStatus(t, policy)

	spec := v1alpha1.IdentityProviderSpec{Issuer: "https://id.example.com", Audiences: []string{"api"}}
	own := &v1alpha1.IdentityProvider{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "customers"}, Spec: spec}
	c.create(t, own)
	setCondition(&own.Status.Conditions, v1alpha1.ConditionAccepted, metav1.ConditionTrue)
	setCondition(&own.Status.Conditions, v1alpha1.ConditionKeysReady, metav1.ConditionUnknown)
	c.updateStatus(t, own)

	// Before anybody has looked at it.
	wide := &v1alpha1.ClusterIdentityProvider{
		ObjectMeta: metav1.ObjectMeta{Name: ns},
		Spec:       v1alpha1.ClusterIdentityProviderSpec{IdentityProviderSpec: spec},
	}
	c.create(t, wide)

	revoked := &v1alpha1.TokenRevocation{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "stolen"}, Spec: v1alpha1.TokenRevocationSpec{
		Issuer: "https://id.example.com", Entries: []v1alpha1.RevokedTokens{{JTI: "a", Expires: &metav1.Time{Time: time.Unix(1_800_000_000, 0)}}},
	}}
	c.create(t, revoked)
	revoked.Status.Entries = 1
	setCondition(&revoked.Status.Conditions, v1alpha1.ConditionAccepted, metav1.ConditionTrue)
	setCondition(&revoked.Status.Conditions, v1alpha1.ConditionInForce, metav1.ConditionFalse)
	c.updateStatus(t, revoked)

	for _, tt := range []struct {
		resource, namespace, name string
		columns                   []string
		cells                     []any
	}{
		{"authpolicies", ns, "orders", []string{"Name", "Hosts", "Rules", "Accepted", "Programmed", "Age"},
			[]any{"orders", `["orders.example.com","*.orders.example.com"]`, int64(3), "True", "False"}},
		{"identityproviders", ns, "customers", []string{"Name", "Issuer", "Accepted", "KeysReady", "Age"},
			[]any{"customers", "https://id.example.com", "True", "Unknown"}},
		{"clusteridentityproviders", "", ns, []string{"Name", "Issuer", "Accepted", "KeysReady", "Age"},
			[]any{ns, "https://id.example.com", nil, nil}},
		{"tokenrevocations", ns, "stolen", []string{"Name", "Issuer", "Entries", "Accepted", "InForce", "Age"},
			[]any{"stolen", "https://id.example.com", int64(1), "True", "False"}},
	} {
		t.Run(tt.resource, func(t *testing.T) {
			columns, cells := c.row(t, tt.resource, tt.namespace, tt.name)
			if diff := cmp.Diff(tt.columns, columns); diff != "" {
				t.Errorf("columns (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.cells, cells[:len(cells)-1]); diff != "" {
				t.Errorf("cells, age apart (-want +got):\n%s", diff)
			}
			age, _ := cells[len(cells)-1].(string)
			if _, err := time.ParseDuration(age); err != nil {
				t.Errorf("age %q is no span of time", age)
			}
		})
	}
}

// TestNamesOfTheKinds holds on to what users type.
func TestNamesOfTheKinds(t *testing.T) {
	want := map[string]string{"authpolicies": "authp", "identityproviders": "idp", "clusteridentityproviders": "cidp", "tokenrevocations": "trev"}
	for _, crd := range crds(t) {
		names := crd.Spec.Names
		if diff := cmp.Diff([]string{want[names.Plural]}, names.ShortNames); diff != "" {
			t.Errorf("short names of %s (-want +got):\n%s", names.Plural, diff)
		}
		if diff := cmp.Diff([]string{"sallyport"}, names.Categories); diff != "" {
			t.Errorf("categories of %s (-want +got):\n%s", names.Plural, diff)
		}
	}
}

// row is what "kubectl get" shows of one object.
func (c *cluster) row(t *testing.T, resource, namespace, name string) (columns []string, cells []any) {
	t.Helper()
	config := rest.CopyConfig(c.config)
	config.APIPath, config.GroupVersion = "/apis", &v1alpha1.GroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(c.client.Scheme()).WithoutConversion()
	asking, err := rest.RESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	table := &metav1.Table{}
	err = asking.Get().Resource(resource).NamespaceIfScoped(namespace, namespace != "").Name(name).
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(t.Context()).Into(table)
	if err != nil {
		t.Fatal(err)
	}
	for _, column := range table.ColumnDefinitions {
		if column.Priority == 0 {
			columns = append(columns, column.Name)
		}
	}
	if len(table.Rows) != 1 || len(table.Rows[0].Cells) != len(columns) {
		t.Fatalf("rows %v, want one with %d cells", table.Rows, len(columns))
	}
	return columns, table.Rows[0].Cells
}

func (c *cluster) updateStatus(t *testing.T, o client.Object) {
	t.Helper()
	if err := c.client.Status().Update(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

func setCondition(conditions *[]metav1.Condition, of string, status metav1.ConditionStatus) {
	meta.SetStatusCondition(conditions, metav1.Condition{Type: of, Status: status, Reason: "Test"})
}
