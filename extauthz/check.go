package extauthz

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// check is one request on its way through the server. It is used again for another one afterwards, and so is the memory
// of the received message, which its texts share: whatever outlives the Check is copied.
type check struct {
	reading
	received mem.Buffer // nil where nothing was received

	id    string
	start time.Time
	// req is nil where the request is malformed, or was not looked at.
	req *policy.Request
	// trusted are the providers whose tokens were looked for; nil where none was.
	trusted  []*token.Provider
	decision policy.Decision
	sending  sending
	// nonce that the client is told for its next proof; empty for none.
	nonce string
	// status of the answer to the client; 0 where the request is allowed.
	status int32
	span   trace.Span // nil: the Check is not traced

	request policy.Request // room for req
	headers []policy.HeaderValue
	lots    lots
}

var checks = sync.Pool{New: func() any { return new(check) }}

// receive keeps the bytes of a CheckRequest until release.
func (c *check) receive(data mem.BufferSlice) {
	c.received = data.MaterializeToBuffer(mem.DefaultBufferPool())
}

// release gives c and the bytes of its request back.
func (c *check) release() {
	c.forget()
	if c.received != nil {
		c.received.Free()
		c.received = nil
	}
	checks.Put(c)
}

// forget leaves of c nothing but room, so that no request can see another one.
func (c *check) forget() {
	c.reading.forget()
	c.id, c.start, c.req, c.trusted, c.decision = "", time.Time{}, nil, nil, policy.Decision{}
	c.sending, c.nonce, c.status, c.span = sending{}, "", 0, nil
	c.request = policy.Request{}
	c.headers = emptied(c.headers)
}

// service is the authorization service, as the generated code describes it, but with messages that codec reads and writes.
var service = grpc.ServiceDesc{
	ServiceName: authv3.Authorization_ServiceDesc.ServiceName,
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Check",
		Handler: func(s any, ctx context.Context, receive func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			return s.(*Server).handle(ctx, receive)
		},
	}},
	Metadata: authv3.Authorization_ServiceDesc.Metadata,
}

// handle receives a CheckRequest and returns the CheckResponse as a mem.Buffer. The error is that of the transport,
// or Unavailable while there is no snapshot; while there is one, a Check that was received has an answer.
func (s *Server) handle(ctx context.Context, receive func(any) error) (any, error) {
	c := checks.Get().(*check)
	if err := receive(c); err != nil {
		c.release()
		return nil, err
	}
	out, err := s.answer(ctx, c)
	if err != nil {
		return nil, err // an interface that holds a nil Buffer would not be nil
	}
	return out, nil
}

// Check is the answer to a CheckRequest of a caller in the same process. It goes the way of those that proxies send, which
// is by the bytes: what cannot be encoded is an error, as the lack of a snapshot is.
func (s *Server) Check(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	data, err := proto.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encoding the CheckRequest: %w", err)
	}
	c := checks.Get().(*check)
	c.receive(mem.BufferSlice{mem.SliceBuffer(data)})
	written, err := s.answer(ctx, c)
	if err != nil {
		return nil, err
	}
	defer written.Free()
	out := new(authv3.CheckResponse)
	return out, proto.Unmarshal(written.ReadOnlyData(), out)
}

// answer decides and writes the CheckResponse. It releases c, unless there was a panic: what still uses c is not known
// then.
func (s *Server) answer(ctx context.Context, c *check) (out mem.Buffer, err error) {
	snap := s.cfg.Snapshot.Load()
	if snap == nil {
		c.release()
		return nil, status.Error(codes.Unavailable, ErrNoSnapshot.Error())
	}
	c.id, c.start = c.lots.decisionID(), s.cfg.Now()
	inFlight := s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	defer func() {
		if fault := recover(); fault != nil {
			out, err = s.recovered(fault, c), nil
		}
	}()
	ctx = s.trace(ctx, c)
	c.readRequest(c.received.ReadOnlyData())
	// Envoy says how long it waits. When that is over, working on the Check would only make the ones behind it late too.
	if inFlight > int64(s.cfg.MaxInFlight) || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		c.decision = refuse(policy.ReasonOverloaded)
	} else {
		s.decide(ctx, snap, c)
	}
	c.nonce = s.nonce(c)
	out = c.written()
	now := s.cfg.Now()
	s.metrics.observe(&c.decision, now.Sub(c.start))
	s.log.decided(c)
	if c.span != nil {
		ended(c.span, c.id, &c.decision, c.status, now)
	}
	c.release()
	return out, nil
}

// usualAnswer is room for an answer, in bytes; a longer one grows. What grpc-go takes back has more than 1 KiB.
const usualAnswer = 2 << 10

