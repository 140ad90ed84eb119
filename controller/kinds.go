package controller

import (
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

// kind is one kind of objects that files may hold.
type kind struct {
	apiVersion, name string
	// cluster: objects of this kind have no namespace.
	cluster bool
	of      reflect.Type // a struct whose pointer is a metav1.Object
}

// possibleKinds is what an error says where another kind was found, possibleRoutingKinds what it adds in a story of a
// cluster.
const possibleKinds = "AuthPolicy, IdentityProvider, ClusterIdentityProvider and TokenRevocation (" + sallyportVersion +
	"), Secret, ConfigMap and Namespace (v1), and Lists of them (v1)"

const possibleRoutingKinds = "; and Service (v1), Gateway, HTTPRoute and GRPCRoute (" + gatewayVersion + ")"

const (
	sallyportVersion = "sallyport.dev/v1alpha1"
	coreVersion      = "v1"
	gatewayVersion   = "gateway.networking.k8s.io/v1"
	kindList         = "List"
)

// kinds lists all of them. It is a function since a package has no variables that could be written.
func kinds() []kind {
	return []kind{
		{sallyportVersion, v1alpha1.KindAuthPolicy, false, reflect.TypeFor[v1alpha1.AuthPolicy]()},
		{sallyportVersion, v1alpha1.KindIdentityProvider, false, reflect.TypeFor[v1alpha1.IdentityProvider]()},
		{sallyportVersion, v1alpha1.KindClusterIdentityProvider, true, reflect.TypeFor[v1alpha1.ClusterIdentityProvider]()},
		{sallyportVersion, v1alpha1.KindTokenRevocation, false, reflect.TypeFor[v1alpha1.TokenRevocation]()},
		{coreVersion, "Secret", false, reflect.TypeFor[corev1.Secret]()},
		{coreVersion, "ConfigMap", false, reflect.TypeFor[corev1.ConfigMap]()},
		{coreVersion, "Namespace", true, reflect.TypeFor[corev1.Namespace]()},
	}
}

// routingKinds are those that say where a request goes. Only a cluster has them: a folder does not know what its proxies
// do with them.
func routingKinds() []kind {
	return []kind{
		{coreVersion, "Service", false, reflect.TypeFor[corev1.Service]()},
		{gatewayVersion, "Gateway", false, reflect.TypeFor[gatewayv1.Gateway]()},
		{gatewayVersion, "HTTPRoute", false, reflect.TypeFor[gatewayv1.HTTPRoute]()},
		{gatewayVersion, "GRPCRoute", false, reflect.TypeFor[gatewayv1.GRPCRoute]()},
	}
}

// listOf is the name of the kind whose lists are called name; any is true for List, whose items name their own kind.
func listOf(name string) (item string, any, ok bool) {
	if name == kindList {
		return "", true, true
	}
	item, ok = strings.CutSuffix(name, kindList)
	return item, false, ok && item != ""
}

// add puts an object into the set of its kind.
func add(to *policy.Objects, o metav1.Object) {
	switch o := o.(type) {
	case *v1alpha1.AuthPolicy:
		to.AuthPolicies = append(to.AuthPolicies, o)
	case *v1alpha1.IdentityProvider:
		to.IdentityProviders = append(to.IdentityProviders, o)
	case *v1alpha1.ClusterIdentityProvider:
		to.ClusterIdentityProviders = append(to.ClusterIdentityProviders, o)
	case *v1alpha1.TokenRevocation:
		to.TokenRevocations = append(to.TokenRevocations, o)
	case *corev1.Secret:
		to.Secrets = append(to.Secrets, o)
	case *corev1.ConfigMap:
		to.ConfigMaps = append(to.ConfigMaps, o)
	case *corev1.Namespace:
		to.Namespaces = append(to.Namespaces, o)
	case *corev1.Service:
		to.Services = append(to.Services, o)
	case *gatewayv1.Gateway:
		to.Gateways = append(to.Gateways, o)
	case *gatewayv1.HTTPRoute:
		to.HTTPRoutes = append(to.HTTPRoutes, o)
	case *gatewayv1.GRPCRoute:
		to.GRPCRoutes = append(to.GRPCRoutes, o)
	}
}

// settle does to an object what an API server would on its way in: stringData of a Secret joins its data.
func settle(o metav1.Object) {
	s, ok := o.(*corev1.Secret)
	if !ok || len(s.StringData) == 0 {
		return
	}
	if s.Data == nil {
		s.Data = make(map[string][]byte, len(s.StringData))
	}
	for k, v := range s.StringData {
		s.Data[k] = []byte(v)
	}
	s.StringData = nil
}
