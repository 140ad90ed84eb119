package controller

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

const (
	// DefaultLookInterval is how often a cluster is asked which of the optional kinds it has.
	DefaultLookInterval = 10 * time.Second
	// absences is how many LookIntervals a kind must be absent before its objects no longer count, however often somebody
	// looks: an API server that is starting, or is one of several, may not know all of its CRDs yet.
	absences = 2
	// firstLookAgain is how soon an API server that does not answer is asked again, as long as nothing is published.
	firstLookAgain = time.Second
)

// installed returns which of the optional kinds the cluster has.
func (c *Cluster) installed() (map[schema.GroupVersionKind]bool, error) {
	out := map[schema.GroupVersionKind]bool{}
	asked := map[schema.GroupVersion]bool{}
	for _, k := range c.kinds {
		if !k.optional || asked[k.GroupVersion()] {
			continue
		}
		asked[k.GroupVersion()] = true
		list, err := c.discovery.ServerResourcesForGroupVersion(k.GroupVersion().String())
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("asking for the kinds of %s: %w", k.GroupVersion(), err)
		}
		markInstalled(out, k.GroupVersion(), list)
	}
	c.metrics.answered()
	return out, nil
}

func markInstalled(out map[schema.GroupVersionKind]bool, gv schema.GroupVersion, list *metav1.APIResourceList) {
	for i := range list.APIResources {
		out[gv.WithKind(list.APIResources[i].Kind)] = true
	}
}

// firstLook watches every kind that is there, however long that takes to find out. Kinds of our own that are absent are
// waited for: to be ready without them would be to refuse every request.
func (c *Cluster) firstLook(ctx context.Context) error {
	for {
		err := c.look(ctx)
		if err == nil && !c.ownMayCome() {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			c.config.Log.Error(err, "The API server cannot be asked, trying again")
		}
		if err := pause(ctx, min(firstLookAgain, c.config.LookInterval)); err != nil {
			return err
		}
	}
}

// ownMayCome tells whether a kind of our own is absent, and not yet for as long as it takes to count as not installed.
func (c *Cluster) ownMayCome() bool {
	for kind, since := range c.absent {
		if kind.Group == v1alpha1.GroupVersion.Group && c.config.Now().Sub(since) < absences*c.config.LookInterval {
			return true
		}
	}
	return false
}

// keepLooking watches kinds that come, and forgets those that are gone.
func (c *Cluster) keepLooking(ctx context.Context) {
	for {
		timer := time.NewTimer(c.config.LookInterval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-c.lookNow:
			timer.Stop()
		case <-timer.C:
		}
		if err := c.look(ctx); err != nil && ctx.Err() == nil {
			c.config.Log.V(1).Info("The API server cannot be asked for its kinds", "error", err.Error())
		}
	}
}

// look asks once.
func (c *Cluster) look(ctx context.Context) error {
	there, err := c.installed()
	if err != nil {
		return err
	}
	for _, k := range c.kinds {
		if !k.optional || there[k.GroupVersionKind] {
			delete(c.absent, k.GroupVersionKind)
			if err := c.watch(ctx, k); err != nil {
				return err
			}
			continue
		}
		since, known := c.absent[k.GroupVersionKind]
		if !known {
			since = c.config.Now()
			c.absent[k.GroupVersionKind] = since
		}
		if c.config.Now().Sub(since) >= absences*c.config.LookInterval {
			c.forget(ctx, k)
		}
	}
	return nil
}

// watch begins to watch a kind that is not watched yet.
func (c *Cluster) watch(ctx context.Context, k clusterKind) error {
	if c.store(k.GroupVersionKind) != nil {
		return nil
	}
	s := newStore(c.objectChanged, c.objectTouched)
	if k.Kind == v1alpha1.KindTokenRevocation {
		s.changed = func(key types.NamespacedName) { c.revocationChanged(key, s.get(key)) }
	}
	if err := c.feed(ctx, c.cache, k.example, s); err != nil {
		return fmt.Errorf("watching %s: %w", k.Kind, err)
	}
	c.mu.Lock()
	c.stores[k.GroupVersionKind] = s
	c.mu.Unlock()
	c.config.Log.V(1).Info("Watching", "kind", k.Kind)
	return nil
}

// forget drops a kind that the cluster no longer has.
func (c *Cluster) forget(ctx context.Context, k clusterKind) {
	s := c.store(k.GroupVersionKind)
	if s == nil {
		return
	}
	if err := c.cache.RemoveInformer(ctx, k.example); err != nil {
		c.config.Log.Error(err, "An informer cannot be ended", "kind", k.Kind)
	}
	c.mu.Lock()
	delete(c.stores, k.GroupVersionKind)
	c.mu.Unlock()
	s.doNotWait()
	if k.Kind == v1alpha1.KindTokenRevocation {
		s.keys(func(key types.NamespacedName) { c.revocationChanged(key, nil) })
	}
	c.config.Log.Info("A kind is no longer installed", "kind", k.Kind)
	c.wake()
}
