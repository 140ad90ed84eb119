package controller

import (
	"context"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	eventsclient "k8s.io/client-go/kubernetes/typed/events/v1"
	clientevents "k8s.io/client-go/tools/events"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

const (
	// eventSource is who tells.
	eventSource = "sallyport"
	// noteBytes of a message leave room for its condition: an Event's note may have 1024.
	noteBytes = 900
)

// events tells of conditions that change.
type events struct {
	broadcaster clientevents.EventBroadcaster
	recorder    clientevents.EventRecorder
}

// newEvents sends to sink until close. What cannot be sent is dropped.
func newEvents(ctx context.Context, sink eventsclient.EventsV1Interface, log logr.Logger) *events {
	b := clientevents.NewBroadcaster(&clientevents.EventSinkImpl{Interface: sink})
	if err := b.StartRecordingToSinkWithContext(ctx); err != nil {
		log.Error(err, "Events are not told")
	}
	return &events{b, b.NewRecorder(runtime.NewScheme(), eventSource)}
}

func (e *events) close() { e.broadcaster.Shutdown() }

// tell tells of what a change of status changes.
func (e *events) tell(ch change) {
	about := &corev1.ObjectReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: ch.ref.Kind, Namespace: ch.ref.Namespace, Name: ch.ref.Name,
		UID: ch.object.GetUID(), ResourceVersion: ch.object.GetResourceVersion(),
	}
	for _, c := range worthTelling(ch.object.status().Conditions, ch.to.Conditions) {
		kind := corev1.EventTypeNormal
		if isBad(c) {
			kind = corev1.EventTypeWarning
		}
		e.recorder.Eventf(about, nil, kind, c.Reason, "Reconcile", "%s: %s", c.Type, shortenTo(c.Message, noteBytes))
	}
}

// worthTelling are the conditions that changed. One that is new and fine is told only where it sums up the others.
func worthTelling(before, after []metav1.Condition) []metav1.Condition {
	var out []metav1.Condition
	for _, c := range after {
		old := meta.FindStatusCondition(before, c.Type)
		switch {
		case old != nil && old.Status == c.Status && old.Reason == c.Reason:
		case old == nil && !isBad(c) && c.Type != v1alpha1.ConditionProgrammed && c.Type != v1alpha1.ConditionKeysReady:
		default:
			out = append(out, c)
		}
	}
	return out
}

// isBad tells whether somebody should look after a condition.
func isBad(c metav1.Condition) bool {
	if c.Type == v1alpha1.ConditionOverlap {
		return c.Status == metav1.ConditionTrue
	}
	return c.Status != metav1.ConditionTrue || c.Reason == v1alpha1.ReasonKeysStale
}
