package controller

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// TestWebhookReadsWhatAProviderRefersTo: what no stored provider names is in no listing.
func TestWebhookReadsWhatAProviderRefersTo(t *testing.T) {
	const object = "{issuer: https://id.example.com, audiences: [a], keys: {configMapKeyRef: {name: keys, key: jwks}}}"
	keys := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "keys"}, Data: map[string]string{
		"jwks": `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`}}
	for _, tt := range []struct {
		name     string
		answer   *corev1.ConfigMap
		err      error
		warnings []string
	}{
		{name: "it is there", answer: keys},
		{name: "it is not", err: apierrors.NewNotFound(schema.GroupResource{Resource: "configmaps"}, "keys"),
			warnings: []string{`spec.keys.configMapKeyRef.name: there is no ConfigMap shop/keys`}},
		{name: "nobody knows", err: errors.New("connection refused"), warnings: []string{"the Secret or ConfigMap that it refers to could not be read"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newReferences([]string{"shop"}, func() {}, func(_ context.Context, k referenceKey) (client.Object, error) {
				if want := (referenceKey{kindConfigMap, types.NamespacedName{Namespace: "shop", Name: "keys"}}); k != want {
					t.Errorf("read %v", k)
				}
				return tt.answer, tt.err
			})
			w := testWebhook(t, WebhookConfig{
				Objects:  objectsOf(t, shopNamespace, policy.Options{}),
				Referred: func(ctx context.Context, objs *policy.Objects) error { return r.lookUp(ctx, objs, "sallyport") },
			})
			causes, warned := webhookSaid(t, w.Handle(t.Context(), reviewOf(t, "", corpWith(object))))
			wantPrefixes(t, "causes", causes, nil)
			wantPrefixes(t, "warnings", warned, tt.warnings)
		})
	}
}

// TestWebhookAsksForTheIssuerOfTheCluster: a provider may be the first that takes ServiceAccount tokens.
func TestWebhookAsksForTheIssuerOfTheCluster(t *testing.T) {
	for _, tt := range []struct {
		name, object string
		err          error
		warnings     []string
	}{
		{name: "it is known", object: "{audiences: [a], keys: {kubernetes: {}}}"},
		{name: "it is the one that is written", object: "{issuer: https://a, audiences: [a], keys: {kubernetes: {}}}"},
		{name: "it is another", object: "{issuer: https://b, audiences: [a], keys: {kubernetes: {}}}",
			warnings: []string{`spec.issuer: "https://b" is not the issuer of this cluster`}},
		{name: "it may not be read", object: "{audiences: [a], keys: {kubernetes: {}}}", err: apierrors.NewForbidden(schema.GroupResource{}, "", nil),
			warnings: []string{"spec.keys.kubernetes: the API server does not let Sallyport read"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, issuer, err, _, _ := askedAccounts()
			*issuer, *err = "https://a", tt.err
			w := testWebhook(t, WebhookConfig{
				Objects:  objectsOf(t, shopNamespace, policy.Options{}),
				Referred: func(ctx context.Context, objs *policy.Objects) error { a.lookUp(ctx, objs); return nil },
			})
			causes, warned := webhookSaid(t, w.Handle(t.Context(), reviewOf(t, "", corpWith(tt.object))))
			wantPrefixes(t, "causes", causes, nil)
			wantPrefixes(t, "warnings", warned, tt.warnings)
		})
	}
}

// TestWebhookSaysWhichNamespacesItMayNotRead, as the status would.
func TestWebhookSaysWhichNamespacesItMayNotRead(t *testing.T) {
	objects := policy.Objects{ReferenceNamespaces: []string{"sallyport"}}
	r := newReferences([]string{"sallyport"}, func() {}, func(_ context.Context, k referenceKey) (client.Object, error) {
		t.Errorf("read %v", k)
		return nil, errors.New("forbidden")
	})
	w := testWebhook(t, WebhookConfig{
		Objects:  func() (policy.Objects, policy.Options, bool) { return objects, policy.Options{}, true },
		Referred: func(ctx context.Context, objs *policy.Objects) error { return r.lookUp(ctx, objs, "sallyport") },
	})
	_, warned := webhookSaid(t, w.Handle(t.Context(), reviewOf(t, "", corpWith("{issuer: https://id.example.com, audiences: [a], keys: {configMapKeyRef: {name: keys, key: jwks}}}"))))
	wantPrefixes(t, "warnings", warned, []string{`spec.keys.configMapKeyRef.name: Sallyport may not read the ConfigMaps of namespace "shop"`})
}

func TestWebhookCountsItsReviews(t *testing.T) {
	reg := prometheus.NewRegistry()
	ready := false
	objects := objectsOf(t, shopNamespace, policy.Options{})
	w := testWebhook(t, WebhookConfig{Metrics: reg, Objects: func() (policy.Objects, policy.Options, bool) {
		all, opts, _ := objects()
		return all, opts, ready
	}})
	good, bad := "{hosts: [orders.example.com], rules: [{name: all, access: Public}]}", "{hosts: [], rules: []}"
	for _, step := range []struct {
		ready  bool
		object string
	}{{false, bad}, {true, good}, {true, good}, {true, bad}} {
		ready = step.ready
		w.Handle(t.Context(), reviewOf(t, "", ordersWith(step.object)))
	}
	other := reviewOf(t, "", ordersWith(bad))
	other.Kind.Kind = "Secret"
	w.Handle(t.Context(), other)
	want := `# HELP sallyport_webhook_reviews_total Objects that the API server asked about, by what became of them: Allowed, Refused, or Unchecked, which admits too.
# TYPE sallyport_webhook_reviews_total counter
sallyport_webhook_reviews_total{kind="AuthPolicy",result="Allowed"} 2
sallyport_webhook_reviews_total{kind="AuthPolicy",result="Refused"} 1
sallyport_webhook_reviews_total{kind="AuthPolicy",result="Unchecked"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "sallyport_webhook_reviews_total"); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(w.metrics.duration); n != 1 {
		t.Errorf("%d histograms of the duration", n)
	}
}
