package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/revocation"
	"github.com/sallyport/sallyport/extauthz/token"
)

// ClusterConfig is what a Cluster needs. REST, Snapshot and Options.OwnNamespace must be there.
type ClusterConfig struct {
	// REST is how to reach the API server.
	REST *rest.Config
	// Options of the compile. OwnNamespace is where the Lease is, too.
	Options policy.Options
	// ReferenceNamespaces are those whose Secrets and ConfigMaps providers may name, beside Sallyport's own;
	// AllNamespaces stands for every one.
	ReferenceNamespaces []string
	// Snapshot is where the result is stored; nil in it until everything that there is was compiled once.
	Snapshot *atomic.Pointer[policy.Snapshot]
	// BeforePublish is as in PublisherConfig.
	BeforePublish func(context.Context, *policy.Snapshot)
	// Revocations get what TokenRevocations revoke, before the first snapshot is in force; nil: they are only reported on.
	Revocations *revocation.Set
	// Logouts are written by this replica too; nil: by none.
	Logouts *LogoutLog
	// Keys tells about the keys of a provider that are fetched. Nil: nothing is known.
	Keys func(*token.Provider) KeyStatus
	// OnLead is told when this replica begins and ceases to write status. May be nil.
	OnLead func(leading bool)
	// WithoutElection: this is the only replica, and writes status at once.
	WithoutElection bool
	// LookInterval is how often the cluster is asked for kinds that may come and go; 0: DefaultLookInterval.
	LookInterval time.Duration
	// RevocationsInterval is how often revocations that have ended are looked for: in memory, in status, and among the objects
	// that Sallyport wrote itself; 0: DefaultRevocationsInterval.
	RevocationsInterval time.Duration
	// Now is the clock of status, metrics and ends of revocations; nil: time.Now.
	Now func() time.Time
	// Log gets what the Publisher's gets. The zero Logger discards.
	Log logr.Logger
	// Metrics is where metrics are registered; nil: nowhere.
	Metrics prometheus.Registerer
}

// Cluster puts the objects of a Kubernetes cluster into force, and writes their status. What it knows of the objects is
// what its informers hold; while the API server is away, that stays.
type Cluster struct {
	config    ClusterConfig
	publisher *Publisher
	metrics   *clusterMetrics
	kinds     []clusterKind
	discovery discovery.ServerResourcesInterface
	clients   *kubernetes.Clientset
	cache     cache.Cache
	// references are watched through caches of their own, by namespace: one that is forbidden holds up no other.
	references      *references
	referenceCaches map[string]cache.Cache
	status          *statusWriter
	reports         map[policy.ObjectRef]revocationReport // of TokenRevocations, of the goroutine that writes status
	leading         atomic.Bool
	published       atomic.Pointer[Published]

	changes chan struct{}                         // the one key of the queue: something changed
	lookNow chan struct{}                         // a kind may have gone
	absent  map[schema.GroupVersionKind]time.Time // since when

	mu     sync.Mutex
	stores map[schema.GroupVersionKind]*store // of the kinds that are watched
}

