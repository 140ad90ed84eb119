package controller

import (
	"time"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/revocation"
)

// revocations puts what the TokenRevocations of a folder name into a set. The zero value has put in nothing; it is not for
// concurrent use.
type revocations struct {
	set  *revocation.Set // nil: nobody asks
	held map[string]*v1alpha1.TokenRevocation
}

// update brings the set to what the objects say. One that is still the same is not read again.
func (r *revocations) update(objects *policy.Objects, opts policy.Options, now time.Time) {
	if r.set == nil {
		return
	}
	next := make(map[string]*v1alpha1.TokenRevocation, len(objects.TokenRevocations))
	for _, o := range objects.TokenRevocations {
		name := o.Namespace + "/" + o.Name
		next[name] = o
		if r.held[name] != o {
			r.set.Put(revocation.FromObjects, name, r.set.Digest(policy.ReadRevocation(o, nil, opts).Tokens), now)
		}
	}
	for name := range r.held {
		if next[name] == nil {
			r.set.Put(revocation.FromObjects, name, nil, now)
		}
	}
	r.held = next
}

// RevokedBy is what the TokenRevocations among the objects name.
func RevokedBy(objects *policy.Objects, opts policy.Options) *revocation.Set {
	r := revocations{set: revocation.NewSet()}
	r.update(objects, opts, time.Time{})
	return r.set
}
