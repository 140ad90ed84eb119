package v1alpha1

// Requirements are what a token must prove: all that is given.
//
// +kubebuilder:validation:MinProperties=1
type Requirements struct {
	RequirementTerm `json:",inline"`

	// AnyOf are alternatives, of which at least one must hold, beside what else is required.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	AnyOf []RequirementTerm `json:"anyOf,omitempty"`

	// StepUp is how, and how recently, the user must have signed in, beside what else is required. A token that lacks
	// nothing else is refused with 401 and the challenge of RFC 9470, so that the client can let the user sign in again.
	//
	// +optional
	StepUp *StepUp `json:"stepUp,omitempty"`
}

// RequirementTerm is a set of requirements that must all hold.
//
// +kubebuilder:validation:MinProperties=1
type RequirementTerm struct {
	// Scopes, every one of which the token must have.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	Scopes []string `json:"scopes,omitempty"`

	// Roles, every one of which the token must have.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	Roles []string `json:"roles,omitempty"`

	// Groups, every one of which the token must have.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	Groups []string `json:"groups,omitempty"`

	// Claims that the token must have.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Claims []ClaimRequirement `json:"claims,omitempty"`

	// Expressions in CEL, every one of which must be true.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Expressions []Expression `json:"expressions,omitempty"`
}

// ClaimRequirement compares one claim.
//
// +kubebuilder:validation:XValidation:rule="(self.operator in ['Exists', 'DoesNotExist']) != (has(self.values) && size(self.values) > 0)",message="In, NotIn, HasAll and Matches need values; Exists and DoesNotExist have none"
type ClaimRequirement struct {
	// Claim by name: one top-level claim of that name first; where there is none, dots step into objects.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Claim string `json:"claim"`

	// Operator of the comparison. In: the claim, or any element of it, is one of values. NotIn: the claim is there and
	// neither it nor any element is one of values. HasAll: every value is an element of the claim. Exists and
	// DoesNotExist: it is there, or not; null is not there. Matches: the claim, or any element of it, is matched whole
	// by one of values (RE2).
	Operator ClaimOperator `json:"operator"`

	// Values to compare with, as text; only a claim that is a string or an integer has one. In In, NotIn and HasAll,
	// {name} stands for the decoded path segment that the template captured under that name, and {{ and }} for braces.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=1024
	Values []string `json:"values,omitempty"`
}

// ClaimOperator is how a claim is compared.
//
// +kubebuilder:validation:Enum=In;NotIn;HasAll;Exists;DoesNotExist;Matches
type ClaimOperator string

const (
	// ClaimIn holds when the claim, or any element of it, is one of the values.
	ClaimIn ClaimOperator = "In"
	// ClaimNotIn holds when the claim is there and neither it nor any element of it is one of the values.
	ClaimNotIn ClaimOperator = "NotIn"
	// ClaimHasAll holds when every value is an element of the claim.
	ClaimHasAll ClaimOperator = "HasAll"
	// ClaimExists holds when the claim is there and not null.
	ClaimExists ClaimOperator = "Exists"
	// ClaimDoesNotExist holds when the claim is absent or null.
	ClaimDoesNotExist ClaimOperator = "DoesNotExist"
	// ClaimMatches holds when the claim, or any element of it, is matched whole by one of the values.
	ClaimMatches ClaimOperator = "Matches"
)
