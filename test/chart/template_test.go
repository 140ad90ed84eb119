package chart_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

func TestLint(t *testing.T) {
	out, problems, err := helm(t, "lint", "--strict", chartDir)
	if err != nil {
		t.Errorf("%v\n%s%s", err, out, problems)
	}
}

// always are the names of the objects that every release has.
var always = []string{
	"ClusterRole/sallyport", "ClusterRoleBinding/sallyport",
	"CustomResourceDefinition/authpolicies.sallyport.dev", "CustomResourceDefinition/clusteridentityproviders.sallyport.dev",
	"CustomResourceDefinition/identityproviders.sallyport.dev", "CustomResourceDefinition/tokenrevocations.sallyport.dev",
	"Deployment/sallyport/sallyport", "PodDisruptionBudget/sallyport/sallyport", "Role/sallyport/sallyport",
	"RoleBinding/sallyport/sallyport", "Service/sallyport/sallyport", "Service/sallyport/sallyport-admin",
	"ServiceAccount/sallyport/sallyport", "ConfigMap/sallyport/sallyport-keys", "Lease/sallyport/sallyport",
}

// TestTemplate renders a matrix of values. Each object is decoded strictly on the way.
func TestTemplate(t *testing.T) {
	for _, tt := range []struct {
		name       string
		set        []string
		more, less []string // beside always, or missing from it
	}{
		{name: "defaults"},
		{name: "one replica, no budget", set: []string{"replicas=1", "podDisruptionBudget.enabled=false"}, less: []string{"PodDisruptionBudget/sallyport/sallyport"}},
		{name: "autoscaling", set: []string{"autoscaling.enabled=true", "autoscaling.behavior.scaleDown.stabilizationWindowSeconds=600"},
			more: []string{"HorizontalPodAutoscaler/sallyport/sallyport"}},
		{name: "TLS", set: []string{"tls.secretName=tls"}},
		{name: "TLS with client certificates", set: []string{"tls.secretName=tls", "tls.clientCA.secretName=tls"}},
		{name: "webhook with its own certificate", set: []string{"webhook.enabled=true"},
			more: []string{"Secret/sallyport/sallyport-webhook", "Service/sallyport/sallyport-webhook", "ValidatingWebhookConfiguration/sallyport-webhook"}},
		{name: "webhook with cert-manager", set: []string{"webhook.enabled=true", "webhook.certManager.enabled=true"},
			more: []string{"Certificate/sallyport/sallyport-webhook", "Issuer/sallyport/sallyport-webhook",
				"Service/sallyport/sallyport-webhook", "ValidatingWebhookConfiguration/sallyport-webhook"}},
		{name: "logouts", set: []string{"backChannelLogout.enabled=true"}, more: []string{"Service/sallyport/sallyport-logout"}},
		{name: "cert-manager alone makes no webhook", set: []string{"webhook.certManager.enabled=true"}},
		{name: "network policy", set: []string{"networkPolicy.enabled=true"}, more: []string{"NetworkPolicy/sallyport/sallyport"}},
		{name: "service monitor", set: []string{"serviceMonitor.enabled=true"}, more: []string{"ServiceMonitor/sallyport/sallyport"}},
		{name: "references in other namespaces", set: []string{"referenceNamespaces={shop,sallyport}"},
			more: []string{"Role/shop/sallyport-references", "RoleBinding/shop/sallyport-references"}},
		{name: "ServiceAccount tokens", set: []string{"serviceAccountTokens=true"}, more: []string{"ClusterRoleBinding/sallyport-service-account-tokens"}},
		{name: "references everywhere", set: []string{"referenceNamespaces={*}"}},
		{name: "no definitions", set: []string{"crds.install=false"}, less: always[2:6]},
		{name: "rights and account of your own", set: []string{"rbac.create=false", "serviceAccount.create=false", "serviceAccount.name=mine", "referenceNamespaces={shop}", "serviceAccountTokens=true"},
			less: []string{"ClusterRole/sallyport", "ClusterRoleBinding/sallyport", "Role/sallyport/sallyport", "RoleBinding/sallyport/sallyport", "ServiceAccount/sallyport/sallyport"}},
		{name: "image by digest", set: []string{"image.repository=images/sallyport", "image.digest=sha256:" + strings.Repeat("0", 64)}},
		{name: "everything", set: everything, more: []string{
			"Certificate/sallyport/sallyport-webhook", "ClusterRoleBinding/sallyport-service-account-tokens", "HorizontalPodAutoscaler/sallyport/sallyport", "Issuer/sallyport/sallyport-webhook",
			"NetworkPolicy/sallyport/sallyport", "Role/billing/sallyport-references", "Role/shop/sallyport-references",
			"RoleBinding/billing/sallyport-references", "RoleBinding/shop/sallyport-references", "Service/sallyport/sallyport-logout",
			"Service/sallyport/sallyport-webhook", "ServiceMonitor/sallyport/sallyport", "ValidatingWebhookConfiguration/sallyport-webhook"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := slices.Concat(slices.DeleteFunc(slices.Clone(always), func(s string) bool { return slices.Contains(tt.less, s) }), tt.more)
			slices.Sort(want)
			if diff := cmp.Diff(want, template(t, tt.set...).names()); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}

func deploymentOf(t *testing.T, all objects) *appsv1.Deployment {
	t.Helper()
	return pick[*appsv1.Deployment](t, all, "Deployment/sallyport/sallyport")
}

func containerOf(t *testing.T, all objects) corev1.Container {
	t.Helper()
	return deploymentOf(t, all).Spec.Template.Spec.Containers[0]
}

// TestPodsEndAfterTheirRequests: the kubelet waits longer than the drain.
func TestPodsEndAfterTheirRequests(t *testing.T) {
	all := template(t, "drainSeconds=90")
	grace := time.Duration(*deploymentOf(t, all).Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
	for _, arg := range containerOf(t, all).Args {
		if text, ok := strings.CutPrefix(arg, "--drain-timeout="); ok {
			if drain, err := time.ParseDuration(text); err != nil || drain != 90*time.Second || grace <= drain {
				t.Errorf("the drain is %s (%v), the grace %s", text, err, grace)
			}
			return
		}
	}
	t.Error("no --drain-timeout among the arguments")
}

// TestTracing: the flag, and the variable that names the collector.
func TestTracing(t *testing.T) {
	const variable = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for endpoint, set := range map[string][]string{
		"": nil, "http://collector.observability:4317": {"tracing.enabled=true", "tracing.endpoint=http://collector.observability:4317"},
		"http://sidecar:4317": {"tracing.enabled=true", "extraEnv[0].name=" + variable, "extraEnv[0].value=http://sidecar:4317"},
	} {
		c := containerOf(t, template(t, set...))
		if slices.Contains(c.Args, "--tracing") != (endpoint != "") {
			t.Errorf("%v: the arguments are %v", set, c.Args)
		}
		var got []string
		for _, e := range c.Env {
			if e.Name == variable {
				got = append(got, e.Value)
			}
		}
		if want := strings.Fields(endpoint); !slices.Equal(got, want) {
			t.Errorf("%v: %s is %v", set, variable, got)
		}
	}
}

// TestMountsHaveTheirVolumes: what the arguments name lies in a volume that is there.
func TestMountsHaveTheirVolumes(t *testing.T) {
	spec := deploymentOf(t, template(t, everything...)).Spec.Template.Spec
	volumes := map[string]bool{}
	for _, v := range spec.Volumes {
		volumes[v.Name] = true
	}
	var mounts []string
	for _, m := range spec.Containers[0].VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("no volume %s", m.Name)
		}
		mounts = append(mounts, m.MountPath)
	}
	for _, arg := range spec.Containers[0].Args {
		_, path, _ := strings.Cut(arg, "=/etc/")
		if path != "" && !slices.ContainsFunc(mounts, func(m string) bool { return strings.HasPrefix("/etc/"+path, m) }) {
			t.Errorf("%s lies in no mount", arg)
		}
	}
	if len(mounts) != 8 {
		t.Errorf("mounts %q", mounts)
	}
}

// TestNetworkPolicyThatNamesNobodyLetsNobodyIn: an empty from would be everybody.
func TestNetworkPolicyThatNamesNobodyLetsNobodyIn(t *testing.T) {
	const name = "NetworkPolicy/sallyport/sallyport"
	if rules := pick[*networkingv1.NetworkPolicy](t, template(t, "networkPolicy.enabled=true"), name).Spec.Ingress; len(rules) != 0 {
		t.Errorf("rules of ingress: %v", rules)
	}
	for _, rule := range pick[*networkingv1.NetworkPolicy](t, template(t, everything...), name).Spec.Ingress {
		if len(rule.From) == 0 && rule.Ports[0].Port.StrVal != "webhook" {
			t.Errorf("port %v is open to everybody", rule.Ports[0].Port)
		}
	}
}
