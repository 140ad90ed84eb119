package policy

import (
	"fmt"
	"reflect"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// report says what there is to say of each object. policies and providers are in order, and AuthPolicy is the first of
// their kinds.
func report(policies []*policy, providers []*provider) Report {
	r := Report{Objects: make([]*ObjectReport, 0, len(policies)+len(providers))}
	for _, p := range policies {
		r.Objects = append(r.Objects, p.kept.reportOf(p))
	}
	for _, p := range providers {
		r.Objects = append(r.Objects, p.report())
	}
	return r
}

func reportPolicy(p *policy) *ObjectReport {
	o := &ObjectReport{ObjectRef: p.ref, Problems: p.problems.list, Hosts: p.hosts}
	for _, rule := range p.rules {
		if !rule.closed && !rule.unreadable {
			o.Rules++
		}
	}
	o.Conditions = policyConditions(p, int(o.Rules))
	for _, a := range p.ancestors {
		o.Ancestors = append(o.Ancestors, v1alpha1.AncestorStatus{AncestorRef: a.ref, Conditions: []metav1.Condition{a.condition()}})
	}
	return o
}

func (p *provider) report() *ObjectReport {
	return &ObjectReport{ObjectRef: p.ref, Problems: p.problems.list, Conditions: []metav1.Condition{acceptedCondition(p.problems.list)}}
}

// first finds the first error for one of the reasons.
func first(list []Problem, severity Severity, reasons ...string) (Problem, bool) {
	i := slices.IndexFunc(list, func(p Problem) bool {
		return p.Severity == severity && slices.Contains(reasons, p.Reason)
	})
	if i < 0 {
		return Problem{}, false
	}
	return list[i], true
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

func acceptedCondition(list []Problem) metav1.Condition {
	p, bad := first(list, SeverityError, v1alpha1.ReasonHostConflict)
	if !bad {
		p, bad = first(list, SeverityError, v1alpha1.ReasonInvalid)
	}
	if !bad {
		return condition(v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted, "The object is sound")
	}
	return condition(v1alpha1.ConditionAccepted, metav1.ConditionFalse, p.Reason, p.Field+": "+p.Message)
}

func policyConditions(p *policy, inForce int) []metav1.Condition {
	list := p.problems.list
	accepted := acceptedCondition(list)
	out := []metav1.Condition{accepted}
	if ref, bad := first(list, SeverityError, v1alpha1.ReasonRefNotFound, v1alpha1.ReasonRefNotPermitted, v1alpha1.ReasonRefInvalid); bad {
		out = append(out, condition(v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, ref.Reason, ref.Field+": "+ref.Message))
	} else {
		out = append(out, condition(v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs, "Every reference is there"))
	}
	switch {
	case len(p.draft.hosts) == 0 && len(p.attachedTo()) < max(1, len(p.draft.targets)):
		out = append(out, condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonNotAccepted,
			fmt.Sprintf("In force on %d of %d targets", len(p.attachedTo()), len(p.draft.targets))))
	case len(p.hosts) < len(p.draft.hosts):
		out = append(out, condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonNotAccepted,
			fmt.Sprintf("In force on %d of %d hosts", len(p.hosts), len(p.draft.hosts))))
	case inForce < len(p.rules):
		out = append(out, condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonRulesClosed,
			fmt.Sprintf("%d of %d rules do not compile and refuse their routes", len(p.rules)-inForce, len(p.rules))))
	default:
		out = append(out, condition(v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed, "Every rule is in force"))
	}
	if o, yes := first(list, SeverityWarning, v1alpha1.ReasonOverlap); yes {
		out = append(out, condition(v1alpha1.ConditionOverlap, metav1.ConditionTrue, v1alpha1.ReasonOverlap, o.Message))
	}
	return out
}

// attachedTo are the targets that are there.
func (p *policy) attachedTo() []ancestor {
	return slices.DeleteFunc(slices.Clone(p.ancestors), func(a ancestor) bool { return a.problem != "" })
}

func (a ancestor) condition() metav1.Condition {
	if a.problem != "" {
		return condition(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonTargetNotFound, a.problem)
	}
	return condition(v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted, "The policy is attached")
}

// equal tells whether the same became of the target.
func (a ancestor) equal(o ancestor) bool { return reflect.DeepEqual(a, o) }
