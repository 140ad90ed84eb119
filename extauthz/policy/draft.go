package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// access is what a rule asks for, from least to most.
type access uint8

const (
	accessPublic access = iota
	accessOptional
	accessToken // a valid token, and what is required of it
	accessDenied
	// accessMetadata is that of rules that answer in place of the application.
	accessMetadata
)

// draft is what a policy alone says, without what it refers to. It is immutable, and reused while the policy stays.
type draft struct {
	ref     ObjectRef
	created time.Time
	// hosts in normal form, each once.
	hosts []hostClaim
	// targets that it is attached to, where it names no hosts; required: on a Gateway it is asked always.
	targets   []targetClaim
	required  bool
	providers []v1alpha1.IdentityProviderReference
	dryRun    bool
	preflight bool
	paths     pathOptions
	lookups   []lookupDraft
	require   *requirements
	rules     []*ruleDraft
	// wellKnown are rules that serve the metadata of resources, which nobody wrote; metadata is nil where there are none.
	wellKnown []*ruleDraft
	metadata  *resourceMetadata
	upstream  upstream
	look      look
	problems  problems
}

// enforces tells whether anything of the policy can refuse.
func (d *draft) enforces() bool {
	return !d.dryRun || slices.ContainsFunc(d.rules, func(r *ruleDraft) bool { return !r.dryRun })
}

// trial tells how much of the policy is tried out only: 0 nothing as a whole, 1 what its rules do not enforce
// themselves, 2 everything.
func (d *draft) trial() int {
	switch {
	case !d.dryRun:
		return 0
	case d.enforces():
		return 1
	}
	return 2
}

// hostClaim is one entry of spec.hosts.
type hostClaim struct {
	host string
	at   *field.Path
}

// ruleDraft is what a rule alone says.
type ruleDraft struct {
	name    string
	index   int
	at      *field.Path
	access  access
	require *requirements
	// stepUp of the rule and of its policy; nil for none.
	stepUp  *StepUp
	from    *from
	matches []match
	// providers by name; nil for all of the policy.
	providers []string
	dryRun    bool
	// broken: something in the rule does not compile; it claims its routes and refuses them.
	broken bool
	// unreadable: a match cannot be read, so nobody knows what the rule claims; the hosts of its policy refuse.
	unreadable bool
	look       look
	// resource that a rule of accessMetadata serves, by its place.
	resource int
}

// drafter compiles one policy.
type drafter struct {
	spec      *v1alpha1.AuthPolicySpec
	undecoded []UndecodedField
	opts      *Options
	words     *vocabulary
	out       *draft
}

func compileDraft(in *v1alpha1.AuthPolicy, undecoded []UndecodedField, opts *Options, env *environment) *draft {
	d := &drafter{spec: &in.Spec, undecoded: undecoded, opts: opts, words: &vocabulary{env.request, lookupNames(in.Spec.Lookups)}, out: &draft{
		ref:       ObjectRef{v1alpha1.KindAuthPolicy, in.Namespace, in.Name},
		created:   in.CreationTimestamp.Time,
		providers: in.Spec.IdentityProviders,
	}}
	at := field.NewPath("spec")
	d.hosts(at.Child("hosts"))
	d.targets(at.Child("targetRefs"))
	d.out.required = d.inheritance(at.Child("inheritance"))
	d.out.dryRun = d.mode(in.Spec.Mode, at.Child("mode")) || opts.DryRun
	d.out.preflight = d.preflight(at.Child("preflight"))
	d.out.paths = d.paths(at.Child("paths"))
	d.lookups(at.Child("lookups"))
	d.out.require = d.require(at.Child("require"))
	before := d.p().errors
	d.out.upstream = compileUpstream(in.Spec.Upstream, d.words, at.Child("upstream"), d.p())
	d.out.upstream.broken = d.p().errors > before
	if denied := in.Spec.Denied; denied != nil {
		d.out.look = compileLook(&denied.Denied, look{}, at.Child("denied"), d.p())
		if denied.ResourceMetadata != nil {
			d.resources(denied.ResourceMetadata, at.Child("denied", "resourceMetadata"))
		}
	}
	if len(in.Spec.Rules) == 0 {
		d.p().required(at.Child("rules"), "without a rule every request to these hosts is refused; to refuse on purpose, write a rule with access: Denied")
	}
	for i := range in.Spec.Rules {
		d.rule(i, at.Child("rules").Index(i))
	}
	d.closeUndecoded(at.Child("rules"))
	warnUnreachable(d.out)
	return d.out
}

