package controller

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// Ask is AskFrom with proxies that are known by nothing but the scope that they state.
func (r *Request) Ask(s *policy.Snapshot) (policy.Decision, error) {
	return r.AskFrom(s, policy.Proxies{})
}

// AskFrom takes the request through a snapshot, step by step as a server does, but for cryptography. The error says what
// of the request's description makes no sense against this snapshot.
func (r *Request) AskFrom(s *policy.Snapshot, proxies policy.Proxies) (policy.Decision, error) {
	if r.scopeErr != nil {
		return refusal(s, policy.ReasonInvalidScope), nil
	}
	in := r.Input
	if !r.scoped {
		var reason policy.Reason
		if in.Scope, reason = proxies.Scope(r.Destination); reason != "" {
			return refusal(s, reason), nil
		}
	}
	req, reason := policy.NewRequest(in)
	if reason != "" {
		return refusal(s, reason), nil
	}
	land := s.Lookup(req)
	enforced, err := r.facts(s, &land.Enforced, land.Enforced.Trusted())
	if err != nil {
		return policy.Decision{}, err
	}
	dryRun, err := r.facts(s, &land.DryRun, land.DryRun.Trusted())
	if err != nil {
		return policy.Decision{}, err
	}
	return land.Decide(enforced, dryRun), nil
}

// refusal is that of a request which never gets as far as a lookup.
func refusal(s *policy.Snapshot, reason policy.Reason) policy.Decision {
	v := policy.Verdict{Reason: reason}
	if s.DryRun() {
		return policy.Decision{Verdict: policy.Verdict{Allow: true, Reason: policy.ReasonDryRun}, DryRun: &v}
	}
	return policy.Decision{Verdict: v}
}

// facts are what the token proves to the rules of a candidate, which trust these providers, and what is looked up for them.
func (r *Request) facts(s *policy.Snapshot, of *policy.Candidate, trusted []*token.Provider) (policy.Facts, error) {
	f := policy.Facts{Now: r.Now}
	switch {
	case trusted == nil:
		return f, nil
	case r.Sender.Key != nil && !slices.ContainsFunc(trusted, func(p *token.Provider) bool { return p.DPoP != nil }):
		return f, nil // nobody looks where such a token stands
	case r.TokenErr != nil || r.Claims == nil:
		f.Err = r.TokenErr
		return f, nil
	}
	p, err := r.provider(s, trusted)
	if err != nil {
		return f, err
	}
	if p == nil {
		f.Err = token.ErrUntrustedIssuer
		return f, nil
	}
	f.Identity, f.Err = token.NewIdentity(p, r.claims(p), r.Now)
	switch {
	case f.Err != nil:
	case r.Revocations.Revoked(f.Identity, r.Now):
		f.Identity, f.Err = nil, token.ErrRevoked
	default:
		f.Err = f.Identity.CheckSender(r.Sender)
	}
	for _, l := range of.Lookups(f) {
		looked := policy.LookedUp{Lookup: l, Err: token.ErrLookup}
		if answer, ok := r.Lookups[l.Name[strings.LastIndexByte(l.Name, '/')+1:]]; ok {
			looked.Answer, looked.Err = answer, nil
		}
		f.Lookups = append(f.Lookups, looked)
	}
	return f, nil
}

// provider is the trusted one whose token it is; nil where that is not trusted.
func (r *Request) provider(s *policy.Snapshot, trusted []*token.Provider) (*token.Provider, error) {
	issuer, said := r.Claims["iss"].(string)
	switch {
	case r.Issuer != "":
		var err error
		if issuer, err = issuerOf(s, r.Issuer); err != nil {
			return nil, err
		}
	case said:
	case len(trusted) == 1:
		return trusted[0], nil
	default:
		return nil, errors.New("the rule trusts several providers: say with issuer= whose token it is")
	}
	for _, p := range trusted {
		if p.Issuer == issuer {
			return p, nil
		}
	}
	return nil, nil
}

// issuerOf finds a provider by its name, whole or the last part of it, or by its issuer.
func issuerOf(s *policy.Snapshot, name string) (string, error) {
	issuers := map[string]bool{}
	for _, p := range s.Providers() {
		if p.Name == name || p.Issuer == name || strings.HasSuffix(p.Name, "/"+name) {
			issuers[p.Issuer] = true
		}
	}
	if len(issuers) != 1 {
		return "", fmt.Errorf("issuer=%s: %d providers have this name; say kind/namespace/name, or the issuer itself", name, len(issuers))
	}
	for issuer := range issuers {
		name = issuer
	}
	return name, nil
}

// claims are those of the token, with what every token of p has.
func (r *Request) claims(p *token.Provider) token.Claims {
	seconds := func(t time.Time) json.Number { return json.Number(strconv.FormatInt(t.Unix(), 10)) }
	claims := token.Claims{
		"iss": p.Issuer, "sub": "somebody", "iat": seconds(r.Now), "exp": seconds(r.Now.Add(5 * time.Minute)),
	}
	if len(p.Audiences) > 0 {
		aud := make([]any, len(p.Audiences))
		for i, a := range p.Audiences {
			aud[i] = a
		}
		claims[claimName(p.AudienceClaim, "aud")] = aud
	}
	claims[claimName(p.Subject, "sub")] = "somebody"
	maps.Copy(claims, r.Claims)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

func claimName(p token.ClaimPath, otherwise string) string {
	if name := p.String(); name != "" {
		return name
	}
	return otherwise
}
