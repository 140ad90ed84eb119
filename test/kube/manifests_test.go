package kube_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// objectsOf are the objects of a text of YAML documents.
func objectsOf(t *testing.T, text []byte) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		o := &unstructured.Unstructured{}
		err := documents.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(o.Object) > 0 {
			out = append(out, o)
		}
	}
}

// objectOf is an object of ours with this spec, which is YAML. It belongs into namespace, where its kind has one.
func objectOf(t *testing.T, kind, namespace, name, spec string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	var content any
	if err := yaml.Unmarshal([]byte(spec), &content); err != nil {
		t.Fatalf("%v in\n%s", err, spec)
	}
	o.Object = map[string]any{"spec": content}
	o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	o.SetName(name)
	if kind != v1alpha1.KindClusterIdentityProvider {
		o.SetNamespace(namespace)
	}
	return o
}

// TestManifestsAreAccepted sends what a user finds to copy: the API server decodes it strictly and validates it, and
// keeps nothing.
func TestManifestsAreAccepted(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	for _, dir := range []string{"config/samples", "examples/policies", "examples/tutorial/policies"} {
		for _, file := range filesBelow(t, filepath.Join(root, dir), ".yaml") {
			t.Run(strings.TrimPrefix(file, root+"/"), func(t *testing.T) {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				c.accepts(t, ns, objectsOf(t, text))
			})
		}
	}
}

// TestManifestsOfPagesAreAccepted does the same with the YAML blocks of the documentation that are whole objects.
func TestManifestsOfPagesAreAccepted(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	total := 0
	for _, file := range append(filesBelow(t, filepath.Join(root, "docs"), ".md"), filepath.Join(root, "README.md")) {
		t.Run(strings.TrimPrefix(file, root+"/"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
				block, _, _ = strings.Cut(block, "```")
				if strings.Contains(block, "apiVersion: "+v1alpha1.GroupVersion.String()) {
					total++
					c.accepts(t, ns, objectsOf(t, []byte(block)))
				}
			}
		})
	}
	if total == 0 {
		t.Error("no page shows an object")
	}
}

// accepts lets the API server judge objects, those with a namespace in ns, and keeps none of them.
func (c *cluster) accepts(t *testing.T, ns string, objects []*unstructured.Unstructured) {
	t.Helper()
	if len(objects) == 0 {
		t.Error("there is no object")
	}
	for _, o := range objects {
		mapping, err := c.client.RESTMapper().RESTMapping(o.GroupVersionKind().GroupKind())
		if err != nil {
			t.Fatal(err)
		}
		if mapping.Scope.Name() == "namespace" {
			o.SetNamespace(ns)
		}
		if err := c.client.Create(t.Context(), o, client.DryRunAll); err != nil {
			t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
}

// filesBelow are the files of a folder and of those below it, by the end of their names.
func filesBelow(t *testing.T, dir, end string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, end) {
			out = append(out, path)
		}
		return err
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("no file %s below %s: %v", end, dir, err)
	}
	return out
}
