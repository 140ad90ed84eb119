package v1alpha1

// Introspection asks the provider about tokens that are no JWT of its own (RFC 7662). Tokens that are one are verified
// with its keys, and asked about only where tokens says All.
//
// +kubebuilder:validation:XValidation:rule="has(self.authMethod) && self.authMethod == 'PrivateKeyJWT' ? has(self.privateKeySecretRef) && !has(self.clientSecretRef) : has(self.clientSecretRef) && !has(self.privateKeySecretRef)",message="ClientSecretBasic and ClientSecretPost need clientSecretRef, PrivateKeyJWT needs privateKeySecretRef, and neither goes with the other"
type Introspection struct {
	// Tokens that are asked about. Opaque: those that are no JWT of a provider that the rule believes. All: the JWTs of this
	// provider as well, once its keys have verified them; then the answer counts, not what the JWT says. It is for tokens
	// that say little, such as the lightweight access tokens of Keycloak, and for those that must end with their session.
	//
	// +optional
	// +kubebuilder:default=Opaque
	Tokens *IntrospectedTokens `json:"tokens,omitempty"`

	// Endpoint that is asked; https, unless the provider says allowHTTP. By default what the issuer's metadata names as
	// introspection_endpoint.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^ \\t\\r\\n]+$')",message="must be a URL that begins with https:// or http://"
	Endpoint string `json:"endpoint,omitempty"`

	// ClientID under which the provider knows Sallyport.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	ClientID string `json:"clientID"`

	// AuthMethod is how Sallyport proves that it is this client: ClientSecretBasic, ClientSecretPost or PrivateKeyJWT, in
	// the words of OpenID Connect client_secret_basic, client_secret_post and private_key_jwt.
	//
	// +optional
	// +kubebuilder:default=ClientSecretBasic
	AuthMethod *ClientAuthMethod `json:"authMethod,omitempty"`

	// ClientSecretRef is the secret, for ClientSecretBasic and ClientSecretPost. One line end behind it does not count.
	//
	// +optional
	ClientSecretRef *KeyReference `json:"clientSecretRef,omitempty"`

	// PrivateKeySecretRef is the key of PrivateKeyJWT, in a Secret: PEM, or a JWK, whose kid and alg are used. RSA, ECDSA with
	// P-256, P-384 or P-521, or Ed25519.
	//
	// +optional
	PrivateKeySecretRef *KeyReference `json:"privateKeySecretRef,omitempty"`

	// CacheTTL is how long an answer serves at most; never beyond the exp in it. That is how long a token that was revoked
	// may still pass. At most 1h; 0s asks for each request anew.
	//
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+(h|ms|m|s))+$') || duration(self) <= duration('1h')",message="must be at most 1h"
	CacheTTL *Duration `json:"cacheTTL,omitempty"`

	// Timeout of one question, from 10ms to 5s. Keep it below Envoy's own, which is 200ms by default.
	//
	// +optional
	// +kubebuilder:default="100ms"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+(h|ms|m|s))+$') || duration(self) >= duration('10ms') && duration(self) <= duration('5s')",message="must be from 10ms to 5s"
	Timeout *Duration `json:"timeout,omitempty"`

	// MaxConcurrent bounds the questions that one replica has open at a time; what comes on top is refused at once.
	//
	// +optional
	// +kubebuilder:default=32
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	MaxConcurrent *int32 `json:"maxConcurrent,omitempty"`

	// MaxPerSecond bounds the questions of one replica, so that whoever sends made-up tokens cannot have Sallyport flood
	// the provider; what comes on top is refused at once.
	//
	// +optional
	// +kubebuilder:default=200
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	MaxPerSecond *int32 `json:"maxPerSecond,omitempty"`
}

// IntrospectedTokens are the tokens that a provider is asked about.
//
// +kubebuilder:validation:Enum=Opaque;All
type IntrospectedTokens string

const (
	// IntrospectOpaque asks about tokens that only the provider can read.
	IntrospectOpaque IntrospectedTokens = "Opaque"
	// IntrospectAll asks about JWTs of the provider too.
	IntrospectAll IntrospectedTokens = "All"
)

// ClientAuthMethod is how a client proves itself to an authorization server.
//
// +kubebuilder:validation:Enum=ClientSecretBasic;ClientSecretPost;PrivateKeyJWT
type ClientAuthMethod string

const (
	// ClientSecretBasic sends the secret in the Authorization header (RFC 6749, section 2.3.1).
	ClientSecretBasic ClientAuthMethod = "ClientSecretBasic"
	// ClientSecretPost sends the secret in the body (RFC 6749, section 2.3.1).
	ClientSecretPost ClientAuthMethod = "ClientSecretPost"
	// PrivateKeyJWT sends a JWT that is signed with the client's key (RFC 7523, section 2.2).
	PrivateKeyJWT ClientAuthMethod = "PrivateKeyJWT"
)
