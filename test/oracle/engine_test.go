package oracle

import (
	"errors"
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
	return policy.Objects{AuthPolicies: w.policies, IdentityProviders: w.providers}
}

func (w *world) options() policy.Options {
	return policy.Options{DryRun: w.dryRun, TrustDomain: w.trust, ClientAddress: policy.ClientAddressPeer}
}

// ask walks q through the engine as a server does, but for cryptography.
func (e engine) ask(q *question) policy.Decision {
	in := policy.Input{
		Method: q.method, Host: q.host, Path: q.path, Headers: q.headers,
		SourcePrincipal: q.principal, SourceAddress: q.address,
	}
	if q.namespace != "" {
		in.Scope = policy.Scope{Kind: policy.ScopeNamespace, Namespace: q.namespace}
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
	if got.DryRun == nil {
		return nil
	}
	if err := dryRun.compare(*got.DryRun); err != nil {
		return fmt.Errorf("dry run: %w", err)
	}
	return nil
}

func (a answer) compare(got policy.Verdict) error {
	rule := len(a.rules) == 0 && got.Rule == "" || slices.Contains(a.rules, got.Rule)
	// Which of several rules is named where the token is nobody's may be of another policy.
	named := got.Policy == a.policy || len(a.rules) > 1
	if got.Allow == a.allow && slices.Contains(a.reasons, string(got.Reason)) && rule && named {
		return nil
	}
	return errors.New(strings.TrimSpace(fmt.Sprintf("got %t %s %s %s, want %t %s %s %s",
		got.Allow, got.Reason, got.Policy, got.Rule, a.allow, strings.Join(a.reasons, "|"), a.policy, strings.Join(a.rules, "|"))))
}

// describe writes a world and a question, so that a difference can be told as a story.
func describe(t testing.TB, w *world, q *question) string {
	t.Helper()
	var b strings.Builder
	for _, p := range w.policies {
		out, err := yaml.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "---\n%s", out)
	}
	fmt.Fprintf(&b, "\ndry run %t\n%+v\n", w.dryRun, *q)
	return b.String()
}
