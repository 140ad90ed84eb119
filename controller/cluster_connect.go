package controller

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// answerTimeout bounds requests that somebody waits for; watches have none.
const answerTimeout = 5 * time.Second

// connect makes the clients and the caches.
func (c *Cluster) connect() error {
	scheme, err := clusterScheme(c.kinds)
	if err != nil {
		return fmt.Errorf("registering kinds: %w", err)
	}
	watching := rest.CopyConfig(c.config.REST)
	watching.QPS = -1 // reads are few, and the API server has its own fairness
	asking := rest.CopyConfig(watching)
	asking.Timeout = answerTimeout
	if c.clients, err = kubernetes.NewForConfig(asking); err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	c.discovery = c.clients.Discovery()
	mapper := clusterMapper(c.kinds)
	options := cache.Options{
		Scheme: scheme, Mapper: mapper, DefaultTransform: c.trim,
		DefaultWatchErrorHandler: c.watchFailed,
	}
	if c.cache, err = cache.New(watching, options); err != nil {
		return fmt.Errorf("making a cache: %w", err)
	}
	writer, err := client.New(asking, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	c.status = newStatusWriter(c, writer)
	namespaces := append([]string{c.config.Options.OwnNamespace}, c.config.ReferenceNamespaces...)
	c.references = newReferences(namespaces, c.wake, c.fetchReference)
	c.referenceCaches = map[string]cache.Cache{}
	for ns, p := range c.references.places {
		options.DefaultNamespaces = map[string]cache.Config{ns: {}}
		if ns == AllNamespaces {
			options.DefaultNamespaces = nil
		}
		options.DefaultWatchErrorHandler = func(ctx context.Context, r *toolscache.Reflector, err error) {
			c.watchFailed(ctx, r, err)
			c.references.watchFailed(p, err)
		}
		if c.referenceCaches[ns], err = cache.New(watching, options); err != nil {
			return fmt.Errorf("making a cache of namespace %q: %w", ns, err)
		}
	}
	return nil
}

// feed lets an informer fill a store.
func (c *Cluster) feed(ctx context.Context, from cache.Cache, example client.Object, s *store) error {
	informer, err := from.GetInformer(ctx, example, cache.BlockUntilSynced(false))
	if err != nil {
		return err
	}
	registration, err := informer.AddEventHandler(s)
	if err != nil {
		return err
	}
	go func() {
		select {
		case <-registration.HasSyncedChecker().Done():
			s.complete()
			c.wake()
		case <-ctx.Done():
		}
	}()
	return nil
}

func (c *Cluster) fetchReference(ctx context.Context, k referenceKey) (client.Object, error) {
	if k.kind == kindSecret {
		s, err := c.clients.CoreV1().Secrets(k.Namespace).Get(ctx, k.Name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return &corev1.Secret{ObjectMeta: needed(s.ObjectMeta), Data: s.Data, Type: s.Type}, nil
	}
	m, err := c.clients.CoreV1().ConfigMaps(k.Namespace).Get(ctx, k.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return &corev1.ConfigMap{ObjectMeta: needed(m.ObjectMeta), Data: m.Data, BinaryData: m.BinaryData}, nil
}

// watchFailed counts what could not be listed or watched; the informer tries again by itself.
func (c *Cluster) watchFailed(ctx context.Context, r *toolscache.Reflector, err error) {
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return // watched from the start, as it should be after a while
	}
	kind := kindOfType(c.kinds, r.TypeDescription())
	if answeredBadly(err) {
		c.metrics.watchFailures.WithLabelValues(kind).Inc()
	}
	c.config.Log.V(1).Info("Objects cannot be watched, trying again", "kind", kind, "error", err.Error())
	if apierrors.IsNotFound(err) {
		select {
		case c.lookNow <- struct{}{}:
		default:
		}
	}
}

// kindReference stands for Secrets and ConfigMaps among the kinds.
const kindReference = "Reference"

// kindOfType is the kind of which an informer says its type; Reference for Secrets and ConfigMaps.
func kindOfType(kinds []clusterKind, name string) string {
	for _, k := range kinds {
		if typeName(k.example) == name {
			return k.Kind
		}
	}
	return kindReference
}
