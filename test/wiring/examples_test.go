package wiring

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	meshv1alpha1 "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const examples = "../../examples"

// Files of examples that are no objects but values of a chart.
const (
	istiodValues    = "istio/istiod-values.yaml"
	sallyportValues = "istio/sallyport-values.yaml"
)

// TestExamplesAreWhatTheirOwnersPublish checks each object that a user would apply, as the API server would.
func TestExamplesAreWhatTheirOwnersPublish(t *testing.T) {
	for _, folder := range []string{"envoy-gateway-securitypolicy", "istio", "contour"} {
		files, err := filepath.Glob(filepath.Join(examples, folder, "*.yaml"))
		if err != nil || len(files) < 3 {
			t.Fatalf("%s has only the files %q (%v)", folder, files, err)
		}
		for _, file := range files {
			name := folder + "/" + filepath.Base(file)
			if strings.HasSuffix(name, "-values.yaml") {
				continue
			}
			t.Run(name, func(t *testing.T) {
				documents, err := readDocuments(file)
				if err != nil {
					t.Fatal(err)
				}
				for _, text := range documents {
					checkObject(t, text)
				}
			})
		}
	}
}

// checkObject checks one object against its definition; a Namespace against its Go type.
func checkObject(t *testing.T, text string) {
	t.Helper()
	all, err := definitions()
	if err != nil {
		t.Fatal(err)
	}
	object := objectOf(t, text)
	kind := object.GroupVersionKind()
	if kind == corev1.SchemeGroupVersion.WithKind("Namespace") {
		if err := yaml.UnmarshalStrict([]byte(text), new(corev1.Namespace)); err != nil {
			t.Errorf("Namespace %s: %v", object.GetName(), err)
		}
		return
	}
	definition, ok := all[kind]
	if !ok {
		t.Errorf("%s: nobody publishes such a kind", kind)
		return
	}
	for _, fault := range definition.check(t, object.Object) {
		t.Errorf("%s %s: %s", kind.Kind, object.GetName(), fault)
	}
}

func objectOf(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	object := new(unstructured.Unstructured)
	if err := object.UnmarshalJSON(data); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return object
}

// TestAMisspeltFieldIsFound shows that the check above can fail: a field, a value of an enumeration, and a rule in CEL.
func TestAMisspeltFieldIsFound(t *testing.T) {
	all, err := definitions()
	if err != nil {
		t.Fatal(err)
	}
	documents, err := readDocuments(filepath.Join(examples, "envoy-gateway-securitypolicy/securitypolicy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, old, new string }{
		{"a field", "failOpen:", "failOpn:"},
		{"a value", "statusOnError: 503", "statusOnError: 299"},
		{"a rule", "type: Value, value:", "type: ValueRef, value:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			object := objectOf(t, strings.Replace(documents[0], tt.old, tt.new, 1))
			if faults := all[object.GroupVersionKind()].check(t, object.Object); len(faults) == 0 {
				t.Errorf("nothing is wrong with %q", tt.new)
			}
		})
	}
}

// TestIstioMeshConfig checks the values for istiod against the type that istiod reads, and the names that hold them and the
// AuthorizationPolicies together.
func TestIstioMeshConfig(t *testing.T) {
	documents, err := readDocuments(filepath.Join(examples, istiodValues))
	if err != nil {
		t.Fatal(err)
	}
	data, err := yaml.YAMLToJSONStrict([]byte(documents[0]))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		MeshConfig json.RawMessage `json:"meshConfig"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	var mesh meshv1alpha1.MeshConfig
	if err := protojson.Unmarshal(file.MeshConfig, &mesh); err != nil { // which refuses unknown fields
		t.Fatal(err)
	}
	providers := map[string]bool{}
	for _, p := range mesh.ExtensionProviders {
		providers[p.Name] = true
		grpc := p.GetEnvoyExtAuthzGrpc()
		if grpc.GetService() != "sallyport.sallyport.svc.cluster.local" || grpc.GetPort() != 9001 || grpc.GetFailOpen() {
			t.Errorf("provider %s: %v", p.Name, grpc)
		}
	}
	for _, file := range []string{"istio/gateway.yaml", "istio/sidecar.yaml"} {
		documents, err := readDocuments(filepath.Join(examples, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range documents {
			provider, _, err := unstructured.NestedString(objectOf(t, text).Object, "spec", "provider", "name")
			if err != nil || !providers[provider] {
				t.Errorf("%s: the mesh knows no provider %q (%v)", file, provider, err)
			}
		}
	}
}
