// Package policy turns AuthPolicies and IdentityProviders into decisions.
//
//	snapshot, report := new(policy.Compiler).Compile(objects, options)
//	request, _ := policy.NewRequest(input)
//	landing := snapshot.Lookup(request)
//	decision := landing.Decide(facts, facts)
//
// Compile validates and compiles all objects in one walk, so that what a report says and what a snapshot does can never
// disagree. Lookup says where a request lands, Decide what becomes of it. The package does no I/O and keeps no state: it
// has no clock, logger, socket or metric that it was not handed.
package policy

import (
	"fmt"
	"slices"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/token"
)

// A policy grows in three steps, of which each holds the one before. The first two are immutable: snapshots are made of
// them, and a compile takes over from the last one those whose inputs are the same.
//
//	draft    what the object says                a function of the object
//	joined   … with the providers it believes    a function of the draft and what its references lead to
//	policy   … among all others of one compile   a function of everything; it ends with the compile

// joined is an AuthPolicy with the providers that it believes. It is immutable.
type joined struct {
	*draft
	// name is "namespace/name".
	name string
	// references are what the entries of spec.identityProviders led to.
	references []reference
	rules      []*rule
	// wellKnown are those of the draft, and documents what they serve.
	wellKnown []*rule
	documents []Document
	// rights are what spec.lookups names, and reads what they were compiled of, beside the object and the references.
	rights []rights
	reads  []keyRead
	// sources are the places where a token of any of its providers may stand, where the policy removes tokens; else none.
	sources []token.Source
	// problems of the draft and of what it refers to.
	problems problems
}

// policy is an AuthPolicy in one compile, which is done with it when it ends. No snapshot holds one.
type policy struct {
	*joined
	// hosts that are its own.
	hosts []string
	// ancestors are its targets, with what became of them.
	ancestors []ancestor
	// problems of joined, and of what the policy shares with others.
	problems problems
	// kept is what the Compiler has kept of it, and will keep.
	kept *keptPolicy
	// toldAlone: what is wrong with the hosts that it has alone is among the problems.
	toldAlone bool
}

// allRules are the rules of the policy, and before them those that nobody wrote.
func (p *joined) allRules() []*rule {
	if len(p.wellKnown) == 0 {
		return p.rules
	}
	return slices.Concat(p.wellKnown, p.rules)
}

// compare is the order of policies: by namespace, then name. It depends on nothing else, so that it is the same in every
// compile.
func (p *joined) compare(o *joined) int { return compareRefs(p.ref, o.ref) }

func (p *policy) compare(o *policy) int { return p.joined.compare(o.joined) }

// enforces tells whether anything of the policy can refuse.
func (p *joined) enforces() bool {
	return !p.draft.dryRun || slices.ContainsFunc(p.rules, func(r *rule) bool { return !r.dryRun })
}

// trial tells how much of the policy is tried out only: 0 nothing as a whole, 1 what its rules do not enforce
// themselves, 2 everything.
func (p *joined) trial() int {
	switch {
	case !p.draft.dryRun:
		return 0
	case p.enforces():
		return 1
	}
	return 2
}

// rule is a rule in a snapshot.
type rule struct {
	*ruleDraft
	policy *joined
	// closed: it claims its routes and refuses them.
	closed    bool
	providers []trusted
	tokens    []*token.Provider // of providers
	rights    []*rights         // of the policy, those that the rule reads
}

// trusted is a provider that a rule believes, for some audiences.
type trusted struct {
	*provider
	// audiences of the reference; nil for all of the provider's.
	audiences []string
}

// nobody stands for providers that are missing: it says where a token would stand, and proves none.
var nobody = &token.Provider{Name: "none", Sources: []token.Source{{Header: "authorization", Scheme: "Bearer"}}}

// join gives a draft its rules, with the providers that they believe.
func join(d *draft, dir *directory) *joined {
	p := &joined{draft: d, name: d.ref.Namespace + "/" + d.ref.Name, problems: d.problems.shared()}
	for i := range d.providers {
		p.references = append(p.references, dir.follow(d.ref.Namespace, &d.providers[i]))
	}
	refs := p.resolve()
	p.joinLookups(dir)
	if d.upstream.removeToken {
		p.sources = sourcesOf(refs)
	}
	for _, rd := range d.rules {
		r := &rule{ruleDraft: rd, policy: p, closed: rd.broken}
		if rd.access == accessOptional || rd.access == accessToken {
			r.believe(refs)
		}
		r.readLookups()
		p.rules = append(p.rules, r)
	}
	if d.metadata != nil {
		p.documents = d.documents(refs)
		for _, rd := range d.wellKnown {
			p.wellKnown = append(p.wellKnown, &rule{ruleDraft: rd, policy: p, closed: rd.broken})
		}
	}
	return p
}

// stands tells whether join would give the same again: every reference still leads to the same.
func (p *joined) stands(dir *directory) bool {
	for i := range p.draft.providers {
		if dir.follow(p.ref.Namespace, &p.draft.providers[i]) != p.references[i] {
			return false
		}
	}
	return !slices.ContainsFunc(p.reads, func(r keyRead) bool { return !dir.refs.same(r) })
}

