package controller

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/cert"
)

const (
	// webhookCertificateAge is the life of a certificate, webhookRenewal what is left of it when it is replaced.
	webhookCertificateAge = 90 * 24 * time.Hour
	webhookRenewal        = 30 * 24 * time.Hour
	// webhookLook is how often a replica looks for a certificate that another has made, or a caBundle that somebody reset.
	webhookLook = time.Minute
	// webhookRetry is how soon it looks again where that did not work.
	webhookRetry = 5 * time.Second
	// webhookLookTimeout bounds one look.
	webhookLookTimeout = 20 * time.Second
	// maxAuthorities that are trusted beside the newest. One is enough unless replicas race.
	maxAuthorities = 3
	authorityKey   = "ca.crt"
)

// WebhookCertificateConfig is what a WebhookCertificate needs; Log and Now may be left out.
type WebhookCertificateConfig struct {
	// Client reads and writes the two objects below, by name, and nothing else.
	Client kubernetes.Interface
	// Secret that holds the certificate; it is made where there is none.
	Secret types.NamespacedName
	// Configuration is the name of the ValidatingWebhookConfiguration, each webhook of which gets the authority.
	Configuration string
	// Names by which the API server calls the webhook: DNS names or IP addresses, at least one.
	Names []string
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Log gets each renewal and what goes wrong. The zero Logger discards.
	Log logr.Logger
}

// WebhookCertificate keeps a certificate for the webhook that Sallyport makes itself, where cert-manager does not: in a
// Secret that all replicas share, renewed a month before it ends, and trusted by the ValidatingWebhookConfiguration.
// Each certificate has an authority of its own, whose key nobody keeps. A replica serves a new certificate once the API
// server trusts it, and the old authority stays trusted until it ends, so a renewal refuses no review.
type WebhookCertificate struct {
	config  WebhookCertificateConfig
	current atomic.Pointer[tls.Certificate]
	served  []byte // the PEM behind current
	missing bool   // the configuration is not there, and the log has it
}

// NewWebhookCertificate checks config and does nothing yet. The error says what is missing.
func NewWebhookCertificate(config WebhookCertificateConfig) (*WebhookCertificate, error) {
	if config.Client == nil || config.Secret.Name == "" || config.Secret.Namespace == "" || config.Configuration == "" || len(config.Names) == 0 {
		return nil, errors.New("the certificate of the webhook needs Client, Secret, Configuration and Names")
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &WebhookCertificate{config: config}, nil
}

// GetCertificate is for a tls.Config. Its error says that there is no certificate yet. Safe for concurrent use.
func (w *WebhookCertificate) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := w.current.Load(); c != nil {
		return c, nil
	}
	return nil, errors.New("the webhook has no certificate yet")
}

// Run looks after the certificate until ctx ends. What goes wrong is logged and tried again: the webhook is served with
// what there is.
func (w *WebhookCertificate) Run(ctx context.Context) {
	for {
		pause := webhookLook
		if err := w.Sync(ctx); err != nil && ctx.Err() == nil {
			w.config.Log.Error(err, "Certificate of the webhook cannot be looked after")
			pause = webhookRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// Sync looks once. Not for concurrent use.
func (w *WebhookCertificate) Sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, webhookLookTimeout)
	defer cancel()
	secret, err := w.secret(ctx)
	if err != nil {
		return fmt.Errorf("keeping Secret %s: %w", w.config.Secret, err)
	}
	if err = w.trust(ctx, secret.Data[authorityKey]); err != nil {
		err = fmt.Errorf("writing caBundle of ValidatingWebhookConfiguration %s: %w", w.config.Configuration, err)
		if w.current.Load() != nil {
			return err // what is served now is trusted still
		}
	}
	return errors.Join(err, w.serve(secret))
}

// secret is the Secret with a certificate that is good for a while; where there is none, it makes one. Of several
// replicas that do, one succeeds, and the others take what that has made.
func (w *WebhookCertificate) secret(ctx context.Context) (*corev1.Secret, error) {
	secrets := w.config.Client.CoreV1().Secrets(w.config.Secret.Namespace)
	for attempt := 0; ; attempt++ {
		s, err := secrets.Get(ctx, w.config.Secret.Name, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
		write := secrets.Update
		if err != nil {
			s = w.newSecret()
			write = func(ctx context.Context, s *corev1.Secret, _ metav1.UpdateOptions) (*corev1.Secret, error) {
				return secrets.Create(ctx, s, metav1.CreateOptions{})
			}
		}
		due := w.due(s)
		if due == nil {
			return s, nil
		}
		if err := w.renew(s); err != nil {
			return nil, err
		}
		s, err = write(ctx, s, metav1.UpdateOptions{})
		lost := apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err)
		switch {
		case err == nil:
			w.config.Log.Info("Made a certificate for the webhook", "cause", due.Error(), "until", w.config.Now().Add(webhookCertificateAge).Format(time.RFC3339))
			return s, nil
		case !lost || attempt > 2:
			return nil, err
		}
	}
}

func (w *WebhookCertificate) newSecret() *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.config.Secret.Namespace, Name: w.config.Secret.Name,
			Labels: map[string]string{"app.kubernetes.io/managed-by": "sallyport"},
		},
		Type: corev1.SecretTypeTLS,
	}
}

