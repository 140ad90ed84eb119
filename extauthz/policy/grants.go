package policy

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// contested owns a host that two namespaces have an equal grant for. No namespace has this name.
const contested = "\x00"

// grants are the hosts that namespaces may name.
type grants struct {
	// to are the namespaces that a host or wildcard, by its hostKey, is granted to.
	to map[string][]string
}

// newGrants reads the annotation of each Namespace. What is no host grants nothing.
func newGrants(namespaces []*corev1.Namespace) *grants {
	g := &grants{to: map[string][]string{}}
	for _, n := range namespaces {
		for text := range strings.SplitSeq(n.Annotations[v1alpha1.HostsAnnotation], ",") {
			host, err := normalizePattern(strings.TrimSpace(text))
			if key := hostKey(host); err == nil && !slices.Contains(g.to[key], n.Name) {
				g.to[key] = append(g.to[key], n.Name)
			}
		}
	}
	return g
}

// closest are the namespaces with the most specific grant that covers host; granted are all that have one.
func (g *grants) closest(host string) (closest, granted []string) {
	for key := range covering(hostKey(host)) {
		switch namespaces := g.to[key]; {
		case len(namespaces) == 0:
		case len(closest) == 0:
			closest, granted = namespaces, slices.Clip(namespaces)
		default:
			granted = append(granted, namespaces...)
		}
	}
	return closest, granted
}

// apply gives each policy the hosts that are its own, and reports the others. policies are written.
//
// A host that is granted more closely to another namespace is that one's. What lies under a wildcard that several
// namespaces have alike is shared as if there were no grants: any overlap is a conflict, which the oldest policy wins.
func (g *grants) apply(policies []*policy) {
	c := newClaims(len(policies))
	for _, p := range byAge(policies) {
		for _, h := range p.draft.hosts {
			closest, granted := g.closest(h.host)
			problem := g.refusal(h.host, p.ref.Namespace, closest, granted)
			if problem == "" && len(closest) > 1 {
				problem = c.claim(h.host, p)
			}
			if problem != "" {
				p.problems.add(h.at, SeverityError, v1alpha1.ReasonHostConflict, problem)
				continue
			}
			p.hosts = append(p.hosts, h.host)
		}
	}
}

// refusal says why a policy of the namespace may not speak for the host; empty where nothing but the same wildcard of
// another namespace stands against it.
func (g *grants) refusal(host, namespace string, closest, granted []string) string {
	command := func() string {
		return fmt.Sprintf("kubectl annotate namespace %s --overwrite %s='%s'", namespace, v1alpha1.HostsAnnotation, host)
	}
	switch {
	case !slices.Contains(granted, namespace):
		return fmt.Sprintf("%q: is not granted to namespace %q; whoever may edit Namespaces grants it, beside what stands there, with: %s", host, namespace, command())
	case !slices.Contains(closest, namespace):
		return fmt.Sprintf("%q: is granted more closely to another namespace; grant it by its exact name with: %s", host, command())
	case len(g.to[hostKey(host)]) > 1:
		return fmt.Sprintf("%q: is granted to several namespaces alike, so it is nobody's; grant it to one", host)
	}
	return ""
}

// owners are the namespaces that host is granted to most closely. A nil grants has granted nothing.
func (g *grants) owners(host string) []string {
	if g == nil {
		return nil
	}
	for key := range covering(host) {
		if namespaces := g.to[key]; len(namespaces) > 0 {
			return namespaces
		}
	}
	return nil
}

// reserves tells whether the host was granted by its exact name. A nil grants reserves nothing.
func (g *grants) reserves(host string) bool {
	return g != nil && !strings.HasPrefix(host, "*") && len(g.to[host]) > 0
}

// exact are the hosts that were granted by their exact names, each with its owner, or contested.
func (g *grants) exact() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if g == nil {
			return
		}
		for host, namespaces := range g.to {
			owner := contested
			if len(namespaces) == 1 {
				owner = namespaces[0]
			}
			if exact := host != "" && host[0] != '.'; exact && !yield(host, owner) {
				return
			}
		}
	}
}