// mostAnswer is the largest room that is kept: one that was asked for by a long list of headers is not for the next.
const mostAnswer = 16 << 10

// answerPool keeps the memory of answers for other ones. Unlike those of grpc-go it does not clear what it hands out: of an
// answer only what was written is sent.
type answerPool struct{ rooms sync.Pool }

var answers = &answerPool{sync.Pool{New: func() any {
	room := make([]byte, 0, usualAnswer)
	return &room
}}}

// Get implements mem.BufferPool; the room is empty.
func (p *answerPool) Get(int) *[]byte { return p.rooms.Get().(*[]byte) }

// Put implements mem.BufferPool.
func (p *answerPool) Put(room *[]byte) {
	if cap(*room) <= mostAnswer {
		*room = (*room)[:0]
		p.rooms.Put(room)
	}
}

// written is the CheckResponse.
func (c *check) written() mem.Buffer {
	room := answers.Get(0)
	e := encoder{out: *room}
	a := c.answered()
	c.headers, c.status = a.headers, a.status
	e.response(&a, &c.decision, c.id)
	if *room = e.out; e.bad {
		// It would not be read, and the request might pass.
		answers.Put(room)
		by := c.decision.Verdict
		c.decision = refuse(policy.ReasonInternalError)
		c.decision.Policy, c.decision.Rule = by.Policy, by.Rule
		c.status = int32(c.decision.Reason.Status())
		return plainRefusal(policy.ReasonInternalError, c.id, c.grpc)
	}
	return mem.NewBuffer(room, answers)
}

// plainRefusal refuses without anything of the request.
func plainRefusal(r policy.Reason, id string, grpc bool) mem.Buffer {
	c := check{id: id, decision: refuse(r)}
	c.grpc = grpc
	a := c.answered()
	var e encoder
	e.response(&a, &c.decision, c.id)
	return mem.SliceBuffer(e.out)
}

func refuse(r policy.Reason) policy.Decision {
	return policy.Decision{Verdict: policy.Verdict{Reason: r}}
}

// recovered answers in place of a Check that panicked.
func (s *Server) recovered(fault any, c *check) mem.Buffer {
	now := s.cfg.Now()
	s.metrics.panicked(now.Sub(c.start))
	if c.span != nil {
		d := refuse(policy.ReasonInternalError)
		ended(c.span, c.id, &d, int32(d.Reason.Status()), now)
	}
	s.cfg.Log.Error(fmt.Errorf("panic: %v", fault), "Check panicked; the request is refused",
		"decisionID", c.id, "stack", string(debug.Stack()))
	return plainRefusal(policy.ReasonInternalError, c.id, c.grpc)
}

// decide fills in the decision of c.
func (s *Server) decide(ctx context.Context, snap *policy.Snapshot, c *check) {
	scope, early := s.scope(ctx, &c.reading)
	c.input.Scope = scope
	c.input.SourceAddress = s.clientAddress(&c.reading)
	reason := c.request.Reset(c.input)
	switch {
	case reason != "":
		early = reason
	default:
		c.req = &c.request
		if !c.readable {
			early = policy.ReasonInvalidRequest
		}
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
	enforced := s.facts(ctx, c, &land.Enforced, c.trusted, false)
	dryRun := s.facts(ctx, c, &land.DryRun, land.DryRun.Trusted(), true)
	c.decision = land.Decide(enforced, dryRun)
}

// facts looks at the token that c shows to trusted, those of the rules in of, and fetches what these rules read. tryOut: they
// are only tried out, and nobody waits for them.
func (s *Server) facts(ctx context.Context, c *check, of *policy.Candidate, trusted []*token.Provider, tryOut bool) policy.Facts {
	f := policy.Facts{Now: c.start}
	if trusted == nil {
		return f
	}
	cred, err := token.Extract(c.req, trusted)
	c.sending.withProof = c.sending.withProof || !tryOut && cred.Source.WantsProof()
	if err != nil || cred.Raw == "" {
		f.Err = err
		return f
	}
	f.Identity, f.Err = s.cfg.Verifier.Verify(ctx, cred, trusted)
	if f.Err != nil {
		s.introspect(ctx, &f, cred, trusted, tryOut)
	}
	if f.Identity == nil && f.Err == nil {
		// Without either, a token that was shown would count as none.
		f.Err = token.ErrMalformed
	}
	if f.Identity != nil && s.cfg.Revocations != nil {
		if err := s.cfg.Revocations.Judge(f.Identity, f.Now); err != nil {
			f.Identity, f.Err = nil, err
		}
	}
	if f.Identity != nil {
		s.proveSender(ctx, c, &f, cred, tryOut)
	}
	if f.Identity != nil {
		s.lookUp(ctx, &f, of, cred.Raw, tryOut)
	}
	return f
}