// closeUndecoded closes the rule that holds a field which could not be decoded; a field elsewhere could have required
// something of every rule.
func (d *drafter) closeUndecoded(rules *field.Path) {
	for _, f := range d.undecoded {
		d.p().undecoded(f)
		i := slices.IndexFunc(d.out.rules, func(r *ruleDraft) bool {
			at := rules.Index(r.index).String()
			return f.Path == at || strings.HasPrefix(f.Path, at+".")
		})
		for j, r := range d.out.rules {
			r.broken = r.broken || i < 0 || i == j
		}
		for _, r := range d.out.wellKnown {
			r.broken = r.broken || i < 0
		}
	}
}

func (d *drafter) p() *problems { return &d.out.problems }

func (d *drafter) hosts(at *field.Path) {
	switch {
	case len(d.spec.Hosts) == 0 && len(d.spec.TargetRefs) == 0:
		d.p().required(at, `name the hosts that the policy is about, or "*" for every host that no other policy names; or attach it with targetRefs`)
	case len(d.spec.Hosts) > 0 && len(d.spec.TargetRefs) > 0:
		d.p().invalid(at, "", "say either hosts or targetRefs; both would be two policies")
	}
	for i, h := range d.spec.Hosts {
		n, err := normalizePattern(h)
		if err != nil {
			d.p().invalid(at.Index(i), h, err.Error()+`, "*." in front of one, or "*" alone`)
			// With a port it is still clear which host is meant, and a wider host must not speak for it.
			rest, wildcard := strings.CutPrefix(h, "*.")
			if n, err = normalizeHost(rest, true); err != nil {
				continue
			}
			if wildcard {
				n = "*." + n
			}
		}
		switch {
		case slices.ContainsFunc(d.out.hosts, func(c hostClaim) bool { return c.host == n }):
			d.p().invalid(at.Index(i), h, "stands here twice")
		default:
			d.out.hosts = append(d.out.hosts, hostClaim{n, at.Index(i)})
		}
	}
}

// mode tells whether m says DryRun. What it does not know is enforced.
func (d *drafter) mode(m *v1alpha1.Mode, at *field.Path) (dryRun bool) {
	switch v := valueOr(m, v1alpha1.ModeEnforce); v {
	case v1alpha1.ModeDryRun:
		return true
	case v1alpha1.ModeEnforce:
	default:
		d.p().invalid(at, string(v), "is not known: must be Enforce or DryRun")
	}
	return false
}

func (d *drafter) preflight(at *field.Path) bool {
	switch v := valueOr(d.spec.Preflight, v1alpha1.PreflightRefuse); v {
	case v1alpha1.PreflightAllow:
		return true
	case v1alpha1.PreflightRefuse:
	default:
		d.p().invalid(at, string(v), "is not known: must be Refuse or Allow")
	}
	return false
}

func (d *drafter) paths(at *field.Path) (o pathOptions) {
	in := valueOr(d.spec.Paths, v1alpha1.PathOptions{})
	switch v := valueOr(in.EncodedSlash, v1alpha1.EncodedSlashRefuse); v {
	case v1alpha1.EncodedSlashKeep:
		o.keepEncodedSlash = true
	case v1alpha1.EncodedSlashRefuse:
	default:
		d.p().invalid(at.Child("encodedSlash"), string(v), "is not known: must be Refuse or Keep")
	}
	switch v := valueOr(in.Semicolon, v1alpha1.SemicolonRefuse); v {
	case v1alpha1.SemicolonStrip:
		o.stripSemicolon = true
	case v1alpha1.SemicolonRefuse:
	default:
		d.p().invalid(at.Child("semicolon"), string(v), "is not known: must be Refuse or Strip")
	}
	return o
}

// require compiles the requirements of the policy, which no path can lend a capture.
func (d *drafter) require(at *field.Path) *requirements {
	if d.spec.Require == nil {
		return nil
	}
	before := d.p().errors
	c := requirementCompiler{env: d.words, problems: d.p()}
	out := c.compile(d.spec.Require, at)
	out.broken = d.p().errors > before
	return out
}

