package controller

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestEventsTellOfChanges(t *testing.T) {
	c := func(kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: "m"}
	}
	accepted, refused := c("Accepted", "True", "Accepted"), c("Accepted", "False", "Invalid")
	programmed, closed := c("Programmed", "True", "Programmed"), c("Programmed", "False", "RulesClosed")
	for _, tt := range []struct {
		name          string
		before, after []metav1.Condition
		want          []string
	}{
		{name: "new and fine is told once", after: []metav1.Condition{accepted, programmed}, want: []string{"Normal Programmed"}},
		{name: "new and wrong", after: []metav1.Condition{refused, closed}, want: []string{"Warning Invalid", "Warning RulesClosed"}},
		{name: "the same", before: []metav1.Condition{accepted, closed}, after: []metav1.Condition{accepted, closed}},
		{name: "another message", before: []metav1.Condition{{Type: "Accepted", Status: "False", Reason: "Invalid", Message: "x"}}, after: []metav1.Condition{refused}},
		{name: "mended", before: []metav1.Condition{refused, closed}, after: []metav1.Condition{accepted, programmed}, want: []string{"Normal Accepted", "Normal Programmed"}},
		{name: "an overlap is a warning", before: []metav1.Condition{accepted}, after: []metav1.Condition{accepted, c("Overlap", "True", "Overlap")}, want: []string{"Warning Overlap"}},
		{name: "old keys are a warning", before: []metav1.Condition{c("KeysReady", "True", "KeysReady")}, after: []metav1.Condition{c("KeysReady", "True", "KeysStale")}, want: []string{"Warning KeysStale"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got recorded
			object := declaredPolicy(t, "shop", `{}`)
			object.observed.Conditions = tt.before
			(&events{recorder: &got}).tell(change{object: object, to: observed{Conditions: tt.after}})
			if diff := cmp.Diff(tt.want, []string(got)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// recorded are the events that were told: type and reason of each.
type recorded []string

func (r *recorded) Eventf(_, _ runtime.Object, kind, reason, _, note string, args ...any) {
	*r = append(*r, kind+" "+reason)
	if len(fmt.Sprintf(note, args...)) > 1024 {
		*r = append(*r, "too long")
	}
}

func TestEventsAreShort(t *testing.T) {
	var got recorded
	long := metav1.Condition{Type: "Accepted", Status: "False", Reason: "Invalid", Message: strings.Repeat("é", 2000)}
	(&events{recorder: &got}).tell(change{object: declaredPolicy(t, "shop", `{}`), to: observed{Conditions: []metav1.Condition{long}}})
	if diff := cmp.Diff([]string{"Warning Invalid"}, []string(got)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
