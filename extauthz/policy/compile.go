package policy

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/token"
)

var specIdentityProviders = field.NewPath("spec", "identityProviders")

// Compiler compiles, and keeps from one compile what the next can use: what depends on one policy alone, known by its
// pointer, and what depends on one provider, known by its fingerprint. Dropping a Compiler loses time only. The zero
// Compiler is ready; it is not for concurrent use.
type Compiler struct {
	env       *environment
	opts      Options
	drafts    map[*v1alpha1.AuthPolicy]*draft
	providers map[string]*token.Provider
}

// Compile makes a snapshot of the objects, and a report of what is wrong with them. It is total: what does not compile
// refuses, and nothing else does.
func (c *Compiler) Compile(objs Objects, opts Options) (*Snapshot, Report) {
	c.reset(opts)
	providers := c.compileProviders(&objs)
	policies := c.compilePolicies(&objs)
	byRef := make(map[ObjectRef]*provider, len(providers))
	for _, p := range providers {
		byRef[p.ref] = p
	}
	for _, p := range policies {
		p.join(byRef)
	}
	var granted *grants
	if opts.HostGrants {
		granted = newGrants(objs.Namespaces)
		granted.apply(policies)
	} else {
		ownHosts(policies)
	}
	s := &Snapshot{opts: opts, stats: Stats{Policies: len(policies), Providers: len(providers)}}
	s.index(policies, granted)
	attached := attach(policies, &objs)
	s.indexServices(attached)
	s.indexGateways(attached, &objs)
	s.identity = identityHeaders(policies)
	for _, p := range policies {
		s.stats.Rules += len(p.rules)
		if p.draft.dryRun {
			s.stats.DryRunPolicies++
		}
	}
	for _, p := range providers {
		if p.token != nil {
			s.providers = append(s.providers, p.token)
		}
	}
	return s, report(policies, providers)
}

// reset drops what the options have a say in, where they have changed.
func (c *Compiler) reset(opts Options) {
	if c.env == nil {
		c.env = newEnvironment()
	}
	if c.opts != opts {
		c.opts, c.drafts = opts, nil
	}
}

func (c *Compiler) compileProviders(objs *Objects) []*provider {
	refs := newReferences(objs)
	var sources []*providerSource
	for _, o := range objs.IdentityProviders {
		sources = append(sources, &providerSource{
			ref: ObjectRef{v1alpha1.KindIdentityProvider, o.Namespace, o.Name},
			uid: o.UID, namespace: o.Namespace, spec: &o.Spec,
		})
	}
	for _, o := range objs.ClusterIdentityProviders {
		sources = append(sources, &providerSource{
			ref: ObjectRef{Kind: v1alpha1.KindClusterIdentityProvider, Name: o.Name},
			uid: o.UID, namespace: c.opts.OwnNamespace, spec: &o.Spec.IdentityProviderSpec, allowed: o.Spec.AllowedNamespaces,
		})
	}
	slices.SortFunc(sources, func(a, b *providerSource) int { return compareRefs(a.ref, b.ref) })
	kept := make(map[string]*token.Provider, len(sources))
	var out []*provider
	for _, s := range sources {
		p := compileProvider(s, objs.Undecoded[s.ref], refs, c.env)
		if t := p.token; t != nil {
			if old := c.providers[t.Name]; old != nil && old.Fingerprint == t.Fingerprint {
				p.token = old
			}
			kept[t.Name] = p.token
		}
		out = append(out, p)
	}
	c.providers = kept
	return out
}

func (c *Compiler) compilePolicies(objs *Objects) []*policy {
	kept := make(map[*v1alpha1.AuthPolicy]*draft, len(objs.AuthPolicies))
	out := make([]*policy, 0, len(objs.AuthPolicies))
	for _, o := range objs.AuthPolicies {
		d, ok := c.drafts[o]
		if !ok {
			d = compileDraft(o, objs.Undecoded[ObjectRef{v1alpha1.KindAuthPolicy, o.Namespace, o.Name}], &c.opts, c.env)
		}
		kept[o] = d
		out = append(out, &policy{draft: d, name: d.ref.Namespace + "/" + d.ref.Name})
	}
	c.drafts = kept
	slices.SortFunc(out, func(a, b *policy) int { return compareRefs(a.ref, b.ref) })
	for i, p := range out {
		p.order = i
	}
	return out
}

func compareRefs(a, b ObjectRef) int {
	return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}
