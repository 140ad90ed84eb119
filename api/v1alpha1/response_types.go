package v1alpha1

// Upstream is what the application receives with a request that is allowed.
type Upstream struct {
	// Headers that are set from the token. What a client sent under any of these names, in any spelling that folds _ to
	// -, never reaches the application, on no route of the host.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Headers []UpstreamHeader `json:"headers,omitempty"`

	// Token says whether the application receives the token as well.
	//
	// +optional
	// +kubebuilder:default=Forward
	Token *TokenForwarding `json:"token,omitempty"`

	// Metadata that is added to Envoy's dynamic metadata, under envoy.filters.http.ext_authz.
	//
	// +optional
	// +listType=map
	// +listMapKey=key
	// +kubebuilder:validation:MaxItems=32
	Metadata []UpstreamMetadata `json:"metadata,omitempty"`
}

// UpstreamHeader is one header for the application. Where the token has no value for it, the header is removed.
//
// +kubebuilder:validation:XValidation:rule="has(self.claim) != has(self.expression)",message="say exactly one of claim and expression"
type UpstreamHeader struct {
	// Name of the header. Not host, connection, a hop-by-hop header, x-envoy-* or x-forwarded-*.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$')",message="must be the name of a header: letters, digits, - and _"
	Name string `json:"name"`

	// Claim whose value is sent: text and numbers as they stand, lists of them joined with ",".
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Claim string `json:"claim,omitempty"`

	// Expression in CEL whose value is sent.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Expression string `json:"expression,omitempty"`
}

// UpstreamMetadata is one entry of Envoy's dynamic metadata.
//
// +kubebuilder:validation:XValidation:rule="has(self.claim) != has(self.expression)",message="say exactly one of claim and expression"
type UpstreamMetadata struct {
	// Key of the entry. Not decision, reason, policy, rule, decisionID or dryRun, which are always there.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Key string `json:"key"`

	// Claim whose value is given, with its structure.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Claim string `json:"claim,omitempty"`

	// Expression in CEL whose value is given.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Expression string `json:"expression,omitempty"`
}

// TokenForwarding says whether the application receives the token.
//
// +kubebuilder:validation:Enum=Forward;Remove
type TokenForwarding string

const (
	// TokenForward leaves the token where the client put it.
	TokenForward TokenForwarding = "Forward"
	// TokenRemove takes the token out of the header, the cookie or the query in which it stands.
	TokenRemove TokenForwarding = "Remove"
)

// Denied is what a client receives whose request is refused.
type Denied struct {
	DeniedResponse `json:",inline"`

	// Unauthenticated is what differs for a missing or invalid token, and where the user must sign in again (stepUp). Each
	// field that is set here replaces the one beside it.
	//
	// +optional
	Unauthenticated *UnauthenticatedResponse `json:"unauthenticated,omitempty"`
}

// DeniedResponse is the look of a refusal.
type DeniedResponse struct {
	// Status code of the answer, 300 to 599; by default the one that fits the reason.
	//
	// +optional
	// +kubebuilder:validation:Minimum=300
	// +kubebuilder:validation:Maximum=599
	Status *int32 `json:"status,omitempty"`

	// Headers of the answer.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Headers []ResponseHeader `json:"headers,omitempty"`

	// Body of the answer. gRPC callers get none.
	//
	// +optional
	Body *DeniedBody `json:"body,omitempty"`

	// Realm of the challenge in WWW-Authenticate (RFC 9110, section 11.5).
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[ -~]+$') && !self.contains('\\\"') && !self.contains('\\\\')",message="must be printable ASCII without quotes and backslashes"
	Realm string `json:"realm,omitempty"`
}

// UnauthenticatedResponse is the look of a refusal for want of a valid token.
type UnauthenticatedResponse struct {
	DeniedResponse `json:",inline"`

	// Redirect sends a browser to where a user signs in.
	//
	// +optional
	Redirect *Redirect `json:"redirect,omitempty"`
}

// ResponseHeader is one header of a refusal.
type ResponseHeader struct {
	// Name of the header.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$')",message="must be the name of a header: letters, digits, - and _"
	Name string `json:"name"`

	// Value of the header, in printable ASCII.
	//
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^[ -~]*$')",message="must be printable ASCII"
	Value string `json:"value"`
}

// DeniedBody is the body of a refusal.
type DeniedBody struct {
	// Type of the body. ProblemJSON: application/problem+json (RFC 9457) with status, title and decision id.
	// Text: one line of plain text. Empty: none.
	//
	// +optional
	// +kubebuilder:default=ProblemJSON
	Type *DeniedBodyType `json:"type,omitempty"`

	// Text of a body of type Text; the title of the status by default.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Text string `json:"text,omitempty"`
}

// DeniedBodyType is the form of the body of a refusal.
//
// +kubebuilder:validation:Enum=ProblemJSON;Text;Empty
type DeniedBodyType string

const (
	// DeniedBodyProblemJSON is application/problem+json (RFC 9457).
	DeniedBodyProblemJSON DeniedBodyType = "ProblemJSON"
	// DeniedBodyText is text/plain.
	DeniedBodyText DeniedBodyType = "Text"
	// DeniedBodyEmpty is no body.
	DeniedBodyEmpty DeniedBodyType = "Empty"
)

// Redirect sends a browser to where a user signs in, with status 302 unless status says another of the 3xx.
type Redirect struct {
	// URL that the browser is sent to; https, or http for development.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^ \\t\\r\\n]+$')",message="must be a URL that begins with https:// or http://"
	URL string `json:"url"`

	// ReturnParameter is the query parameter that carries the URL of the refused request; none by default.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_.-]+$')",message="use letters, digits, _, . and -"
	ReturnParameter string `json:"returnParameter,omitempty"`

	// OnlyFor says who is redirected. HTML: GET and HEAD requests that accept text/html; others get the plain refusal.
	// Any: everybody but gRPC callers.
	//
	// +optional
	// +kubebuilder:default=HTML
	OnlyFor *RedirectFor `json:"onlyFor,omitempty"`

	// StepUp says what becomes of a browser whose token lacks nothing but what require.stepUp asks for. Refuse: the
	// plain refusal. Redirect: it is sent to url, with the query parameters acr_values and max_age of the challenge, which
	// the login must hand on to the provider; one that does not sends the browser back as it came, without end.
	//
	// +optional
	// +kubebuilder:default=Refuse
	StepUp *StepUpRedirect `json:"stepUp,omitempty"`
}

// RedirectFor is who is redirected.
//
// +kubebuilder:validation:Enum=HTML;Any
type RedirectFor string

const (
	// RedirectForHTML redirects GET and HEAD requests that accept text/html.
	RedirectForHTML RedirectFor = "HTML"
	// RedirectForAny redirects every client but gRPC callers.
	RedirectForAny RedirectFor = "Any"
)