// sourcesOf are the places where a token of any of these providers may stand, and the proof that it is shown with; nil ones
// have none.
func sourcesOf(providers []*trusted) (out []token.Source) {
	for _, t := range providers {
		if t == nil {
			continue
		}
		for _, s := range t.token.Sources {
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
		if proof := (token.Source{Header: token.ProofHeader}); t.token.DPoP != nil && !slices.Contains(out, proof) {
			out = append(out, proof)
		}
	}
	return out
}

// resolve tells which providers the references lead to; an entry that cannot be believed is nil.
func (p *joined) resolve() []*trusted {
	out := make([]*trusted, len(p.draft.providers))
	for i, ref := range p.draft.providers {
		at := specIdentityProviders.Index(i)
		target := providerRef(p.ref.Namespace, &ref)
		if target.Kind != v1alpha1.KindIdentityProvider && target.Kind != v1alpha1.KindClusterIdentityProvider {
			p.problems.invalid(at.Child("kind"), ref.Kind, "is not known: must be IdentityProvider or ClusterIdentityProvider")
			continue
		}
		if slices.ContainsFunc(p.draft.providers[:i], func(o v1alpha1.IdentityProviderReference) bool { return o.Name == ref.Name }) {
			p.problems.invalid(at.Child("name"), ref.Name, "stands here twice; rules could not tell the two apart")
			continue
		}
		switch found := p.references[i]; {
		case found.provider == nil:
			p.problems.add(at.Child("name"), SeverityError, v1alpha1.ReasonRefNotFound, fmt.Sprintf("there is no %s; create it, or mend kind and name", target))
		case !found.serves:
			p.problems.add(at.Child("name"), SeverityError, v1alpha1.ReasonRefNotPermitted, fmt.Sprintf("%s does not serve namespace %q: its allowedNamespaces do not select it", target, p.ref.Namespace))
		case found.provider.token == nil:
			p.problems.add(at.Child("name"), SeverityError, v1alpha1.ReasonRefInvalid, fmt.Sprintf("%s has problems of its own; mend it first", target))
		default:
			out[i] = p.audiences(found.provider, &ref, i)
		}
	}
	return out
}

// audiences narrows a provider to those of the reference.
func (p *joined) audiences(found *provider, ref *v1alpha1.IdentityProviderReference, i int) *trusted {
	at := specIdentityProviders.Index(i).Child("audiences")
	if len(ref.Audiences) == 0 {
		if len(found.token.Audiences) > 1 {
			p.problems.required(at, fmt.Sprintf("%s has several audiences; name those that are this policy's, or a token for another service would open it", found.ref))
			return nil
		}
		return &trusted{provider: found}
	}
	for j, a := range ref.Audiences {
		if !slices.Contains(found.token.Audiences, a) {
			p.problems.invalid(at.Index(j), a, fmt.Sprintf("is none of the audiences of %s", found.ref))
			return nil
		}
	}
	return &trusted{provider: found, audiences: ref.Audiences}
}

// believe gives the rule its providers out of those of the policy.
func (r *rule) believe(refs []*trusted) {
	missing := false
	for i, t := range refs {
		if r.ruleDraft.providers != nil && !slices.Contains(r.ruleDraft.providers, r.policy.draft.providers[i].Name) {
			continue
		}
		if t == nil {
			missing = true
			continue
		}
		for _, o := range r.providers {
			if o.token.Issuer == t.token.Issuer {
				r.policy.problems.invalid(r.at.Child("identityProviders"), "", fmt.Sprintf("%s and %s have the same issuer; a rule can believe one of them: name it in identityProviders", o.ref, t.ref))
				r.closed = true
			}
			if o.token.AskedBeside(t.token) {
				r.policy.problems.invalid(r.at.Child("identityProviders"), "", fmt.Sprintf("%s and %s both introspect what stands at the same place; a rule cannot tell whose an opaque token is: name one of them in identityProviders, or give them different tokenSources", o.ref, t.ref))
				r.closed = true
			}
		}
		r.providers = append(r.providers, *t)
		r.tokens = append(r.tokens, t.token)
	}
	if len(r.providers) == 0 {
		if !missing && !r.broken {
			r.policy.problems.required(specIdentityProviders, fmt.Sprintf("rule %q looks at a token, and nobody says whose tokens are believed", r.name))
		}
		r.closed = r.closed || r.access == accessToken || !missing
		r.tokens = []*token.Provider{nobody}
	}
	brokenRequire := r.policy.require != nil && r.policy.require.broken
	if r.policy.upstream.broken || brokenRequire && r.access == accessToken {
		r.closed = true
	}
}

// believes finds the provider that proved id among those of the rule.
func (r *rule) believes(id *token.Identity) *trusted {
	for i := range r.providers {
		if t := &r.providers[i]; t.token == id.Provider || id.Provider != nil && t.token.Fingerprint == id.Provider.Fingerprint {
			return t
		}
	}
	return nil
}
