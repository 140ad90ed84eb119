package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// The kinds that a policy may be attached to.
const (
	kindHTTPRoute = "HTTPRoute"
	kindGRPCRoute = "GRPCRoute"
	kindGateway   = "Gateway"
	kindService   = "Service"
)

// target names an object that a policy is attached to, or a section of one.
type target struct {
	kind      string
	namespace string
	name      string
	section   string
}

// targetClaim is one entry of spec.targetRefs.
type targetClaim struct {
	target
	ref v1alpha1.TargetReference
	at  *field.Path
}

// targets reads spec.targetRefs; what they name is looked up when the policy is joined.
func (d *drafter) targets(at *field.Path) {
	for i, ref := range d.spec.TargetRefs {
		at := at.Index(i)
		c := targetClaim{target: target{ref.Kind, d.out.ref.Namespace, ref.Name, valueOr(ref.SectionName, "")}, ref: ref, at: at}
		group := gatewayv1.GroupName
		switch ref.Kind {
		case kindHTTPRoute, kindGRPCRoute, kindGateway:
		case kindService:
			group = ""
			if c.section != "" {
				d.p().invalid(at.Child("sectionName"), c.section, "a Service has no sections; leave it out")
				continue
			}
		default:
			d.p().invalid(at.Child("kind"), ref.Kind, "is not known: must be HTTPRoute, GRPCRoute, Gateway or Service")
			continue
		}
		switch {
		case ref.Group != nil && *ref.Group != group:
			d.p().invalid(at.Child("group"), *ref.Group, fmt.Sprintf("the group of a %s is %q", ref.Kind, group))
		case ref.Name == "":
			d.p().required(at.Child("name"), "name the object")
		case slices.ContainsFunc(d.out.targets, func(o targetClaim) bool { return o.target == c.target }):
			d.p().invalid(at, "", "stands here twice")
		default:
			d.out.targets = append(d.out.targets, c)
		}
	}
}

// inheritance tells whether a policy on a Gateway is asked always.
func (d *drafter) inheritance(at *field.Path) (required bool) {
	in := valueOr(d.spec.Inheritance, v1alpha1.InheritanceDefault)
	onGateway := slices.ContainsFunc(d.spec.TargetRefs, func(t v1alpha1.TargetReference) bool { return t.Kind == kindGateway })
	switch {
	case d.spec.Inheritance != nil && !onGateway:
		d.p().invalid(at, string(in), "is for a policy on a Gateway; leave it out")
	case in == v1alpha1.InheritanceRequired:
		return true
	case in != v1alpha1.InheritanceDefault:
		d.p().invalid(at, string(in), "is not known: must be Default or Required")
		return true // the stricter reading
	}
	return false
}

// attachments are the policies of each target, in order.
type attachments map[target][]*policy

// attach finds what the policies are attached to, and reports what is missing.
func attach(policies []*policy, objs *Objects) attachments {
	sections := sectionsOf(objs)
	out := attachments{}
	for _, p := range policies {
		for _, c := range p.draft.targets {
			names, there := sections[target{kind: c.kind, namespace: c.namespace, name: c.name}]
			problem := ""
			switch {
			case !there:
				problem = fmt.Sprintf("there is no %s %s/%s; create it, or mend kind and name", c.kind, c.namespace, c.name)
			case c.section != "" && !slices.Contains(names, c.section):
				problem = fmt.Sprintf("%s %s/%s has no section %q; its sections are %q", c.kind, c.namespace, c.name, c.section, names)
			}
			p.ancestors = append(p.ancestors, ancestor{c.ref, problem})
			if problem != "" {
				p.problems.add(c.at.Child("name"), SeverityError, v1alpha1.ReasonRefNotFound, problem)
				continue
			}
			out[c.target] = append(out[c.target], p)
		}
		p.early = len(p.problems.list)
	}
	return out
}

// sortProblems brings the problems of policies with what they are attached to into an order that does not depend on that
// of the objects: who has seen the report before would take another order for something new to say.
func (a attachments) sortProblems() {
	for _, policies := range a {
		for _, p := range policies {
			slices.SortFunc(p.problems.list[p.early:], func(a, b Problem) int {
				return cmp.Or(strings.Compare(a.Field, b.Field), strings.Compare(a.Message, b.Message))
			})
		}
	}
}

// ancestor is a target with what became of it.
type ancestor struct {
	ref     v1alpha1.TargetReference
	problem string
}

// sectionsOf are the objects that may be named, each with the names of its sections.
func sectionsOf(objs *Objects) map[target][]string {
	out := map[target][]string{}
	for _, s := range objs.Services {
		out[target{kind: kindService, namespace: s.Namespace, name: s.Name}] = nil
	}
	for _, g := range objs.Gateways {
		names := []string{}
		for _, l := range g.Spec.Listeners {
			names = append(names, string(l.Name))
		}
		out[target{kind: kindGateway, namespace: g.Namespace, name: g.Name}] = names
	}
	for _, r := range objs.HTTPRoutes {
		names := []string{}
		for i := range r.Spec.Rules {
			names = appendName(names, r.Spec.Rules[i].Name)
		}
		out[target{kind: kindHTTPRoute, namespace: r.Namespace, name: r.Name}] = names
	}
	for _, r := range objs.GRPCRoutes {
		names := []string{}
		for i := range r.Spec.Rules {
			names = appendName(names, r.Spec.Rules[i].Name)
		}
		out[target{kind: kindGRPCRoute, namespace: r.Namespace, name: r.Name}] = names
	}
	return out
}

func appendName(names []string, n *gatewayv1.SectionName) []string {
	if n == nil {
		return names
	}
	return append(names, string(*n))
}

// of are the policies of an object, and of one section of it, in their order.
func (a attachments) of(t target) []*policy {
	whole := t
	whole.section = ""
	list := slices.Clone(a[whole])
	if t.section != "" {
		for _, p := range a[t] {
			if !slices.Contains(list, p) {
				list = append(list, p)
			}
		}
	}
	slices.SortFunc(list, func(a, b *policy) int { return a.compare(b) })
	return list
}

// tablesOf builds the tables of policies that are attached to one place; the zero hostTables where there are none.
func tablesOf(policies []*policy) hostTables {
	if len(policies) == 0 {
		return hostTables{}
	}
	out := newHostTables(policies)
	out.namespace = policies[0].ref.Namespace
	return out
}
