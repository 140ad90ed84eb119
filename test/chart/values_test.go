package chart_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// TestWrongValuesAreRefused: with a message that names the value.
func TestWrongValuesAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name, set string
		want      string // what the message names
	}{
		{"misspelt", "replica=3", "'replica'"},
		{"misspelt deeper", "tls.secret=x", "at '/tls'"},
		{"not one of the words", "log.level=loud", "at '/log/level'"},
		{"text for a number", "drainSeconds=20s", "at '/drainSeconds'"},
		{"text for a switch", "dryRun=perhaps", "at '/dryRun'"},
		{"no port", "service.port=0", "at '/service/port'"},
		{"no digest", "image.digest=sha256:12", "at '/image/digest'"},
		{"no namespace", "referenceNamespaces={Shop}", "at '/referenceNamespaces/0'"},
		{"no principal", "gatewayPrincipals={istio-ingress}", "at '/gatewayPrincipals/0'"},
		{"no argument", "extraArgs={serve}", "at '/extraArgs/0'"},
		{"no failure policy", "webhook.failurePolicy=Sometimes", "at '/webhook/failurePolicy'"},
		{"client CA without TLS", "tls.clientCA.secretName=ca", "tls.clientCA.secretName needs tls.secretName"},
		{"hops without X-Forwarded-For", "xffTrustedHops=1", "xffTrustedHops needs clientAddress"},
		{"hops without X-Forwarded-Client-Cert", "xfccTrustedHops=1", "xfccTrustedHops needs clientCertificate"},
		{"no certificate to read", "clientCertificate=header", "at '/clientCertificate'"},
		{"no scheme", "publicScheme=ftp", "at '/publicScheme'"},
		{"no store", "sharedStore.url=valkey.infra:6379", "at '/sharedStore/url'"},
		{"a password for no store", "sharedStore.password.secretName=store", "need sharedStore.url"},
		{"a collector of no traces", "tracing.endpoint=http://collector:4317", "tracing.endpoint needs tracing.enabled"},
		{"a collector that is no URL", "tracing.endpoint=collector:4317", "at '/tracing/endpoint'"},
		{"all namespaces and one", "referenceNamespaces={*,shop}", "referenceNamespaces"},
		{"two sides of a budget", "podDisruptionBudget.minAvailable=1", "podDisruptionBudget needs exactly one"},
		{"delay as long as the drain", "drainDelaySeconds=20", "drainDelaySeconds must be under drainSeconds"},
		{"least above most", "autoscaling.minReplicas=20", "autoscaling.minReplicas"},
		{"issuer without a name", "webhook.certManager.issuerRef.kind=Issuer", "issuerRef needs a name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, message, err := helm(t, "template", "sallyport", chartDir, "--set="+tt.set)
			if err == nil {
				t.Fatalf("%s is taken", tt.set)
			}
			if !strings.Contains(message, tt.want) {
				t.Errorf("%q does not name %q", message, tt.want)
			}
		})
	}
}

// TestSchemaKnowsEveryValue compares the names of values.yaml with those of its schema, in every depth.
func TestSchemaKnowsEveryValue(t *testing.T) {
	var values map[string]any
	if err := yaml.Unmarshal(readChart(t, "values.yaml"), &values); err != nil {
		t.Fatal(err)
	}
	var schema shape
	if err := json.Unmarshal(readChart(t, "values.schema.json"), &schema); err != nil {
		t.Fatal(err)
	}
	delete(schema.Properties, "global") // which Helm hands to every chart that is part of another
	schema.compare(t, "", values)
}

// shape is what a JSON schema says of the members of an object.
type shape struct {
	Properties map[string]shape
	Additional json.RawMessage `json:"additionalProperties"`
}

func (s shape) compare(t *testing.T, path string, values map[string]any) {
	t.Helper()
	if len(s.Properties) == 0 {
		return
	}
	if string(s.Additional) != "false" {
		t.Errorf("the schema takes any name in %q", path)
	}
	for name, value := range values {
		inner, ok := s.Properties[name]
		if !ok {
			t.Errorf("the schema lacks %s", path+name)
		}
		if members, ok := value.(map[string]any); ok {
			inner.compare(t, path+name+".", members)
		}
		delete(s.Properties, name)
	}
	optional := map[string]shape{}
	switch path {
	case "resources.":
		optional["claims"] = shape{} // of Kubernetes, not of the chart
	case "webhook.certManager.issuerRef.":
		optional = s.Properties // empty by default, and explained in a comment
	}
	if diff := cmp.Diff(optional, s.Properties); diff != "" {
		t.Errorf("values.yaml lacks in %q (-want +got):\n%s", path, diff)
	}
}

// selfEvident are the values whose names say all that a comment would.
var selfEvident = regexp.MustCompile(`^\s*(enabled|pullPolicy|minReplicas|maxReplicas|create|annotations|type|port|` +
	`podAnnotations|podLabels|resources|priorityClassName|nodeSelector|tolerations|affinity|extraVolumes|extraVolumeMounts|` +
	`interval|scrapeTimeout|metricRelabelings|minAvailable|log|image|autoscaling|podDisruptionBudget|rbac|serviceAccount|` +
	`requests|certManager|crds|tracing|clientCA|password|ca):`)

// TestEveryValueHasAComment: on the line above, unless its name says it.
func TestEveryValueHasAComment(t *testing.T) {
	lines := strings.Split(string(readChart(t, "values.yaml")), "\n")
	name := regexp.MustCompile(`^\s*[a-zA-Z]+:`)
	for i, line := range lines {
		if name.MatchString(line) && !selfEvident.MatchString(line) && !strings.HasPrefix(strings.TrimSpace(lines[i-1]), "#") {
			t.Errorf("values.yaml:%d: no comment above %q", i+1, line)
		}
	}
}

func readChart(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(chartDir, file))
	if err != nil {
		t.Fatal(err)
	}
	return content
}
