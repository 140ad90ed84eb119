package policy

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// maxTold is how many problems a condition tells; the rest is counted.
const maxTold = 8

// conditionOf tells every problem of one of the reasons, a line each with the path of its field; fine is what to say
// where there is none. The reason is the one that comes first in reasons.
func conditionOf(kind string, list []Problem, fine metav1.Condition, reasons ...string) metav1.Condition {
	fine.Type, fine.Status = kind, metav1.ConditionTrue
	bad := slices.DeleteFunc(slices.Clone(list), func(p Problem) bool {
		return p.Severity != SeverityError || !slices.Contains(reasons, p.Reason)
	})
	if len(bad) == 0 {
		return fine
	}
	slices.SortStableFunc(bad, func(a, b Problem) int { return slices.Index(reasons, a.Reason) - slices.Index(reasons, b.Reason) })
	return metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: bad[0].Reason, Message: tell(bad)}
}

// tell writes a line for each problem.
func tell(list []Problem) string {
	var lines []string
	for _, p := range list[:min(len(list), maxTold)] {
		lines = append(lines, p.Field+": "+p.Message)
	}
	return strings.Join(slices.Compact(lines), "\n") + more(len(list)-maxTold)
}

// more says how many things are not told; empty where all are.
func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf("\nand %d more, which sallyport validate prints", n)
}

func acceptedCondition(list []Problem) metav1.Condition {
	fine := metav1.Condition{Reason: v1alpha1.ReasonAccepted, Message: "The object is sound"}
	return conditionOf(v1alpha1.ConditionAccepted, list, fine, v1alpha1.ReasonHostConflict, v1alpha1.ReasonInvalid)
}

func policyConditions(p *policy, inForce int) []metav1.Condition {
	list := p.problems.list
	resolved := metav1.Condition{Reason: v1alpha1.ReasonResolvedRefs, Message: "Every reference is there"}
	out := []metav1.Condition{
		acceptedCondition(list),
		conditionOf(v1alpha1.ConditionResolvedRefs, list, resolved, v1alpha1.ReasonRefNotFound, v1alpha1.ReasonRefNotPermitted, v1alpha1.ReasonRefInvalid),
		p.programmed(inForce),
	}
	overlaps := slices.DeleteFunc(slices.Clone(list), func(p Problem) bool {
		return p.Severity != SeverityWarning || p.Reason != v1alpha1.ReasonOverlap
	})
	if len(overlaps) > 0 {
		out = append(out, metav1.Condition{
			Type: v1alpha1.ConditionOverlap, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonOverlap, Message: tell(overlaps),
		})
	}
	return out
}

// programmed tells whether every rule is in force as it is written, and which are not.
func (p *policy) programmed(inForce int) metav1.Condition {
	out := metav1.Condition{Type: v1alpha1.ConditionProgrammed, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNotAccepted}
	attached := len(p.attachedTo())
	switch {
	case len(p.draft.hosts) == 0 && attached < max(1, len(p.draft.targets)):
		out.Message = fmt.Sprintf("In force on %d of %d targets", attached, len(p.draft.targets))
	case len(p.hosts) < len(p.draft.hosts):
		out.Message = fmt.Sprintf("In force on %d of %d hosts", len(p.hosts), len(p.draft.hosts))
	case inForce < len(p.rules):
		out.Reason = v1alpha1.ReasonRulesClosed
		out.Message = fmt.Sprintf("%d of %d rules do not compile and refuse their routes: %s",
			len(p.rules)-inForce, len(p.rules), p.closedRules())
	default:
		out.Status, out.Reason, out.Message = metav1.ConditionTrue, v1alpha1.ReasonProgrammed, "Every rule is in force"
	}
	return out
}

// closedRules names the rules that do not compile.
func (p *policy) closedRules() string {
	var names []string
	for i, r := range p.rules {
		if r.closed || r.unreadable {
			names = append(names, fmt.Sprintf("%s (spec.rules[%d])", r.name, i))
		}
	}
	told := names[:min(len(names), maxTold)]
	return strings.Join(told, ", ") + more(len(names)-maxTold)
}

// attachedTo are the targets that are there.
func (p *policy) attachedTo() []ancestor {
	return slices.DeleteFunc(slices.Clone(p.ancestors), func(a ancestor) bool { return a.problem != "" })
}

func (a ancestor) condition() metav1.Condition {
	if a.problem != "" {
		return metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonTargetNotFound, Message: a.problem}
	}
	return metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted, Message: "The policy is attached"}
}
