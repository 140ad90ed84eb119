package controller

import (
	"crypto/sha256"
	stdjson "encoding/json"
	"fmt"
	"reflect"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

// declared is an object of a CRD as the API server sent it: T decoded strictly and without its status, beside what of it
// could not be decoded. Not written once an informer has handed it out, adopt apart.
type declared[T any] struct {
	metav1.TypeMeta
	metav1.ObjectMeta
	// content is a hash of all but metadata and status. What the API server defaults, prunes or converts can change while
	// generation and resourceVersion stay.
	content   [sha256.Size]byte
	object    *T
	undecoded []policy.UndecodedField
	observed  observed
	// revoked is what a TokenRevocation names, in place of its entries; nil for other kinds.
	revoked *revokedTokens
}

// declaredList is a list of declared objects.
type declaredList[T any] struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []declared[T] `json:"items"`
}

// observed is the status of any of our kinds, as far as Sallyport writes it. It is never read for a decision.
type observed struct {
	Conditions    []metav1.Condition        `json:"conditions"`
	Ancestors     []v1alpha1.AncestorStatus `json:"ancestors"`
	Hosts         []string                  `json:"hosts"`
	Rules         int32                     `json:"rules"`
	Entries       int32                     `json:"entries"`
	KeyIDs        []string                  `json:"keyIDs"`
	LastFetchTime *metav1.Time              `json:"lastFetchTime"`
}

// declaredObject is a declared of any T.
type declaredObject interface {
	client.Object
	// kind is known by the Go type: informers hand out objects without apiVersion and kind.
	kind() string
	decoded() metav1.Object
	problems() []policy.UndecodedField
	status() *observed
	// adopt takes over the decoded object of before where both say the same, so that what was compiled from it stays of
	// use, and tells whether they do.
	adopt(before client.Object) (same bool)
}

func (d *declared[T]) decoded() metav1.Object {
	o, _ := any(d.object).(metav1.Object)
	return o
}
func (d *declared[T]) kind() string                      { return reflect.TypeFor[T]().Name() }
func (d *declared[T]) problems() []policy.UndecodedField { return d.undecoded }
func (d *declared[T]) status() *observed                 { return &d.observed }

// ours tells whether T is a kind whose status Sallyport writes.
func (d *declared[T]) ours() bool {
	return reflect.TypeFor[T]().PkgPath() == reflect.TypeFor[v1alpha1.AuthPolicy]().PkgPath()
}

func (d *declared[T]) adopt(before client.Object) bool {
	b, ok := before.(*declared[T])
	if !ok || b.UID != d.UID || b.content != d.content {
		return false
	}
	d.object, d.undecoded, d.revoked = b.object, b.undecoded, b.revoked
	return true
}

// DeepCopyObject implements runtime.Object. The copy shares what is never written.
func (d *declared[T]) DeepCopyObject() runtime.Object {
	c := *d
	return &c
}

// DeepCopyObject implements runtime.Object. The copy shares what is never written.
func (l *declaredList[T]) DeepCopyObject() runtime.Object {
	c := *l
	c.Items = slices.Clone(l.Items)
	return &c
}

// UnmarshalJSON implements json.Unmarshaler. What does not fit T is no error: it stands in undecoded.
func (d *declared[T]) UnmarshalJSON(data []byte) error {
	var envelope struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        metav1.ObjectMeta `json:"metadata"`
	}
	if err := stdjson.Unmarshal(data, &envelope); err != nil {
		return fmt.Errorf("reading metadata: %w", err)
	}
	var members map[string]stdjson.RawMessage
	if err := stdjson.Unmarshal(data, &members); err != nil {
		return fmt.Errorf("reading members: %w", err)
	}
	status := members["status"]
	delete(members, "metadata")
	delete(members, "status")
	content, err := stdjson.Marshal(members)
	if err != nil {
		return fmt.Errorf("writing members: %w", err)
	}
	*d = declared[T]{TypeMeta: envelope.TypeMeta, ObjectMeta: needed(envelope.Metadata), content: sha256.Sum256(content), object: new(T)}
	if end, ok := envelope.Metadata.Annotations[metav1.InitialEventsAnnotationKey]; ok {
		d.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: end} // a bookmark, for the informer
	}
	d.undecoded = decodeStrictly(content, d.object)
	if o := d.decoded(); o != nil {
		copyIdentity(o, &d.ObjectMeta)
	}
	if len(status) > 0 && d.ours() {
		// A status that somebody else spoiled is as good as none: it is written anew.
		if err := stdjson.Unmarshal(status, &d.observed); err != nil {
			d.observed = observed{}
		}
	}
	return nil
}

// needed is what of an object's metadata anybody looks at. Annotations may hold the object a second time.
func needed(m metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion, Generation: m.Generation,
		CreationTimestamp: m.CreationTimestamp, DeletionTimestamp: m.DeletionTimestamp, Labels: m.Labels,
	}
}

func copyIdentity(to metav1.Object, from *metav1.ObjectMeta) {
	to.SetName(from.Name)
	to.SetNamespace(from.Namespace)
	to.SetUID(from.UID)
	to.SetResourceVersion(from.ResourceVersion)
	to.SetGeneration(from.Generation)
	to.SetCreationTimestamp(from.CreationTimestamp)
	to.SetLabels(from.Labels)
}
