package policy

import (
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// report says what there is to say of each object. policies and providers are in order, and AuthPolicy is the first of
// their kinds.
func report(policies []*policy, providers []*provider) Report {
	r := Report{Objects: make([]*ObjectReport, len(policies), len(policies)+len(providers))}
	inParallel(len(policies), func(i int) { r.Objects[i] = policies[i].kept.reportOf(policies[i]) })
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

// equal tells whether the same became of the target.
func (a ancestor) equal(o ancestor) bool { return reflect.DeepEqual(a, o) }
