package v1alpha1

// Conditions of the kinds. Each says True when all is well, Overlap apart.
const (
	// ConditionAccepted: the object is sound. Reasons: Accepted, Invalid, HostConflict; of an
	// ancestor also TargetNotFound.
	ConditionAccepted = "Accepted"
	// ConditionResolvedRefs, of an AuthPolicy: what it refers to is there. Reasons: ResolvedRefs, RefNotFound,
	// RefNotPermitted, RefInvalid.
	ConditionResolvedRefs = "ResolvedRefs"
	// ConditionProgrammed, of an AuthPolicy: every rule is in force as it is written. Reasons: Programmed, RulesClosed,
	// NotAccepted.
	ConditionProgrammed = "Programmed"
	// ConditionOverlap, of an AuthPolicy: True when rules overlap and neither is more specific, so that both must hold.
	// Reasons: Overlap. Absent otherwise.
	ConditionOverlap = "Overlap"
	// ConditionKeysReady, of a provider: there are keys to verify with, and to decrypt with where the provider names a
	// Secret for it. Reasons: KeysReady, KeysUnavailable, KeysStale.
	ConditionKeysReady = "KeysReady"
	// ConditionInForce, of a TokenRevocation: some of its entries hold. Reasons: InForce, NoProvider, Expired, NotAccepted.
	ConditionInForce = "InForce"
)

// Reasons of the conditions.
const (
	// ReasonAccepted: the object is sound.
	ReasonAccepted = "Accepted"
	// ReasonInvalid: something in the object does not compile; what it touches refuses.
	ReasonInvalid = "Invalid"
	// ReasonHostConflict: another namespace has an older claim to a host of the policy.
	ReasonHostConflict = "HostConflict"
	// ReasonTargetNotFound: a target of targetRefs is missing.
	ReasonTargetNotFound = "TargetNotFound"
	// ReasonResolvedRefs: everything that the object refers to is there.
	ReasonResolvedRefs = "ResolvedRefs"
	// ReasonRefNotFound: something that the object refers to is missing.
	ReasonRefNotFound = "RefNotFound"
	// ReasonRefNotPermitted: something that the object refers to does not serve its namespace.
	ReasonRefNotPermitted = "RefNotPermitted"
	// ReasonRefInvalid: something that the object refers to is not sound itself.
	ReasonRefInvalid = "RefInvalid"
	// ReasonProgrammed: every rule is in force as it is written.
	ReasonProgrammed = "Programmed"
	// ReasonRulesClosed: some rules could not be compiled and refuse their routes.
	ReasonRulesClosed = "RulesClosed"
	// ReasonNotAccepted: the policy is not in force on all of its hosts, since it is not accepted.
	ReasonNotAccepted = "NotAccepted"
	// ReasonOverlap: rules overlap and neither is more specific.
	ReasonOverlap = "Overlap"
	// ReasonKeysReady: there are keys to verify with.
	ReasonKeysReady = "KeysReady"
	// ReasonKeysUnavailable: no keys could be had yet.
	ReasonKeysUnavailable = "KeysUnavailable"
	// ReasonKeysStale: the keys are older than they should be, but still serve.
	ReasonKeysStale = "KeysStale"
	// ReasonInForce: entries hold.
	ReasonInForce = "InForce"
	// ReasonNoProvider: no provider that the object may speak for has this issuer; its entries hold once there is one.
	ReasonNoProvider = "NoProvider"
	// ReasonExpired: every entry has ended.
	ReasonExpired = "Expired"
)
