package chart_test

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

const (
	root     = "../.."
	chartDir = root + "/charts/sallyport"
)

// everything turns on all that the chart has, but what excludes something else.
var everything = []string{
	"webhook.enabled=true", "webhook.certManager.enabled=true", "tls.secretName=tls", "tls.clientCA.secretName=ca",
	"autoscaling.enabled=true", "networkPolicy.enabled=true", "networkPolicy.envoys[0].podSelector.matchLabels.app=envoy",
	"networkPolicy.scrapers[0].namespaceSelector.matchLabels.team=monitoring", "networkPolicy.egress[0].ports[0].port=443",
	"backChannelLogout.enabled=true", "backChannelLogout.tls.secretName=logout", "networkPolicy.providers[0].namespaceSelector.matchLabels.team=identity",
	"serviceMonitor.enabled=true", "priorityClassName=system-cluster-critical", "referenceNamespaces={shop,billing}", "serviceAccountTokens=true",
	"dryRun=true", "requireScope=true", "allowLoopbackProviders=true", "clientAddress=xff", "xffTrustedHops=1",
	"clientCertificate=xfcc", "xfccTrustedHops=1", "publicScheme=https", "dpopNonceKey.secretName=dpop",
	"sharedStore.url=rediss://sallyport@valkey.infra:6379/0", "sharedStore.password.secretName=store", "sharedStore.ca.secretName=store",
	"tracing.enabled=true", "tracing.endpoint=http://collector.observability:4317",
	"trustDomain=cluster.local", "gatewayPrincipals={spiffe://cluster.local/ns/infra/sa/*}", "hostGrants=false",
	"imagePullSecrets[0].name=registry", "service.trafficDistribution=PreferSameZone", "podLabels.team=platform",
	"nodeSelector.disk=fast", "tolerations[0].operator=Exists", "extraEnv[0].name=HTTPS_PROXY,extraEnv[0].value=proxy",
	"extraVolumes[0].name=more,extraVolumes[0].emptyDir.medium=Memory", "extraVolumeMounts[0].name=more,extraVolumeMounts[0].mountPath=/more",
	"commonLabels.owner=platform", "podAnnotations.a=b", "service.annotations.a=b", "serviceAccount.annotations.a=b",
}

// helm runs helm with no configuration of the user's, and returns what it prints on each of its outputs.
func helm(t *testing.T, arguments ...string) (stdout, stderr string, err error) {
	t.Helper()
	binary := os.Getenv("SALLYPORT_HELM")
	if binary == "" {
		t.Skip("SALLYPORT_HELM names no helm; make test does")
	}
	cmd := exec.CommandContext(t.Context(), binary, arguments...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err = cmd.Run()
	return out.String(), problems.String(), err
}

// template renders the chart as the release sallyport in the namespace sallyport, with values as --set takes them.
func template(t *testing.T, set ...string) objects {
	t.Helper()
	arguments := []string{"template", "sallyport", chartDir, "--namespace=sallyport"}
	for _, s := range set {
		arguments = append(arguments, "--set="+s)
	}
	out, problems, err := helm(t, arguments...)
	if err != nil {
		t.Fatalf("%v: %s", err, problems)
	}
	return decode(t, out)
}

// object is one that was rendered or read.
type object struct {
	unstructured.Unstructured
	typed runtime.Object // nil for a kind that is not Kubernetes's own
}

// name is kind/namespace/name; without a namespace where it has none.
func (o object) name() string {
	return strings.Join(slices.DeleteFunc([]string{o.GetKind(), o.GetNamespace(), o.GetName()}, func(s string) bool { return s == "" }), "/")
}

type objects []object

func (all objects) names() []string {
	var out []string
	for _, o := range all {
		out = append(out, o.name())
	}
	slices.Sort(out)
	return out
}

// pick is the object of that name, as the type that T points to.
func pick[T runtime.Object](t *testing.T, all objects, name string) T {
	t.Helper()
	for _, o := range all {
		if typed, ok := o.typed.(T); ok && o.name() == name {
			return typed
		}
	}
	t.Fatalf("no %s among %q", name, all.names())
	panic("not reached")
}

// foreign are the kinds that are not Kubernetes's own. The tests below test/wiring hold them against their definitions.
var foreign = []string{"Issuer", "Certificate", "ServiceMonitor"}

// decode reads documents of YAML. A field that the Go type of Kubernetes does not have, or a member that stands twice, is an
// error.
func decode(t *testing.T, text string) objects {
	t.Helper()
	decoder := newDecoder(t)
	var all objects
	for _, document := range strings.Split("\n"+text, "\n---") {
		var o object
		data, err := yaml.YAMLToJSONStrict([]byte(document))
		if err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		if string(data) == "null" {
			continue
		}
		if err := o.UnmarshalJSON(data); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		if !slices.Contains(foreign, o.GetKind()) {
			if o.typed, _, err = decoder.Decode([]byte(document), nil, nil); err != nil {
				t.Errorf("%s: %v", o.name(), err)
			}
		}
		all = append(all, o)
	}
	return all
}

func newDecoder(t *testing.T) runtime.Decoder {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}
