package policy

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// report says what there is to say of each object.
func report(policies []*policy, providers []*provider) Report {
	var r Report
	for _, p := range policies {
		o := ObjectReport{ObjectRef: p.ref, Problems: p.problems.list, Hosts: p.hosts}
		for _, rule := range p.rules {
			if !rule.closed && !rule.unreadable {
				o.Rules++
			}
		}
		o.Conditions = policyConditions(p, int(o.Rules))
		for _, a := range p.ancestors {
			o.Ancestors = append(o.Ancestors, v1alpha1.AncestorStatus{AncestorRef: a.ref, Conditions: []metav1.Condition{a.condition()}})
		}
		r.Objects = append(r.Objects, o)
	}
	for _, p := range providers {
		o := ObjectReport{ObjectRef: p.ref, Problems: p.problems.list}
		o.Conditions = []metav1.Condition{acceptedCondition(p.problems.list)}
		r.Objects = append(r.Objects, o)
	}
	slices.SortFunc(r.Objects, func(a, b ObjectReport) int { return compareRefs(a.ObjectRef, b.ObjectRef) })
	return r
}
