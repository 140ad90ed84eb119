package policy

import (
	"errors"

	"github.com/sallyport/sallyport/extauthz/token"
)

// Reason says why a request is allowed or refused, in one word of a closed list. The same word stands in the metric,
// the log, the dynamic metadata and the trace. The empty Reason is none.
type Reason string

// Reasons to allow.
const (
	// ReasonPublic: every rule is Public.
	ReasonPublic Reason = "Public"
	// ReasonAnonymous: no token was shown, and every rule is Optional or Public.
	ReasonAnonymous Reason = "Anonymous"
	// ReasonAllowed: a valid token was shown and every requirement holds.
	ReasonAllowed Reason = "Allowed"
	// ReasonPreflight: a CORS preflight whose announced request has a rule.
	ReasonPreflight Reason = "Preflight"
	// ReasonDryRun: nothing is enforced on this host.
	ReasonDryRun Reason = "DryRun"
)

// Reasons to answer in place of the application. The request goes no further, so the decision is not to allow it.
const (
	// ReasonResourceMetadata: the answer is the metadata of a protected resource (RFC 9728), with status 200.
	ReasonResourceMetadata Reason = "ResourceMetadata"
)

// Reasons to refuse a request before a rule is found.
const (
	// ReasonInvalidRequest: method, host or path is missing or malformed, or there are too many or too large headers.
	ReasonInvalidRequest Reason = "InvalidRequest"
	// ReasonAmbiguousRequest: the path, or a query parameter that a rule matches on, could be read in two ways.
	ReasonAmbiguousRequest Reason = "AmbiguousRequest"
	// ReasonInvalidScope: the proxy states a scope that cannot be read.
	ReasonInvalidScope Reason = "InvalidScope"
	// ReasonScopeRequired: the proxy states no scope and --require-scope is set.
	ReasonScopeRequired Reason = "ScopeRequired"
	// ReasonNoPolicy: no policy of the scope names the host.
	ReasonNoPolicy Reason = "NoPolicy"
	// ReasonNoRule: no rule of the host claims the path, or none on the most specific path fits the request.
	ReasonNoRule Reason = "NoRule"
)