// due says why the certificate of the Secret must be replaced; nil where it is good.
func (w *WebhookCertificate) due(s *corev1.Secret) error {
	pair, err := tls.X509KeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return errors.New("there is none that can be used")
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.Data[authorityKey])
	for _, name := range w.config.Names {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: w.config.Now().Add(webhookRenewal)}); err != nil {
			return fmt.Errorf("the last one is not good for much longer: %w", err)
		}
	}
	return nil
}

// renew writes a new certificate into s, and keeps the old authorities that have not ended.
func (w *WebhookCertificate) renew(s *corev1.Secret) error {
	options := cert.SelfSignedCertKeyOptions{Host: w.config.Names[0], MaxAge: webhookCertificateAge}
	for _, name := range w.config.Names[1:] {
		if ip := net.ParseIP(name); ip != nil {
			options.AlternateIPs = append(options.AlternateIPs, ip)
		} else {
			options.AlternateDNS = append(options.AlternateDNS, name)
		}
	}
	chain, key, err := cert.GenerateSelfSignedCertKeyWithOptions(options)
	if err != nil {
		return fmt.Errorf("making a certificate: %w", err)
	}
	_, authority := pem.Decode(chain) // what is left behind the first block
	old := s.Data[authorityKey]
	s.Data = map[string][]byte{
		corev1.TLSCertKey: chain, corev1.TLSPrivateKeyKey: key,
		authorityKey: append(bytes.Clone(authority), w.unended(old)...),
	}
	return nil
}

// unended are the newest of some authorities that are still good, in PEM.
func (w *WebhookCertificate) unended(authorities []byte) (out []byte) {
	kept := 0
	for block, rest := pem.Decode(authorities); block != nil && kept < maxAuthorities; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && c.IsCA && w.config.Now().Before(c.NotAfter) {
			out = append(out, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
			kept++
		}
	}
	return out
}

// trust puts the authorities into the configuration. One that is not there needs none.
func (w *WebhookCertificate) trust(ctx context.Context, authorities []byte) error {
	configurations := w.config.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	c, err := configurations.Get(ctx, w.config.Configuration, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if !w.missing {
			w.missing = true
			w.config.Log.Info("There is no ValidatingWebhookConfiguration, so nobody asks the webhook", "name", w.config.Configuration)
		}
		return nil
	}
	if err != nil {
		return err
	}
	w.missing = false
	changed := false
	for i := range c.Webhooks {
		to := &c.Webhooks[i].ClientConfig
		if !bytes.Equal(to.CABundle, authorities) {
			to.CABundle, changed = authorities, true
		}
	}
	if !changed {
		return nil
	}
	if _, err := configurations.Update(ctx, c, metav1.UpdateOptions{}); err != nil {
		return err // a conflict too: the next look sees what the other has written
	}
	w.config.Log.Info("The API server trusts the certificate of the webhook", "configuration", w.config.Configuration)
	return nil
}

// serve makes the certificate of the Secret the one that is served.
func (w *WebhookCertificate) serve(s *corev1.Secret) error {
	chain := s.Data[corev1.TLSCertKey]
	if bytes.Equal(chain, w.served) {
		return nil
	}
	pair, err := tls.X509KeyPair(chain, s.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return err
	}
	w.current.Store(&pair)
	w.served = chain
	return nil
}
