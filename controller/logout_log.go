package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/revocation"
	"github.com/sallyport/sallyport/extauthz/token"
)

const (
	// logoutEntries an object of logouts holds: each write sends and stores all of them, and they end at about one time.
	logoutEntries = 500
	// logoutTimeout bounds a write; the provider waits for it.
	logoutTimeout = 4 * time.Second
	// openLogouts bounds the objects that are written on; more than that many scopes begin new ones.
	openLogouts = 256
)

// LogoutLogConfig is what a LogoutLog needs; every field but Log and Now.
type LogoutLogConfig struct {
	// REST is how to reach the API server.
	REST *rest.Config
	// Options of the compile. OwnNamespace is where the objects are.
	Options policy.Options
	// Revocations get what is written at once, before it comes back from the API server.
	Revocations *revocation.Set
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Log gets what cannot be returned. The zero Logger discards.
	Log logr.Logger
}

// LogoutLog writes logouts into TokenRevocations in Sallyport's own namespace, by which all replicas know of them. Each
// process writes objects of its own, so that two do not meet. Safe for concurrent use; a nil LogoutLog only has seen nothing.
type LogoutLog struct {
	config LogoutLogConfig
	client client.Client

	writing sync.Mutex
	open    map[token.RevocationScope]*v1alpha1.TokenRevocation // as last written

	mu     sync.Mutex
	unseen map[types.NamespacedName]string // the resourceVersion for which the informer is waited
}

// NewLogoutLog checks config. It does not talk to the API server.
func NewLogoutLog(config LogoutLogConfig) (*LogoutLog, error) {
	if config.REST == nil || config.Options.OwnNamespace == "" || config.Revocations == nil {
		return nil, errors.New("a log of logouts needs REST, the namespace of Sallyport and a set of revocations")
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("registering kinds: %w", err)
	}
	mapper := meta.NewDefaultRESTMapper(nil) // spares the discovery, and the right to it
	mapper.Add(revocationKind(), meta.RESTScopeNamespace)
	rc := rest.CopyConfig(config.REST)
	rc.Timeout = logoutTimeout
	to, err := client.New(rc, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return &LogoutLog{
		config: config, client: to,
		open: map[token.RevocationScope]*v1alpha1.TokenRevocation{}, unseen: map[types.NamespacedName]string{},
	}, nil
}

// Write writes the list, and returns once the API server has stored it and this process acts on it. After an error some of
// it may have been stored; to write it again does no harm.
func (l *LogoutLog) Write(ctx context.Context, list []token.Revocation) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, logoutTimeout)
	defer cancel()
	byScope := map[token.RevocationScope][]v1alpha1.RevokedTokens{}
	for i := range list {
		byScope[list[i].Scope] = append(byScope[list[i].Scope], revokedEntry(&list[i]))
	}
	for scope, entries := range byScope {
		for part := range slices.Chunk(entries, logoutEntries) {
			if err := l.write(ctx, scope, part); err != nil {
				return fmt.Errorf("writing a TokenRevocation: %w", err)
			}
		}
	}
	return nil
}

// write appends entries of one scope to the object that is open for it, or to a new one.
func (l *LogoutLog) write(ctx context.Context, scope token.RevocationScope, entries []v1alpha1.RevokedTokens) error {
	if old := l.open[scope]; old != nil {
		delete(l.open, scope) // until it is known what became of it
		next := old.DeepCopy()
		next.Spec.Entries = append(slices.DeleteFunc(next.Spec.Entries, l.ended), entries...)
		if len(next.Spec.Entries) <= logoutEntries {
			err := l.client.Update(ctx, next)
			if err == nil {
				l.wrote(scope, next)
				return nil
			}
			// Somebody else wrote or deleted it: it stays as it is, and the next one is begun.
			if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
				return err
			}
		}
	}
	fresh := &v1alpha1.TokenRevocation{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: l.config.Options.OwnNamespace, GenerateName: "logout-",
			Labels: map[string]string{v1alpha1.LogoutLabel: "true", "app.kubernetes.io/name": "sallyport", "app.kubernetes.io/component": "logouts"},
		},
		Spec: v1alpha1.TokenRevocationSpec{Issuer: scope.Issuer, ProviderNamespace: scope.Namespace, Entries: entries},
	}
	if err := l.client.Create(ctx, fresh); err != nil {
		return err
	}
	l.wrote(scope, fresh)
	return nil
}

func (l *LogoutLog) ended(e v1alpha1.RevokedTokens) bool {
	return e.Expires != nil && !l.config.Now().Before(e.Expires.Time)
}

// wrote acts on what was stored.
func (l *LogoutLog) wrote(scope token.RevocationScope, o *v1alpha1.TokenRevocation) {
	if len(l.open) >= openLogouts {
		clear(l.open)
	}
	l.open[scope] = o
	key := client.ObjectKeyFromObject(o)
	set := l.config.Revocations
	l.mu.Lock()
	defer l.mu.Unlock()
	set.Put(revocation.FromLogout, unseenName(key), set.Digest(policy.ReadRevocation(o, nil, l.config.Options).Tokens), l.config.Now())
	l.unseen[key] = o.ResourceVersion
}

// unseenName is how a set calls what was written and has not come back. No object can be called so.
func unseenName(key types.NamespacedName) string { return key.String() + " as written" }

// seen is told of an object as the informer has it now; nil: it is gone. What was written last is held until then, as an
// informer may still be on its way to it.
func (l *LogoutLog) seen(key types.NamespacedName, o client.Object) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	version, waiting := l.unseen[key]
	if !waiting || o != nil && older(o.GetResourceVersion(), version) {
		return
	}
	delete(l.unseen, key)
	l.config.Revocations.Put(revocation.FromLogout, unseenName(key), nil, l.config.Now())
}

// older compares two versions of one object, which grow as it is written. One that is no number counts as older unless it
// is the same.
func older(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	if errX != nil || errY != nil {
		return a != b
	}
	return x < y
}

// drop deletes an object whose entries have all ended, unless somebody has written on it since.
func (l *LogoutLog) drop(ctx context.Context, o metav1.Object) {
	uid, version := o.GetUID(), o.GetResourceVersion()
	gone := &v1alpha1.TokenRevocation{ObjectMeta: metav1.ObjectMeta{Namespace: o.GetNamespace(), Name: o.GetName()}}
	err := l.client.Delete(ctx, gone, client.Preconditions{UID: &uid, ResourceVersion: &version})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && ctx.Err() == nil {
		l.config.Log.Error(err, "A TokenRevocation whose entries have ended cannot be deleted", "name", o.GetName())
	}
}

// revokedEntry is a revocation as an object has it.
func revokedEntry(r *token.Revocation) v1alpha1.RevokedTokens {
	var e v1alpha1.RevokedTokens
	switch r.By {
	case token.RevokedByID:
		e.JTI = r.Value
	case token.RevokedBySession:
		e.SID = r.Value
	case token.RevokedBySubject:
		e.Sub = r.Value
	case token.RevokedByIssuer:
	}
	if !r.IssuedBefore.IsZero() {
		e.IssuedBefore = &metav1.Time{Time: r.IssuedBefore}
	}
	if !r.Expires.IsZero() {
		e.Expires = &metav1.Time{Time: r.Expires}
	}
	return e
}
