package controller

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

// secretNamed is a provider in shop that names the Secret hmac, and what an informer holds of that.
func secretNamed(r *references, version string) *policy.Objects {
	m := metadataOf(kindSecret)
	m.Namespace, m.Name, m.ResourceVersion, m.UID = "shop", "hmac", version, "1"
	r.places["shop"].stores[kindSecret].put(m)
	p := &v1alpha1.IdentityProvider{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "corp"}}
	p.Spec.Keys = &v1alpha1.KeySource{SecretKeyRef: &v1alpha1.KeyReference{Name: "hmac", Key: "key"}}
	return &policy.Objects{IdentityProviders: []*v1alpha1.IdentityProvider{p}}
}

func TestReferencesWhileTheAPIServerFails(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "hmac", nil)
	for _, tt := range []struct {
		name     string
		err      error // of the second read
		want     string
		readable bool
		again    bool // it is tried
	}{
		{name: "no fault", want: "second", readable: true},
		{name: "unreachable keeps what was read", err: errors.New("connection refused"), want: "first", readable: true, again: true},
		{name: "gone", err: apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, "hmac"), readable: true},
		{name: "forbidden keeps what was read", err: forbidden, want: "first"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			version, content, err := "1", "first", error(nil)
			r := newReferences([]string{"shop"}, func() {}, func(context.Context, referenceKey) (client.Object, error) {
				return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "hmac", UID: "1", ResourceVersion: version}, Data: map[string][]byte{"key": []byte(content)}}, err
			})
			if err := r.resolve(t.Context(), secretNamed(r, version), "sallyport"); err != nil {
				t.Fatal(err)
			}
			version, content, err = "2", "second", tt.err
			objs := secretNamed(r, version)
			if err := r.resolve(t.Context(), objs, "sallyport"); err != nil {
				t.Error(err)
			}
			got := ""
			for _, s := range objs.Secrets {
				got = string(s.Data["key"])
			}
			if got != tt.want || slices.Contains(objs.ReferenceNamespaces, "shop") != tt.readable || (r.retry != nil) != tt.again {
				t.Errorf("got %q, readable %v, tried again %t", got, objs.ReferenceNamespaces, r.retry != nil)
			}
			r.tryAgain(false)
		})
	}
}

func TestReferenceThatWasNeverReadIsAnError(t *testing.T) {
	refused := errors.New("connection refused")
	r := newReferences([]string{"shop"}, func() {}, func(context.Context, referenceKey) (client.Object, error) { return nil, refused })
	if err := r.resolve(t.Context(), secretNamed(r, "1"), "sallyport"); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	r.tryAgain(false)
}

func TestForbiddenNamespaceHoldsUpNobody(t *testing.T) {
	woken := 0
	r := newReferences([]string{"shop", "other"}, func() { woken++ }, nil)
	for _, s := range r.places["other"].stores {
		s.complete()
	}
	r.watchFailed(r.places["shop"], errors.New("connection refused"))
	if woken != 0 {
		t.Error("a connection that is refused says nothing of rights")
	}
	r.watchFailed(r.places["shop"], apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "", nil))
	<-r.places["shop"].stores[kindSecret].whole
	<-r.places["shop"].stores[kindConfigMap].whole
	if got := r.readable(); woken != 1 || !slices.Equal(got, []string{"other"}) {
		t.Errorf("woken %d, readable %v", woken, got)
	}
	for _, s := range r.places["shop"].stores { // the right was given
		s.complete()
	}
	if got := r.readable(); len(got) != 2 {
		t.Errorf("readable %v", got)
	}
}

// TestOnlyNamedSecretsWake: what else is kept in Secrets starts no compile.
func TestOnlyNamedSecretsWake(t *testing.T) {
	woken := 0
	r := newReferences([]string{"shop"}, func() { woken++ }, func(context.Context, referenceKey) (client.Object, error) {
		return &corev1.Secret{}, nil
	})
	if err := r.resolve(t.Context(), secretNamed(r, "1"), "sallyport"); err != nil {
		t.Fatal(err)
	}
	other := metadataOf(kindSecret)
	other.Namespace, other.Name = "shop", "other"
	r.places["shop"].stores[kindSecret].put(other)
	if woken != 0 {
		t.Error("a Secret that nobody names woke")
	}
	secretNamed(r, "2")
	if woken != 1 {
		t.Errorf("woken %d times by the Secret that is named", woken)
	}
}

// writerOf is a status writer whose writes are kept in a list, and fail with err.
func writerOf(t *testing.T, writes *[]string, err *error) (*Cluster, *store) {
	t.Helper()
	c, s := unconnected(t)
	c.status.patch = func(_ context.Context, kind metav1.TypeMeta, key types.NamespacedName, data []byte) (string, error) {
		*writes = append(*writes, kind.Kind+" "+key.String()+" "+string(data))
		return "2", *err
	}
	c.status.written = map[policy.ObjectRef]written{}
	c.status.events = &events{recorder: noEvents{}}
	return c, s
}

// noEvents records nothing.
type noEvents struct{}

