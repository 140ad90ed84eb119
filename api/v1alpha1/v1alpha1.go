// Package v1alpha1 is the typed contract of Sallyport: the kinds AuthPolicy, IdentityProvider,
// ClusterIdentityProvider and TokenRevocation of the API group sallyport.dev, their conditions and their reasons.
//
//	apiVersion: sallyport.dev/v1alpha1
//	kind: AuthPolicy
//
// The package holds data and its documentation only. What an object means, and whether it is sound, is said by
// package policy, which compiles it; the schema in config/crd repeats what a schema can say.
//
// +kubebuilder:object:generate=true
// +groupName=sallyport.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "sallyport.dev", Version: "v1alpha1"}

// HostsAnnotation stands on a Namespace and lists, separated by commas, the hosts that policies of that namespace
// may name. Whoever may edit Namespaces grants hosts with it.
const HostsAnnotation = "sallyport.dev/hosts"

// The kinds of this package, as they stand in the kind field of an object.
const (
	KindAuthPolicy              = "AuthPolicy"
	KindIdentityProvider        = "IdentityProvider"
	KindClusterIdentityProvider = "ClusterIdentityProvider"
	KindTokenRevocation         = "TokenRevocation"
)

// LogoutLabel stands on each TokenRevocation that Sallyport wrote because a provider told of a logout. It also deletes these,
// once all of their entries have ended.
const LogoutLabel = "sallyport.dev/backchannel-logout"

// AddToScheme registers the kinds of this package with s. It returns no error; the signature is that of every API
// package.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&AuthPolicy{}, &AuthPolicyList{},
		&IdentityProvider{}, &IdentityProviderList{},
		&ClusterIdentityProvider{}, &ClusterIdentityProviderList{},
		&TokenRevocation{}, &TokenRevocationList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}

// Duration is a span of time as the Gateway API writes it (GEP-2257): whole numbers with the units h, m, s and ms,
// for example 30s, 5m or 1h30m.
//
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')",message="must be whole numbers with units, such as 30s, 5m or 1h30m"
type Duration string

// KeyReference names one key of a Secret or a ConfigMap: of the namespace of the object that refers to it, or, from a
// ClusterIdentityProvider, of Sallyport's own namespace.
type KeyReference struct {
	// Name of the Secret or ConfigMap.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Key within its data.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
}

// SecretReference names a Secret: of the namespace of the object that refers to it, or, from a ClusterIdentityProvider, of
// Sallyport's own namespace.
type SecretReference struct {
	// Name of the Secret.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// Expression is a requirement in CEL, with what to say when it does not hold.
type Expression struct {
	// Expression in CEL that must evaluate to true. Variables: claims, identity (issuer, subject, scopes, roles,
	// groups), request (method, scheme, host, path, query, headers, size), params, source (address, principal,
	// namespace, serviceAccount), context and now. In claimValidationRules of a provider: claims and now. It is
	// type-checked to bool, and its cost bounded, when the object is compiled. A failing evaluation refuses.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Expression string `json:"expression"`

	// Message that is logged when the expression does not hold. It is not shown to the client.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}
