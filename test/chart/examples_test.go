package chart_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// wirings are the folders of examples for each proxy that asks.
var wirings = []string{"envoy-gateway-securitypolicy", "istio", "contour"}

// TestPoliciesOfTheExamplesCompile: those that stand beside the wiring of each proxy.
func TestPoliciesOfTheExamplesCompile(t *testing.T) {
	for _, folder := range wirings {
		file := filepath.Join(root, "examples", folder, "sallyport.yaml")
		out, err := exec.CommandContext(t.Context(), sallyport(t), "validate", file).CombinedOutput()
		if err != nil || !strings.Contains(string(out), " 0 warnings") {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
}

// TestExamplesAskTheServiceOfTheChart: each wiring names the Service and the port that the chart makes by default.
func TestExamplesAskTheServiceOfTheChart(t *testing.T) {
	asks := map[string]string{
		"envoy-gateway-securitypolicy/securitypolicy.yaml": "{name: sallyport, namespace: sallyport, port: 9001}",
		"istio/istiod-values.yaml":                         "sallyport.sallyport.svc.cluster.local\n      port: 9001",
		"contour/extensionservice.yaml":                    "{name: sallyport, port: 9001}",
	}
	found := false
	for _, o := range template(t) {
		found = found || o.name() == "Service/sallyport/sallyport"
	}
	if !found {
		t.Error("the chart makes no Service sallyport in the namespace sallyport")
	}
	for file, want := range asks {
		content, err := os.ReadFile(filepath.Join(root, "examples", file))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(content), want) {
			t.Errorf("%s does not ask %q", file, want)
		}
	}
}

// TestNotesNameExamplesThatAreThere: what helm install prints leads somewhere, for each proxy.
func TestNotesNameExamplesThatAreThere(t *testing.T) {
	out, problems, err := helm(t, "install", "sallyport", chartDir, "--namespace=sallyport", "--dry-run=client")
	if err != nil {
		t.Fatalf("%v: %s", err, problems)
	}
	_, notes, found := strings.Cut(out, "\nNOTES:\n")
	if !found {
		t.Fatal("there are no notes")
	}
	for _, want := range append(wirings, "envoy-gateway.yaml", "envoy-sidecar.yaml") {
		if !strings.Contains(notes, "examples/"+want) {
			t.Errorf("the notes lack examples/%s", want)
		}
	}
	for _, path := range regexp.MustCompile(`examples/[a-z./-]+`).FindAllString(notes, -1) {
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			t.Error(err)
		}
	}
	for _, want := range []string{"sallyport.sallyport.svc.cluster.local:9001", "sallyport.dev/hosts", "networkPolicy.enabled"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes lack %q:\n%s", want, notes)
		}
	}
}
