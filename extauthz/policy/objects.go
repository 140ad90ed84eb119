package policy

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// Objects are everything that a snapshot is a function of. Compile keeps references to policies and providers, and knows
// them again by their pointers, so they must not be written afterwards: one that changed is another pointer. Their order
// makes no difference.
type Objects struct {
	AuthPolicies             []*v1alpha1.AuthPolicy
	IdentityProviders        []*v1alpha1.IdentityProvider
	ClusterIdentityProviders []*v1alpha1.ClusterIdentityProvider
	Secrets                  []*corev1.Secret
	ConfigMaps               []*corev1.ConfigMap
	Namespaces               []*corev1.Namespace
	// TokenRevocations are only reported on. The tokens that they name are no part of a snapshot, which says nothing of single
	// tokens: see ReadRevocation.
	TokenRevocations []*v1alpha1.TokenRevocation

	// ReferenceNamespaces are those whose Secrets and ConfigMaps could be read; nil: every one. In another, that an object
	// is missing here does not mean that there is none.
	ReferenceNamespaces []string

	// Services, and the objects of the Gateway API, that targetRefs may name. A Gateway's routes are looked up over all of
	// them, with a policy or without.
	Services   []*corev1.Service
	Gateways   []*gatewayv1.Gateway
	HTTPRoutes []*gatewayv1.HTTPRoute
	GRPCRoutes []*gatewayv1.GRPCRoute

	// Undecoded is what strict decoding found in objects that came from elsewhere than files: a field that this version
	// does not know makes its rule not compile, instead of dropping a requirement. It belongs to the pointer of the
	// object: an object with another set is another pointer.
	Undecoded map[ObjectRef][]UndecodedField
}

// UndecodedField is a field that is not known, stands there twice or is of another type.
type UndecodedField struct {
	// Path of the field, such as spec.rules[2].requires.
	Path string
	// Message says what is wrong and what to do.
	Message string
}

// ClientAddress says whose address rules with cidrs judge.
type ClientAddress string

const (
	// ClientAddressUnknown: nobody said; rules with cidrs do not compile.
	ClientAddressUnknown ClientAddress = ""
	// ClientAddressPeer: that of the connection to the proxy.
	ClientAddressPeer ClientAddress = "peer"
	// ClientAddressXFF: one of X-Forwarded-For, counted from the right.
	ClientAddressXFF ClientAddress = "xff"
)

// Options are what the operator says beside the objects.
type Options struct {
	// OwnNamespace is Sallyport's own, in which ClusterIdentityProviders find their Secrets and ConfigMaps.
	OwnNamespace string
	// DryRun makes every policy DryRun, and lets hosts without a policy pass as well.
	DryRun bool
	// HostGrants: a namespace may name only the hosts that the annotation sallyport.dev/hosts on its Namespace grants.
	// Without it any overlap between namespaces is a conflict, which the oldest policy wins.
	HostGrants bool
	// ClientAddress says whose address Input.SourceAddress is.
	ClientAddress ClientAddress
	// ClusterDomain is the DNS domain of Services; cluster.local where it is empty.
	ClusterDomain string
	// TrustDomain of the mesh's SPIFFE identities; without it rules with serviceAccounts do not compile.
	TrustDomain string
}

// ObjectRef names an object. Namespace is empty for kinds of the cluster.
type ObjectRef struct {
	Kind, Namespace, Name string
}

// String is "Kind namespace/name", or "Kind name" for kinds of the cluster.
func (r ObjectRef) String() string {
	if r.Namespace == "" {
		return r.Kind + " " + r.Name
	}
	return r.Kind + " " + r.Namespace + "/" + r.Name
}

// Severity of a problem.
type Severity string

const (
	// SeverityError: something does not compile, and refuses.
	SeverityError Severity = "Error"
	// SeverityWarning: it compiles, but may not mean what its author thinks.
	SeverityWarning Severity = "Warning"
)

// Reasons of problems, beside those of the API's conditions.
const (
	// ProblemNeverMatches: a rule that no request can land on, or a route.
	ProblemNeverMatches = "NeverMatches"
	// ProblemGetWithoutHead: a rule names GET, and no rule on its path takes HEAD.
	ProblemGetWithoutHead = "GetWithoutHead"
)

// Problem is one thing that the author of an object should know.
type Problem struct {
	// Field is the path of the field, such as spec.rules[2].require.expressions[0].
	Field string
	// Severity of the problem.
	Severity Severity
	// Reason is one of the reasons of the API's conditions, or of the Problem constants.
	Reason string
	// Message says what is wrong and what to do. It holds nothing of a Secret.
	Message string
}

// ObjectReport is what the compile has to say of one object.
type ObjectReport struct {
	ObjectRef
	// Problems in the order of the object's fields.
	Problems []Problem
	// Conditions as the status of the object should have them, without times.
	Conditions []metav1.Condition
	// Hosts that a policy is in force on.
	Hosts []string
	// Rules of a policy that are in force as they are written.
	Rules int32
	// Entries of a TokenRevocation that hold.
	Entries int32
	// Ancestors are the targets of a policy, without times and without the name of the controller.
	Ancestors []v1alpha1.AncestorStatus
}

// Report is what the compile has to say, in the order of kind, namespace and name.
type Report struct {
	// Objects are not to be written. Where there is the same to say of a policy as after the last compile by the same
	// Compiler, it is the same pointer.
	Objects []*ObjectReport
}

// Errors counts the problems that make something refuse.
func (r *Report) Errors() int {
	n := 0
	for _, o := range r.Objects {
		for _, p := range o.Problems {
			if p.Severity == SeverityError {
				n++
			}
		}
	}
	return n
}
