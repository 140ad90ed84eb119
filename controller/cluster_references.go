package controller

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

const (
	kindSecret    = "Secret"
	kindConfigMap = "ConfigMap"
	// AllNamespaces, as a reference namespace, stands for every one.
	AllNamespaces = "*"
	// readTimeout bounds the reading of what changed, which a compile waits for.
	readTimeout = 2 * time.Second
	// readAgain is how soon it is tried again.
	readAgain = time.Second
)

// references are the Secrets and ConfigMaps that providers and policies may name. Of all of them only the names are kept, of those
// that one does name the content too, which is read when it changes. So memory does not grow with what else is
// kept in Secrets.
type references struct {
	changed func()
	// fetch reads one object.
	fetch func(context.Context, referenceKey) (client.Object, error)
	// places by namespace; AllNamespaces is the only one where it is there.
	places map[string]*referencePlace

	wanted atomic.Pointer[map[referenceKey]bool] // what providers named when they were last listed
	read   map[referenceKey]client.Object        // the content of those
	retry  *time.Timer
}

// referenceKey names a Secret or ConfigMap.
type referenceKey struct {
	kind string
	types.NamespacedName
}

// referencePlace is a namespace whose Secrets and ConfigMaps may be named.
type referencePlace struct {
	stores map[string]*store // by kind
	// forbidden: the API server does not let Sallyport list the namespace.
	forbidden atomic.Bool
}

func newReferences(namespaces []string, changed func(), fetch func(context.Context, referenceKey) (client.Object, error)) *references {
	if slices.Contains(namespaces, AllNamespaces) {
		namespaces = []string{AllNamespaces}
	}
	r := &references{changed: changed, fetch: fetch, places: map[string]*referencePlace{}, read: map[referenceKey]client.Object{}}
	for _, ns := range namespaces {
		p := &referencePlace{stores: map[string]*store{}}
		for _, kind := range []string{kindSecret, kindConfigMap} {
			told := func(n types.NamespacedName) {
				if wanted := r.wanted.Load(); wanted != nil && (*wanted)[referenceKey{kind, n}] {
					changed()
				}
			}
			p.stores[kind] = newStore(told, func(types.NamespacedName) {})
		}
		r.places[ns] = p
	}
	return r
}

// watchFailed is told that a namespace cannot be listed or watched.
func (r *references) watchFailed(p *referencePlace, err error) {
	if !apierrors.IsForbidden(err) || p.synced() || p.forbidden.Swap(true) {
		return
	}
	for _, s := range p.stores {
		s.doNotWait()
	}
	r.changed()
}

func (p *referencePlace) synced() bool {
	return p.stores[kindSecret].isSynced() && p.stores[kindConfigMap].isSynced()
}

// of is the place of a namespace, or nil.
func (r *references) of(namespace string) *referencePlace {
	if p := r.places[AllNamespaces]; p != nil {
		return p
	}
	return r.places[namespace]
}

// readable are the namespaces that can be read; nil where all can.
func (r *references) readable() []string {
	out := []string{}
	for ns, p := range r.places {
		switch {
		case p.forbidden.Load() && !p.synced():
		case ns == AllNamespaces:
			return nil
		default:
			out = append(out, ns)
		}
	}
	return out
}

// resolve adds to objs what its providers and policies name. own is Sallyport's namespace. Where something cannot be read, what was
// read before stays, and it is tried again. The error says that something was never read, and may be there.
func (r *references) resolve(ctx context.Context, objs *policy.Objects, own string) error {
	wanted := wantedBy(objs, own)
	r.wanted.Store(&wanted)
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	read := make(map[referenceKey]client.Object, len(wanted))
	var failed, missing error
	for k := range wanted {
		o, err := r.content(ctx, k)
		if err != nil {
			failed = fmt.Errorf("reading %s %s: %w", k.kind, k.NamespacedName, err)
			if o == nil {
				missing = failed
			}
		}
		if o != nil {
			read[k] = o
			addReference(objs, o)
		}
	}
	r.read = read
	objs.ReferenceNamespaces = r.readable()
	r.tryAgain(failed != nil)
	return missing
}

