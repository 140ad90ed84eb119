package controller

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/revocation"
)

// DefaultRevocationsInterval is how often revocations that have ended are looked for.
const DefaultRevocationsInterval = time.Minute

func revocationKind() schema.GroupVersionKind {
	return v1alpha1.GroupVersion.WithKind(v1alpha1.KindTokenRevocation)
}

// declaredRevocation is a TokenRevocation as an informer holds it.
type declaredRevocation = declared[v1alpha1.TokenRevocation]

// revokedTokens is what a TokenRevocation names: what there is to say of it, without its tokens, and the digest of these.
type revokedTokens struct {
	*policy.Revocation
	digest *revocation.Digest
}

// trim is trim for objects of this cluster. Of a TokenRevocation it leaves a digest: its entries would be most of what a
// million revocations take.
func (c *Cluster) trim(in any) (any, error) {
	d, ok := in.(*declaredRevocation)
	if !ok || d.object == nil || d.revoked != nil {
		return trim(in)
	}
	read := policy.ReadRevocation(d.object, d.undecoded, c.config.Options)
	d.revoked = &revokedTokens{read, c.config.Revocations.Digest(read.Tokens)}
	read.Tokens = nil
	d.object = &v1alpha1.TokenRevocation{ObjectMeta: d.object.ObjectMeta}
	return d, nil
}

// written tells whether Sallyport wrote the object, because of logouts.
func (c *Cluster) written(o metav1.Object) bool {
	_, ok := o.GetLabels()[v1alpha1.LogoutLabel]
	return ok && o.GetNamespace() == c.config.Options.OwnNamespace
}

// revocationChanged puts what an object names into the set; nil: it is gone.
func (c *Cluster) revocationChanged(key types.NamespacedName, o client.Object) {
	c.metrics.answered()
	set, now, name := c.config.Revocations, c.config.Now(), key.String()
	from, other := revocation.FromObjects, revocation.FromLogout
	var digest *revocation.Digest
	if d, ok := o.(*declaredRevocation); ok && d.revoked != nil {
		digest = d.revoked.digest
		if c.written(d) {
			from, other = other, from
		}
	}
	set.Put(from, name, digest, now)
	set.Put(other, name, nil, now)
	c.config.Logouts.seen(key, o)
	c.status.wake()
}

// keepRevocations drops what has ended, and deletes, where this replica leads, the objects of logouts that have.
func (c *Cluster) keepRevocations(ctx context.Context) {
	for pause(ctx, c.config.RevocationsInterval) == nil {
		now := c.config.Now()
		c.config.Revocations.Prune(now)
		c.status.wake()
		if c.config.Logouts == nil || !c.Leading() {
			continue
		}
		for _, d := range c.revocations() {
			if c.written(d) && d.revoked.digest.Left(now) == 0 && ctx.Err() == nil {
				c.config.Logouts.drop(ctx, d)
			}
		}
	}
}

// revocations are the TokenRevocations that there are, in no order.
func (c *Cluster) revocations() (out []*declaredRevocation) {
	s := c.store(revocationKind())
	if s == nil {
		return nil
	}
	s.each(func(o client.Object) {
		if d, ok := o.(*declaredRevocation); ok && d.revoked != nil {
			out = append(out, d)
		}
	})
	return out
}

// revocationReport is what was last said of a TokenRevocation, and what that depends on.
type revocationReport struct {
	revoked  *revokedTokens
	snapshot *policy.Snapshot
	hold     int
	report   *policy.ObjectReport
}

// revocationReports are what the status of TokenRevocations should say, those that Sallyport wrote apart: nobody reads
// theirs, and to write it would double their cost. Where nothing has changed it is the same pointer as before.
func (c *Cluster) revocationReports(snapshot *policy.Snapshot) (out []*policy.ObjectReport) {
	now := c.config.Now()
	next := map[policy.ObjectRef]revocationReport{}
	for _, d := range c.revocations() {
		if c.written(d) {
			continue
		}
		ref := refOf(d)
		r := revocationReport{d.revoked, snapshot, d.revoked.digest.Left(now), nil}
		if last := c.reports[ref]; last.revoked == r.revoked && last.snapshot == snapshot && last.hold == r.hold {
			r.report = last.report
		} else {
			r.report = d.revoked.Report(ref, snapshot.Providers(), r.hold)
		}
		next[ref] = r
		out = append(out, r.report)
	}
	c.reports = next
	return out
}
