package oracle

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// engine is package policy with the policies of a world.
type engine struct{ snapshot *policy.Snapshot }

func compile(w *world) engine {
	s, _ := new(policy.Compiler).Compile(w.objects(), w.options())
	return engine{s}
}

func (w *world) objects() policy.Objects {
	return policy.Objects{
		AuthPolicies: w.policies, IdentityProviders: w.providers, Namespaces: w.namespaces, Services: w.services,
		Gateways: w.gateways, HTTPRoutes: w.httpRoutes, GRPCRoutes: w.grpcRoutes,
	}
}

func (w *world) options() policy.Options {
	return policy.Options{DryRun: w.dryRun, HostGrants: w.grants, TrustDomain: w.trust, ClientAddress: policy.ClientAddressPeer}
}

// ask walks q through the engine as a server does, but for cryptography.
func (e engine) ask(q *question) policy.Decision {
	in := policy.Input{
		Method: q.method, Scheme: q.scheme, Host: q.host, Path: q.path, Headers: policy.FieldsOf(q.headers),
		SourcePrincipal: q.principal, SourceAddress: q.address,
	}
	if q.scope != "" {
		var err error
		if in.Scope, err = policy.ParseScope(q.scope); err != nil {
			panic(err)
		}
	}
	req, reason := policy.NewRequest(in)
	if reason != "" {
		return policy.Decision{Verdict: policy.Verdict{Reason: reason}}
	}
	l := e.snapshot.Lookup(req)
	return l.Decide(q.facts(l.Enforced.Trusted()), q.facts(l.DryRun.Trusted()))
}

// facts are what the token proves to these providers.
func (q *question) facts(trusted []*token.Provider) policy.Facts {
	f := policy.Facts{Now: q.now}
	if trusted == nil || q.claims == nil {
		return f
	}
	i := slices.IndexFunc(trusted, func(p *token.Provider) bool { return p.Issuer != "" && p.Issuer == q.claims["iss"] })
	switch {
	case i < 0:
		f.Err = token.ErrUntrustedIssuer
	case q.forged:
		f.Err = token.ErrSignature
	default:
		f.Identity, f.Err = token.NewIdentity(trusted[i], q.claims, q.now)
	}
	return f
}

// compare says how the engine's decision differs from what is right; nil where it does not.
func compare(got policy.Decision, enforced, dryRun answer) error {
	if err := enforced.compare(got.Verdict); err != nil {
		return err
	}
	switch {
	case got.DryRun != nil:
		if err := dryRun.compare(*got.DryRun); err != nil {
			return fmt.Errorf("dry run: %w", err)
		}
	case dryRun.allow != enforced.allow && enforced.allow:
		return fmt.Errorf("dry run: got nothing, want %t %q", dryRun.allow, dryRun.says)
	}
	return nil
}

func (a answer) compare(got policy.Verdict) error {
	said := strings.TrimSpace(fmt.Sprintf("%s %s %s", got.Reason, got.Policy, got.Rule))
	if got.Allow == a.allow && slices.Contains(a.says, said) {
		return nil
	}
	return fmt.Errorf("got %t %q, want %t %q", got.Allow, said, a.allow, a.says)
}

// describe writes a world and a question, so that a difference can be told as a story.
func describe(t testing.TB, w *world, q *question) string {
	t.Helper()
	var b strings.Builder
	for _, p := range w.all() {
		out, err := yaml.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		_, kind, _ := strings.Cut(fmt.Sprintf("%T", p), ".")
		fmt.Fprintf(&b, "---\nkind: %s\n%s", kind, out)
	}
	fmt.Fprintf(&b, "\ndry run %t, grants %t\n%+v\n", w.dryRun, w.grants, *q)
	return b.String()
}

// all are the objects of a world but its providers.
func (w *world) all() (out []any) {
	for _, o := range w.namespaces {
		out = append(out, o)
	}
	for _, o := range w.services {
		out = append(out, o)
	}
	for _, o := range w.gateways {
		out = append(out, o)
	}
	for _, o := range w.httpRoutes {
		out = append(out, o)
	}
	for _, o := range w.grpcRoutes {
		out = append(out, o)
	}
	for _, o := range w.policies {
		out = append(out, o)
	}
	return out
}
