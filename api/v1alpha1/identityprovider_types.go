package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// IdentityProvider says whose tokens the policies of its namespace may believe, and how they are verified.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=sallyport,shortName=idp
// +kubebuilder:printcolumn:name="Issuer",type=string,JSONPath=`.spec.issuer`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="KeysReady",type=string,JSONPath=`.status.conditions[?(@.type=="KeysReady")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type IdentityProvider struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the author wants.
	Spec IdentityProviderSpec `json:"spec"`

	// Status is what Sallyport made of it. It is never read for a decision.
	//
	// +optional
	Status IdentityProviderStatus `json:"status,omitempty"`
}

// IdentityProviderList is a list of IdentityProvider objects.
//
// +kubebuilder:object:root=true
type IdentityProviderList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []IdentityProvider `json:"items"`
}

// ClusterIdentityProvider is an IdentityProvider for policies of many namespaces. It reads its Secrets and ConfigMaps
// from Sallyport's own namespace.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=sallyport,shortName=cidp
// +kubebuilder:printcolumn:name="Issuer",type=string,JSONPath=`.spec.issuer`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="KeysReady",type=string,JSONPath=`.status.conditions[?(@.type=="KeysReady")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterIdentityProvider struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the author wants.
	Spec ClusterIdentityProviderSpec `json:"spec"`

	// Status is what Sallyport made of it. It is never read for a decision.
	//
	// +optional
	Status IdentityProviderStatus `json:"status,omitempty"`
}

// ClusterIdentityProviderList is a list of ClusterIdentityProvider objects.
//
// +kubebuilder:object:root=true
type ClusterIdentityProviderList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterIdentityProvider `json:"items"`
}

// ClusterIdentityProviderSpec is the desired state of a ClusterIdentityProvider.
type ClusterIdentityProviderSpec struct {
	IdentityProviderSpec `json:",inline"`

	// AllowedNamespaces are those whose policies may refer to the provider; all by default.
	//
	// +optional
	AllowedNamespaces *AllowedNamespaces `json:"allowedNamespaces,omitempty"`
}

