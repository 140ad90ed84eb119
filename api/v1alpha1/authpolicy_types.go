package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AuthPolicy says who may call what on a set of hosts: rules that claim routes and state what a request must prove to
// take them. Every request lands on the most specific rule; where several have an equal claim, all must hold; where
// there is none, it is refused.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=sallyport,shortName=authp
// +kubebuilder:printcolumn:name="Hosts",type=string,JSONPath=`.status.hosts`
// +kubebuilder:printcolumn:name="Rules",type=integer,JSONPath=`.status.rules`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Programmed",type=string,JSONPath=`.status.conditions[?(@.type=="Programmed")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AuthPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the author wants.
	Spec AuthPolicySpec `json:"spec"`

	// Status is what Sallyport made of it. It is never read for a decision.
	//
	// +optional
	Status AuthPolicyStatus `json:"status,omitempty"`
}

// AuthPolicyList is a list of AuthPolicy objects.
//
// +kubebuilder:object:root=true
type AuthPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AuthPolicy `json:"items"`
}

// AuthPolicySpec is the desired state of an AuthPolicy. It says either hosts or targetRefs.
//
// +kubebuilder:validation:XValidation:rule="has(self.hosts) != has(self.targetRefs)",message="say exactly one of hosts and targetRefs"
// +kubebuilder:validation:XValidation:rule="!has(self.inheritance) || has(self.targetRefs) && self.targetRefs.exists(t, t.kind == 'Gateway')",message="inheritance is for a policy on a Gateway"
type AuthPolicySpec struct {
	// Hosts that the policy is about: a host name, a wildcard such as *.example.com (one or more labels), or * for every
	// host that no other policy names. Without a port; compared without case. The exact host is looked up first, then
	// the longest wildcard, then *. In a cluster, hosts are granted to a namespace by the annotation sallyport.dev/hosts.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self == '*' || self.matches('^([[][0-9A-Fa-f:.]+[]]|([*][.])?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?[.]?)$')",message="must be a host name such as orders.example.com, a wildcard such as *.example.com, or *; without scheme, port or path"
	Hosts []string `json:"hosts,omitempty"`

	// TargetRefs are the routes, Gateways and Services of the policy's own namespace that it is attached to.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	TargetRefs []TargetReference `json:"targetRefs,omitempty"`

	// Inheritance of a policy on a Gateway. Default: it is asked where neither a route nor the host has a policy. Required:
	// it is asked always, beside them.
	//
	// +optional
	// +kubebuilder:validation:Enum=Default;Required
	Inheritance *Inheritance `json:"inheritance,omitempty"`

	// IdentityProviders whose tokens are believed here. A policy whose rules are all Public or Denied needs none.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	IdentityProviders []IdentityProviderReference `json:"identityProviders,omitempty"`

	// Mode tells whether the policy is enforced or only reported. DryRun changes no verdict: what the policy would have
	// said is computed beside, and stands in metrics, log and metadata.
	//
	// +optional
	// +kubebuilder:default=Enforce
	Mode *Mode `json:"mode,omitempty"`

	// Preflight tells what becomes of a CORS preflight (OPTIONS with Origin and Access-Control-Request-Method). With Allow
	// it needs no token: it lands on the rule on which the request that it announces would land, and passes unless that
	// rule is Denied, or there is none. With Refuse it is a request like any other.
	//
	// +optional
	// +kubebuilder:default=Refuse
	Preflight *Preflight `json:"preflight,omitempty"`

	// Paths says how the servers of these hosts read a path. All policies of one host must agree.
	//
	// +optional
	Paths *PathOptions `json:"paths,omitempty"`

	// Lookups are what is fetched for requests whose rules read it.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Lookups []Lookup `json:"lookups,omitempty"`

	// Require joins the requirement of every rule. On a rule with access Optional it binds once a token is shown; a
	// rule with access Public is left alone.
	//
	// +optional
	Require *Requirements `json:"require,omitempty"`

	// Rules of the policy. A request that lands on none is refused.
	//
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Rules []Rule `json:"rules"`

	// Upstream is what the application receives with a request that is allowed.
	//
	// +optional
	Upstream *Upstream `json:"upstream,omitempty"`

	// Denied is what a client receives whose request is refused. A rule may differ.
	//
	// +optional
	Denied *PolicyDenied `json:"denied,omitempty"`
}

