package chart_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

var webhookKey = client.ObjectKey{Namespace: "sallyport", Name: "sallyport-webhook"}

const (
	// broken cannot compile, whatever else there is; waiting refers to what is not there yet.
	broken  = `require: {expressions: [{expression: "claims.tier +"}]}`
	waiting = "require: {scopes: [read]}"
	fine    = "access: Public"
)

// TestWebhookWithItsOwnCertificate lets a real API server ask a real webhook over TLS, with the certificate that Sallyport
// makes and has trusted.
func TestWebhookWithItsOwnCertificate(t *testing.T) {
	const values = "webhook.enabled=true"
	c := startReviewed(t, values)
	p := c.startReviewer(t, values)
	c.checkReviews(t, p)
	p.stop(t)

	// Nobody answers: objects are stored, and Sallyport refuses what does not compile, as it does without a webhook.
	if _, err := c.review(t, broken); err != nil {
		t.Errorf("while no pod answers: %v", err)
	}

	// The certificate is lost: another is made, and trusted.
	before := c.authority(t)
	if err := c.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: webhookKey.Namespace, Name: webhookKey.Name}}); err != nil {
		t.Fatal(err)
	}
	c.checkReviews(t, c.startReviewer(t, values))
	if bytes.Equal(before, c.authority(t)) {
		t.Error("the lost certificate is the one that is trusted")
	}
}

// TestWebhookWithCertManager has the test do what cert-manager does: it makes the certificate that the chart asks for,
// in files as the kubelet mounts the Secret, and injects the authority.
func TestWebhookWithCertManager(t *testing.T) {
	const values = "webhook.enabled=true,webhook.certManager.enabled=true"
	c := startReviewed(t, values)
	wanted := c.certificate(t)
	mount := t.TempDir()
	c.issue(t, wanted, mount)
	p := c.startReviewer(t, values, "--webhook-cert-dir="+mount)
	c.checkReviews(t, p)

	// It renews it, with another authority, which is soon the only one that is trusted.
	renewed := c.issue(t, wanted, mount)
	c.configure(t, func(w *admissionregistrationv1.ValidatingWebhook) { w.ClientConfig.CABundle = renewed })
	c.checkReviews(t, p)
}

// reviewed is a cluster whose API server asks the webhook, with what it warns of.
type reviewed struct {
	cluster
	asking client.Client // as kubectl, with warnings
	warned *warnings
}

// startReviewed installs the chart.
func startReviewed(t *testing.T, values string) *reviewed {
	t.Helper()
	sallyport(t) // skips where it is not there
	c := &reviewed{cluster: startCluster(t), warned: new(warnings)}
	c.define(t, "cert-manager.io", "v1", "Issuer")
	c.define(t, "cert-manager.io", "v1", "Certificate")
	c.helm(t, "install", "sallyport", chartDir, "--create-namespace", "--set="+values)
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.WarningHandler = c.warned
	if c.asking, err = client.New(config, client.Options{Scheme: c.Scheme()}); err != nil {
		t.Fatal(err)
	}
	c.grantHost(t, "reviewed.example.com")
	return c
}

// define stands in for a definition of others, which test/wiring holds the objects against.
func (c cluster) define(t *testing.T, group, version, kind string) {
	t.Helper()
	singular := strings.ToLower(kind)
	err := c.Create(t.Context(), &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: singular + "s." + group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: kind, Plural: singular + "s", Singular: singular, ListKind: kind + "List"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: version, Served: true, Storage: true, Schema: &apiextensionsv1.CustomResourceValidation{
				OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: new(true)},
			}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, kind+" is served", func() bool {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: version, Kind: kind + "List"})
		return c.List(t.Context(), list) == nil
	})
}