// lookUp puts what the providers of objs name, read anew, in the place of what objs has of it. It is for providers that
// are not stored yet, and changes nothing of what is kept. The error says that something could not be read. Safe for
// concurrent use.
func (r *references) lookUp(ctx context.Context, objs *policy.Objects, own string) error {
	objs.Secrets, objs.ConfigMaps = nil, nil
	var failed error
	for k := range wantedBy(objs, own) {
		p := r.of(k.Namespace)
		if p == nil || p.forbidden.Load() && !p.synced() {
			continue // and the compile says that it may not be read
		}
		o, err := r.fetch(ctx, k)
		switch {
		case err == nil:
			addReference(objs, o)
		case !apierrors.IsNotFound(err):
			failed = fmt.Errorf("reading %s %s: %w", k.kind, k.NamespacedName, err)
		}
	}
	return failed
}

// content is one object as it is now, or, with an error, as it was last read.
func (r *references) content(ctx context.Context, k referenceKey) (client.Object, error) {
	p := r.of(k.Namespace)
	if p == nil {
		return nil, nil
	}
	listed, before := p.stores[k.kind].get(k.NamespacedName), r.read[k]
	if listed == nil {
		return nil, nil
	}
	if before != nil && before.GetUID() == listed.GetUID() && before.GetResourceVersion() == listed.GetResourceVersion() {
		return before, nil
	}
	if ctx.Err() != nil {
		return before, ctx.Err() // one that hangs has used up everybody's time
	}
	o, err := r.fetch(ctx, k)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil // and soon no longer listed
	case apierrors.IsForbidden(err):
		p.forbidden.Store(true)
		return before, nil
	case err != nil:
		return before, err
	}
	return o, nil
}

func (r *references) tryAgain(again bool) {
	if r.retry != nil {
		r.retry.Stop()
		r.retry = nil
	}
	if again {
		r.retry = time.AfterFunc(readAgain, r.changed)
	}
}

// wantedBy are the Secrets and ConfigMaps that providers and policies name.
func wantedBy(objs *policy.Objects, own string) map[referenceKey]bool {
	out := map[referenceKey]bool{}
	for _, p := range objs.IdentityProviders {
		wantedBySpec(out, &p.Spec, p.Namespace)
	}
	for _, p := range objs.ClusterIdentityProviders {
		wantedBySpec(out, &p.Spec.IdentityProviderSpec, own)
	}
	for _, p := range objs.AuthPolicies {
		wantedByPolicy(out, &p.Spec, p.Namespace)
	}
	return out
}

func wantedByPolicy(out map[referenceKey]bool, spec *v1alpha1.AuthPolicySpec, namespace string) {
	want := wanter(out, namespace)
	for i := range spec.Lookups {
		in := spec.Lookups[i].HTTP
		if in == nil {
			continue
		}
		if in.Credentials != nil {
			want(kindSecret, &in.Credentials.SecretRef)
		}
		if in.TLS != nil {
			want(kindConfigMap, in.TLS.CAConfigMapKeyRef)
			want(kindSecret, in.TLS.CertificateSecretRef)
			want(kindSecret, in.TLS.PrivateKeySecretRef)
		}
	}
}

// wanter adds to out what objects of a namespace name.
func wanter(out map[referenceKey]bool, namespace string) func(kind string, ref *v1alpha1.KeyReference) {
	return func(kind string, ref *v1alpha1.KeyReference) {
		if ref != nil && ref.Name != "" {
			out[referenceKey{kind, types.NamespacedName{Namespace: namespace, Name: ref.Name}}] = true
		}
	}
}

func wantedBySpec(out map[referenceKey]bool, spec *v1alpha1.IdentityProviderSpec, namespace string) {
	want := wanter(out, namespace)
	if spec.Keys != nil {
		want(kindSecret, spec.Keys.SecretKeyRef)
		want(kindConfigMap, spec.Keys.ConfigMapKeyRef)
	}
	if spec.TLS != nil {
		want(kindConfigMap, &spec.TLS.CAConfigMapKeyRef)
	}
	if spec.Introspection != nil {
		want(kindSecret, spec.Introspection.ClientSecretRef)
		want(kindSecret, spec.Introspection.PrivateKeySecretRef)
	}
	if spec.Decryption != nil {
		want(kindSecret, &v1alpha1.KeyReference{Name: spec.Decryption.SecretRef.Name})
	}
}

func addReference(to *policy.Objects, in client.Object) {
	switch o := in.(type) {
	case *corev1.Secret:
		to.Secrets = append(to.Secrets, o)
	case *corev1.ConfigMap:
		to.ConfigMaps = append(to.ConfigMaps, o)
	}
}

// metadataOf is the example of a kind whose metadata alone is watched.
func metadataOf(kind string) *metav1.PartialObjectMetadata {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
	return o
}
