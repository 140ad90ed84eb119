package v1alpha1

// TokenSource is one place where a token may stand: exactly one of its fields.
//
// +kubebuilder:validation:ExactlyOneOf=header;cookie;queryParameter
type TokenSource struct {
	// Header that holds the token.
	//
	// +optional
	Header *HeaderSource `json:"header,omitempty"`

	// Cookie that holds the token.
	//
	// +optional
	Cookie *NamedSource `json:"cookie,omitempty"`

	// QueryParameter that holds the token.
	//
	// +optional
	QueryParameter *NamedSource `json:"queryParameter,omitempty"`
}

// HeaderSource is a header that holds a token.
type HeaderSource struct {
	// Name of the header, compared without case.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$')",message="must be the name of a header: letters, digits, - and _"
	Name string `json:"name"`

	// Scheme in front of the token, compared without case, such as Bearer; without it the whole value is the token.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z][A-Za-z0-9-]*$')",message="must be the word in front of the token, such as Bearer, without space"
	Scheme string `json:"scheme,omitempty"`
}

// NamedSource is a cookie or a query parameter that holds a token.
type NamedSource struct {
	// Name, compared exactly.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_.-]+$')",message="use letters, digits, _, . and -"
	Name string `json:"name"`
}

// ClaimMappings say which claims hold what policies ask for. A claim is named as in policies: one top-level claim of
// that name first; where there is none, dots step into objects.
type ClaimMappings struct {
	// Subject of the token; the claim must be there, as text. Map it to client_id or azp where a provider leaves sub out.
	//
	// +optional
	// +kubebuilder:default=sub
	// +kubebuilder:validation:MaxLength=256
	Subject string `json:"subject,omitempty"`

	// Scopes: a text that is split at spaces (RFC 8693, section 4.2), or a list.
	//
	// +optional
	// +kubebuilder:default=scope
	// +kubebuilder:validation:MaxLength=256
	Scopes string `json:"scopes,omitempty"`

	// Roles: a list, or one text.
	//
	// +optional
	// +kubebuilder:default=roles
	// +kubebuilder:validation:MaxLength=256
	Roles string `json:"roles,omitempty"`

	// Groups: a list, or one text.
	//
	// +optional
	// +kubebuilder:default=groups
	// +kubebuilder:validation:MaxLength=256
	Groups string `json:"groups,omitempty"`
}
