package kube_test

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// TestUnknownFieldIsRefusedStrictly is what kubectl does by default.
func TestUnknownFieldIsRefusedStrictly(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	for name, spec := range map[string]string{
		"spec.rule":                    open(`rule: []`),
		"spec.rules[0].requires":       rule(`{name: r, access: Authenticated, requires: {scopes: [a]}}`),
		"spec.rules[0].matches[0].pat": matches(`{pat: {value: /a}}`),
		"spec.rules[0].require.scope":  requirement(`{roles: [a], scope: a}`),
	} {
		t.Run(name, func(t *testing.T) {
			err := c.client.Create(t.Context(), objectOf(t, v1alpha1.KindAuthPolicy, ns, "unknown", spec), client.DryRunAll)
			if !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), `unknown field "`+name+`"`) {
				t.Errorf("got %v, want that it names the field", err)
			}
		})
	}
}

// TestUnknownFieldIsPrunedOtherwise: what the schema does not know never reaches etcd, and with it goes what it asked
// for. So a rule says exactly one of access and require: a misspelt require does not leave a door ajar.
func TestUnknownFieldIsPrunedOtherwise(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	lenient := client.WithFieldValidation(c.client, metav1.FieldValidationIgnore)
	o := objectOf(t, v1alpha1.KindAuthPolicy, ns, "pruned", rule(`{name: r, access: Public, extra: {scopes: [a]}}`))
	if err := lenient.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	rules, _, err := unstructured.NestedSlice(o.Object, "spec", "rules")
	if err != nil || len(rules) != 1 {
		t.Fatalf("rules %v, %v", rules, err)
	}
	if extra, found := rules[0].(map[string]any)["extra"]; found {
		t.Errorf("%v was kept", extra)
	}
	misspelt := objectOf(t, v1alpha1.KindAuthPolicy, ns, "misspelt", rule(`{name: r, requires: {scopes: [a]}}`))
	if err := lenient.Create(t.Context(), misspelt); !apierrors.IsInvalid(err) {
		t.Errorf("got %v, want that it is invalid", err)
	}
}
