package chart_test

import (
	"encoding/json"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestSelectorsSelectThePods: what a selector does not find is an object that does nothing, and nobody says so.
func TestSelectorsSelectThePods(t *testing.T) {
	all := template(t, everything...)
	d := deploymentOf(t, all)
	pods := labels.Set(d.Spec.Template.Labels)
	pdb := pick[*policyv1.PodDisruptionBudget](t, all, "PodDisruptionBudget/sallyport/sallyport")
	network := pick[*networkingv1.NetworkPolicy](t, all, "NetworkPolicy/sallyport/sallyport")
	selectors := map[string]*metav1.LabelSelector{
		"Deployment": d.Spec.Selector, "PodDisruptionBudget": pdb.Spec.Selector, "NetworkPolicy": &network.Spec.PodSelector,
	}
	for _, c := range d.Spec.Template.Spec.TopologySpreadConstraints {
		selectors["spread over "+c.TopologyKey] = c.LabelSelector
	}
	for _, name := range []string{"sallyport", "sallyport-admin", "sallyport-webhook"} {
		service := pick[*corev1.Service](t, all, "Service/sallyport/"+name)
		selectors["Service "+name] = &metav1.LabelSelector{MatchLabels: service.Spec.Selector}
		for _, port := range service.Spec.Ports {
			checkPort(t, d, service.Name, port.TargetPort.StrVal)
		}
	}
	for _, rule := range network.Spec.Ingress {
		for _, port := range rule.Ports {
			checkPort(t, d, "NetworkPolicy", port.Port.StrVal)
		}
	}
	for name, s := range selectors {
		selector, err := metav1.LabelSelectorAsSelector(s)
		if err != nil || selector.Empty() || !selector.Matches(pods) {
			t.Errorf("%s selects %v (%v), the pods have %v", name, s, err, pods)
		}
	}
}

// checkPort: the pods have a port of that name.
func checkPort(t *testing.T, d *appsv1.Deployment, of, name string) {
	t.Helper()
	ports := d.Spec.Template.Spec.Containers[0].Ports
	if !slices.ContainsFunc(ports, func(p corev1.ContainerPort) bool { return p.Name == name }) {
		t.Errorf("%s names the port %q, the pods have %v", of, name, ports)
	}
}

// TestMonitorSelectsTheAdminService, and no other, so that each pod is scraped once.
func TestMonitorSelectsTheAdminService(t *testing.T) {
	all := template(t, everything...)
	i := slices.IndexFunc(all, func(o object) bool { return o.GetKind() == "ServiceMonitor" })
	var monitor struct {
		Spec struct {
			Selector  metav1.LabelSelector
			Endpoints []struct{ Port, Path string }
		}
	}
	if err := json.Unmarshal(jsonOf(t, all[i]), &monitor); err != nil {
		t.Fatal(err)
	}
	selector, err := metav1.LabelSelectorAsSelector(&monitor.Spec.Selector)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, o := range all {
		if service, ok := o.typed.(*corev1.Service); ok && selector.Matches(labels.Set(service.Labels)) {
			found = append(found, service.Name)
			if port := service.Spec.Ports[0].Name; len(monitor.Spec.Endpoints) != 1 || monitor.Spec.Endpoints[0].Port != port {
				t.Errorf("it scrapes %v, the Service has the port %s", monitor.Spec.Endpoints, port)
			}
		}
	}
	if !slices.Equal(found, []string{"sallyport-admin"}) {
		t.Errorf("it selects %q", found)
	}
}

func jsonOf(t *testing.T, o object) []byte {
	t.Helper()
	data, err := o.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestEverythingIsInstalled has a real API server take, and validate, every object that the chart has; and leaves the
// number of replicas to the HorizontalPodAutoscaler, on upgrades too.
func TestEverythingIsInstalled(t *testing.T) {
	c := startCluster(t)
	c.define(t, "cert-manager.io", "v1", "Issuer")
	c.define(t, "cert-manager.io", "v1", "Certificate")
	c.define(t, "monitoring.coreos.com", "v1", "ServiceMonitor")
	for _, name := range []string{"shop", "billing"} {
		if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	arguments := []string{"sallyport", chartDir}
	for _, s := range everything {
		arguments = append(arguments, "--set="+s)
	}
	c.helm(t, append([]string{"install", "--create-namespace"}, arguments...)...)
	for _, o := range template(t, everything...) {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(&o), &o.Unstructured); err != nil {
			t.Errorf("%s: %v", o.name(), err)
		}
	}

	var scaler autoscalingv2.HorizontalPodAutoscaler
	if err := c.Get(t.Context(), releaseKey, &scaler); err != nil {
		t.Fatal(err)
	}
	target := &unstructured.Unstructured{}
	target.SetAPIVersion(scaler.Spec.ScaleTargetRef.APIVersion)
	target.SetKind(scaler.Spec.ScaleTargetRef.Kind)
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: scaler.Namespace, Name: scaler.Spec.ScaleTargetRef.Name}, target); err != nil {
		t.Fatalf("what is to be scaled: %v", err)
	}
	scaled := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"replicas":7}}`))
	if err := c.SubResource("scale").Patch(t.Context(), target, scaled); err != nil {
		t.Fatal(err)
	}
	c.helm(t, append([]string{"upgrade"}, append(arguments, "--set=log.level=debug")...)...)
	if got := c.replicas(t); got != 7 {
		t.Errorf("an upgrade scales to %d replicas", got)
	}

	c.helm(t, "uninstall", "sallyport")
	for _, o := range template(t, everything...) {
		err := c.Get(t.Context(), client.ObjectKeyFromObject(&o), &o.Unstructured)
		if kept := o.GetKind() == "CustomResourceDefinition"; kept && err != nil || !kept && !apierrors.IsNotFound(err) {
			t.Errorf("%s after the release: %v", o.name(), err)
		}
	}
}
