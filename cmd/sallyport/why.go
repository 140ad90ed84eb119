package main

import "github.com/sallyport/sallyport/extauthz/policy"

// why says a reason in a sentence, for people.
func why(r policy.Reason) string {
	return map[policy.Reason]string{
		policy.ReasonPublic:                         "the rule is Public: no token is looked at",
		policy.ReasonAnonymous:                      "no token was shown, and the rule is Optional",
		policy.ReasonAllowed:                        "a valid token was shown, and every requirement holds",
		policy.ReasonPreflight:                      "a CORS preflight, and the request that it announces has a rule",
		policy.ReasonDryRun:                         "nothing is enforced on this host",
		policy.ReasonResourceMetadata:               "the path is that of the metadata of a protected resource, which denied.resourceMetadata serves",
		policy.ReasonInvalidRequest:                 "the method, the host or the path is missing or malformed, or the headers are too many",
		policy.ReasonAmbiguousRequest:               "two servers could read the path, or a query parameter that a rule matches on, in two ways",
		policy.ReasonInvalidScope:                   "the scope that the proxy states cannot be read",
		policy.ReasonScopeRequired:                  "the proxy states no scope",
		policy.ReasonNoPolicy:                       "no policy of the scope names the host",
		policy.ReasonNoRule:                         "no rule claims the path, or none on the most specific path fits the method, headers and query",
		policy.ReasonDenied:                         "the rule says access: Denied",
		policy.ReasonNotCompiled:                    "the rule does not compile, so it refuses",
		policy.ReasonSourceNotAllowed:               "the caller is not where the rule's from wants it",
		policy.ReasonMissingToken:                   "a token is needed, and none was shown",
		policy.ReasonAmbiguousCredential:            "more than one token was shown",
		policy.ReasonMalformedToken:                 "the token is no signed JWT in good form",
		policy.ReasonUntrustedIssuer:                "the token is not from a provider that the rule trusts",
		policy.ReasonAlgorithmNotAllowed:            "the token is signed with an algorithm that its provider does not allow",
		policy.ReasonUnknownKey:                     "the provider has no key of this kid",
		policy.ReasonInvalidSignature:               "the signature is not that of the provider",
		policy.ReasonInvalidTokenType:               "the typ of the token is not one that the provider names",
		policy.ReasonInvalidAudience:                "the token was made for somebody else",
		policy.ReasonInvalidSubject:                 "the token has no subject",
		policy.ReasonTokenExpired:                   "the token has expired",
		policy.ReasonTokenNotYetValid:               "the token is not valid yet",
		policy.ReasonTokenTooOld:                    "the token lives longer than the provider's maxTokenAge",
		policy.ReasonTokenInactive:                  "the provider was asked, and says that the token is not, or no longer, active",
		policy.ReasonClaimValidationFailed:          "a claimValidationRule of the provider does not hold",
		policy.ReasonInsufficientScope:              "the token lacks a scope that is required",
		policy.ReasonInsufficientClaims:             "a role, a group or a claim is not as required",
		policy.ReasonExpressionFailed:               "an expression is false, or could not be evaluated",
		policy.ReasonInsufficientUserAuthentication: "the user must sign in again, or in a stronger way, as stepUp says",
		policy.ReasonUpstreamValueInvalid:           "a value for an upstream header cannot be written safely",
		policy.ReasonKeysUnavailable:                "the keys of the provider could not be had",
		policy.ReasonIntrospectionUnavailable:       "the provider could not be asked about the opaque token",
		policy.ReasonLookupFailed:                   "what the rule looks up could not be had",
		policy.ReasonOverloaded:                     "more requests are in flight than the server takes, or Envoy waits no longer for this one",
		policy.ReasonInternalError:                  "the server met a fault of its own",
	}[r]
}
