package wiring

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

// render is what helm makes of the chart, an object each, without the definitions.
func render(t *testing.T, arguments ...string) []string {
	t.Helper()
	helm := os.Getenv("SALLYPORT_HELM")
	if helm == "" {
		t.Skip("SALLYPORT_HELM names no helm; make test does")
	}
	cmd := exec.CommandContext(t.Context(), helm, append([]string{
		"template", "sallyport", "../../charts/sallyport", "--namespace=sallyport", "--set=crds.install=false"}, arguments...)...)
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+t.TempDir(), "HELM_CONFIG_HOME="+t.TempDir(), "HELM_DATA_HOME="+t.TempDir())
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return documentsOf(string(out))
}

// TestChartObjectsOfOthers checks what the chart makes for cert-manager and the Prometheus operator.
func TestChartObjectsOfOthers(t *testing.T) {
	for _, tt := range []struct {
		name      string
		arguments []string
		want      []string
	}{
		{"own issuer", []string{"--set=webhook.enabled=true,webhook.certManager.enabled=true"}, []string{"Certificate", "Issuer"}},
		{"named issuer", []string{"--set=webhook.enabled=true,webhook.certManager.enabled=true,webhook.certManager.issuerRef.name=ca,webhook.certManager.issuerRef.kind=ClusterIssuer"}, []string{"Certificate"}},
		{"monitor", []string{"--set=serviceMonitor.enabled=true,serviceMonitor.labels.release=prometheus"}, []string{"ServiceMonitor"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, text := range render(t, tt.arguments...) {
				object := objectOf(t, text)
				switch object.GroupVersionKind().Group {
				case "cert-manager.io":
					checkObject(t, text)
				case "monitoring.coreos.com":
					if err := yaml.UnmarshalStrict([]byte(text), new(monitoringv1.ServiceMonitor)); err != nil {
						t.Error(err)
					}
				default:
					continue
				}
				got = append(got, object.GetKind())
			}
			slices.Sort(got)
			if strings.Join(got, " ") != strings.Join(tt.want, " ") {
				t.Errorf("renders %q, want %q", got, tt.want)
			}
		})
	}
}

// TestPodsPassRestrictedPodSecurity asks the library of the admission plugin, for the chart and the kustomize base.
func TestPodsPassRestrictedPodSecurity(t *testing.T) {
	base, err := os.ReadFile("../../config/default/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, documents := range map[string][]string{
		"base": {string(base)}, "defaults": render(t),
		"everything": render(t, "--set=webhook.enabled=true,webhook.certManager.enabled=true,tls.secretName=tls,tls.clientCA.secretName=ca"),
	} {
		t.Run(name, func(t *testing.T) {
			pods := 0
			for _, text := range documents {
				if objectOf(t, text).GetKind() != "Deployment" {
					continue
				}
				pods++
				var deployment appsv1.Deployment
				if err := yaml.UnmarshalStrict([]byte(text), &deployment); err != nil {
					t.Fatal(err)
				}
				template := deployment.Spec.Template
				level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
				for _, result := range evaluator.EvaluatePod(level, &template.ObjectMeta, &template.Spec) {
					if !result.Allowed {
						t.Errorf("%s: %s", result.ForbiddenReason, result.ForbiddenDetail)
					}
				}
			}
			if pods != 1 {
				t.Errorf("%d Deployments", pods)
			}
		})
	}
}

// TestIstioValuesOfTheChart renders the chart with the values that the example for Istio gives.
func TestIstioValuesOfTheChart(t *testing.T) {
	all := strings.Join(render(t, "--values="+filepath.Join(examples, sallyportValues)), "\n")
	for _, want := range []string{
		"--gateway-principals=spiffe://cluster.local/ns/istio-ingress/sa/*", "--trust-domain=cluster.local", "--scope-from-principal=true",
		"sidecar.istio.io/inject",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("%s is not among what is rendered", want)
		}
	}
}
