package kube_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/controller"
)

// grant lets a namespace name hosts, and no others.
func (c *cluster) grant(t *testing.T, namespace, hosts string) {
	t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.HostsAnnotation, hosts)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if err := c.client.Patch(t.Context(), ns, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		t.Fatal(err)
	}
}

// waitConflict waits until a policy is told that a host is not its own, and why.
func (c *cluster) waitConflict(t *testing.T, p *v1alpha1.AuthPolicy, why string) {
	t.Helper()
	got := c.waitCondition(t, p, v1alpha1.ConditionAccepted, v1alpha1.ReasonHostConflict)
	if !strings.Contains(got.Message, "spec.hosts[0]") || !strings.Contains(got.Message, why) {
		t.Errorf("%s is told %q, want %q", p.Name, got.Message, why)
	}
}

// TestGrantsBetweenNamespaces follows hosts as they are granted, taken away and granted to somebody else, while the owner's
// namespace is deleted and made again.
func TestGrantsBetweenNamespaces(t *testing.T) {
	c := sharedCluster(t)
	own, wide, shop := c.namespace(t), c.namespace(t), c.namespace(t)
	domain := shop + ".example.com"
	exact, url := "orders."+domain, "https://orders."+domain+"/"
	r := startReplica(t, c, own, func(config *controller.ClusterConfig) { config.Options.HostGrants = true })
	public, denied := publicPolicy("orders", exact), strings.Replace(publicPolicy("wide", `"*.`+domain+`"`), "Public", "Denied", 1)

	// Nothing is granted: nobody speaks for it, and the condition says how it is.
	c.apply(t, shop, public)
	c.waitConflict(t, policyNamed(shop, "orders"), "kubectl annotate namespace "+shop+" --overwrite sallyport.dev/hosts='"+exact+"'")
	r.waitAsk(t, c, url, "NoPolicy")

	// Granted by its name it is its own, beside a wildcard of another namespace.
	c.grant(t, wide, "*."+domain)
	c.apply(t, wide, denied)
	r.waitAsk(t, c, url, "Denied")
	c.grant(t, shop, exact)
	r.waitAsk(t, c, url, "Public")
	c.waitCondition(t, policyNamed(shop, "orders"), v1alpha1.ConditionProgrammed, v1alpha1.ReasonProgrammed)
	r.waitAsk(t, c, "https://other."+domain+"/", "Denied")

	// The owner goes, and with it the grant: the wildcard is the closest now.
	c.deleteNamespace(t, shop)
	r.waitAsk(t, c, url, "Denied")

	// It is made again, with its policy. Neither name nor policy brings back what it had.
	c.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: shop}})
	c.apply(t, shop, public)
	c.waitConflict(t, policyNamed(shop, "orders"), "is not granted to namespace")
	if got := r.ask(url); got != "Denied" {
		t.Errorf("after it was made again: %s", got)
	}
	c.grant(t, shop, exact)
	r.waitAsk(t, c, url, "Public")

	// Without its policy the host is still its own: refused, and not inherited.
	if err := c.client.Delete(t.Context(), policyNamed(shop, "orders")); err != nil {
		t.Fatal(err)
	}
	r.waitAsk(t, c, url, "NoPolicy")

	// A second exact grant: it is nobody's, and both are told so.
	c.grant(t, wide, "*."+domain+","+exact)
	c.apply(t, wide, publicPolicy("also", exact))
	c.apply(t, shop, public)
	for _, p := range []*v1alpha1.AuthPolicy{policyNamed(wide, "also"), policyNamed(shop, "orders")} {
		c.waitConflict(t, p, "is granted to several namespaces alike")
	}
	r.waitAsk(t, c, url, "NoPolicy")
}

// TestConflictsWithoutGrants shows that the older policy keeps a host, that an owner which was made again is the younger,
// and that whoever waited is told when the host is free.
func TestConflictsWithoutGrants(t *testing.T) {
	c := sharedCluster(t)
	own, first, second := c.namespace(t), c.namespace(t), c.namespace(t)
	host := first + ".example.com"
	url := "https://" + host + "/"
	r := startReplica(t, c, own, nil)
	c.apply(t, first, publicPolicy("shop", host))
	r.waitAsk(t, c, url, "Public")
	c.waitNextSecond(t, policyNamed(first, "shop"))
	c.apply(t, second, strings.Replace(publicPolicy("shop", `"*.example.com"`), "Public", "Denied", 1))
	c.waitConflict(t, policyNamed(second, "shop"), fmt.Sprintf("namespace %q has an older policy", first))
	if got := r.ask(url); got != "Public" {
		t.Errorf("the younger policy makes it %s", got)
	}

	c.deleteNamespace(t, first)
	r.waitAsk(t, c, url, "Denied")
	c.waitCondition(t, policyNamed(second, "shop"), v1alpha1.ConditionAccepted, v1alpha1.ReasonAccepted)
	c.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: first}})
	c.waitNextSecond(t, policyNamed(second, "shop"))
	c.apply(t, first, publicPolicy("shop", host))
	c.waitConflict(t, policyNamed(first, "shop"), fmt.Sprintf("namespace %q has an older policy", second))
	if got := r.ask(url); got != "Denied" {
		t.Errorf("the owner that was made again makes it %s", got)
	}
}

// waitNextSecond waits until what is created from now on is younger than an object: creation times are in seconds.
func (c *cluster) waitNextSecond(t *testing.T, o client.Object) {
	t.Helper()
	if err := c.client.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		t.Fatal(err)
	}
	probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: o.GetNamespace(), GenerateName: "probe-"}}
	c.waitUntil(t, "the next second", func(ctx context.Context) error {
		made := probe.DeepCopy()
		if err := c.client.Create(ctx, made, client.DryRunAll); err != nil {
			return err
		}
		if !made.CreationTimestamp.After(o.GetCreationTimestamp().Time) {
			return fmt.Errorf("it is still %s", made.CreationTimestamp)
		}
		return nil
	})
}
