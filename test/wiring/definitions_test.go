package wiring

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	// Each of these keeps in go.mod the module whose definitions are read.
	_ "github.com/cert-manager/cert-manager/pkg/apis/certmanager"
	_ "github.com/envoyproxy/gateway/api"
	_ "github.com/projectcontour/contour/apis/projectcontour"
	_ "istio.io/api/label"
	_ "sigs.k8s.io/gateway-api/pkg/consts"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// published is where each module has its CustomResourceDefinitions.
var published = map[string]string{
	"github.com/envoyproxy/gateway":             "charts/gateway-helm/charts/crds/crds/generated/*.yaml",
	"sigs.k8s.io/gateway-api":                   "config/crd/standard/*.yaml",
	"istio.io/api":                              "kubernetes/customresourcedefinitions.gen.yaml",
	"github.com/projectcontour/contour":         "examples/contour/01-crds.yaml",
	"github.com/cert-manager/cert-manager":      "deploy/crds/*.yaml",
	"github.com/sallyport/sallyport (this one)": "../../config/crd/*.yaml",
}

// definition is how an API server checks an object of one kind and version.
type definition struct {
	props      *apiextensions.JSONSchemaProps
	structural *structuralschema.Structural
}

// definitions are those of all modules. An error is a fault of a module or of published.
var definitions = sync.OnceValues(func() (map[schema.GroupVersionKind]definition, error) {
	all := map[schema.GroupVersionKind]definition{}
	for module, pattern := range published {
		dir := "."
		if !strings.HasPrefix(pattern, "..") {
			out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
			if err != nil {
				return nil, fmt.Errorf("finding %s: %w", module, err)
			}
			dir = strings.TrimSpace(string(out))
		}
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("%s has no file %s: %w", module, pattern, err)
		}
		for _, file := range files {
			if err := readDefinitions(file, all); err != nil {
				return nil, fmt.Errorf("reading %s: %w", file, err)
			}
		}
	}
	return all, nil
})

func readDefinitions(file string, into map[schema.GroupVersionKind]definition) error {
	documents, err := readDocuments(file)
	if err != nil {
		return err
	}
	for _, text := range documents {
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal([]byte(text), &crd); err != nil {
			return err
		}
		if crd.Kind != "CustomResourceDefinition" {
			continue
		}
		for _, version := range crd.Spec.Versions {
			d, err := newDefinition(version.Schema.OpenAPIV3Schema)
			if err != nil {
				return fmt.Errorf("%s %s: %w", crd.Name, version.Name, err)
			}
			into[schema.GroupVersionKind{Group: crd.Spec.Group, Version: version.Name, Kind: crd.Spec.Names.Kind}] = d
		}
	}
	return nil
}

func newDefinition(props *apiextensionsv1.JSONSchemaProps) (definition, error) {
	d := definition{props: new(apiextensions.JSONSchemaProps)}
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(props, d.props, nil); err != nil {
		return d, err
	}
	var err error
	d.structural, err = structuralschema.NewStructural(d.props)
	return d, err
}

// check is what an API server with field validation Strict has against an object.
func (d definition) check(t *testing.T, object map[string]any) []string {
	t.Helper()
	var faults []string
	unknown := pruning.PruneWithOptions(object, d.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, path := range unknown {
		faults = append(faults, path+": there is no such field")
	}
	defaulting.Default(object, d.structural)
	validator, _, err := validation.NewSchemaValidator(d.props)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range validation.ValidateCustomResource(nil, object, validator) {
		faults = append(faults, e.Error())
	}
	if rules := cel.NewValidator(d.structural, true, celconfig.PerCallLimit); rules != nil {
		errs, _ := rules.Validate(t.Context(), nil, d.structural, object, nil, celconfig.RuntimeCELCostBudget)
		for _, e := range errs {
			faults = append(faults, e.Error())
		}
	}
	return faults
}

// readDocuments are the YAML documents of a file.
func readDocuments(file string) ([]string, error) {
	content, err := os.ReadFile(file)
	return documentsOf(string(content)), err
}

func documentsOf(text string) []string {
	var out []string
	for _, document := range strings.Split("\n"+text, "\n---") {
		var value any
		if err := yaml.Unmarshal([]byte(document), &value); err != nil || value != nil {
			out = append(out, document)
		}
	}
	return out
}