// Reasons of a rule to refuse a request.
const (
	// ReasonDenied: the rule says access: Denied.
	ReasonDenied Reason = "Denied"
	// ReasonNotCompiled: the rule, or its policy, does not compile.
	ReasonNotCompiled Reason = "NotCompiled"
	// ReasonSourceNotAllowed: the caller is not where from wants it.
	ReasonSourceNotAllowed Reason = "SourceNotAllowed"
	// ReasonMissingToken: a token is needed and none was shown.
	ReasonMissingToken Reason = "MissingToken"
	// ReasonAmbiguousCredential: more than one token was shown.
	ReasonAmbiguousCredential Reason = "AmbiguousCredential"
	// ReasonMalformedToken: the token is not a signed JWT in good form, or an encrypted one that cannot be decrypted.
	ReasonMalformedToken Reason = "MalformedToken"
	// ReasonUntrustedIssuer: the token is not from a provider of the rule.
	ReasonUntrustedIssuer Reason = "UntrustedIssuer"
	// ReasonAlgorithmNotAllowed: the token is signed or encrypted with an algorithm that the provider, or the key, does not
	// allow.
	ReasonAlgorithmNotAllowed Reason = "AlgorithmNotAllowed"
	// ReasonUnknownKey: the provider has no such key.
	ReasonUnknownKey Reason = "UnknownKey"
	// ReasonInvalidSignature: the signature is not that of the provider.
	ReasonInvalidSignature Reason = "InvalidSignature"
	// ReasonInvalidTokenType: the typ of the token is not one that the provider names, or the token is only signed where the
	// provider requires encryption.
	ReasonInvalidTokenType Reason = "InvalidTokenType"
	// ReasonInvalidAudience: the token is for somebody else.
	ReasonInvalidAudience Reason = "InvalidAudience"
	// ReasonInvalidSubject: the token has no subject.
	ReasonInvalidSubject Reason = "InvalidSubject"
	// ReasonTokenExpired: the token has expired.
	ReasonTokenExpired Reason = "TokenExpired"
	// ReasonTokenNotYetValid: the token is not valid yet.
	ReasonTokenNotYetValid Reason = "TokenNotYetValid"
	// ReasonTokenTooOld: the token lives longer than maxTokenAge.
	ReasonTokenTooOld Reason = "TokenTooOld"
	// ReasonTokenInactive: the provider was asked, and says that the token is none, or no longer.
	ReasonTokenInactive Reason = "TokenInactive"
	// ReasonTokenRevoked: the token was revoked, by a TokenRevocation or by its provider's logout.
	ReasonTokenRevoked Reason = "TokenRevoked"
	// ReasonSenderNotProven: the token is bound to a key or certificate, and the request does not prove that it has it; or
	// the provider wants tokens that are bound, and this one is not.
	ReasonSenderNotProven Reason = "SenderNotProven"
	// ReasonInvalidProof: the token was shown with a proof of possession that is missing or not valid, or for something else.
	ReasonInvalidProof Reason = "InvalidProof"
	// ReasonProofNonceRequired: the proof of possession has no fresh nonce of this server.
	ReasonProofNonceRequired Reason = "ProofNonceRequired"
	// ReasonProofReplayed: the proof of possession was used before.
	ReasonProofReplayed Reason = "ProofReplayed"
	// ReasonClaimValidationFailed: a claimValidationRule of the provider does not hold.
	ReasonClaimValidationFailed Reason = "ClaimValidationFailed"
	// ReasonInsufficientScope: the token lacks a scope.
	ReasonInsufficientScope Reason = "InsufficientScope"
	// ReasonInsufficientClaims: a role, a group or a claim is not as required.
	ReasonInsufficientClaims Reason = "InsufficientClaims"
	// ReasonExpressionFailed: an expression is false, or could not be evaluated.
	ReasonExpressionFailed Reason = "ExpressionFailed"
	// ReasonInsufficientUserAuthentication: the user must sign in again, or better (RFC 9470).
	ReasonInsufficientUserAuthentication Reason = "InsufficientUserAuthentication"
	// ReasonUpstreamValueInvalid: a value for an upstream header cannot be written safely.
	ReasonUpstreamValueInvalid Reason = "UpstreamValueInvalid"
	// ReasonKeysUnavailable: the keys of the provider could not be had.
	ReasonKeysUnavailable Reason = "KeysUnavailable"
	// ReasonRevocationsUnavailable: whether the token was revoked could not be told.
	ReasonRevocationsUnavailable Reason = "RevocationsUnavailable"
	// ReasonIntrospectionUnavailable: the provider could not be asked about an opaque token.
	ReasonIntrospectionUnavailable Reason = "IntrospectionUnavailable"
	// ReasonProofStoreUnavailable: whether the proof was used before cannot be told, or there is no room to remember it.
	ReasonProofStoreUnavailable Reason = "ProofStoreUnavailable"
	// ReasonLookupFailed: what the rule looks up could not be had.
	ReasonLookupFailed Reason = "LookupFailed"
)

// Reasons of the server to refuse a request.
const (
	// ReasonOverloaded: more requests are in flight than the server takes, or the proxy waits no longer for this one.
	ReasonOverloaded Reason = "Overloaded"
	// ReasonInternalError: the server met a fault of its own.
	ReasonInternalError Reason = "InternalError"
)

// Reasons lists every reason there is, in the order of the documentation. The caller owns the slice.
func Reasons() []Reason {
	return []Reason{
		ReasonPublic, ReasonAnonymous, ReasonAllowed, ReasonPreflight, ReasonDryRun,
		ReasonResourceMetadata, ReasonInvalidRequest, ReasonAmbiguousRequest, ReasonInvalidScope, ReasonScopeRequired, ReasonNoPolicy, ReasonNoRule,
		ReasonDenied, ReasonNotCompiled, ReasonSourceNotAllowed,
		ReasonMissingToken, ReasonAmbiguousCredential, ReasonMalformedToken, ReasonUntrustedIssuer,
		ReasonAlgorithmNotAllowed, ReasonUnknownKey, ReasonInvalidSignature, ReasonInvalidTokenType, ReasonInvalidAudience,
		ReasonInvalidSubject, ReasonTokenExpired, ReasonTokenNotYetValid, ReasonTokenTooOld, ReasonTokenInactive, ReasonTokenRevoked,
		ReasonSenderNotProven, ReasonInvalidProof, ReasonProofNonceRequired, ReasonProofReplayed, ReasonClaimValidationFailed,
		ReasonInsufficientScope, ReasonInsufficientClaims, ReasonExpressionFailed,
		ReasonInsufficientUserAuthentication, ReasonUpstreamValueInvalid,
		ReasonKeysUnavailable, ReasonRevocationsUnavailable, ReasonIntrospectionUnavailable, ReasonProofStoreUnavailable, ReasonLookupFailed, ReasonOverloaded, ReasonInternalError,
	}
}

