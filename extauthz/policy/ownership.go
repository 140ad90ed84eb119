package policy

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// ownership is what became of the hosts that policies name. It is a function of who names which host, how old that is
// and how much of it is tried out, and of what was granted; a rule has no say in it.
type ownership struct {
	granted *grants // nil where there are none
	drafts  []*draft
	shares  []share // of the policies, in order
}

// share is what one policy got of the hosts that it names.
type share struct {
	hosts     []string
	conflicts []Problem
}

// own gives each policy the hosts that are its own, and reports the others. policies are written. It tells whether every
// policy has those that the policy in its place had in the last compile.
func (c *Compiler) own(policies []*policy, granted *grants) (same bool) {
	if c.owned != nil && c.owned.stands(policies, granted) {
		c.owned.hand(policies)
		return true
	}
	if granted != nil {
		granted.apply(policies)
	} else {
		ownHosts(policies)
	}
	o := &ownership{granted: granted, drafts: make([]*draft, len(policies)), shares: make([]share, len(policies))}
	for i, p := range policies {
		o.drafts[i] = p.draft
		o.shares[i] = share{p.hosts, p.problems.since(&p.joined.problems)}
	}
	c.owned = o
	return false
}

// stands tells whether the same would become of the hosts of policies.
func (o *ownership) stands(policies []*policy, granted *grants) bool {
	if o.granted != granted || len(o.drafts) != len(policies) {
		return false
	}
	for i, p := range policies {
		if d := o.drafts[i]; d != p.draft && !d.claimsAs(p.draft) {
			return false
		}
	}
	return true
}

// hand gives policies what they had.
func (o *ownership) hand(policies []*policy) {
	for i, p := range policies {
		p.hosts = o.shares[i].hosts
		p.problems.take(o.shares[i].conflicts)
		o.drafts[i] = p.draft
	}
}

// claimsAs tells whether d names the same hosts as o, with the same right to them.
func (d *draft) claimsAs(o *draft) bool {
	return d.ref == o.ref && d.created.Equal(o.created) && d.trial() == o.trial() &&
		slices.EqualFunc(d.hosts, o.hosts, func(a, b hostClaim) bool { return a.host == b.host && a.at.String() == b.at.String() })
}

// keptGrants are the grants of the last compile, and the annotations that they were read from, by namespace.
type keptGrants struct {
	texts map[string]string
	*grants
}

// take returns the grants of namespaces: those of the last compile, where the annotations say the same.
func (k *keptGrants) take(namespaces []*corev1.Namespace) *grants {
	texts := make(map[string]string, len(k.texts))
	for _, n := range namespaces {
		if text, ok := n.Annotations[v1alpha1.HostsAnnotation]; ok {
			texts[n.Name] = text
		}
	}
	if k.grants == nil || !maps.Equal(k.texts, texts) {
		k.texts, k.grants = texts, newGrants(namespaces)
	}
	return k.grants
}
