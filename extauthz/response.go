package extauthz

import (
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
	// oauth is the error code of the challenge (RFC 6750 §3.1, RFC 9449 §7.1, RFC 9470 §3), "" for a challenge without one.
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
	stepUp       = refusal{codes.Unauthenticated, "insufficient_user_authentication", true}
	invalidProof = refusal{codes.Unauthenticated, "invalid_dpop_proof", true}
	useNonce     = refusal{codes.Unauthenticated, "use_dpop_nonce", true}
	// served is no refusal to the client, but Envoy sends an answer of ours only where the code is not OK.
	served      = refusal{codes.PermissionDenied, "", false}
	forbidden   = refusal{codes.PermissionDenied, "", false}
	unavailable = refusal{codes.Unavailable, "", false}
)

// refusals is the one table of what a refusal looks like.
var refusals = map[policy.Reason]refusal{
	policy.ReasonResourceMetadata:               served,
	policy.ReasonInvalidRequest:                 badRequest,
	policy.ReasonAmbiguousRequest:               badRequest,
	policy.ReasonAmbiguousCredential:            badRequest,
	policy.ReasonInvalidScope:                   forbidden,
	policy.ReasonScopeRequired:                  forbidden,
	policy.ReasonNoPolicy:                       forbidden,
	policy.ReasonNoRule:                         forbidden,
	policy.ReasonDenied:                         forbidden,
	policy.ReasonNotCompiled:                    forbidden,
	policy.ReasonSourceNotAllowed:               forbidden,
	policy.ReasonMissingToken:                   noToken,
	policy.ReasonMalformedToken:                 invalidToken,
	policy.ReasonUntrustedIssuer:                invalidToken,
	policy.ReasonAlgorithmNotAllowed:            invalidToken,
	policy.ReasonUnknownKey:                     invalidToken,
	policy.ReasonInvalidSignature:               invalidToken,
	policy.ReasonInvalidTokenType:               invalidToken,
	policy.ReasonInvalidAudience:                invalidToken,
	policy.ReasonInvalidSubject:                 invalidToken,
	policy.ReasonTokenExpired:                   invalidToken,
	policy.ReasonTokenNotYetValid:               invalidToken,
	policy.ReasonTokenTooOld:                    invalidToken,
	policy.ReasonTokenInactive:                  invalidToken,
	policy.ReasonTokenRevoked:                   invalidToken,
	policy.ReasonSenderNotProven:                invalidToken,
	policy.ReasonInvalidProof:                   invalidProof,
	policy.ReasonProofNonceRequired:             useNonce,
	policy.ReasonProofReplayed:                  invalidProof,
	policy.ReasonClaimValidationFailed:          invalidToken,
	policy.ReasonInsufficientScope:              insufficient,
	policy.ReasonInsufficientClaims:             insufficient,
	policy.ReasonExpressionFailed:               insufficient,
	policy.ReasonInsufficientUserAuthentication: stepUp,
	policy.ReasonUpstreamValueInvalid:           forbidden,
	policy.ReasonKeysUnavailable:                unavailable,
	policy.ReasonRevocationsUnavailable:         unavailable,
	policy.ReasonIntrospectionUnavailable:       unavailable,
	policy.ReasonProofStoreUnavailable:          unavailable,
	policy.ReasonLookupFailed:                   unavailable,
	policy.ReasonOverloaded:                     unavailable,
	policy.ReasonInternalError:                  unavailable,
}

// refusalOf is the row of r; a reason that is missing in the table is forbidden.
func refusalOf(r policy.Reason) refusal {
	if row, ok := refusals[r]; ok {
		return row
	}
	return forbidden
}

// answered says what the decision looks like to Envoy.
func (c *check) answered() answer {
	a := answer{allow: c.decision.Allow, headers: c.headers[:0]}
	if a.allow {
		c.ok(&a)
	} else {
		a.code = refusalOf(c.decision.Reason).code
		c.denied(&a)
	}
	return a
}

// ok says what the application receives. Envoy sets headers first and removes after that, so no name is in both.
func (c *check) ok(a *answer) {
	d := &c.decision
	a.headers = append(a.headers, d.Set...)
	a.nonce = c.nonce
	a.remove = d.Remove
	if c.req != nil && len(d.RemoveToken) > 0 {
		removeTokens(a, c.req, d)
	}
}