// Unauthenticated tells whether r is a refusal for want of a valid token, or of one from a better or newer login: the
// answer is 401 then, and the part unauthenticated of denied applies.
func (r Reason) Unauthenticated() bool {
	switch r {
	case ReasonMissingToken, ReasonMalformedToken, ReasonUntrustedIssuer, ReasonAlgorithmNotAllowed, ReasonUnknownKey,
		ReasonInvalidSignature, ReasonInvalidTokenType, ReasonInvalidAudience, ReasonInvalidSubject, ReasonTokenExpired,
		ReasonTokenNotYetValid, ReasonTokenTooOld, ReasonTokenInactive, ReasonTokenRevoked, ReasonSenderNotProven,
		ReasonInvalidProof, ReasonProofNonceRequired, ReasonProofReplayed, ReasonClaimValidationFailed, ReasonInsufficientUserAuthentication:
		return true
	}
	return false
}

// Status is the HTTP status of the answer for r, where nobody asks for another; 0 for reasons to allow.
func (r Reason) Status() int {
	if r.Unauthenticated() {
		return 401
	}
	switch r {
	case "", ReasonPublic, ReasonAnonymous, ReasonAllowed, ReasonPreflight, ReasonDryRun:
		return 0
	case ReasonResourceMetadata:
		return 200
	case ReasonInvalidRequest, ReasonAmbiguousRequest, ReasonAmbiguousCredential:
		return 400
	case ReasonKeysUnavailable, ReasonRevocationsUnavailable, ReasonIntrospectionUnavailable, ReasonProofStoreUnavailable, ReasonLookupFailed, ReasonOverloaded, ReasonInternalError:
		return 503
	}
	return 403
}

// tokenReasons pairs what package token says with the word for it.
var tokenReasons = []struct {
	err    error
	reason Reason
}{
	{token.ErrExpired, ReasonTokenExpired},
	{token.ErrNotYetValid, ReasonTokenNotYetValid},
	{token.ErrTooOld, ReasonTokenTooOld},
	{token.ErrSignature, ReasonInvalidSignature},
	{token.ErrAudience, ReasonInvalidAudience},
	{token.ErrUntrustedIssuer, ReasonUntrustedIssuer},
	{token.ErrUnknownKey, ReasonUnknownKey},
	{token.ErrAlgorithm, ReasonAlgorithmNotAllowed},
	{token.ErrTokenType, ReasonInvalidTokenType},
	{token.ErrSubject, ReasonInvalidSubject},
	{token.ErrKeysUnavailable, ReasonKeysUnavailable},
	{token.ErrInactive, ReasonTokenInactive},
	{token.ErrRevoked, ReasonTokenRevoked},
	{token.ErrRevocations, ReasonRevocationsUnavailable},
	{token.ErrIntrospection, ReasonIntrospectionUnavailable},
	{token.ErrSender, ReasonSenderNotProven},
	{token.ErrProof, ReasonInvalidProof},
	{token.ErrNonce, ReasonProofNonceRequired},
	{token.ErrReplayed, ReasonProofReplayed},
	{token.ErrLedger, ReasonProofStoreUnavailable},
	{token.ErrAmbiguousCredential, ReasonAmbiguousCredential},
}

// senderMessage says what of a proof is wrong, for the log: there are many ways, and a client's author needs to know which.
func senderMessage(err error) string {
	if errors.Is(err, token.ErrProof) || errors.Is(err, token.ErrSender) {
		return err.Error()
	}
	return ""
}

// tokenReason is the word for an error of package token. What it does not know is a malformed token: no error of the
// verification may pass for less than a refusal.
func tokenReason(err error) Reason {
	for _, t := range tokenReasons {
		if errors.Is(err, t.err) {
			return t.reason
		}
	}
	return ReasonMalformedToken
}
