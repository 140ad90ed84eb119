package chart_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// TestChartHasTheDefinitions: helm packs nothing from outside the chart, so it has a copy, which make generate
// writes.
func TestChartHasTheDefinitions(t *testing.T) {
	files, err := filepath.Glob(root + "/config/crd/*.yaml")
	if err != nil || len(files) != 4 {
		t.Fatalf("definitions: %q, %v", files, err)
	}
	for _, file := range files {
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(chartDir, "crd", filepath.Base(file))
		if got, err := os.ReadFile(copied); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not %s (%v): run make generate", copied, file, err)
		}
	}
	if copies, err := filepath.Glob(chartDir + "/crd/*"); err != nil || len(copies) != len(files) {
		t.Errorf("the chart has the definitions %q (%v)", copies, err)
	}
}

// TestDefinitionsOutliveTheRelease: uninstalling deletes no policy.
func TestDefinitionsOutliveTheRelease(t *testing.T) {
	for _, tt := range []struct{ keep, want string }{{"true", "keep"}, {"false", ""}} {
		found := 0
		for _, o := range template(t, "crds.keep="+tt.keep) {
			if o.GetKind() != "CustomResourceDefinition" {
				continue
			}
			found++
			if got := o.GetAnnotations()["helm.sh/resource-policy"]; got != tt.want {
				t.Errorf("crds.keep=%s: %s has the resource policy %q", tt.keep, o.GetName(), got)
			}
		}
		if found != 4 {
			t.Errorf("%d definitions", found)
		}
	}
}

// TestBaseSaysWhatTheChartSays compares the kustomize base with the chart's default values, but for what only one of them
// has: the Namespace here, Helm's labels and annotations and those on the definitions there.
func TestBaseSaysWhatTheChartSays(t *testing.T) {
	base, chart := map[string]any{}, map[string]any{}
	for _, o := range template(t) {
		if o.GetKind() == "CustomResourceDefinition" {
			o.SetLabels(nil)
		}
		chart[o.name()] = withoutHelm(o.Object)
	}
	for _, text := range kustomize(t, root+"/config") {
		for _, o := range decode(t, text) {
			base[o.name()] = withoutHelm(o.Object)
		}
	}
	if base["Namespace/sallyport"] == nil {
		t.Error("the base has no Namespace")
	}
	delete(base, "Namespace/sallyport")
	for name, object := range chart {
		switch {
		case cmp.Equal(object, base[name]):
		case strings.HasPrefix(name, "CustomResourceDefinition/"): // a page of difference would say no more
			t.Errorf("%s: chart and base differ", name)
		default:
			t.Errorf("%s (-chart +base):\n%s", name, cmp.Diff(object, base[name]))
		}
		delete(base, name)
	}
	for name := range base {
		t.Errorf("only the base has %s", name)
	}
}

// withoutHelm takes out of an object what Helm alone has, at any depth.
func withoutHelm(value any) any {
	members, ok := value.(map[string]any)
	if !ok {
		if list, ok := value.([]any); ok {
			for i := range list {
				list[i] = withoutHelm(list[i])
			}
		}
		return value
	}
	for _, name := range []string{
		"helm.sh/chart", "helm.sh/resource-policy", "app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/version",
	} {
		delete(members, name)
	}
	for name, member := range members {
		members[name] = withoutHelm(member)
	}
	return members
}

// kustomize is the content of every file of a base, in order. It knows resources only: a base that changes objects would
// not show here what it applies.
func kustomize(t *testing.T, dir string) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var k struct {
		APIVersion, Kind string
		Resources        []string
	}
	if err := yaml.UnmarshalStrict(content, &k); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, resource := range k.Resources {
		path := filepath.Join(dir, resource)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			out = append(out, kustomize(t, path)...)
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(text))
	}
	return out
}