// startReviewer starts a pod, and does what a network of Services does: the name of the Service leads to it.
func (c *reviewed) startReviewer(t *testing.T, values string, more ...string) *pod {
	t.Helper()
	address := freeAddress(t)
	p := startPod(t, c.cluster, sallyport(t), containerOf(t, template(t, values)).Args, append(more, "--webhook-address="+address)...)
	_, text, err := net.SplitHostPort(address)
	port, err2 := strconv.ParseInt(text, 10, 32)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	service := &corev1.Service{}
	if err := c.Get(t.Context(), webhookKey, service); err != nil {
		t.Fatal(err)
	}
	service.Spec.Type, service.Spec.ExternalName, service.Spec.ClusterIP, service.Spec.ClusterIPs = corev1.ServiceTypeExternalName, "localhost", "", nil
	if err := c.Update(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	c.configure(t, func(w *admissionregistrationv1.ValidatingWebhook) { w.ClientConfig.Service.Port = new(int32(port)) })
	p.eventually(t, "it is ready", func(ctx context.Context) bool { return answers(ctx, "http://"+p.admin+"/readyz") })
	return p
}

// configure changes the webhook of the chart, which the pod writes as well.
func (c *reviewed) configure(t *testing.T, change func(*admissionregistrationv1.ValidatingWebhook)) {
	t.Helper()
	eventually(t, "the webhook is configured", func() bool {
		held := &admissionregistrationv1.ValidatingWebhookConfiguration{}
		if err := c.Get(t.Context(), client.ObjectKey{Name: webhookKey.Name}, held); err != nil {
			t.Fatal(err)
		}
		change(&held.Webhooks[0])
		err := c.Update(t.Context(), held)
		if err != nil && !apierrors.IsConflict(err) {
			t.Fatal(err)
		}
		return err == nil
	})
}

// authority is the caBundle of the webhook.
func (c *reviewed) authority(t *testing.T) []byte {
	t.Helper()
	held := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := c.Get(t.Context(), client.ObjectKey{Name: webhookKey.Name}, held); err != nil {
		t.Fatal(err)
	}
	return held.Webhooks[0].ClientConfig.CABundle
}

// certificate is what the chart asks of cert-manager, in the places where the pod and cert-manager look for it.
func (c *reviewed) certificate(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(schema.GroupVersionKind{Group: "cert-manager.io", Version: "v1", Kind: "Certificate"})
	held := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := c.Get(t.Context(), client.ObjectKey{Name: webhookKey.Name}, held); err != nil {
		t.Fatal(err)
	}
	namespace, name, _ := strings.Cut(held.Annotations["cert-manager.io/inject-ca-from"], "/")
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, o); err != nil {
		t.Fatalf("the certificate whose authority is to be injected: %v", err)
	}
	secret, _, err := unstructured.NestedString(o.Object, "spec", "secretName")
	if err != nil {
		t.Fatal(err)
	}
	spec := deploymentOf(t, template(t, "webhook.enabled=true,webhook.certManager.enabled=true")).Spec.Template.Spec
	i := slices.IndexFunc(spec.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool {
		return slices.Contains(spec.Containers[0].Args, "--webhook-cert-dir="+m.MountPath)
	})
	if i < 0 || !slices.ContainsFunc(spec.Volumes, func(v corev1.Volume) bool {
		return v.Name == spec.Containers[0].VolumeMounts[i].Name && v.Secret != nil && v.Secret.SecretName == secret
	}) {
		t.Errorf("the pod does not mount Secret %q where it looks for the certificate", secret)
	}
	return o
}

// issue makes a certificate for the names that are wanted, with an authority of its own that is trusted beside others.
func (c *reviewed) issue(t *testing.T, wanted *unstructured.Unstructured, mount string) (authority []byte) {
	t.Helper()
	names, _, err := unstructured.NestedStringSlice(wanted.Object, "spec", "dnsNames")
	if err != nil || len(names) == 0 {
		t.Fatalf("names %q, %v", names, err)
	}
	chain, key, err := cert.GenerateSelfSignedCertKey(names[0], nil, names[1:])
	if err != nil {
		t.Fatal(err)
	}
	_, authority = pem.Decode(chain)
	c.configure(t, func(w *admissionregistrationv1.ValidatingWebhook) {
		w.ClientConfig.CABundle = slices.Concat(w.ClientConfig.CABundle, authority)
	})
	for name, content := range map[string][]byte{"tls.crt": chain, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(mount, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return authority
}

// review applies a policy with one rule, and returns what the API server warns of and says.
func (c *reviewed) review(t *testing.T, rule string) (warned []string, err error) {
	t.Helper()
	o := &unstructured.Unstructured{}
	text := policyOf("reviewed")
	text = strings.Replace(text, "access: Authenticated", rule, 1)
	if rule == fine {
		text = strings.Replace(text, "identityProviders: [{name: reviewed}], ", "", 1)
	}
	if err := yaml.UnmarshalStrict([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	c.warned.take()
	err = c.asking.Create(t.Context(), o)
	warned = c.warned.take()
	if err := c.Delete(t.Context(), &v1alpha1.AuthPolicy{ObjectMeta: metaOf("reviewed")}); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return warned, err
}

// checkReviews waits until the API server asks the pod, and looks at what becomes of three policies.
func (c *reviewed) checkReviews(t *testing.T, p *pod) {
	t.Helper()
	var err error
	p.eventually(t, "a policy that cannot compile is refused", func(context.Context) bool {
		_, err = c.review(t, broken)
		return err != nil
	})
	for _, want := range []string{`admission webhook "validate.sallyport.dev" denied the request`, "spec.rules[0].require.expressions[0].expression", "claims.tier +"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the refusal does not say %q: %v", want, err)
		}
	}
	warned, err := c.review(t, waiting)
	if err != nil || len(warned) != 1 || !strings.Contains(warned[0], "spec.identityProviders[0]") {
		t.Errorf("a provider that is not there yet: warnings %q, %v", warned, err)
	}
	if warned, err := c.review(t, fine); err != nil || len(warned) > 0 {
		t.Errorf("nothing wrong: warnings %q, %v", warned, err)
	}
}

// warnings are those of the API server.
type warnings struct {
	mu   sync.Mutex
	list []string
}

var _ rest.WarningHandler = (*warnings)(nil)

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, text)
}

func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.list
	w.list = nil
	return list
}