func (noEvents) Eventf(_, _ runtime.Object, _, _, _, _ string, _ ...any) {}

func TestStatusIsWrittenOnceAndAgainAfterAFault(t *testing.T) {
	var writes []string
	var fault error
	c, s := writerOf(t, &writes, &fault)
	s.put(declaredPolicy(t, "shop", `{"hosts":["a.example.com"],"rules":[{"name":"all","access":"Public"}]}`))
	if err := c.publisher.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	pass := func() error { t.Helper(); return c.status.pass(t.Context()) }
	fault = errors.New("connection refused")
	if err := pass(); !errors.Is(err, fault) || len(writes) != 1 {
		t.Fatalf("got %v after %d writes", err, len(writes))
	}
	fault = apierrors.NewConflict(schema.GroupResource{}, "shop", nil) // it was made anew
	if err := pass(); err != nil || len(writes) != 2 {
		t.Fatalf("got %v after %d writes", err, len(writes))
	}
	fault = nil
	for range 3 { // the informer has not seen the write yet
		if err := pass(); err != nil || len(writes) != 3 {
			t.Fatalf("got %v after %d writes", err, len(writes))
		}
	}
	for _, want := range []string{"AuthPolicy shop/shop ", `"uid":"shop"`, `"hosts":["a.example.com"]`, `"rules":1`, `"observedGeneration":1`, `"ancestors":null`} {
		if !strings.Contains(writes[2], want) {
			t.Errorf("%s is not in %s", want, writes[2])
		}
	}
	// An edit that is not compiled yet is not spoken of.
	edit := declaredPolicy(t, "shop", `{"hosts":["b.example.com"],"rules":[{"name":"all","access":"Public"}]}`)
	edit.Generation = 2
	s.put(edit)
	if err := pass(); err != nil || len(writes) != 3 {
		t.Fatalf("got %v after %d writes", err, len(writes))
	}
	if err := c.publisher.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := pass(); err != nil || len(writes) != 4 || !strings.Contains(writes[3], `"observedGeneration":2`) {
		t.Fatalf("got %v after %d writes, the last %s", err, len(writes), writes[len(writes)-1])
	}
}

func TestConditionsKeepTheirTimes(t *testing.T) {
	now := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	before := metav1.NewTime(now.Add(-time.Hour))
	is := &observed{Conditions: []metav1.Condition{
		{Type: "Accepted", Status: "True", Reason: "Accepted", Message: "m", ObservedGeneration: 1, LastTransitionTime: before},
		{Type: "Programmed", Status: "False", Reason: "RulesClosed", Message: "m", ObservedGeneration: 1, LastTransitionTime: before},
		{Type: "Overlap", Status: "True", Reason: "Overlap", LastTransitionTime: before},
	}}
	report := &policy.ObjectReport{Conditions: []metav1.Condition{
		{Type: "Accepted", Status: "True", Reason: "Accepted", Message: "m"},
		{Type: "Programmed", Status: "True", Reason: "Programmed", Message: "m"},
	}}
	got := wantedStatus(is, report, nil, 1, now)
	if len(got.Conditions) != 2 || got.Conditions[0].LastTransitionTime != before || got.Conditions[1].LastTransitionTime != now {
		t.Errorf("got %+v", got.Conditions)
	}
	again := wantedStatus(&got, report, nil, 1, metav1.NewTime(now.Add(time.Hour)))
	if !sameStatus(&got, &again) {
		t.Errorf("%+v is not %+v", again, got)
	}
	if edited := wantedStatus(&got, report, nil, 2, now); sameStatus(&got, &edited) {
		t.Error("another generation is the same")
	}
}

func TestKeysConditionAndItsGrain(t *testing.T) {
	now := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	report := &policy.ObjectReport{}
	at := func(k KeyStatus) observed { return wantedStatus(&observed{}, report, &k, 1, now) }
	first := at(KeyStatus{Ready: true, KeyIDs: []string{"a"}, LastSuccess: now.Time})
	soon := at(KeyStatus{Ready: true, KeyIDs: []string{"a"}, LastSuccess: now.Add(30 * time.Second)})
	late := at(KeyStatus{Ready: true, KeyIDs: []string{"a"}, LastSuccess: now.Add(time.Minute)})
	if !sameStatus(&first, &soon) || sameStatus(&first, &late) {
		t.Error("lastFetchTime is written too often, or too seldom")
	}
	for _, tt := range []struct {
		keys KeyStatus
		want string
	}{
		{KeyStatus{Ready: true}, v1alpha1.ReasonKeysReady},
		{KeyStatus{Ready: true, Stale: true, Problem: "p"}, v1alpha1.ReasonKeysStale},
		{KeyStatus{Problem: "p"}, v1alpha1.ReasonKeysUnavailable},
	} {
		if got := keysCondition(tt.keys); got.Reason != tt.want || isBad(got) != (tt.want != v1alpha1.ReasonKeysReady) {
			t.Errorf("%+v: got %+v", tt.keys, got)
		}
	}
}
