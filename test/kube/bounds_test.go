package kube_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// unbounded may be so, each for its reason. What is listed here and has a bound is an error too.
var unbounded = map[string]string{
	// The selector is the type of the Kubernetes API, which has no bounds. Rules bound the number of its entries, and
	// the API server the size of an object.
	"ClusterIdentityProvider.spec.allowedNamespaces.selector.matchLabels":                 "by a rule",
	"ClusterIdentityProvider.spec.allowedNamespaces.selector.matchLabels{}":               "by the size of a request",
	"ClusterIdentityProvider.spec.allowedNamespaces.selector.matchExpressions":            "by a rule",
	"ClusterIdentityProvider.spec.allowedNamespaces.selector.matchExpressions[].key":      "by the size of a request",
	"ClusterIdentityProvider.spec.allowedNamespaces.selector.matchExpressions[].operator": "by the size of a request",
	"ClusterIdentityProvider.spec.allowedNamespaces.selector.matchExpressions[].values":   "by the size of a request",
	"ClusterIdentityProvider.spec.allowedNamespaces.selector.matchExpressions[].values[]": "by the size of a request",
}

func TestEveryStringAndListHasABound(t *testing.T) {
	got := map[string]bool{}
	for _, crd := range crds(t) {
		for _, version := range crd.Spec.Versions {
			root := version.Schema.OpenAPIV3Schema
			for _, part := range []string{"spec", "status"} {
				properties, ok := root.Properties[part]
				if !ok {
					t.Errorf("%s has no %s", crd.Spec.Names.Kind, part)
				}
				walk(&properties, crd.Spec.Names.Kind+"."+part, func(at string) { got[at] = true })
			}
		}
	}
	for _, at := range slices.Sorted(maps.Keys(got)) {
		if unbounded[at] == "" {
			t.Errorf("%s has no bound", at)
		}
	}
	for at := range unbounded {
		if !got[at] {
			t.Errorf("%s has a bound, or is not there: take it off the list", at)
		}
	}
}

// walk calls report with the path of each string, list and map below s, s included, that has no bound.
func walk(s *apiextensionsv1.JSONSchemaProps, at string, report func(string)) {
	switch s.Type {
	case "string":
		// The API server reads a date-time, so it is bounded by its form.
		if s.MaxLength == nil && len(s.Enum) == 0 && s.Format != "date-time" {
			report(at)
		}
	case "array":
		if s.MaxItems == nil {
			report(at)
		}
		walk(s.Items.Schema, at+"[]", report)
	case "object":
		if s.AdditionalProperties != nil {
			if s.MaxProperties == nil {
				report(at)
			}
			walk(s.AdditionalProperties.Schema, at+"{}", report)
		}
		for name, property := range s.Properties {
			walk(&property, at+"."+name, report)
		}
	case "integer", "boolean":
	default:
		report(fmt.Sprintf("%s of type %q", at, s.Type))
	}
}

// crds are those in config/crd, one of each kind.
func crds(t *testing.T) []*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	var out []*apiextensionsv1.CustomResourceDefinition
	var kinds []string
	for _, file := range filesBelow(t, filepath.Join(root, "config", "crd"), ".yaml") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "kind: CustomResourceDefinition") {
			continue
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, crd); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out = append(out, crd)
		kinds = append(kinds, crd.Spec.Names.Kind)
	}
	slices.Sort(kinds)
	want := []string{v1alpha1.KindAuthPolicy, v1alpha1.KindClusterIdentityProvider, v1alpha1.KindIdentityProvider, v1alpha1.KindTokenRevocation}
	if !slices.Equal(kinds, want) {
		t.Fatalf("kinds %q, want %q", kinds, want)
	}
	return out
}
