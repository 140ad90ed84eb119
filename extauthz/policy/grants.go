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
	// byHost are the namespaces that a host or wildcard is granted to.
	byHost map[string][]string
}

// newGrants reads the annotation of each Namespace. What is no host grants nothing.
func newGrants(namespaces []*corev1.Namespace) *grants {
	g := &grants{byHost: map[string][]string{}}
	for _, n := range namespaces {
		for text := range strings.SplitSeq(n.Annotations[v1alpha1.HostsAnnotation], ",") {
			host, err := normalizePattern(strings.TrimSpace(text))
			if err == nil && !slices.Contains(g.byHost[host], n.Name) {
				g.byHost[host] = append(g.byHost[host], n.Name)
			}
		}
	}
	return g
}

// owner is the namespace with the most specific grant that covers host, or contested; granted are all that have one.
func (g *grants) owner(host string) (owner string, granted []string) {
	for _, k := range append(suffixes(host), "*") {
		namespaces := g.byHost[k]
		switch {
		case owner == "" && len(namespaces) == 1:
			owner = namespaces[0]
		case owner == "" && len(namespaces) > 1:
			owner = contested
		}
		granted = append(granted, namespaces...)
	}
	return owner, granted
}

// apply gives each policy the hosts that are its own, and reports the others. policies are written.
//
// A host that is granted more closely to another namespace is that one's. Where the closest grant is a wildcard that
// several namespaces have, the host is the one's that names it, and nobody's where several do.
func (g *grants) apply(policies []*policy) {
	named := map[string][]string{} // by host, the namespaces whose policies name it with a grant
	for _, p := range policies {
		for _, h := range p.draft.hosts {
			if ns := p.ref.Namespace; g.covers(h.host, ns) && !slices.Contains(named[h.host], ns) {
				named[h.host] = append(named[h.host], ns)
			}
		}
	}
	for _, p := range policies {
		for _, h := range p.draft.hosts {
			if problem := g.refusal(h.host, p.ref.Namespace, named[h.host]); problem != "" {
				p.problems.add(h.at, SeverityError, v1alpha1.ReasonHostConflict, problem)
				continue
			}
			p.hosts = append(p.hosts, h.host)
		}
	}
}

// covers tells whether a grant of the namespace covers the host.
func (g *grants) covers(host, namespace string) bool {
	_, granted := g.owner(host)
	return slices.Contains(granted, namespace)
}

// refusal says why a policy of the namespace may not speak for the host; empty where it may. named are the namespaces
// that name it.
func (g *grants) refusal(host, namespace string, named []string) string {
	owner, granted := g.owner(host)
	command := fmt.Sprintf("kubectl annotate namespace %s --overwrite %s='%s'", namespace, v1alpha1.HostsAnnotation, host)
	switch {
	case !slices.Contains(granted, namespace):
		return fmt.Sprintf("%q: is not granted to namespace %q; whoever may edit Namespaces grants it, beside what stands there, with: %s", host, namespace, command)
	case owner == namespace:
		return ""
	case owner != contested:
		return fmt.Sprintf("%q: is granted more closely to another namespace; grant it by its exact name with: %s", host, command)
	case len(g.byHost[host]) > 1:
		return fmt.Sprintf("%q: is granted to several namespaces alike, so it is nobody's; grant it to one", host)
	case len(named) > 1:
		return fmt.Sprintf("%q: several namespaces name it with the same wildcard grant, so it is nobody's; grant it to one by its exact name", host)
	}
	return ""
}

// reserves tells whether the host was granted by its exact name. A nil grants reserves nothing.
func (g *grants) reserves(host string) bool {
	return g != nil && !strings.HasPrefix(host, "*") && len(g.byHost[host]) > 0
}

// exact are the hosts that were granted by their exact names, each with its owner, or contested.
func (g *grants) exact() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if g == nil {
			return
		}
		for host := range g.byHost {
			owner, _ := g.owner(host)
			if g.reserves(host) && !yield(host, owner) {
				return
			}
		}
	}
}
