package controller

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

// maxNeighbours bounds the policies that a reviewed one is compiled with. A compile of all would take most of a second
// with ten thousand of them.
const maxNeighbours = 256

// worldOf are the objects that have a say in what a compile says of o, and o in the place of its stored self. left
// counts the policies that would have, but are over the bound.
func worldOf(all *policy.Objects, o metav1.Object, ref policy.ObjectRef, opts policy.Options) (world policy.Objects, left int) {
	world = policy.Objects{
		Namespaces: all.Namespaces, Services: all.Services,
		Gateways: all.Gateways, HTTPRoutes: all.HTTPRoutes, GRPCRoutes: all.GRPCRoutes,
		Undecoded: all.Undecoded, ReferenceNamespaces: all.ReferenceNamespaces,
	}
	if _, has := all.Undecoded[ref]; has {
		world.Undecoded = maps.Clone(all.Undecoded)
		delete(world.Undecoded, ref)
	}
	readable := []string{ref.Namespace, opts.OwnNamespace}
	world.Secrets = of(all.Secrets, func(s *corev1.Secret) bool { return slices.Contains(readable, s.Namespace) })
	world.ConfigMaps = of(all.ConfigMaps, func(c *corev1.ConfigMap) bool { return slices.Contains(readable, c.Namespace) })
	switch o := o.(type) {
	case *v1alpha1.AuthPolicy:
		world.IdentityProviders = of(all.IdentityProviders, func(p *v1alpha1.IdentityProvider) bool {
			return p.Namespace == o.Namespace && refersTo(o, p.Name)
		})
		world.ClusterIdentityProviders = of(all.ClusterIdentityProviders, func(p *v1alpha1.ClusterIdentityProvider) bool {
			return refersTo(o, p.Name)
		})
		world.AuthPolicies, left = neighbours(all.AuthPolicies, o, opts)
		world.AuthPolicies = append(world.AuthPolicies, o)
	case *v1alpha1.IdentityProvider:
		world.IdentityProviders = []*v1alpha1.IdentityProvider{o}
	case *v1alpha1.ClusterIdentityProvider:
		world.ClusterIdentityProviders = []*v1alpha1.ClusterIdentityProvider{o}
	case *v1alpha1.TokenRevocation:
		world.IdentityProviders = of(all.IdentityProviders, func(p *v1alpha1.IdentityProvider) bool { return p.Spec.Issuer == o.Spec.Issuer })
		world.ClusterIdentityProviders = of(all.ClusterIdentityProviders, func(p *v1alpha1.ClusterIdentityProvider) bool { return p.Spec.Issuer == o.Spec.Issuer })
		world.TokenRevocations = []*v1alpha1.TokenRevocation{o}
	}
	return world, left
}

func of[T any](all []T, fits func(T) bool) (out []T) {
	for _, o := range all {
		if fits(o) {
			out = append(out, o)
		}
	}
	return out
}

func refersTo(p *v1alpha1.AuthPolicy, provider string) bool {
	return slices.ContainsFunc(p.Spec.IdentityProviders, func(r v1alpha1.IdentityProviderReference) bool { return r.Name == provider })
}

// neighbours are the policies that share a host or a target with o, or, where namespaces need no grant, a part of a
// wildcard; those of one and the same host first.
func neighbours(all []*v1alpha1.AuthPolicy, o *v1alpha1.AuthPolicy, opts policy.Options) (out []*v1alpha1.AuthPolicy, left int) {
	var close, wide []*v1alpha1.AuthPolicy
	hosts := hostNames(o)
	for _, p := range all {
		if p.Namespace == o.Namespace && p.Name == o.Name {
			continue
		}
		theirs := hostNames(p)
		switch {
		case sharesTarget(p, o) || slices.ContainsFunc(theirs, func(h string) bool { return slices.Contains(hosts, h) }):
			close = append(close, p)
		case !opts.HostGrants && p.Namespace != o.Namespace && slices.ContainsFunc(theirs, func(h string) bool {
			return slices.ContainsFunc(hosts, func(own string) bool { return covers(own, h) || covers(h, own) })
		}):
			wide = append(wide, p)
		}
	}
	for _, list := range [][]*v1alpha1.AuthPolicy{close, wide} {
		slices.SortFunc(list, func(a, b *v1alpha1.AuthPolicy) int { return compareNames(a, b) })
		out = append(out, list...)
	}
	if len(out) > maxNeighbours {
		left = len(out) - maxNeighbours
		out = slices.Clip(out[:maxNeighbours])
	}
	return out, left
}

func compareNames(a, b metav1.Object) int {
	if c := strings.Compare(a.GetNamespace(), b.GetNamespace()); c != 0 {
		return c
	}
	return strings.Compare(a.GetName(), b.GetName())
}

// hostNames are the hosts of a policy as far as they need to be in normal form to be compared.
func hostNames(p *v1alpha1.AuthPolicy) []string {
	out := make([]string, len(p.Spec.Hosts))
	for i, h := range p.Spec.Hosts {
		out[i] = strings.TrimSuffix(strings.ToLower(h), ".")
	}
	return out
}

// covers tells whether a wildcard matches a host, or every host of a narrower wildcard.
func covers(wildcard, host string) bool {
	return wildcard == "*" || strings.HasPrefix(wildcard, "*.") && strings.HasSuffix(host, wildcard[1:])
}

func sharesTarget(a, b *v1alpha1.AuthPolicy) bool {
	return a.Namespace == b.Namespace && slices.ContainsFunc(a.Spec.TargetRefs, func(x v1alpha1.TargetReference) bool {
		return slices.ContainsFunc(b.Spec.TargetRefs, func(y v1alpha1.TargetReference) bool { return x.Kind == y.Kind && x.Name == y.Name })
	})
}
