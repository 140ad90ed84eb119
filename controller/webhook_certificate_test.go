package controller

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

const webhookName = "sallyport-webhook.sallyport.svc"

// certificates are those of one replica on some cluster, with a clock that can be set.
func certificates(t *testing.T, client *fake.Clientset, now *time.Time) *WebhookCertificate {
	t.Helper()
	w, err := NewWebhookCertificate(WebhookCertificateConfig{
		Client: client, Configuration: "sallyport", Names: []string{webhookName, "127.0.0.1"},
		Secret: types.NamespacedName{Namespace: "sallyport", Name: "sallyport-webhook"},
		Now:    func() time.Time { return *now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func configuration() *admissionregistrationv1.ValidatingWebhookConfiguration {
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "sallyport"},
		Webhooks:   []admissionregistrationv1.ValidatingWebhook{{Name: "a.sallyport.dev"}, {Name: "b.sallyport.dev"}},
	}
}

func sync1(t *testing.T, w *WebhookCertificate) {
	t.Helper()
	if err := w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// trusted verifies what w serves as the API server would.
func trusted(t *testing.T, client *fake.Clientset, w *WebhookCertificate, now time.Time) {
	t.Helper()
	served, err := w.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), "sallyport", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, hook := range c.Webhooks {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(hook.ClientConfig.CABundle)
		for _, name := range []string{webhookName, "127.0.0.1"} {
			if _, err := served.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now}); err != nil {
				t.Errorf("%s does not trust %s: %v", hook.Name, name, err)
			}
		}
	}
}

func serial(t *testing.T, w *WebhookCertificate) string {
	t.Helper()
	c, err := w.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf.SerialNumber.String()
}

func TestWebhookCertificateIsMadeSharedAndRenewed(t *testing.T) {
	now := time.Now()
	client := fake.NewClientset(configuration())
	one, two := certificates(t, client, &now), certificates(t, client, &now)
	if _, err := one.GetCertificate(nil); err == nil {
		t.Error("there is a certificate before any was made")
	}
	sync1(t, one)
	sync1(t, two)
	trusted(t, client, one, now)
	first := serial(t, one)
	if serial(t, two) != first {
		t.Error("two replicas serve two certificates")
	}
	sync1(t, one)
	if serial(t, one) != first {
		t.Error("a good certificate was replaced")
	}
	// Certificates are made by the clock on the wall, so it is set back once one was made.
	start := now
	now = start.Add(webhookCertificateAge - webhookRenewal)
	sync1(t, one)
	if serial(t, one) == first || serial(t, two) != first {
		t.Error("want one replica with a new certificate, and the other with the old until it looks")
	}
	trusted(t, client, one, now)
	trusted(t, client, two, now)
	now = start
	sync1(t, two)
	if serial(t, two) != serial(t, one) {
		t.Error("the other replica does not follow")
	}
	trusted(t, client, two, now)
	if n := authorities(t, client); n != 2 {
		t.Errorf("got %d authorities, want the new one and the last", n)
	}
	now = start.Add(webhookCertificateAge - webhookRenewal)
	for range 2 * maxAuthorities {
		sync1(t, one)
	}
	if n := authorities(t, client); n != maxAuthorities+1 {
		t.Errorf("got %d authorities, want the new one and %d", n, maxAuthorities)
	}
	now = start.Add(webhookCertificateAge)
	sync1(t, one)
	if n := authorities(t, client); n != 1 {
		t.Errorf("got %d authorities, want that those are gone that have ended", n)
	}
}

