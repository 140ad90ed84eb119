package oracle

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// hosts are the policies that name the host of q, by host as they write it: the exact one, the longest wildcard, and so
// on to "*". Policies of one namespace share a host; between namespaces one owns it.
func (v view) hosts(p place, q *question) (out [][]*v1alpha1.AuthPolicy) {
	if !p.byHost {
		return nil
	}
	host := plain(q.host)
	owners := v.oldest()
	if v.grants {
		owners = v.granted(host)
	}
	var names []string
	for h, policies := range owners {
		if covers(h, host) && (p.namespace == "" || policies[0].Namespace == p.namespace) {
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

// oldest are the owners by host where there are no grants: whoever enforces more, and then the older, keeps what overlaps.
func (w *world) oldest() map[string][]*v1alpha1.AuthPolicy {
	tier := func(p *v1alpha1.AuthPolicy) int {
		switch {
		case !w.tried(p):
			return 0
		case view{w, false}.speaks(p):
			return 1
		}
		return 2
	}
	order := w.sorted()
	slices.SortStableFunc(order, func(a, b *v1alpha1.AuthPolicy) int {
		return cmp.Or(cmp.Compare(tier(a), tier(b)), a.CreationTimestamp.Compare(b.CreationTimestamp.Time))
	})
	kept := map[string]string{} // namespace by host
	owns := func(p *v1alpha1.AuthPolicy, h string) bool {
		for other, ns := range kept {
			if ns != p.Namespace && (covers(h, other) || covers(other, h)) {
				return false
			}
		}
		return true
	}
	for _, p := range order {
		for _, h := range p.Spec.Hosts {
			if owns(p, plain(h)) {
				kept[plain(h)] = p.Namespace
			}
		}
	}
	return w.naming(func(p *v1alpha1.AuthPolicy, h string) bool { return kept[h] == p.Namespace })
}

// naming are the policies by the hosts that they name and that are theirs.
func (w *world) naming(theirs func(p *v1alpha1.AuthPolicy, h string) bool) map[string][]*v1alpha1.AuthPolicy {
	out := map[string][]*v1alpha1.AuthPolicy{}
	for _, p := range w.sorted() {
		for _, h := range p.Spec.Hosts {
			if theirs(p, plain(h)) {
				out[plain(h)] = append(out[plain(h)], p)
			}
		}
	}
	return out
}

// granted are the owners of a host where there are grants: policies of the namespace that has the closest one, in force
// on what is granted to it. An exact grant of two is nobody's; a wildcard of two is that one's which names the host.
func (v view) granted(host string) map[string][]*v1alpha1.AuthPolicy {
	grants := map[string][]string{} // hosts by namespace
	var closest string
	for _, ns := range v.namespaces {
		for h := range strings.SplitSeq(ns.Annotations["sallyport.dev/hosts"], ",") {
			h = plain(strings.TrimSpace(h))
			grants[ns.Name] = append(grants[ns.Name], h)
			if covers(h, host) && (closest == "" || closer(h, closest) < 0) {
				closest = h
			}
		}
	}
	theirs := func(p *v1alpha1.AuthPolicy, h string) bool {
		return slices.Contains(grants[p.Namespace], closest) && covers(h, host) &&
			slices.ContainsFunc(grants[p.Namespace], func(g string) bool { return covers(g, h) })
	}
	holders := 0
	for _, hosts := range grants {
		if slices.Contains(hosts, closest) {
			holders++
		}
	}
	if holders > 1 && !strings.HasPrefix(closest, "*") {
		return nil
	}
	out := v.naming(theirs)
	// Whoever only tries out takes nothing from one that enforces.
	for _, say := range []func(*v1alpha1.AuthPolicy) bool{func(p *v1alpha1.AuthPolicy) bool { return !v.tried(p) }, view{v.world, false}.speaks, view{v.world, true}.speaks} {
		namespaces := map[string]bool{}
		for _, policies := range out {
			for _, p := range policies {
				if say(p) {
					namespaces[p.Namespace] = true
				}
			}
		}
		if len(namespaces) > 1 {
			return nil
		}
		if len(namespaces) == 1 {
			return v.naming(func(p *v1alpha1.AuthPolicy, h string) bool { return theirs(p, h) && namespaces[p.Namespace] })
		}
	}
	return nil
}
