package controller

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

const (
	// leaseName of the Lease by which replicas agree on who writes status.
	leaseName = "sallyport"
	// The times of the Lease are those of Kubernetes' own controllers.
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// lead writes status whenever this replica is the leader, until ctx ends. Losing the Lease ends the writing and nothing
// else: every replica goes on to compile and to serve.
func (c *Cluster) lead(ctx context.Context) {
	if c.config.WithoutElection {
		c.write(ctx)
		return
	}
	for ctx.Err() == nil {
		if err := c.leadOnce(ctx); err != nil {
			c.config.Log.Error(err, "Status is not written")
		}
		_ = pause(ctx, retryPeriod) // ctx is looked at above
	}
}

// leadOnce waits for the Lease, writes while it has it, and returns once it is lost and the writing has ended.
func (c *Cluster) leadOnce(ctx context.Context) error {
	lock, err := c.lease()
	if err != nil {
		return err
	}
	var writing sync.Mutex
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Name: leaseName, Lock: lock, ReleaseOnCancel: true,
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				writing.Lock()
				defer writing.Unlock()
				c.write(ctx)
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("making an elector: %w", err)
	}
	elector.Run(ctx)
	writing.Lock()
	defer writing.Unlock()
	return nil
}

func (c *Cluster) lease() (resourcelock.Interface, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("asking for the name of the host: %w", err)
	}
	return resourcelock.New(resourcelock.LeasesResourceLock, c.config.Options.OwnNamespace, leaseName,
		c.clients.CoreV1(), c.clients.CoordinationV1(), resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())})
}

// write writes status until ctx ends.
func (c *Cluster) write(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	c.setLeading(true)
	defer c.setLeading(false)
	c.config.Log.Info("Writing status from now on")
	c.status.run(ctx, c.clients.EventsV1())
	c.config.Log.Info("Writing status no more")
}

func (c *Cluster) setLeading(leading bool) {
	c.leading.Store(leading)
	c.metrics.leader.Set(0)
	if leading {
		c.metrics.leader.Set(1)
	}
	if c.config.OnLead != nil {
		c.config.OnLead(leading)
	}
}