// authorities counts those in the Secret, which holds none of their keys.
func authorities(t *testing.T, client *fake.Clientset) int {
	t.Helper()
	secret, err := client.CoreV1().Secrets("sallyport").Get(t.Context(), "sallyport-webhook", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if secret.Type != corev1.SecretTypeTLS || len(secret.Data) != 3 {
		t.Errorf("got a Secret of type %s with %d keys", secret.Type, len(secret.Data))
	}
	return bytes.Count(secret.Data[authorityKey], []byte("BEGIN CERTIFICATE"))
}

func TestWebhookCertificateMends(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*corev1.Secret)
	}{
		{"an empty Secret, as a chart may bring", func(s *corev1.Secret) { s.Data = nil }},
		{"another key", func(s *corev1.Secret) { s.Data[corev1.TLSPrivateKeyKey] = []byte("x") }},
		{"no authority", func(s *corev1.Secret) { delete(s.Data, authorityKey) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Now()
			client := fake.NewClientset(configuration())
			w := certificates(t, client, &now)
			sync1(t, w)
			first := serial(t, w)
			secrets := client.CoreV1().Secrets("sallyport")
			s, err := secrets.Get(t.Context(), "sallyport-webhook", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			tt.spoil(s)
			if _, err := secrets.Update(t.Context(), s, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			sync1(t, w)
			if serial(t, w) == first {
				t.Error("it was not replaced")
			}
			trusted(t, client, w, now)
		})
	}
	t.Run("a caBundle that was reset", func(t *testing.T) {
		now := time.Now()
		client := fake.NewClientset(configuration())
		w := certificates(t, client, &now)
		sync1(t, w)
		if _, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Update(t.Context(), configuration(), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		sync1(t, w)
		trusted(t, client, w, now)
	})
}

func TestWebhookCertificateServesNothingNewThatIsNotTrusted(t *testing.T) {
	now := time.Now()
	client := fake.NewClientset(configuration())
	w := certificates(t, client, &now)
	sync1(t, w)
	first := serial(t, w)
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "validatingwebhookconfigurations"}, "sallyport", nil)
	client.PrependReactor("update", "validatingwebhookconfigurations", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, forbidden
	})
	now = now.Add(webhookCertificateAge - webhookRenewal)
	if err := w.Sync(t.Context()); !apierrors.IsForbidden(err) {
		t.Errorf("got %v, want that it is forbidden", err)
	}
	if serial(t, w) != first {
		t.Error("it serves a certificate that the API server does not trust")
	}
	// A replica that starts now has nothing to lose.
	late := certificates(t, client, &now)
	if err := late.Sync(t.Context()); !apierrors.IsForbidden(err) {
		t.Errorf("got %v, want that it is forbidden", err)
	}
	if serial(t, late) == first {
		t.Error("it serves the old certificate")
	}
}

func TestWebhookCertificateWithoutConfiguration(t *testing.T) {
	now := time.Now()
	w := certificates(t, fake.NewClientset(), &now)
	sync1(t, w)
	first := serial(t, w)
	sync1(t, w)
	if serial(t, w) != first {
		t.Error("it makes another certificate at every look")
	}
}

// TestWebhookCertificateOfTwoAtOnce lets another replica win while one is at work.
func TestWebhookCertificateOfTwoAtOnce(t *testing.T) {
	now := time.Now()
	elsewhere := fake.NewClientset()
	other := certificates(t, elsewhere, &now)
	sync1(t, other)
	theirs, err := elsewhere.CoreV1().Secrets("sallyport").Get(t.Context(), "sallyport-webhook", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	client := fake.NewClientset(configuration())
	client.PrependReactor("create", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		exists := apierrors.NewAlreadyExists(schema.GroupResource{Resource: "secrets"}, "sallyport-webhook")
		return true, nil, errors.Join(exists, client.Tracker().Add(theirs))
	})
	w := certificates(t, client, &now)
	sync1(t, w)
	if serial(t, w) != serial(t, other) {
		t.Error("two replicas serve two certificates")
	}
	trusted(t, client, w, now)
}

func TestWebhookCertificateRunEnds(t *testing.T) {
	now := time.Now()
	client := fake.NewClientset(configuration())
	w := certificates(t, client, &now)
	ctx, cancel := context.WithCancel(t.Context())
	client.PrependReactor("update", "validatingwebhookconfigurations", func(clienttesting.Action) (bool, runtime.Object, error) {
		cancel() // it has got as far as it can
		return false, nil, nil
	})
	w.Run(ctx)
	if !slices.ContainsFunc(client.Actions(), func(a clienttesting.Action) bool { return a.Matches("create", "secrets") }) {
		t.Error("it made no certificate")
	}
	for _, a := range client.Actions() {
		if !slices.Contains([]string{"get", "create", "update"}, a.GetVerb()) {
			t.Errorf("it may not %s %s", a.GetVerb(), a.GetResource().Resource)
		}
	}
}

func TestNewWebhookCertificateRefusesWhatIsMissing(t *testing.T) {
	now := time.Now()
	good := certificates(t, fake.NewClientset(), &now).config
	for name, spoil := range map[string]func(*WebhookCertificateConfig){
		"client": func(c *WebhookCertificateConfig) { c.Client = nil }, "secret": func(c *WebhookCertificateConfig) { c.Secret.Name = "" },
		"namespace":     func(c *WebhookCertificateConfig) { c.Secret.Namespace = "" },
		"configuration": func(c *WebhookCertificateConfig) { c.Configuration = "" }, "names": func(c *WebhookCertificateConfig) { c.Names = nil },
	} {
		config := good
		spoil(&config)
		if _, err := NewWebhookCertificate(config); err == nil {
			t.Errorf("it is taken without %s", name)
		}
	}
	var _ func(*tls.ClientHelloInfo) (*tls.Certificate, error) = certificates(t, fake.NewClientset(), &now).GetCertificate
}
