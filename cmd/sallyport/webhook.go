package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	crwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sallyport/sallyport/controller"
	"github.com/sallyport/sallyport/extauthz/policy"
)

const (
	// maxReviewBytes is more than an object and its old self, which etcd stores at 1.5 MiB at most, are in JSON.
	maxReviewBytes = 5 << 20
	// maxReviews that are read at a time; more get 503, which is to the API server as if nobody had answered.
	maxReviews = 8
	// reviewReadTimeout is how long the body of a review may take to arrive.
	reviewReadTimeout = 5 * time.Second
	// certDirRetry is how soon files that were not there are looked for again.
	certDirRetry = 5 * time.Second
)

// webhookFlags are the flags of the admission webhook, which is off without an address.
type webhookFlags struct {
	address, certDir, configuration, service string
}

func (w *webhookFlags) register(f *pflag.FlagSet) {
	f.StringVar(&w.address, "webhook-address", "", "where the API server asks whether an object compiles, such as :9443; empty for no admission webhook")
	f.StringVar(&w.certDir, "webhook-cert-dir", "", "folder with the webhook's tls.crt and tls.key, as cert-manager writes them; read anew when they change; empty: Sallyport makes and renews the certificate itself")
	f.StringVar(&w.configuration, "webhook-configuration", "sallyport", "name of the ValidatingWebhookConfiguration that is to trust the certificate that Sallyport makes")
	f.StringVar(&w.service, "webhook-service", "sallyport-webhook", "name of the webhook's Service, for which that certificate is, and of the Secret that holds it")
}

// enabled tells whether there is to be a webhook.
func (w *webhookFlags) enabled() bool { return w.address != "" }

// webhookConfig is what a webhook needs beside its flags.
type webhookConfig struct {
	flags *webhookFlags
	// namespace of the Service, and of the Secret with the certificate.
	namespace string
	// client for that Secret and the ValidatingWebhookConfiguration; not used with certDir.
	client kubernetes.Interface
	// objects as controller.WebhookConfig has them.
	objects func() (policy.Objects, policy.Options, bool)
	// referred as controller.WebhookConfig has it.
	referred func(context.Context, *policy.Objects) error
	log      logr.Logger
	metrics  prometheus.Registerer
}

// webhook serves the admission webhook. It is beside everything else: nothing waits for it, and whether its certificate
// is there makes no difference to a verdict.
type webhook struct {
	server crwebhook.Server
	// follow looks after the certificate until ctx ends.
	follow func(ctx context.Context)
}

func newWebhook(config webhookConfig) (*webhook, error) {
	host, service, err := net.SplitHostPort(config.flags.address)
	if err != nil {
		return nil, usagef("--webhook-address %q: must be host:port", config.flags.address)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return nil, usagef("--webhook-address %q: the port must be 1 to 65535", config.flags.address)
	}
	handler, err := controller.NewWebhook(controller.WebhookConfig{
		Objects: config.objects, Referred: config.referred, Log: config.log, Metrics: config.metrics,
	})
	if err != nil {
		return nil, err
	}
	hook, err := admission.StandaloneWebhook(&admission.Webhook{Handler: handler}, admission.StandaloneOptions{Logger: config.log})
	if err != nil {
		return nil, fmt.Errorf("admission webhook: %w", err)
	}
	w := &webhook{}
	certificate, err := w.certificate(&config)
	if err != nil {
		return nil, err
	}
	w.server = crwebhook.NewServer(crwebhook.Options{Host: host, Port: int(port), TLSOpts: []func(*tls.Config){func(c *tls.Config) {
		c.MinVersion = tls.VersionTLS12
		c.GetCertificate = certificate
	}}})
	w.server.Register(controller.WebhookPath, &bounded{next: hook, slots: make(chan struct{}, maxReviews), timeout: reviewReadTimeout})
	return w, nil
}

type getCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// certificate says where the certificate comes from, and sets follow.
func (w *webhook) certificate(config *webhookConfig) (getCertificate, error) {
	if config.flags.certDir != "" {
		dir := &certDir{path: config.flags.certDir, log: config.log}
		w.follow = dir.run
		return dir.get, nil
	}
	name := config.flags.service + "." + config.namespace + ".svc"
	own, err := controller.NewWebhookCertificate(controller.WebhookCertificateConfig{
		Client: config.client, Configuration: config.flags.configuration, Log: config.log,
		Secret: types.NamespacedName{Namespace: config.namespace, Name: config.flags.service},
		Names:  []string{name, name + ".cluster.local"},
	})
	if err != nil {
		return nil, usageError{fmt.Errorf("--webhook-service and --webhook-configuration: %w", err)}
	}
	w.follow = own.Run
	return own.GetCertificate, nil
}

// run serves until ctx ends. An error is that of listening.
func (w *webhook) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		w.follow(ctx)
	}()
	err := w.server.Start(ctx)
	cancel()
	<-followed
	if err != nil {
		return fmt.Errorf("serving the admission webhook: %w", err)
	}
	return nil
}

// certDir is a certificate in files, which may be written later.
type certDir struct {
	path    string
	log     logr.Logger
	current atomic.Pointer[certwatcher.CertWatcher]
}

func (c *certDir) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if watcher := c.current.Load(); watcher != nil {
		return watcher.GetCertificate(hello)
	}
	return nil, errors.New("the webhook has no certificate yet")
}

// run waits for the files, and then follows them.
func (c *certDir) run(ctx context.Context) {
	for said := false; ; said = true {
		watcher, err := certwatcher.New(filepath.Join(c.path, "tls.crt"), filepath.Join(c.path, "tls.key"))
		if err == nil {
			c.current.Store(watcher)
			err = watcher.Start(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		if !said {
			c.log.Error(err, "Certificate of the webhook cannot be read, trying again")
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(certDirRetry):
		}
	}
}

// bounded lets only so many requests of so many bytes be read at a time, each within a timeout.
type bounded struct {
	next    http.Handler
	slots   chan struct{}
	timeout time.Duration
}

func (b *bounded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case b.slots <- struct{}{}:
		defer func() { <-b.slots }()
	default:
		http.Error(w, "too many reviews at a time", http.StatusServiceUnavailable)
		return
	}
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(b.timeout)); err != nil {
		http.Error(w, "the time to read cannot be bounded", http.StatusInternalServerError)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxReviewBytes)
	b.next.ServeHTTP(w, r)
}
