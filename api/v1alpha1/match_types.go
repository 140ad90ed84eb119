package v1alpha1

// RouteMatch is one set of conditions on a request; all of them must fit. It says either path and methods, or grpc.
//
// +kubebuilder:validation:XValidation:rule="!has(self.grpc) || (!has(self.path) && !has(self.methods))",message="grpc stands for a path and the method POST: say either grpc, or path and methods"
type RouteMatch struct {
	// Path that the request must have; every path by default.
	//
	// +optional
	Path *PathMatch `json:"path,omitempty"`

	// Methods, one of which the request must have; any by default.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:XValidation:rule="self == self.upperAscii()",message="methods are compared with case: write GET, not get"
	Methods []string `json:"methods,omitempty"`

	// Headers that the request must have, all of them.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Headers []ValueMatch `json:"headers,omitempty"`

	// QueryParams that the request must have, all of them. A request that repeats one of them is refused.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	QueryParams []ValueMatch `json:"queryParams,omitempty"`

	// GRPC names a method of a gRPC service. It stands for POST on the path /service/method.
	//
	// +optional
	GRPC *GRPCMatch `json:"grpc,omitempty"`
}

// PathMatch is a pattern of paths. The value is written as a path is sent: what is not a plain character is
// percent-encoded.
type PathMatch struct {
	// Type of the pattern. Exact: the whole path. PathPrefix: whole segments at its beginning. Template: segment by
	// segment, each a literal, {name} for any one segment or {name:expression} for a segment that the expression (RE2,
	// anchored) matches whole; a final ** stands for any further segments, none included.
	//
	// +optional
	// +kubebuilder:default=PathPrefix
	Type *PathMatchType `json:"type,omitempty"`

	// Value of the pattern; it starts with "/".
	//
	// +optional
	// +kubebuilder:default="/"
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/')",message="must start with /"
	Value *string `json:"value,omitempty"`
}

// PathMatchType is how a path is compared.
//
// +kubebuilder:validation:Enum=Exact;PathPrefix;Template
type PathMatchType string

const (
	// PathMatchExact compares the whole path. Written with a final "/" it matches only requests that have it.
	PathMatchExact PathMatchType = "Exact"
	// PathMatchPathPrefix compares whole segments at the beginning of the path; a final "/" does not count.
	PathMatchPathPrefix PathMatchType = "PathPrefix"
	// PathMatchTemplate compares segment by segment, with captures.
	PathMatchTemplate PathMatchType = "Template"
)

// ValueMatch compares the value of a header or of a query parameter.
type ValueMatch struct {
	// Type of the comparison. Exact: byte for byte. RegularExpression: RE2, the whole value.
	//
	// +optional
	// +kubebuilder:default=Exact
	Type *ValueMatchType `json:"type,omitempty"`

	// Name of the header (compared without case) or of the query parameter (compared exactly).
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Name string `json:"name"`

	// Value that is compared. Several fields of one header count as one value, joined with ",".
	//
	// +kubebuilder:validation:MaxLength=4096
	Value string `json:"value"`
}

// ValueMatchType is how a value is compared.
//
// +kubebuilder:validation:Enum=Exact;RegularExpression
type ValueMatchType string

const (
	// ValueMatchExact compares byte for byte.
	ValueMatchExact ValueMatchType = "Exact"
	// ValueMatchRegularExpression matches the whole value against an RE2 expression.
	ValueMatchRegularExpression ValueMatchType = "RegularExpression"
)

// GRPCMatch names a gRPC service and, optionally, one of its methods.
type GRPCMatch struct {
	// Service with its package, for example shop.v1.Checkout.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^\w+([.]\w+)*$')`,message="must be the name of a service with its package, such as shop.v1.Checkout"
	Service string `json:"service"`

	// Method of the service; every method by default.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^\w+$')`,message="must be the name of a method, such as Pay"
	Method string `json:"method,omitempty"`
}

// From is where a caller must be. Each list that is given must hold, by one of its entries.
//
// +kubebuilder:validation:AtLeastOneOf=principals;serviceAccounts;cidrs
type From struct {
	// Principals are URI SANs of the caller's verified client certificate, for example
	// spiffe://cluster.local/ns/monitoring/sa/prometheus; * stands for one whole segment of the path.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:XValidation:rule="self.contains('://')",message="must be a URI such as spiffe://cluster.local/ns/monitoring/sa/*, in whose path * stands for one whole segment"
	Principals []string `json:"principals,omitempty"`

	// ServiceAccounts as namespace/name, by the caller's SPIFFE identity in the trust domain of --trust-domain. A name
	// alone is of the policy's namespace.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=320
	// +kubebuilder:validation:items:XValidation:rule="self.indexOf('/') == self.lastIndexOf('/')",message="must be namespace/name of a ServiceAccount, or a name alone for one of the policy's namespace"
	ServiceAccounts []string `json:"serviceAccounts,omitempty"`

	// CIDRs of the client's address, for example 10.0.0.0/8. Needs --client-address, which says whose address that is.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:XValidation:rule="self.contains('/')",message="must be a range of addresses such as 10.0.0.0/8 or 2001:db8::/32; write /32 or /128 behind a single address"
	CIDRs []string `json:"cidrs,omitempty"`
}
