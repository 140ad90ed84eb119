package extauthz

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// DecisionIDHeader is the header of a refusal that carries the decision id.
const DecisionIDHeader = "x-sallyport-decision-id"

// refusal is how a reason looks to a client where no policy says otherwise, beside its HTTP status, which
// policy.Reason.Status has: stories and explanations tell it too.
type refusal struct {
	// code of gRPC, in the CheckResponse; Envoy derives that of a gRPC caller from the status.
	code codes.Code
	// oauth is the error code of the challenge (RFC 6750 §3.1), "" for a challenge without one.
	oauth string
	// challenge: the answer has WWW-Authenticate.
	challenge bool
}

// The kinds of refusal.
var (
	badRequest   = refusal{codes.InvalidArgument, "invalid_request", true}
	noToken      = refusal{codes.Unauthenticated, "", true}
	invalidToken = refusal{codes.Unauthenticated, "invalid_token", true}
	insufficient = refusal{codes.PermissionDenied, "insufficient_scope", true}
	forbidden    = refusal{codes.PermissionDenied, "", false}
	unavailable  = refusal{codes.Unavailable, "", false}
)

// refusals is the one table of what a refusal looks like.
var refusals = map[policy.Reason]refusal{
	policy.ReasonInvalidRequest:        badRequest,
	policy.ReasonAmbiguousRequest:      badRequest,
	policy.ReasonAmbiguousCredential:   badRequest,
	policy.ReasonInvalidScope:          forbidden,
	policy.ReasonScopeRequired:         forbidden,
	policy.ReasonNoPolicy:              forbidden,
	policy.ReasonNoRule:                forbidden,
	policy.ReasonDenied:                forbidden,
	policy.ReasonNotCompiled:           forbidden,
	policy.ReasonSourceNotAllowed:      forbidden,
	policy.ReasonMissingToken:          noToken,
	policy.ReasonMalformedToken:        invalidToken,
	policy.ReasonUntrustedIssuer:       invalidToken,
	policy.ReasonAlgorithmNotAllowed:   invalidToken,
	policy.ReasonUnknownKey:            invalidToken,
	policy.ReasonInvalidSignature:      invalidToken,
	policy.ReasonInvalidTokenType:      invalidToken,
	policy.ReasonInvalidAudience:       invalidToken,
	policy.ReasonInvalidSubject:        invalidToken,
	policy.ReasonTokenExpired:          invalidToken,
	policy.ReasonTokenNotYetValid:      invalidToken,
	policy.ReasonTokenTooOld:           invalidToken,
	policy.ReasonClaimValidationFailed: invalidToken,
	policy.ReasonInsufficientScope:     insufficient,
	policy.ReasonInsufficientClaims:    insufficient,
	policy.ReasonExpressionFailed:      insufficient,
	policy.ReasonUpstreamValueInvalid:  forbidden,
	policy.ReasonKeysUnavailable:       unavailable,
	policy.ReasonOverloaded:            unavailable,
	policy.ReasonInternalError:         unavailable,
}

// refusalOf is the row of r; a reason that is missing in the table is forbidden.
func refusalOf(r policy.Reason) refusal {
	if row, ok := refusals[r]; ok {
		return row
	}
	return forbidden
}

// response writes the decision.
func (c *check) response() *authv3.CheckResponse {
	out := &authv3.CheckResponse{DynamicMetadata: dynamicMetadata(&c.decision, c.id)}
	if c.decision.Allow {
		out.Status = &rpcstatus.Status{Code: int32(codes.OK)}
		out.HttpResponse = &authv3.CheckResponse_OkResponse{OkResponse: c.ok()}
		return out
	}
	out.Status = &rpcstatus.Status{Code: int32(refusalOf(c.decision.Reason).code)}
	out.HttpResponse = &authv3.CheckResponse_DeniedResponse{DeniedResponse: c.denied()}
	return out
}

// ok says what the application receives. Envoy sets headers first and removes after that, so no name is in both.
func (c *check) ok() *authv3.OkHttpResponse {
	d := &c.decision
	out := &authv3.OkHttpResponse{HeadersToRemove: d.Remove}
	if len(d.Set) > 0 {
		out.Headers = make([]*corev3.HeaderValueOption, 0, len(d.Set)+1)
	}
	for _, h := range d.Set {
		out.Headers = append(out.Headers, setHeader(h.Name, h.Value))
	}
	if c.req != nil && len(d.RemoveToken) > 0 {
		removeTokens(out, c.req, d)
	}
	return out
}

// setHeader overwrites every field of that name. The older field append is left out, which says the same to an Envoy
// that does not know append_action.
func setHeader(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, Value: value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}
