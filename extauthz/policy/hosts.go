package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// hostIndex finds what is known of a host: exact first, then the longest wildcard, then "*".
type hostIndex struct {
	exact map[string]hostTables
	// wild by suffix, with the dot in front.
	wild map[string]hostTables
	any  hostTables
}

// hostTables are the rules of one host, as policies name it.
type hostTables struct {
	// enforced holds the rules that decide; nil where every policy of the host is DryRun.
	enforced *table
	// all holds the DryRun rules too; the same as enforced where there are none.
	all *table
}

// of is one of the two tables.
func (t hostTables) of(all bool) *table {
	if all {
		return t.all
	}
	return t.enforced
}

func (x *hostIndex) set(host string, t hostTables) {
	switch {
	case host == "*":
		x.any = t
	case strings.HasPrefix(host, "*."):
		if x.wild == nil {
			x.wild = map[string]hostTables{}
		}
		x.wild[host[1:]] = t
	default:
		if x.exact == nil {
			x.exact = map[string]hostTables{}
		}
		x.exact[host] = t
	}
}

// lookup returns the table for a host of a request, or nil. Without all, hosts whose policies are all DryRun do not
// count: they change no verdict. from is 0, or the next of an earlier lookup, for the table of the next wider host.
func (x *hostIndex) lookup(host string, all bool, from int) (t *table, next int) {
	if from == 0 {
		if t := x.exact[host].of(all); t != nil {
			return t, 1
		}
		from = 1
	}
	if len(x.wild) > 0 && !strings.HasPrefix(host, "[") {
		for i := from - 1; i < len(host); i++ {
			if host[i] != '.' {
				continue
			}
			if t := x.wild[host[i:]].of(all); t != nil {
				return t, i + 2
			}
		}
	}
	if from > len(host)+1 {
		return nil, from
	}
	return x.any.of(all), len(host) + 2
}

// land finds the rules that decide on req, and the table that they are of; nil where there is none. What lands on no
// rule of a table that is open is for the next wider host: the policies of this one are tried out, and take it from none.
func (x *hostIndex) land(req *Request) (c Candidate, t *table) {
	segs := req.segs[:0]
	for wider, next := x.lookup(req.host, false, 0); wider != nil; wider, next = x.lookup(req.host, false, next) {
		t = wider
		if c = t.land(req, segs, &req.rooms[0]); c.reason != ReasonDryRun {
			break
		}
		segs = nil
	}
	return c, t
}

// claims resolves who may speak for which host, where no grants say it: between namespaces, any overlap is a conflict,
// which the oldest policy wins.
type claims struct {
	// owner of each accepted host, by namespace.
	owner map[string]string
	// below are the namespaces that have a host under a suffix, with the dot in front; "" is every host.
	below map[string][]string
}

// grantHosts gives each policy the hosts that are its own, and reports the others. policies are written. Whoever enforces
// more goes before the older: a policy that is tried out takes no host from one that is enforced.
func grantHosts(policies []*policy) {
	byAge := slices.Clone(policies)
	slices.SortStableFunc(byAge, func(a, b *policy) int {
		return cmp.Or(cmp.Compare(a.trial(), b.trial()), a.created.Compare(b.created), a.compare(b))
	})
	c := claims{owner: map[string]string{}, below: map[string][]string{}}
	for _, p := range byAge {
		for _, h := range p.draft.hosts {
			if other, ok := c.conflict(h.host, p.ref.Namespace); ok {
				which := "an older"
				if p.trial() > 0 {
					which = "an enforced or older"
				}
				p.problems.add(h.at, SeverityError, v1alpha1.ReasonHostConflict,
					fmt.Sprintf("%q: namespace %q has %s policy for this host, or for one that overlaps it, and keeps it; agree on one namespace for the host", h.host, other, which))
				continue
			}
			c.accept(h.host, p.ref.Namespace)
			p.hosts = append(p.hosts, h.host)
		}
	}
}

// conflict finds a namespace other than ns that has a host overlapping host.
func (c *claims) conflict(host, ns string) (string, bool) {
	for _, k := range append(suffixes(host), "*") {
		if owner, ok := c.owner[k]; ok && owner != ns {
			return owner, true
		}
	}
	under := ""
	switch {
	case strings.HasPrefix(host, "*."):
		under = host[1:]
	case host != "*":
		return "", false
	}
	for _, other := range c.below[under] {
		if other != ns {
			return other, true
		}
	}
	return "", false
}

func (c *claims) accept(host, ns string) {
	c.owner[host] = ns
	for _, k := range append(suffixes(host), "*") {
		suffix := strings.TrimPrefix(k, "*")
		if k != host && !slices.Contains(c.below[suffix], ns) {
			c.below[suffix] = append(c.below[suffix], ns)
		}
	}
}

// suffixes are host itself and every wildcard that matches it, "*" apart.
func suffixes(host string) []string {
	out := []string{host}
	rest := strings.TrimPrefix(host, "*.")
	for i := 0; i < len(rest); i++ {
		if rest[i] == '.' {
			out = append(out, "*"+rest[i:])
		}
	}
	return out
}
