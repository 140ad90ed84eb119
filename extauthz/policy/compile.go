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

// Compiler compiles, and keeps from one compile what the next can use; see keptPolicy. Dropping a Compiler loses time
// only. The zero Compiler is ready; it is not for concurrent use.
type Compiler struct {
	env  *environment
	opts Options
	// turn counts the compiles, so that what one had no use for is known, and dropped.
	turn      uint64
	providers map[*v1alpha1.IdentityProviderSpec]*provider
	tokens    map[string]*token.Provider // of providers, by name
	policies  map[*v1alpha1.AuthPolicy]*keptPolicy
	order     []*keptPolicy // by namespace and name
	granted   keptGrants
	owned     *ownership // nil, as indexed, where there is nothing to take over
	indexed   *index
}

// Compile makes a snapshot of the objects, and a report of what is wrong with them. It is total: what does not compile
// refuses, and nothing else does.
func (c *Compiler) Compile(objs Objects, opts Options) (*Snapshot, Report) {
	c.begin(opts)
	refs := newReferences(&objs)
	providers := c.compileProviders(&objs, refs)
	policies := c.compilePolicies(&objs, newDirectory(providers, refs))
	var granted *grants
	if opts.HostGrants {
		granted = c.granted.take(objs.Namespaces)
	}
	sameHosts := c.own(policies, granted)
	s := &Snapshot{opts: opts, identity: identityHeaders(joinedOf(policies)), stats: countStats(policies, providers)}
	c.index(s, policies, granted, sameHosts)
	attached := attach(policies, &objs)
	s.indexServices(attached)
	s.indexGateways(attached, &objs)
	attached.sortProblems()
	for _, p := range providers {
		if p.token != nil {
			s.providers = append(s.providers, p.token)
		}
	}
	for _, p := range policies {
		s.lookups = p.appendLookups(s.lookups)
	}
	r := report(policies, providers)
	r.Objects = append(r.Objects, reportRevocations(&objs, providers, opts)...)
	return s, r
}

// begin begins a compile. It drops what the options have a say in, where they have changed.
func (c *Compiler) begin(opts Options) {
	if c.env == nil {
		c.env = newEnvironment()
	}
	if c.opts != opts || c.policies == nil {
		c.opts, c.providers, c.order, c.owned, c.indexed = opts, nil, nil, nil, nil
		c.policies = map[*v1alpha1.AuthPolicy]*keptPolicy{}
	}
	c.turn++
}

// compileProviders compiles the providers, in order. One whose fingerprint stays keeps the *token.Provider, by which
// others know it.
func (c *Compiler) compileProviders(objs *Objects, refs *references) []*provider {
	sources := c.providerSources(objs)
	kept := make(map[*v1alpha1.IdentityProviderSpec]*provider, len(sources))
	tokens := make(map[string]*token.Provider, len(sources))
	out := make([]*provider, 0, len(sources))
	for _, s := range sources {
		p := c.providers[s.spec]
		if p == nil || !p.stands(refs) {
			p = compileProvider(s, objs.Undecoded[s.ref], refs, c.env)
			if old := c.tokens[s.name()]; p.token != nil && old != nil && old.Fingerprint == p.token.Fingerprint {
				p.token = old
			}
		}
		kept[s.spec] = p
		if p.token != nil {
			tokens[p.token.Name] = p.token
		}
		out = append(out, p)
	}
	c.providers, c.tokens = kept, tokens
	return out
}

// providerSources are the providers of both kinds, in order.
func (c *Compiler) providerSources(objs *Objects) []*providerSource {
	var out []*providerSource
	for _, o := range objs.IdentityProviders {
		out = append(out, &providerSource{
			ref: ObjectRef{v1alpha1.KindIdentityProvider, o.Namespace, o.Name},
			uid: o.UID, namespace: o.Namespace, spec: &o.Spec,
		})
	}
	for _, o := range objs.ClusterIdentityProviders {
		out = append(out, &providerSource{
			ref: ObjectRef{Kind: v1alpha1.KindClusterIdentityProvider, Name: o.Name},
			uid: o.UID, namespace: c.opts.OwnNamespace, spec: &o.Spec.IdentityProviderSpec, allowed: o.Spec.AllowedNamespaces,
		})
	}
	slices.SortFunc(out, func(a, b *providerSource) int { return compareRefs(a.ref, b.ref) })
	return out
}

// compilePolicies compiles the policies, in order, and joins them with their providers.
func (c *Compiler) compilePolicies(objs *Objects, dir *directory) []*policy {
	kept := c.takePolicies(objs)
	policies, out := make([]policy, len(kept)), make([]*policy, len(kept))
	inParallel(len(kept), func(i int) {
		j := kept[i].joinedAt(dir)
		policies[i] = policy{joined: j, problems: j.problems.shared(), kept: kept[i]}
		out[i] = &policies[i]
	})
	return out
}

// joinedOf are policies without what is of this compile only.
func joinedOf(policies []*policy) []*joined {
	out := make([]*joined, len(policies))
	for i, p := range policies {
		out[i] = p.joined
	}
	return out
}

func countStats(policies []*policy, providers []*provider) Stats {
	out := Stats{Policies: len(policies), Providers: len(providers)}
	for _, p := range policies {
		out.Rules += len(p.rules)
		if p.draft.dryRun {
			out.DryRunPolicies++
		}
	}
	return out
}

func compareRefs(a, b ObjectRef) int {
	return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}
