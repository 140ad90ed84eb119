package policy

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

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
	// namespace that the host, or what the policies are attached to, belongs to.
	namespace string
	// reserved: the host was granted by its exact name; no other namespace's wildcard speaks for it, even where there is
	// no policy.
	reserved bool
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

// named are the tables of just that host or wildcard.
func (x *hostIndex) named(host string) hostTables {
	switch {
	case host == "*":
		return x.any
	case strings.HasPrefix(host, "*."):
		return x.wild[host[1:]]
	}
	return x.exact[host]
}

// clone is an index that can be written.
func (x *hostIndex) clone() hostIndex {
	return hostIndex{maps.Clone(x.exact), maps.Clone(x.wild), x.any}
}

// lookup returns the table for a host of a request, or nil. Without all, hosts whose policies are all DryRun do not
// count: they change no verdict. from is 0, or the next of an earlier lookup, for the table of the next wider host.
func (x *hostIndex) lookup(host string, all bool, from int) (t *table, next int) {
	exact := x.exact[host]
	if from == 0 {
		if t := exact.of(all); t != nil {
			return t, 1
		}
		from = 1
	}
	for i := from - 1; i < len(host); i++ {
		if host[i] != '.' {
			continue
		}
		if t := exact.inherits(x.wild[host[i:]], all); t != nil {
			return t, i + 2
		}
	}
	if from > len(host)+1 {
		return nil, from
	}
	return exact.inherits(x.any, all), len(host) + 2
}

// inherits is the table of a wildcard for the host t; nil where that is reserved to another namespace.
func (t hostTables) inherits(wildcard hostTables, all bool) *table {
	if t.reserved && t.namespace != wildcard.namespace {
		return nil
	}
	return wildcard.of(all)
}

// table is that of the host of req, or nil. What lands on no rule of a table that is open is for the next wider host:
// the policies of this one are tried out, and take it from none.
func (x *hostIndex) table(req *Request, all bool) *table {
	t, next := x.lookup(req.host, all, 0)
	for !all && t != nil && t.open && t.passesOver(req) {
		var wider *table
		if wider, next = x.lookup(req.host, false, next); wider == nil {
			break
		}
		t = wider
	}
	return t
}

// passesOver tells whether req lands on no rule of a table that is open.
func (t *table) passesOver(req *Request) bool {
	c := Candidate{req: req}
	c.add(t, nil, &room{})
	return c.reason == ReasonDryRun
}

// claims resolves who may speak for which host, where grants do not say it: between namespaces, any overlap is a conflict,
// which the oldest policy wins. Hosts are known by their keys, see hostKey.
type claims struct {
	// owner of each accepted host; wild of each wildcard, which are few, so that looking through them is cheap.
	owner, wild map[string]string
	// below are the first two namespaces that have a host, or one under a wildcard: of these, one is another than any
	// given one.
	below map[string][]string
}

// ownHosts gives each policy the hosts that are its own, and reports the others. policies are written.
func ownHosts(policies []*policy) {
	c := newClaims(len(policies))
	for _, p := range byAge(policies) {
		for _, h := range p.draft.hosts {
			if problem := c.claim(h.host, p); problem != "" {
				p.problems.add(h.at, SeverityError, v1alpha1.ReasonHostConflict, problem)
				continue
			}
			p.hosts = append(p.hosts, h.host)
		}
	}
}

func newClaims(hosts int) *claims {
	return &claims{owner: make(map[string]string, hosts), wild: map[string]string{}, below: map[string][]string{}}
}

// byAge is the order in which policies, which are in order, claim hosts. Whoever enforces more goes before the older: a
// policy that is tried out takes no host from one that is enforced.
func byAge(policies []*policy) []*policy {
	type aged struct {
		trial   int
		created time.Time
		order   int
	}
	list := make([]aged, len(policies))
	for i, p := range policies {
		list[i] = aged{p.trial(), p.created, i}
	}
	slices.SortFunc(list, func(a, b aged) int {
		return cmp.Or(cmp.Compare(a.trial, b.trial), a.created.Compare(b.created), cmp.Compare(a.order, b.order))
	})
	out := make([]*policy, len(list))
	for i, a := range list {
		out[i] = policies[a.order]
	}
	return out
}

// claim takes the host for the policy's namespace, or says why another one keeps it.
func (c *claims) claim(host string, p *policy) (problem string) {
	key, ns := hostKey(host), p.ref.Namespace
	other, taken := c.conflict(key, ns)
	if !taken {
		c.accept(key, ns)
		return ""
	}
	which := "an older"
	if p.trial() > 0 {
		which = "an enforced or older"
	}
	return fmt.Sprintf("%q: namespace %q has %s policy for this host, or for one that overlaps it, and keeps it; agree on one namespace for the host", host, other, which)
}

// conflict finds a namespace other than ns that has a host overlapping that of key.
func (c *claims) conflict(key, ns string) (string, bool) {
	if owner, ok := c.owner[key]; ok && owner != ns {
		return owner, true
	}
	for k := range covering(key) {
		if owner, ok := c.wild[k]; ok && owner != ns {
			return owner, true
		}
	}
	for _, other := range c.below[key] {
		if other != ns {
			return other, true
		}
	}
	return "", false
}

func (c *claims) accept(key, ns string) {
	if isWildcard := key == "" || key[0] == '.'; isWildcard {
		c.wild[key] = ns
	} else {
		c.owner[key] = ns
	}
	for k := range covering(key) {
		if known := c.below[k]; len(known) < 2 && !slices.Contains(known, ns) {
			c.below[k] = append(known, ns)
		}
	}
}

// hostKey is a host; of a wildcard the suffix, with the dot in front, which is empty for "*".
func hostKey(host string) string { return strings.TrimPrefix(host, "*") }

// covering are key itself and the keys of all wildcards that cover it, from the closest to "*".
func covering(key string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(key) || key == "" {
			return
		}
		for i := 1; i < len(key); i++ {
			if key[i] == '.' && !yield(key[i:]) {
				return
			}
		}
		yield("")
	}
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
