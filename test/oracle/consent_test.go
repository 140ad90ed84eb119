package oracle

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// hosts are the policies that name the host of q, by host as they write it: the exact one, the longest wildcard, and so
// on to "*". Policies of one namespace share a host. A host that is granted by its exact name is that namespace's, with a
// policy or without.
func (w *world) hosts(p place, q *question) (out [][]*v1alpha1.AuthPolicy) {
	if !p.byHost {
		return nil
	}
	host, owners := plain(q.host), w.owners()
	grant, holders := w.closestGrant(host)
	var names []string
	for h, policies := range owners {
		ns := policies[0].Namespace
		reserved := w.grants && grant == host && (len(holders) > 1 || holders[0] != ns)
		if covers(h, host) && !reserved && (p.namespace == "" || ns == p.namespace) {
			names = append(names, h)
		}
	}
	slices.SortFunc(names, closer)
	for _, h := range names {
		out = append(out, owners[h])
	}
	return out
}

// plain is a host in lower case without its port and its final dot.
func plain(host string) string {
	host, _, _ = strings.Cut(host, ":")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// covers tells whether every host of b is one of a.
func covers(a, b string) bool {
	return a == b || a == "*" || strings.HasPrefix(a, "*.") && strings.HasSuffix(b, a[1:])
}

// closer sorts exact names before wildcards, and longer ones before shorter.
func closer(a, b string) int {
	return cmp.Or(cmp.Compare(strings.Count(a, "*"), strings.Count(b, "*")), cmp.Compare(len(b), len(a)))
}

// owners are the policies by the hosts that they name and that are theirs. A host, or a wildcard, belongs to who has the
// closest grant of it; a name that is granted to several is nobody's. What lies under a wildcard that several
// have, and everything where there are no grants, is shared by overlap: whoever enforces more, and then the older, keeps it.
func (w *world) owners() map[string][]*v1alpha1.AuthPolicy {
	order := w.sorted()
	slices.SortStableFunc(order, func(a, b *v1alpha1.AuthPolicy) int {
		return cmp.Or(cmp.Compare(w.tier(a), w.tier(b)), a.CreationTimestamp.Compare(b.CreationTimestamp.Time))
	})
	kept := map[string]string{} // namespace by host
	for _, p := range order {
		for _, h := range p.Spec.Hosts {
			if h = plain(h); w.mayName(p.Namespace, h) && !w.lost(p.Namespace, h, kept) {
				kept[h] = p.Namespace
			}
		}
	}
	out := map[string][]*v1alpha1.AuthPolicy{}
	for _, p := range w.sorted() {
		for _, h := range p.Spec.Hosts {
			if h = plain(h); kept[h] == p.Namespace {
				out[h] = append(out[h], p)
			}
		}
	}
	return out
}

// mayName tells whether a namespace has the closest grant of a host, and one of this very name alone.
func (w *world) mayName(namespace, host string) bool {
	grant, holders := w.closestGrant(host)
	return !w.grants || slices.Contains(holders, namespace) && (len(holders) == 1 || grant != host)
}

// lost tells whether another namespace has kept what overlaps with a host, by the same grant.
func (w *world) lost(namespace, host string, kept map[string]string) bool {
	grant, _ := w.closestGrant(host)
	for other, ns := range kept {
		same, _ := w.closestGrant(other)
		if ns != namespace && (covers(host, other) || covers(other, host)) && (!w.grants || same == grant) {
			return true
		}
	}
	return false
}

// tier of a policy: enforced, with a rule that is, or only tried out. DryRun takes no host away.
func (w *world) tier(p *v1alpha1.AuthPolicy) int {
	switch {
	case !w.tried(p):
		return 0
	case view{w, false}.speaks(p):
		return 1
	}
	return 2
}

// closestGrant is the closest grant that covers a host or a wildcard, and the namespaces that have it.
func (w *world) closestGrant(name string) (grant string, holders []string) {
	for _, ns := range w.namespaces {
		for h := range strings.SplitSeq(ns.Annotations["sallyport.dev/hosts"], ",") {
			switch h = plain(strings.TrimSpace(h)); {
			case !covers(h, name):
			case grant == "" || closer(h, grant) < 0:
				grant, holders = h, []string{ns.Name}
			case h == grant && !slices.Contains(holders, ns.Name):
				holders = append(holders, ns.Name)
			}
		}
	}
	return grant, holders
}
