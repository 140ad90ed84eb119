package v1alpha1

// BackChannelLogout says which logout tokens of a provider are believed.
type BackChannelLogout struct {
	// ClientIDs are the clients, at the provider, that its logout tokens are for: aud of a logout token must name at least one.
	//
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	ClientIDs []string `json:"clientIDs"`

	// TokenTypes that a logout token may have in its typ header; logout+jwt and JWT by default. A token without typ counts as
	// JWT. logout+jwt alone is safer, where the provider sets it.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	TokenTypes []string `json:"tokenTypes,omitempty"`

	// HoldFor is how long tokens are refused after a logout: as long as one that was issued just before it can be valid, or
	// longer. maxTokenAge by default. From 1m to 9600h.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+(h|ms|m|s))+$') || duration(self) >= duration('1m') && duration(self) <= duration('9600h')",message="must be from 1m to 9600h"
	HoldFor *Duration `json:"holdFor,omitempty"`
}