// TargetReference names an object that a policy is attached to.
//
// +kubebuilder:validation:XValidation:rule="self.kind != 'Service' || !has(self.sectionName)",message="a Service has no sections"
// +kubebuilder:validation:XValidation:rule="!has(self.group) || (self.kind == 'Service' ? self.group.size() == 0 : self.group == 'gateway.networking.k8s.io')",message="group must be that of the kind: gateway.networking.k8s.io, or empty for a Service"
type TargetReference struct {
	// Group of the object; the one that fits the kind by default.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Group *string `json:"group,omitempty"`

	// Kind of the object.
	//
	// +kubebuilder:validation:Enum=HTTPRoute;GRPCRoute;Gateway;Service
	Kind string `json:"kind"`

	// Name of the object, in the policy's own namespace.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// SectionName of one rule of a route, or of one listener of a Gateway; all of them by default.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SectionName *string `json:"sectionName,omitempty"`
}

// Inheritance says when a policy on a Gateway is asked.
type Inheritance string

const (
	// InheritanceDefault asks it where neither a route nor the host has a policy.
	InheritanceDefault Inheritance = "Default"
	// InheritanceRequired asks it always.
	InheritanceRequired Inheritance = "Required"
)

// IdentityProviderReference names a provider whose tokens a policy believes.
//
// +structType=atomic
type IdentityProviderReference struct {
	// Kind of the provider: IdentityProvider, of the policy's namespace, or ClusterIdentityProvider.
	//
	// +optional
	// +kubebuilder:default=IdentityProvider
	// +kubebuilder:validation:Enum=IdentityProvider;ClusterIdentityProvider
	Kind string `json:"kind,omitempty"`

	// Name of the provider.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Audiences of this policy, out of those of the provider: at least one of them must be among the token's. Required
	// where the provider has several, since a token for one service would open another otherwise; all of the provider's
	// by default.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	Audiences []string `json:"audiences,omitempty"`
}

// Mode is how a policy or a rule acts.
//
// +kubebuilder:validation:Enum=Enforce;DryRun
type Mode string

const (
	// ModeEnforce refuses what does not hold.
	ModeEnforce Mode = "Enforce"
	// ModeDryRun reports what would be refused, and changes no verdict.
	ModeDryRun Mode = "DryRun"
)

// Preflight is what becomes of a CORS preflight.
//
// +kubebuilder:validation:Enum=Refuse;Allow
type Preflight string

const (
	// PreflightRefuse treats a preflight as any other request.
	PreflightRefuse Preflight = "Refuse"
	// PreflightAllow lets a preflight pass without a token where the announced request has a rule.
	PreflightAllow Preflight = "Allow"
)

// PathOptions says how the servers of a host read what parsers disagree on.
type PathOptions struct {
	// EncodedSlash says what %2F in a path is. Refuse: such a request is refused. Keep: data of its segment, never a
	// separator, as package registries and GitLab read it; what stands between may not be empty, "." or "..", and a path that holds
	// it may hold none of the characters " < > ^ ` { | } as they are, which no URL has in its path.
	//
	// +optional
	// +kubebuilder:default=Refuse
	// +kubebuilder:validation:Enum=Refuse;Keep
	EncodedSlash *EncodedSlash `json:"encodedSlash,omitempty"`

	// Semicolon says what ";" in a path is. Refuse: such a request is refused. Strip: the server drops it and what
	// follows in the segment, as servlet containers do, and so do the rules.
	//
	// +optional
	// +kubebuilder:default=Refuse
	// +kubebuilder:validation:Enum=Refuse;Strip
	Semicolon *Semicolon `json:"semicolon,omitempty"`
}