// AllowedNamespaces selects namespaces.
//
// +kubebuilder:validation:XValidation:rule="(self.from == 'Selector') == has(self.selector)",message="selector goes with from: Selector, and only with it"
type AllowedNamespaces struct {
	// From: All, or those that selector selects.
	//
	// +optional
	// +kubebuilder:default=All
	From *NamespacesFrom `json:"from,omitempty"`

	// Selector of labels on Namespace objects.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.matchLabels) || self.matchLabels.size() <= 32",fieldPath=".matchLabels",message="must have at most 32 entries"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.size() <= 32",fieldPath=".matchExpressions",message="must have at most 32 entries"
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// NamespacesFrom is how namespaces are selected.
//
// +kubebuilder:validation:Enum=All;Selector
type NamespacesFrom string

const (
	// NamespacesFromAll selects every namespace.
	NamespacesFromAll NamespacesFrom = "All"
	// NamespacesFromSelector selects namespaces by their labels.
	NamespacesFromSelector NamespacesFrom = "Selector"
)

// IdentityProviderSpec is the desired state of an IdentityProvider.
//
// +kubebuilder:validation:XValidation:rule="!has(self.algorithms) || !self.algorithms.exists(a, a.startsWith('HS')) || self.algorithms.all(a, a.startsWith('HS'))",fieldPath=".algorithms",message="HS256, HS384 and HS512 may not stand beside others: whoever knows a public key could sign with it"
// +kubebuilder:validation:XValidation:rule="!has(self.algorithms) || !self.algorithms.exists(a, a.startsWith('HS')) || has(self.keys) && has(self.keys.secretKeyRef)",fieldPath=".algorithms",message="HS256, HS384 and HS512 need keys.secretKeyRef: their key is a secret"
// +kubebuilder:validation:XValidation:rule="has(self.keys) && !has(self.keys.discovery) || self.issuer.lowerAscii().startsWith('https://') || has(self.allowHTTP) && self.allowHTTP && self.issuer.lowerAscii().startsWith('http://')",fieldPath=".issuer",message="must be an https URL for discovery; name another source in keys, or say allowHTTP: true for development"
// +kubebuilder:validation:XValidation:rule="!has(self.keys) || !has(self.keys.remote) || !self.keys.remote.url.startsWith('http://') || has(self.allowHTTP) && self.allowHTTP",fieldPath=".keys.remote.url",message="must be https; allowHTTP: true allows http, for development"
// +kubebuilder:validation:XValidation:rule="!has(self.introspection) || !has(self.introspection.endpoint) || !self.introspection.endpoint.startsWith('http://') || has(self.allowHTTP) && self.allowHTTP",fieldPath=".introspection.endpoint",message="must be https; allowHTTP: true allows http, for development"
// +kubebuilder:validation:XValidation:rule="!has(self.backChannelLogout) || has(self.backChannelLogout.holdFor) || has(self.maxTokenAge)",fieldPath=".backChannelLogout.holdFor",message="is needed without maxTokenAge: how long a token can be valid"
type IdentityProviderSpec struct {
	// Issuer of the tokens: the claim iss must equal it, byte for byte (RFC 7519, section 4.1.1).
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Issuer string `json:"issuer"`

	// Audiences, at least one of which must be among the token's (RFC 7519, section 4.1.3). A policy names its own where
	// there are several.
	//
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	Audiences []string `json:"audiences"`

	// AudienceClaim is where the token says its audience, for providers that set no aud, such as client_id for Amazon
	// Cognito's access tokens.
	//
	// +optional
	// +kubebuilder:default=aud
	// +kubebuilder:validation:MaxLength=256
	AudienceClaim string `json:"audienceClaim,omitempty"`

	// Keys is where the keys of the issuer come from; discovery from the issuer by default.
	//
	// +optional
	Keys *KeySource `json:"keys,omitempty"`

	// Refresh of keys that are fetched.
	//
	// +optional
	Refresh *Refresh `json:"refresh,omitempty"`

	// TLS of the connections to the provider.
	//
	// +optional
	TLS *ProviderTLS `json:"tls,omitempty"`

	// AllowHTTP lets the URLs of this provider be plain http. For development only: whoever can alter that traffic can
	// sign tokens.
	//
	// +optional
	AllowHTTP bool `json:"allowHTTP,omitempty"`

	// Algorithms that may have signed a token (RFC 7518, section 3.1): RS256, RS384, RS512, PS256, PS384, PS512, ES256,
	// ES384, ES512, EdDSA; every one of these by default. HS256, HS384 and HS512 only with keys from secretKeyRef, and
	// never beside others.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Enum=RS256;RS384;RS512;PS256;PS384;PS512;ES256;ES384;ES512;EdDSA;HS256;HS384;HS512
	Algorithms []string `json:"algorithms,omitempty"`

	// TokenTypes that a token may have in its typ header (RFC 8725, section 3.11; RFC 9068); at+jwt and JWT by default. A
	// token without typ counts as JWT; "application/" in front makes no difference, nor does case.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	TokenTypes []string `json:"tokenTypes,omitempty"`

	// ClockSkew is how far the clocks of the provider and of Sallyport may differ; at most 60s.
	//
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+(h|ms|m|s))+$') || duration(self) <= duration('60s')",message="must be at most 60s"
	ClockSkew *Duration `json:"clockSkew,omitempty"`

	// MaxTokenAge bounds the life of a token: iat is required then, and neither exp - iat nor now - iat may exceed it.
	// No bound by default.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+(h|ms|m|s))+$') || duration(self) >= duration('1s')",message="must be at least 1s"
	MaxTokenAge *Duration `json:"maxTokenAge,omitempty"`

	// TokenSources are where a token may stand in a request; Authorization: Bearer by default. A request that shows more
	// than one token is refused.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	TokenSources []TokenSource `json:"tokenSources,omitempty"`

	// ClaimMappings say which claims hold what policies ask for.
	//
	// +optional
	ClaimMappings *ClaimMappings `json:"claimMappings,omitempty"`

	// ClaimValidationRules are expressions in CEL over claims and now that every token of the provider must satisfy.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	ClaimValidationRules []Expression `json:"claimValidationRules,omitempty"`

	// Introspection asks the provider about opaque tokens; none are accepted by default.
	//
	// +optional
	Introspection *Introspection `json:"introspection,omitempty"`

	// Decryption of encrypted tokens (JWE, RFC 7516) whose content is a signed one. Without it, no encrypted token is
	// believed.
	//
	// +optional
	Decryption *Decryption `json:"decryption,omitempty"`

	// SenderConstraint says what is made of tokens that are bound to whoever may use them. By default such a token needs
	// its proof, and others need none.
	//
	// +optional
	SenderConstraint *SenderConstraint `json:"senderConstraint,omitempty"`

	// BackChannelLogout lets the provider tell of logouts (OpenID Connect Back-Channel Logout 1.0): the tokens of the session,
	// or of the user, are refused from then on. It needs serve --backchannel-logout-address.
	//
	// +optional
	BackChannelLogout *BackChannelLogout `json:"backChannelLogout,omitempty"`
}

// Decryption says how encrypted tokens of a provider are decrypted, and whether there are others.
type Decryption struct {
	// SecretRef names the Secret with the private keys. Each key of its data holds one private key in PEM, whose kid is
	// the name of that key, or a JWK or a JWK set (RFC 7517). Several are for rotation: those of older tokens stay until
	// the tokens have expired. While the Secret cannot be used, no encrypted token is believed.
	SecretRef SecretReference `json:"secretRef"`

	// Required refuses tokens of the provider that are signed but not encrypted. They are believed by default, as it is
	// the signature that proves who issued a token: encryption only hides what it says.
	//
	// +optional
	Required bool `json:"required,omitempty"`
}

// IdentityProviderStatus is the observed state of a provider.
type IdentityProviderStatus struct {
	// Conditions: Accepted and KeysReady.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// KeyIDs of the keys in use.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=256
	KeyIDs []string `json:"keyIDs,omitempty"`

	// LastFetchTime is when keys were last fetched with success.
	//
	// +optional
	LastFetchTime *metav1.Time `json:"lastFetchTime,omitempty"`
}
