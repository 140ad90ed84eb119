package controller

import (
	"maps"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

// clusterKind is one kind of objects that a cluster may hold.
type clusterKind struct {
	schema.GroupVersionKind
	plural string
	// cluster: objects of this kind have no namespace.
	cluster bool
	// optional: a CRD defines the kind, which may come and go.
	optional bool
	// example has the Go type of the kind; list that of its lists.
	example client.Object
	list    client.ObjectList
}

// clusterKinds are all that are watched as a whole. Secrets and ConfigMaps are not: see references.
func clusterKinds() []clusterKind {
	ours, gateway, core := v1alpha1.GroupVersion, schema.GroupVersion(gatewayv1.GroupVersion), corev1.SchemeGroupVersion
	return []clusterKind{
		{ours.WithKind(v1alpha1.KindAuthPolicy), "authpolicies", false, true, &declared[v1alpha1.AuthPolicy]{}, &declaredList[v1alpha1.AuthPolicy]{}},
		{ours.WithKind(v1alpha1.KindIdentityProvider), "identityproviders", false, true, &declared[v1alpha1.IdentityProvider]{}, &declaredList[v1alpha1.IdentityProvider]{}},
		{ours.WithKind(v1alpha1.KindClusterIdentityProvider), "clusteridentityproviders", true, true, &declared[v1alpha1.ClusterIdentityProvider]{}, &declaredList[v1alpha1.ClusterIdentityProvider]{}},
		{ours.WithKind(v1alpha1.KindTokenRevocation), "tokenrevocations", false, true, &declared[v1alpha1.TokenRevocation]{}, &declaredList[v1alpha1.TokenRevocation]{}},
		{gateway.WithKind("Gateway"), "gateways", false, true, &declared[gatewayv1.Gateway]{}, &declaredList[gatewayv1.Gateway]{}},
		{gateway.WithKind("HTTPRoute"), "httproutes", false, true, &declared[gatewayv1.HTTPRoute]{}, &declaredList[gatewayv1.HTTPRoute]{}},
		{gateway.WithKind("GRPCRoute"), "grpcroutes", false, true, &declared[gatewayv1.GRPCRoute]{}, &declaredList[gatewayv1.GRPCRoute]{}},
		{core.WithKind("Namespace"), "namespaces", true, false, &corev1.Namespace{}, &corev1.NamespaceList{}},
		{core.WithKind("Service"), "services", false, false, &corev1.Service{}, &corev1.ServiceList{}},
	}
}

// clusterScheme knows the Go types of the kinds. The error is that of a program, not of a cluster.
func clusterScheme(kinds []clusterKind) (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	if err := corev1.AddToScheme(s); err != nil {
		return nil, err
	}
	for _, k := range kinds {
		if !k.optional {
			continue
		}
		s.AddKnownTypeWithName(k.GroupVersionKind, k.example)
		s.AddKnownTypeWithName(k.GroupVersion().WithKind(k.Kind+kindList), k.list)
		metav1.AddToGroupVersion(s, k.GroupVersion())
	}
	return s, nil
}

// clusterMapper knows the resources of the kinds, so that nothing asks the API server for them.
func clusterMapper(kinds []clusterKind) meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	for _, k := range kinds {
		scope := meta.RESTScopeNamespace
		if k.cluster {
			scope = meta.RESTScopeRoot
		}
		plural := k.GroupVersion().WithResource(k.plural)
		m.AddSpecific(k.GroupVersionKind, plural, plural, scope)
	}
	for kind, plural := range map[string]string{kindSecret: "secrets", kindConfigMap: "configmaps"} {
		resource := corev1.SchemeGroupVersion.WithResource(plural)
		m.AddSpecific(corev1.SchemeGroupVersion.WithKind(kind), resource, resource, meta.RESTScopeNamespace)
	}
	return m
}

// trim keeps of an object what somebody looks at, before an informer stores it.
func trim(in any) (any, error) {
	switch o := in.(type) {
	case *corev1.Namespace:
		annotations := map[string]string{}
		if hosts, ok := o.Annotations[v1alpha1.HostsAnnotation]; ok {
			annotations[v1alpha1.HostsAnnotation] = hosts
		}
		return &corev1.Namespace{TypeMeta: o.TypeMeta, ObjectMeta: withAnnotations(needed(o.ObjectMeta), annotations)}, nil
	case *corev1.Service:
		return &corev1.Service{TypeMeta: o.TypeMeta, ObjectMeta: needed(o.ObjectMeta), Spec: o.Spec}, nil
	case *metav1.PartialObjectMetadata:
		m := needed(o.ObjectMeta)
		m.Labels = nil
		return &metav1.PartialObjectMetadata{TypeMeta: o.TypeMeta, ObjectMeta: m}, nil
	}
	return in, nil
}

func withAnnotations(m metav1.ObjectMeta, annotations map[string]string) metav1.ObjectMeta {
	m.Annotations = annotations
	return m
}

// unchanged tells whether two states of an object are the same to everybody who compiles it.
func unchanged(before, after client.Object) bool {
	if before.GetUID() != after.GetUID() {
		return false
	}
	switch a := after.(type) {
	case declaredObject:
		return a.adopt(before)
	case *corev1.Namespace:
		b, ok := before.(*corev1.Namespace)
		return ok && maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations) &&
			a.DeletionTimestamp.Equal(b.DeletionTimestamp)
	case *corev1.Service:
		b, ok := before.(*corev1.Service)
		return ok && maps.Equal(a.Labels, b.Labels) && equality.Semantic.DeepEqual(a.Spec, b.Spec)
	}
	return before.GetResourceVersion() == after.GetResourceVersion()
}

// addClusterObject puts an object of a cluster into the set of its kind.
func addClusterObject(to *policy.Objects, in client.Object) {
	switch o := in.(type) {
	case *corev1.Namespace:
		to.Namespaces = append(to.Namespaces, o)
	case *corev1.Service:
		to.Services = append(to.Services, o)
	case *declared[gatewayv1.Gateway]:
		to.Gateways = append(to.Gateways, o.object)
	case *declared[gatewayv1.HTTPRoute]:
		to.HTTPRoutes = append(to.HTTPRoutes, o.object)
	case *declared[gatewayv1.GRPCRoute]:
		to.GRPCRoutes = append(to.GRPCRoutes, o.object)
	case declaredObject:
		add(to, o.decoded())
	}
	d, ok := in.(declaredObject)
	if !ok || len(d.problems()) == 0 {
		return
	}
	if to.Undecoded == nil {
		to.Undecoded = map[policy.ObjectRef][]policy.UndecodedField{}
	}
	to.Undecoded[refOf(d)] = d.problems()
}

func refOf(o declaredObject) policy.ObjectRef {
	return policy.ObjectRef{Kind: o.kind(), Namespace: o.GetNamespace(), Name: o.GetName()}
}

// typeName is what an informer calls the type of its objects.
func typeName(o client.Object) string { return reflect.TypeOf(o).String() }