// EncodedSlash is the reading of %2F in a path.
type EncodedSlash string

const (
	// EncodedSlashRefuse refuses a request whose path holds %2F.
	EncodedSlashRefuse EncodedSlash = "Refuse"
	// EncodedSlashKeep reads %2F as data of its segment.
	EncodedSlashKeep EncodedSlash = "Keep"
)

// Semicolon is the reading of ";" in a path.
type Semicolon string

const (
	// SemicolonRefuse refuses a request whose path holds ";".
	SemicolonRefuse Semicolon = "Refuse"
	// SemicolonStrip drops ";" and what follows in the segment before rules are looked up.
	SemicolonStrip Semicolon = "Strip"
)

// Rule claims routes and says what a request must prove to take them.
//
// +kubebuilder:validation:XValidation:rule="has(self.access) != has(self.require)",message="say exactly one of access and require"
type Rule struct {
	// Name of the rule, unique within the policy; it stands in logs, metrics and metadata.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be lower-case letters, digits and -, such as read-orders"
	Name string `json:"name"`

	// Matches are the routes of the rule; one of them must fit. Every path of the host by default.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:default={{path:{type: "PathPrefix", value: "/"}}}
	// +kubebuilder:validation:MaxItems=64
	Matches []RouteMatch `json:"matches,omitempty"`

	// From is where the caller must be, by mTLS identity or address; a requirement beside access or require, on Public
	// too.
	//
	// +optional
	From *From `json:"from,omitempty"`

	// IdentityProviders narrows the providers of the policy to these, by name: a token of another opens nothing here.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	IdentityProviders []string `json:"identityProviders,omitempty"`

	// Access of the rule where there is nothing further to require. Public: no token is looked at. Optional: none is
	// needed, but one that is shown must be valid. Authenticated: any valid token. Denied: nobody.
	//
	// +optional
	Access *Access `json:"access,omitempty"`

	// Require is what the token must prove; all of it.
	//
	// +optional
	Require *Requirements `json:"require,omitempty"`

	// Mode of this rule; that of the policy by default.
	//
	// +optional
	Mode *Mode `json:"mode,omitempty"`

	// Denied is what a client receives whom this rule refuses. Each field that is set here replaces the policy's.
	//
	// +optional
	Denied *Denied `json:"denied,omitempty"`
}

// Access is what a rule without further requirements asks for.
//
// +kubebuilder:validation:Enum=Public;Optional;Authenticated;Denied
type Access string

const (
	// AccessPublic looks at no token.
	AccessPublic Access = "Public"
	// AccessOptional needs no token, but one that is shown must be valid.
	AccessOptional Access = "Optional"
	// AccessAuthenticated needs any valid token.
	AccessAuthenticated Access = "Authenticated"
	// AccessDenied refuses everybody.
	AccessDenied Access = "Denied"
)

// AuthPolicyStatus is the observed state of an AuthPolicy.
type AuthPolicyStatus struct {
	// Conditions: Accepted, ResolvedRefs, Programmed, and Overlap where rules overlap.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Ancestors are the targets of targetRefs, each with what became of it, as policies of the Gateway API say.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Ancestors []AncestorStatus `json:"ancestors,omitempty"`

	// Hosts that the policy is in force on.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	Hosts []string `json:"hosts,omitempty"`

	// Rules is the number of rules that are in force.
	//
	// +optional
	Rules int32 `json:"rules,omitempty"`
}

// AncestorStatus is what became of one target.
type AncestorStatus struct {
	// AncestorRef names the target.
	AncestorRef TargetReference `json:"ancestorRef"`

	// ControllerName of who says so.
	//
	// +kubebuilder:validation:MaxLength=253
	ControllerName string `json:"controllerName"`

	// Conditions: Accepted.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
