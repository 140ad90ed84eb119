package v1alpha1

// Lookup is something that is fetched while a request waits, because not every right belongs in a token. It is fetched
// only for rules whose expressions, or whose policy's upstream values, read lookups.NAME. The answer is a JSON object.
//
// +kubebuilder:validation:ExactlyOneOf=userInfo;http
type Lookup struct {
	// Name by which expressions read the answer: lookups.NAME.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z][A-Za-z0-9_]*$')",message="must be a lower-case letter, then letters, digits and _"
	Name string `json:"name"`

	// UserInfo asks the provider that proved the token, with that token, at its UserInfo endpoint (OpenID Connect Core,
	// section 5.3), which its metadata names. It has no settings.
	//
	// +optional
	UserInfo *UserInfoLookup `json:"userInfo,omitempty"`

	// HTTP asks a service of your own.
	//
	// +optional
	HTTP *HTTPLookup `json:"http,omitempty"`

	// Optional: where it fails, lookups.NAME is absent, so that an expression which reads it without has() is false. By
	// default the request is refused.
	//
	// +optional
	Optional bool `json:"optional,omitempty"`

	// CacheTTL is how long an answer serves; at most 1h, 0s asks for each request anew.
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

	// MaxConcurrent bounds the questions that one replica has open at a time.
	//
	// +optional
	// +kubebuilder:default=32
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	MaxConcurrent *int32 `json:"maxConcurrent,omitempty"`

	// MaxPerSecond bounds the questions of one replica in a second.
	//
	// +optional
	// +kubebuilder:default=200
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	MaxPerSecond *int32 `json:"maxPerSecond,omitempty"`
}

// UserInfoLookup asks the provider that proved the token. It has no settings.
type UserInfoLookup struct{}

// HTTPLookup asks an HTTP service. In url, in values of headers and in values of body, {claims.NAME} stands for a claim,
// {identity.subject} and {identity.issuer} for what the token proved.
//
// +kubebuilder:validation:XValidation:rule="!has(self.body) || has(self.method) && self.method == 'POST'",fieldPath=".body",message="goes with method: POST"
// +kubebuilder:validation:XValidation:rule="!self.url.startsWith('http://') || has(self.allowHTTP) && self.allowHTTP",fieldPath=".url",message="must be https; allowHTTP: true allows http, for development"
type HTTPLookup struct {
	// URL that is asked. A claim may stand in a segment of the path or in the value of a query parameter, and can change
	// neither the host nor the structure of either: it is percent-encoded, and one that does not fit refuses.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^ \\t\\r\\n]+$')",message="must be a URL that begins with https:// or http://"
	URL string `json:"url"`

	// Method of the request.
	//
	// +optional
	// +kubebuilder:default=GET
	// +kubebuilder:validation:Enum=GET;POST
	Method *string `json:"method,omitempty"`

	// Headers of the request.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Headers []LookupValue `json:"headers,omitempty"`

	// Body of a POST: the members of a JSON object, each of which is a text.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Body []LookupValue `json:"body,omitempty"`

	// Credentials for the Authorization header.
	//
	// +optional
	Credentials *LookupCredentials `json:"credentials,omitempty"`

	// TLS of the connections.
	//
	// +optional
	TLS *LookupTLS `json:"tls,omitempty"`

	// AllowHTTP lets url be plain http. For development only: whoever can alter that traffic can hand out rights.
	//
	// +optional
	AllowHTTP bool `json:"allowHTTP,omitempty"`
}

// LookupValue is a value under a name.
type LookupValue struct {
	// Name of the header, or of the member.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Name string `json:"name"`

	// Value, in which {claims.NAME} stands for a claim.
	//
	// +kubebuilder:validation:MaxLength=1024
	Value string `json:"value"`
}

// LookupCredentials are what proves to a service who asks.
type LookupCredentials struct {
	// Type: Bearer sends the Secret as it is, Basic sends user:password.
	//
	// +kubebuilder:validation:Enum=Bearer;Basic
	Type string `json:"type"`

	// SecretRef holds them. One line end behind them does not count.
	SecretRef KeyReference `json:"secretRef"`
}

// LookupTLS is the TLS of connections to a service.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="has(self.certificateSecretRef) == has(self.privateKeySecretRef)",message="certificateSecretRef and privateKeySecretRef go together"
type LookupTLS struct {
	// CAConfigMapKeyRef holds the certificate authorities, in PEM, that are trusted instead of the system's.
	//
	// +optional
	CAConfigMapKeyRef *KeyReference `json:"caConfigMapKeyRef,omitempty"`

	// CertificateSecretRef is the certificate that is shown to the service, in PEM.
	//
	// +optional
	CertificateSecretRef *KeyReference `json:"certificateSecretRef,omitempty"`

	// PrivateKeySecretRef is its private key, in PEM.
	//
	// +optional
	PrivateKeySecretRef *KeyReference `json:"privateKeySecretRef,omitempty"`
}
