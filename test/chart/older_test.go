package chart_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// TestUpgradeFromAnOlderChart upgrades a release that was made before Lease and ConfigMap were part of it, with
// definitions that lack a field: docs/upgrading.md says how.
func TestUpgradeFromAnOlderChart(t *testing.T) {
	c := startCluster(t)
	c.helm(t, "install", "sallyport", olderChart(t), "--create-namespace")
	if _, there := c.fieldsOfPolicies(t)["preflight"]; there {
		t.Fatal("the older definition has the field")
	}
	c.createPolicy(t)
	// What its pods have written.
	const held = `{"version":1}`
	meta := metav1.ObjectMeta{Namespace: "sallyport", Name: "sallyport-keys"}
	for _, o := range []client.Object{
		&corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"keys.json": held}},
		&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "sallyport", Name: "sallyport"}, Spec: coordinationv1.LeaseSpec{HolderIdentity: new("somebody")}},
	} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}

	upgrade := []string{"upgrade", "sallyport", chartDir, "--reset-then-reuse-values"}
	_, problems, err := helm(t, append(upgrade, "--kubeconfig="+c.kubeconfig, "--namespace=sallyport")...)
	if err == nil || !strings.Contains(problems, "cannot be imported into the current release") {
		t.Fatalf("without the flag of the page helm says: %v, %s", err, problems)
	}
	c.helm(t, append(upgrade, pageFlag(t))...)

	if _, there := c.fieldsOfPolicies(t)["preflight"]; !there {
		t.Error("the definition was not upgraded")
	}
	c.checkPolicy(t, "after the upgrade")
	var keys corev1.ConfigMap
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: meta.Namespace, Name: meta.Name}, &keys); err != nil || keys.Data["keys.json"] != held {
		t.Errorf("the keys that were kept are %q (%v)", keys.Data, err)
	}
	var lease coordinationv1.Lease
	if err := c.Get(t.Context(), releaseKey, &lease); err != nil || lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity != "somebody" {
		t.Errorf("the Lease is held by %v (%v)", lease.Spec.HolderIdentity, err)
	}
	// From now on it goes without.
	c.helm(t, upgrade...)
}

// pageFlag is the flag that docs/upgrading.md has users give once.
func pageFlag(t *testing.T) string {
	t.Helper()
	const flag = "--take-ownership"
	page, err := os.ReadFile(root + "/docs/upgrading.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "--reset-then-reuse-values "+flag) {
		t.Errorf("docs/upgrading.md has no command with %s", flag)
	}
	return flag
}

// olderChart is the chart without what Sallyport writes by itself, and with definitions that lack a field.
func olderChart(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sallyport")
	if err := os.CopyFS(dir, os.DirFS(chartDir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "templates/state.yaml")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "crd/sallyport.dev_authpolicies.yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(content, &definition); err != nil {
		t.Fatal(err)
	}
	spec := definition.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	delete(spec.Properties, "preflight")
	if content, err = yaml.Marshal(&definition); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// fieldsOfPolicies are those that the definition in the cluster has below spec.
func (c cluster) fieldsOfPolicies(t *testing.T) map[string]apiextensionsv1.JSONSchemaProps {
	t.Helper()
	var definition apiextensionsv1.CustomResourceDefinition
	if err := c.Get(t.Context(), client.ObjectKey{Name: "authpolicies.sallyport.dev"}, &definition); err != nil {
		t.Fatal(err)
	}
	return definition.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties
}
