package v1alpha1

// PolicyDenied is what a client receives whom the policy refuses, and where it learns how to come back.
type PolicyDenied struct {
	Denied `json:",inline"`

	// ResourceMetadata serves the metadata of the hosts as protected resources (RFC 9728) under
	// /.well-known/oauth-protected-resource, to GET and HEAD and without a token, and names it in every challenge. Without
	// it these paths are like any other.
	//
	// +optional
	ResourceMetadata *ResourceMetadata `json:"resourceMetadata,omitempty"`
}

// ResourceMetadata is the metadata of protected resources (RFC 9728). Authorization servers are the issuers of
// identityProviders, and the methods to send a token are those of their tokenSources.
type ResourceMetadata struct {
	// Resources are resource identifiers, each with a document of its own: URLs such as https://mcp.example.com or
	// https://example.com/mcp, whose host is one of the policy's. The path stands behind the well-known one then. By default
	// https:// with each host that is no wildcard.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=9
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:Pattern=`^https://[a-z0-9._:\[\]-]+((/[A-Za-z0-9._~!$&'()+,=:@-]+)*|/)$`
	Resources []string `json:"resources,omitempty"`

	// Scopes that clients are told of. By default those that the rules require, but for rules that hide behind a status
	// of their own.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:Pattern=`^[!#-\[\]-~]+$`
	Scopes []string `json:"scopes,omitempty"`

	// ResourceName is a name for people.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	ResourceName string `json:"resourceName,omitempty"`

	// ResourceDocumentation is the URL of a page for developers.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^ \\t\\r\\n]+$')",message="must be a URL that begins with https:// or http://"
	ResourceDocumentation string `json:"resourceDocumentation,omitempty"`

	// ResourcePolicyURI is the URL of a page that says what clients may do with the data.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^ \\t\\r\\n]+$')",message="must be a URL that begins with https:// or http://"
	ResourcePolicyURI string `json:"resourcePolicyURI,omitempty"`

	// ResourceTosURI is the URL of the terms of service.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^ \\t\\r\\n]+$')",message="must be a URL that begins with https:// or http://"
	ResourceTosURI string `json:"resourceTosURI,omitempty"`
}
