package extauthz

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime/debug"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// check is one request on its way through the server.
type check struct {
	id    string
	start time.Time
	// grpc: the caller speaks gRPC, and so will Envoy's answer.
	grpc  bool
	input policy.Input
	// req is nil where the request is malformed, or was not looked at.
	req *policy.Request
	// trusted are the providers whose tokens were looked for; nil where none was.
	trusted  []*token.Provider
	decision policy.Decision
}

// newDecisionID makes an id that nobody can guess.
func newDecisionID() string { return rand.Text() }

// Check implements the authorization service. The error is Unavailable while there is no snapshot, and nil ever after.
func (s *Server) Check(ctx context.Context, in *authv3.CheckRequest) (resp *authv3.CheckResponse, err error) {
	snap := s.cfg.Snapshot.Load()
	if snap == nil {
		return nil, status.Error(codes.Unavailable, ErrNoSnapshot.Error())
	}
	c := check{id: newDecisionID(), start: s.cfg.Now()}
	inFlight := s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	defer func() {
		if fault := recover(); fault != nil {
			resp, err = s.recovered(fault, &c), nil
		}
	}()
	c.grpc = isGRPC(in)
	if inFlight > int64(s.cfg.MaxInFlight) {
		c.decision = refuse(policy.ReasonOverloaded)
	} else {
		s.decide(ctx, snap, in, &c)
	}
	resp = c.response()
	s.metrics.observe(&c.decision, s.cfg.Now().Sub(c.start))
	s.log.decided(&c)
	return resp, nil
}

func refuse(r policy.Reason) policy.Decision {
	return policy.Decision{Verdict: policy.Verdict{Reason: r}}
}

// recovered answers in place of a Check that panicked.
func (s *Server) recovered(fault any, c *check) *authv3.CheckResponse {
	s.metrics.panicked(s.cfg.Now().Sub(c.start))
	s.cfg.Log.Error(fmt.Errorf("panic: %v", fault), "Check panicked; the request is refused",
		"decisionID", c.id, "stack", string(debug.Stack()))
	plain := check{id: c.id, grpc: c.grpc, decision: refuse(policy.ReasonInternalError)}
	return plain.response()
}

// decide fills in the decision of c.
func (s *Server) decide(ctx context.Context, snap *policy.Snapshot, in *authv3.CheckRequest, c *check) {
	r, readable := readRequest(in)
	scope, early := s.scope(ctx, &r)
	c.input = r.input
	c.input.Scope = scope
	c.input.SourceAddress = s.clientAddress(&r)
	req, reason := policy.NewRequest(c.input)
	c.req = req
	switch {
	case reason != "":
		early = reason
	case !readable:
		early = policy.ReasonInvalidRequest
	}
	if early != "" && !snap.DryRun() {
		c.decision = refuse(early)
		return
	}
	if c.req == nil {
		c.decision = policy.Decision{
			Verdict: policy.Verdict{Allow: true, Reason: policy.ReasonDryRun},
			Remove:  snap.IdentityHeaders(),
		}
	} else {
		s.walk(ctx, snap, c)
	}
	if early != "" {
		c.decision.DryRun = &policy.Verdict{Reason: early}
	}
}

// walk finds the rules, looks at the token where they ask for it, and decides.
func (s *Server) walk(ctx context.Context, snap *policy.Snapshot, c *check) {
	land := snap.Lookup(c.req)
	c.trusted = land.Enforced.Trusted()
	enforced := s.facts(ctx, c, c.trusted)
	dryRun := s.facts(ctx, c, land.DryRun.Trusted())
	c.decision = land.Decide(enforced, dryRun)
}

// facts looks at the token that c shows to trusted.
func (s *Server) facts(ctx context.Context, c *check, trusted []*token.Provider) policy.Facts {
	f := policy.Facts{Now: c.start}
	if trusted == nil {
		return f
	}
	cred, err := token.Extract(c.req, trusted)
	if err != nil || cred.Raw == "" {
		f.Err = err
		return f
	}
	f.Identity, f.Err = s.cfg.Verifier.Verify(ctx, cred, trusted)
	if f.Identity == nil && f.Err == nil {
		// Without either, a token that was shown would count as none.
		f.Err = token.ErrMalformed
	}
	return f
}
