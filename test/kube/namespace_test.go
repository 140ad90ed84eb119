package kube_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// namespace makes a namespace for the test alone; it is deleted with what is in it when the test ends.
func (c *cluster) namespace(t *testing.T) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := c.client.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.removeNamespace(context.Background(), ns.Name); err != nil {
			t.Error(err)
		}
	})
	return ns.Name
}

// create makes an object, which must be accepted. One without a namespace is deleted when the test ends.
func (c *cluster) create(t *testing.T, o client.Object) {
	t.Helper()
	if err := c.client.Create(t.Context(), o); err != nil {
		t.Fatalf("creating %T %s: %v", o, o.GetName(), err)
	}
	if o.GetNamespace() != "" {
		return
	}
	t.Cleanup(func() {
		if err := c.client.Delete(context.Background(), o); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
}

// deleteNamespace deletes a namespace with what is in it; once it returns, one of the same name can be made.
func (c *cluster) deleteNamespace(t *testing.T, name string) {
	t.Helper()
	if err := c.removeNamespace(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

// removeNamespace does what the namespace controller would: it deletes the objects, then lets go of the namespace.
func (c *cluster) removeNamespace(ctx context.Context, name string) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := c.client.Delete(ctx, ns); err != nil {
		return client.IgnoreNotFound(err)
	}
	kinds, err := c.deletableKinds()
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		o := &unstructured.Unstructured{}
		o.SetGroupVersionKind(kind)
		if err := c.client.DeleteAllOf(ctx, o, client.InNamespace(name)); err != nil && !apierrors.IsMethodNotSupported(err) {
			return fmt.Errorf("deleting each %s of %s: %w", kind.Kind, name, err)
		}
	}
	if err := c.client.Get(ctx, client.ObjectKeyFromObject(ns), ns); err != nil {
		return client.IgnoreNotFound(err)
	}
	ns.Spec.Finalizers = nil
	return client.IgnoreNotFound(c.client.SubResource("finalize").Update(ctx, ns))
}

// deletableKinds are the kinds of objects in namespaces.
func (c *cluster) deletableKinds() ([]schema.GroupVersionKind, error) {
	asking, err := discovery.NewDiscoveryClientForConfig(c.config)
	if err != nil {
		return nil, err
	}
	lists, err := asking.ServerPreferredNamespacedResources()
	if err != nil {
		return nil, err
	}
	var kinds []schema.GroupVersionKind
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, resource := range list.APIResources {
			if slices.Contains(resource.Verbs, "deletecollection") {
				kinds = append(kinds, gv.WithKind(resource.Kind))
			}
		}
	}
	return kinds, nil
}

func TestNamespaceIsDeletedAndMadeAgain(t *testing.T) {
	c := sharedCluster(t)
	name := c.namespace(t)
	old := &corev1.Namespace{}
	if err := c.client.Get(t.Context(), client.ObjectKey{Name: name}, old); err != nil {
		t.Fatal(err)
	}
	c.create(t, newPolicy(name, "kept"))
	c.deleteNamespace(t, name)

	again := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := c.client.Create(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if again.UID == old.UID {
		t.Error("the new namespace is the old one")
	}
	err := c.client.Get(t.Context(), client.ObjectKey{Namespace: name, Name: "kept"}, &v1alpha1.AuthPolicy{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("a policy of the old namespace: %v, want not found", err)
	}
}

func TestAPIServerComesBackWithWhatItHad(t *testing.T) {
	c := startCluster(t)
	ns := c.namespace(t)
	c.create(t, newPolicy(ns, "kept"))
	kept := client.ObjectKey{Namespace: ns, Name: "kept"}
	file := c.kubeconfig(t, c.config)
	c.stopAPIServer(t)
	if err := c.client.Get(t.Context(), kept, &v1alpha1.AuthPolicy{}); err == nil {
		t.Error("the API server answers after it was stopped")
	}
	c.startAPIServer(t)
	if err := c.client.Get(t.Context(), kept, &v1alpha1.AuthPolicy{}); err != nil {
		t.Error(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err := errors.Join(err, c.clientOf(t, config).Get(t.Context(), kept, &v1alpha1.AuthPolicy{})); err != nil {
		t.Errorf("with the kubeconfig of before: %v", err)
	}
}

// newPolicy is a sound policy.
func newPolicy(namespace, name string) *v1alpha1.AuthPolicy {
	access := v1alpha1.AccessPublic
	return &v1alpha1.AuthPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.AuthPolicySpec{
			Hosts: []string{name + ".example.com"},
			Rules: []v1alpha1.Rule{{Name: "all", Access: &access}},
		},
	}
}
