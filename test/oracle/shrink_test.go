package oracle

import (
	"slices"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// shrink takes out of a world, one by one, what a difference does not need, so that it can be told as a story.
func shrink(w *world, differs func(*world) bool) *world {
	for again := true; again; {
		again = false
		for _, smaller := range w.smaller() {
			if differs(smaller) {
				w, again = smaller, true
				break
			}
		}
	}
	return w
}

// smaller are the worlds that lack one thing of this one.
func (w *world) smaller() (out []*world) {
	vary := func(change func(*world)) {
		c := *w
		change(&c)
		out = append(out, &c)
	}
	for i := range w.policies {
		vary(func(c *world) { c.policies = without(w.policies, i) })
	}
	for i := range w.namespaces {
		vary(func(c *world) { c.namespaces = without(w.namespaces, i) })
	}
	for i := range w.services {
		vary(func(c *world) { c.services = without(w.services, i) })
	}
	for i := range w.gateways {
		vary(func(c *world) { c.gateways = without(w.gateways, i) })
		for j := range w.gateways[i].Spec.Listeners {
			vary(func(c *world) {
				c.gateways = slices.Clone(w.gateways)
				c.gateways[i] = w.gateways[i].DeepCopy()
				c.gateways[i].Spec.Listeners = without(c.gateways[i].Spec.Listeners, j)
			})
		}
	}
	for i := range w.httpRoutes {
		vary(func(c *world) { c.httpRoutes = without(w.httpRoutes, i) })
		for j := range w.httpRoutes[i].Spec.Rules {
			vary(func(c *world) {
				c.httpRoutes = slices.Clone(w.httpRoutes)
				c.httpRoutes[i] = w.httpRoutes[i].DeepCopy()
				c.httpRoutes[i].Spec.Rules = without(c.httpRoutes[i].Spec.Rules, j)
			})
		}
	}
	for i := range w.grpcRoutes {
		vary(func(c *world) { c.grpcRoutes = without(w.grpcRoutes, i) })
	}
	for i, p := range w.policies {
		edit := func(change func(*v1alpha1.AuthPolicySpec)) {
			vary(func(c *world) {
				c.policies = slices.Clone(w.policies)
				c.policies[i] = p.DeepCopy()
				change(&c.policies[i].Spec)
			})
		}
		for j := range p.Spec.Rules {
			if len(p.Spec.Rules) > 1 {
				edit(func(s *v1alpha1.AuthPolicySpec) { s.Rules = without(s.Rules, j) })
			}
			for k := range p.Spec.Rules[j].Matches {
				edit(func(s *v1alpha1.AuthPolicySpec) { s.Rules[j].Matches = without(s.Rules[j].Matches, k) })
			}
			if r := p.Spec.Rules[j]; r.Require != nil || r.Access != nil && *r.Access != v1alpha1.AccessPublic {
				edit(func(s *v1alpha1.AuthPolicySpec) {
					s.Rules[j].Require, s.Rules[j].Access = nil, ptr(v1alpha1.AccessPublic)
				})
			}
		}
		for j := range p.Spec.Hosts {
			if len(p.Spec.Hosts) > 1 {
				edit(func(s *v1alpha1.AuthPolicySpec) { s.Hosts = without(s.Hosts, j) })
			}
		}
		for j := range p.Spec.TargetRefs {
			if len(p.Spec.TargetRefs) > 1 {
				edit(func(s *v1alpha1.AuthPolicySpec) { s.TargetRefs = without(s.TargetRefs, j) })
			}
		}
		if p.Spec.Require != nil {
			edit(func(s *v1alpha1.AuthPolicySpec) { s.Require = nil })
		}
		if p.Spec.Mode != nil {
			edit(func(s *v1alpha1.AuthPolicySpec) { s.Mode = nil })
		}
		if p.Spec.Paths != nil || p.Spec.Preflight != nil {
			edit(func(s *v1alpha1.AuthPolicySpec) { s.Paths, s.Preflight = nil, nil })
		}
		if p.Spec.IdentityProviders != nil {
			edit(func(s *v1alpha1.AuthPolicySpec) { s.IdentityProviders = nil })
		}
	}
	return out
}

// without is a list without one of its elements; nil where that was all.
func without[T any](list []T, i int) []T {
	if len(list) == 1 {
		return nil
	}
	return slices.Delete(slices.Clone(list), i, i+1)
}