func (d *drafter) rule(i int, at *field.Path) {
	in := &d.spec.Rules[i]
	before := d.p().errors
	r := &ruleDraft{name: in.Name, index: i, at: at, providers: in.IdentityProviders}
	d.ruleName(in.Name, i, at.Child("name"))
	r.dryRun = d.ruleMode(in.Mode, at.Child("mode"))
	d.matches(r, in, at.Child("matches"))
	r.access = d.access(in, at)
	if in.Require != nil {
		c := requirementCompiler{env: d.words, captures: commonCaptures(r.matches), problems: d.p()}
		r.require = c.compile(in.Require, at.Child("require"))
	}
	r.stepUp = d.stepUp(r, at.Child("require", "stepUp", "acr"))
	r.from = compileFrom(in.From, d.out.ref.Namespace, d.opts, at.Child("from"), d.p())
	for j, name := range in.IdentityProviders {
		if !slices.ContainsFunc(d.spec.IdentityProviders, func(ref v1alpha1.IdentityProviderReference) bool { return ref.Name == name }) {
			d.p().invalid(at.Child("identityProviders").Index(j), name, "is none of spec.identityProviders; a rule can only narrow what the policy believes")
		}
	}
	if in.IdentityProviders != nil && len(in.IdentityProviders) == 0 {
		d.p().required(at.Child("identityProviders"), "an empty list believes nobody; leave it out for all of the policy's")
	}
	r.broken = d.p().errors > before
	r.look = compileLook(in.Denied, d.out.look, at.Child("denied"), d.p())
	d.out.rules = append(d.out.rules, r)
}

// ruleMode tells whether a rule is DryRun: by its own word, else by the policy's. The operator's word comes first.
func (d *drafter) ruleMode(m *v1alpha1.Mode, at *field.Path) bool {
	if d.opts.DryRun {
		return true
	}
	if m == nil {
		return d.out.dryRun
	}
	return d.mode(m, at)
}

func (d *drafter) ruleName(name string, i int, at *field.Path) {
	switch {
	case name == "":
		d.p().required(at, "the name stands in logs and metadata; give each rule one")
	case !isDNSLabelish(name) || len(name) > 63 || strings.Contains(name, ".") || strings.HasSuffix(name, "-"):
		d.p().invalid(at, name, "use lower-case letters, digits and -, at most 63")
	case slices.ContainsFunc(d.spec.Rules[:i], func(r v1alpha1.Rule) bool { return r.Name == name }):
		d.p().invalid(at, name, "is the name of an earlier rule; give each its own")
	}
}

// matches compiles where the rule applies.
func (d *drafter) matches(r *ruleDraft, in *v1alpha1.Rule, at *field.Path) {
	list := in.Matches
	if len(list) == 0 {
		if list != nil {
			d.p().required(at, "an empty list matches nothing; leave matches out for every path")
		}
		list = []v1alpha1.RouteMatch{{}}
	}
	for i := range list {
		m, ok := compileMatch(&list[i], d.out.paths, at.Index(i), d.p())
		if !ok {
			r.unreadable = true
			continue
		}
		r.matches = append(r.matches, m)
	}
}

func (d *drafter) access(in *v1alpha1.Rule, at *field.Path) access {
	if (in.Access != nil) == (in.Require != nil) {
		d.p().invalid(at, "", "say exactly one of access and require")
		return accessDenied
	}
	if in.Access == nil {
		return accessToken
	}
	switch *in.Access {
	case v1alpha1.AccessPublic:
		if len(in.IdentityProviders) > 0 {
			d.p().invalid(at.Child("identityProviders"), "", "access: Public looks at no token; leave identityProviders out, or write access: Authenticated")
		}
		return accessPublic
	case v1alpha1.AccessOptional:
		return accessOptional
	case v1alpha1.AccessAuthenticated:
		return accessToken
	case v1alpha1.AccessDenied:
		return accessDenied
	}
	d.p().invalid(at.Child("access"), string(*in.Access), "is not known: must be Public, Optional, Authenticated or Denied")
	return accessDenied
}

// commonCaptures are the names that every match captures.
func commonCaptures(matches []match) []string {
	var out []string
	if len(matches) == 0 {
		return nil
	}
	for _, c := range matches[0].captures {
		everywhere := true
		for i := range matches[1:] {
			everywhere = everywhere && slices.ContainsFunc(matches[1+i].captures, func(o capture) bool { return o.name == c.name })
		}
		if everywhere {
			out = append(out, c.name)
		}
	}
	return out
}

// warnUnreachable warns of rules that no request can land on, and of GET without HEAD.
func warnUnreachable(d *draft) {
	for _, r := range d.rules {
		if len(r.matches) > 0 && !slices.ContainsFunc(r.matches, func(m match) bool { return !shadowed(d, r, &m) }) {
			d.problems.warn(r.at, ProblemNeverMatches, fmt.Sprintf("no request can land on rule %q: earlier rules on the same paths take all of its requests; move it up, or tell them apart by method, header or query", r.name))
		}
		if m := getWithoutHead(d, r); m != nil {
			d.problems.warn(r.at, ProblemGetWithoutHead, fmt.Sprintf("rule %q takes GET on %s and no rule there takes HEAD, which is refused; add HEAD to methods", r.name, &m.pattern))
		}
	}
}
