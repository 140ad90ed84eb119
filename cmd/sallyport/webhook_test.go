package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/util/cert"

	"github.com/sallyport/sallyport/controller"
	"github.com/sallyport/sallyport/extauthz/policy"
)

const (
	webhookWait    = 30 * time.Second
	brokenPolicy   = `{"apiVersion":"sallyport.dev/v1alpha1","kind":"AuthPolicy","metadata":{"name":"orders","namespace":"shop"},"spec":{"hosts":["a.example.com"],"rules":[{"name":"all","requires":{}}]}}`
	reviewOfBroken = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1","operation":"CREATE","kind":{"group":"sallyport.dev","version":"v1alpha1","kind":"AuthPolicy"},"name":"orders","namespace":"shop","object":` + brokenPolicy + `}}`
)

func noObjects() (policy.Objects, policy.Options, bool) {
	return policy.Objects{}, policy.Options{}, true
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startWebhook runs a webhook until the test ends.
func startWebhook(t *testing.T, config webhookConfig) {
	t.Helper()
	w, err := newWebhook(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// writePair writes a certificate for 127.0.0.1 and returns its authority.
func writePair(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	chain, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"tls.key": key, "tls.crt": chain} {
		if err := os.WriteFile(filepath.Join(dir, name+".new"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(chain)
	return pool
}

// post sends a review as an API server does, until it is answered.
func post(t *testing.T, address string, roots *x509.CertPool, name string) *admissionv1.AdmissionResponse {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name}, ForceAttemptHTTP2: true, DisableKeepAlives: true,
	}}
	ctx, cancel := context.WithTimeout(t.Context(), webhookWait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+controller.WebhookPath, strings.NewReader(reviewOfBroken))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err == nil {
			defer resp.Body.Close()
			var review admissionv1.AdmissionReview
			if err := json.NewDecoder(resp.Body).Decode(&review); err != nil || review.Response == nil || review.Response.UID != "u1" {
				t.Fatalf("got %d, %v and %+v", resp.StatusCode, err, review)
			}
			return review.Response
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

func refusedField(t *testing.T, r *admissionv1.AdmissionResponse) {
	t.Helper()
	if r.Allowed || r.Result == nil || r.Result.Details == nil || len(r.Result.Details.Causes) == 0 || r.Result.Details.Causes[0].Field != "spec.rules[0].requires" {
		t.Errorf("got %+v, want a refusal that names spec.rules[0].requires", r)
	}
}

func TestWebhookWithFilesThatComeLateAndChange(t *testing.T) {
	dir, address := t.TempDir(), freeAddress(t)
	startWebhook(t, webhookConfig{flags: &webhookFlags{address: address, certDir: dir}, objects: noObjects})
	refusedField(t, post(t, address, writePair(t, dir), ""))
	refusedField(t, post(t, address, writePair(t, dir), "")) // the new authority does not trust the old certificate
	_, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11})
	if err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

func TestWebhookWithItsOwnCertificate(t *testing.T) {
	client, address := fake.NewClientset(), freeAddress(t)
	startWebhook(t, webhookConfig{
		flags:     &webhookFlags{address: address, configuration: "sallyport", service: "sallyport-webhook"},
		namespace: "infra", client: client, objects: noObjects,
	})
	roots := x509.NewCertPool()
	awaitWebhook(t, func(ctx context.Context) bool {
		s, err := client.CoreV1().Secrets("infra").Get(ctx, "sallyport-webhook", metav1.GetOptions{})
		return err == nil && roots.AppendCertsFromPEM(s.Data["ca.crt"])
	})
	refusedField(t, post(t, address, roots, "sallyport-webhook.infra.svc"))
}

// awaitWebhook waits until something is so.
func awaitWebhook(t *testing.T, so func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), webhookWait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !so(ctx) {
		select {
		case <-ctx.Done():
			t.Fatal("waited in vain")
		case <-tick.C:
		}
	}
}

func TestWebhookFlags(t *testing.T) {
	for _, tt := range []struct {
		name  string
		flags webhookFlags
	}{
		{"no port", webhookFlags{address: "localhost"}},
		{"a port that is no number", webhookFlags{address: ":https"}},
		{"a port that is picked", webhookFlags{address: ":0"}},
		{"no Service", webhookFlags{address: ":9443", configuration: "sallyport"}},
		{"no configuration", webhookFlags{address: ":9443", service: "sallyport-webhook"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newWebhook(webhookConfig{flags: &tt.flags, namespace: "infra", client: fake.NewClientset(), objects: noObjects})
			if !errors.As(err, new(usageError)) {
				t.Errorf("got %v, want a usage error", err)
			}
		})
	}
}

func TestWebhookThatCannotListen(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w, err := newWebhook(webhookConfig{flags: &webhookFlags{address: l.Addr().String(), certDir: t.TempDir()}, objects: noObjects})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.run(t.Context()); !errors.As(err, new(*net.OpError)) {
		t.Errorf("got %v, want that the address is in use", err)
	}
}

func TestReviewsAreBounded(t *testing.T) {
	reading, read := make(chan struct{}), make(chan error, 8)
	b := &bounded{slots: make(chan struct{}, 1), timeout: 50 * time.Millisecond, next: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Stall") != "" {
			close(reading)
		}
		_, err := io.Copy(io.Discard, r.Body)
		read <- err
	})}
	s := httptest.NewUnstartedServer(b)
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	send := func(stall string, body io.Reader) (status int) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Stall", stall)
		resp, err := s.Client().Do(req)
		if err != nil {
			return 0 // cut
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	t.Run("bytes", func(t *testing.T) {
		b.timeout = webhookWait
		send("", bytes.NewReader(make([]byte, maxReviewBytes)))
		if err := <-read; err != nil {
			t.Errorf("got %v for a body at the bound", err)
		}
		send("", bytes.NewReader(make([]byte, maxReviewBytes+1)))
		if err := <-read; !errors.As(err, new(*http.MaxBytesError)) {
			t.Errorf("got %v for a body over the bound", err)
		}
	})
	t.Run("number and time", func(t *testing.T) {
		b.timeout = time.Second
		body, feed := io.Pipe()
		defer feed.Close()
		stalled := make(chan struct{})
		go func() {
			defer close(stalled)
			send("yes", body)
		}()
		<-reading
		if status := send("", nil); status != http.StatusServiceUnavailable {
			t.Errorf("got %d beside one that is read, want 503", status)
		}
		if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v for a body that does not come, want that the time is over", err)
		}
		_ = feed.Close()
		<-stalled
	})
}