// NewCluster checks config. It does not talk to the API server. The error says what is missing or out of range.
func NewCluster(config ClusterConfig) (*Cluster, error) {
	if config.REST == nil || config.Snapshot == nil || config.Options.OwnNamespace == "" {
		return nil, errors.New("a cluster needs REST, Snapshot and the namespace of Sallyport")
	}
	if config.LookInterval < 0 || config.RevocationsInterval < 0 {
		return nil, fmt.Errorf("interval of looking %s or of revocations %s is negative", config.LookInterval, config.RevocationsInterval)
	}
	if config.RevocationsInterval == 0 {
		config.RevocationsInterval = DefaultRevocationsInterval
	}
	if config.LookInterval == 0 {
		config.LookInterval = DefaultLookInterval
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Revocations == nil {
		config.Revocations = revocation.NewSet()
	}
	c := &Cluster{
		config: config, kinds: clusterKinds(), absent: map[schema.GroupVersionKind]time.Time{},
		changes: make(chan struct{}, 1), lookNow: make(chan struct{}, 1), stores: map[schema.GroupVersionKind]*store{},
	}
	var err error
	if c.metrics, err = newClusterMetrics(config.Metrics, config.Now); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	c.publisher, err = NewPublisher(PublisherConfig{
		List: c.list, Options: config.Options, Snapshot: config.Snapshot, BeforePublish: config.BeforePublish,
		OnPublish: c.onPublish, Now: config.Now, Log: config.Log, Metrics: config.Metrics,
	})
	if err != nil {
		return nil, err
	}
	return c, c.connect()
}

// Run watches, compiles and publishes until ctx ends, and then returns nil once everything has stopped. It waits for an
// API server that is away.
func (c *Cluster) Run(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(nil)
	start := func(k cache.Cache) {
		running.Go(func() {
			if err := k.Start(ctx); err != nil {
				cancel(fmt.Errorf("running a cache: %w", err))
			}
		})
	}
	start(c.cache)
	for ns, k := range c.referenceCaches {
		start(k)
		for kind, s := range c.references.places[ns].stores {
			if err := c.feed(ctx, k, metadataOf(kind), s); err != nil {
				return fmt.Errorf("watching %s: %w", kind, err)
			}
		}
	}
	if c.firstLook(ctx) == nil {
		running.Go(func() { c.keepLooking(ctx) })
		running.Go(func() { c.lead(ctx) })
		running.Go(func() { c.keepRevocations(ctx) })
		c.publishChanges(ctx)
	}
	if parent.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

// publishAgain is how soon a publish that failed is tried again.
const publishAgain = time.Second

// publishChanges publishes once everything is there, and then whenever something changed. A burst of changes is
// published in two steps: its first change at once, all others together after that.
func (c *Cluster) publishChanges(ctx context.Context) {
	if !c.waitWhole(ctx) {
		return
	}
	duty := newDutyCycle(time.Now())
	for first := true; ; first = false {
		begin := time.Now()
		if err := c.publisher.Publish(ctx); err != nil && ctx.Err() == nil {
			time.AfterFunc(publishAgain, c.wake)
		}
		if !first && pause(ctx, duty.rest(begin, time.Now())) != nil { // the first waits for keys, which is no work
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-c.changes:
		}
	}
}

// waitWhole waits until all objects of all kinds are there.
func (c *Cluster) waitWhole(ctx context.Context) bool {
	c.mu.Lock()
	stores := slices.Collect(maps.Values(c.stores))
	c.mu.Unlock()
	for _, p := range c.references.places {
		stores = slices.AppendSeq(stores, maps.Values(p.stores))
	}
	for _, s := range stores {
		select {
		case <-s.whole:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// list is what all informers hold now.
func (c *Cluster) list(ctx context.Context) (*Listing, error) {
	l := &Listing{}
	c.mu.Lock()
	stores := maps.Clone(c.stores)
	c.mu.Unlock()
	delete(stores, revocationKind()) // no part of a snapshot
	for _, s := range stores {
		s.each(func(o client.Object) {
			addClusterObject(&l.Objects, o)
			if d, ok := o.(declaredObject); ok {
				l.declared = append(l.declared, d)
			}
		})
	}
	if err := c.references.resolve(ctx, &l.Objects, c.config.Options.OwnNamespace); err != nil && c.config.Snapshot.Load() == nil {
		return nil, err // there was no snapshot yet in which a provider could miss what it names
	}
	return l, ctx.Err()
}

func (c *Cluster) onPublish(p Published) {
	c.published.Store(&p)
	c.status.wake()
}

// Published is what is in force; nil until something is. Not to be written. Safe for concurrent use.
func (c *Cluster) Published() *Published { return c.published.Load() }

// Objects are those that are in force, and the options with which they were compiled; false before anything is. Only for
// reading. Safe for concurrent use.
func (c *Cluster) Objects() (policy.Objects, policy.Options, bool) {
	p := c.published.Load()
	if p == nil {
		return policy.Objects{}, c.config.Options, false
	}
	return p.Listing.Objects, c.config.Options, true
}

// Referred reads the Secrets and ConfigMaps that the providers of objects name, which need not be stored, as they are now,
// in the place of those in it. The error says that something could not be read. Safe for concurrent use.
func (c *Cluster) Referred(ctx context.Context, objects *policy.Objects) error {
	return c.references.lookUp(ctx, objects, c.config.Options.OwnNamespace)
}

// Leading tells whether this replica writes status. Safe for concurrent use.
func (c *Cluster) Leading() bool { return c.leading.Load() }

// KeysChanged tells that the keys of a provider were fetched, or could not be. Safe for concurrent use; returns at once.
func (c *Cluster) KeysChanged() { c.status.wake() }

// wake puts the one key into the queue.
func (c *Cluster) wake() {
	select {
	case c.changes <- struct{}{}:
	default:
	}
}

func (c *Cluster) objectChanged(types.NamespacedName) {
	c.metrics.answered()
	c.wake()
}

// objectTouched: the status may be another one.
func (c *Cluster) objectTouched(types.NamespacedName) {
	c.metrics.answered()
	c.status.wake()
}

func (c *Cluster) store(kind schema.GroupVersionKind) *store {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stores[kind]
}
