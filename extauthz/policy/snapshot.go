package policy

import (
	"slices"

	"github.com/sallyport/sallyport/extauthz/token"
)

// Snapshot is the set of rules that is in force. It is immutable and safe for concurrent use. The nil Snapshot means
// not ready.
type Snapshot struct {
	opts      Options
	providers []*token.Provider
	stats     Stats
	identity  []string
	// hosts of all namespaces, and of each.
	hosts      hostIndex
	namespaces map[string]*hostIndex
}

// Stats count what a snapshot holds.
type Stats struct {
	Policies, DryRunPolicies, Rules, Hosts, Providers int
}

// Stats of the snapshot.
func (s *Snapshot) Stats() Stats { return s.stats }

// Providers are those that compile, in the order of their names. The slice belongs to the snapshot.
func (s *Snapshot) Providers() []*token.Provider { return s.providers }

// DryRun tells whether the operator made every policy DryRun: nothing may be refused then.
func (s *Snapshot) DryRun() bool { return s.opts.DryRun }

// IdentityHeaders are the names that any policy sets under upstream, with their spellings, lower case and sorted: what
// to take out of a request of which nothing else is known, where it must pass. The slice belongs to the snapshot.
func (s *Snapshot) IdentityHeaders() []string { return s.identity }

// index builds the tables of all hosts. policies are in order, and get the problems of hosts that they share.
func (s *Snapshot) index(policies []*policy) {
	byHost := map[string][]*policy{}
	var hosts []string
	for _, p := range policies {
		for _, h := range p.hosts {
			if byHost[h] == nil {
				hosts = append(hosts, h)
			}
			byHost[h] = append(byHost[h], p)
		}
	}
	s.namespaces = map[string]*hostIndex{}
	// Hosts of one policy alone share its tables.
	alone := map[*policy]hostTables{}
	for _, h := range hosts {
		list := byHost[h]
		tables, known := alone[list[0]]
		if len(list) > 1 || !known {
			tables = newHostTables(list)
			reportHost(h, list, tables.all)
		}
		if len(list) == 1 {
			alone[list[0]] = tables
		}
		s.set(h, list[0].ref.Namespace, tables)
	}
	s.stats.Hosts = len(hosts)
}

func (s *Snapshot) set(host, namespace string, t hostTables) {
	s.hosts.set(host, t)
	ns := s.namespaces[namespace]
	if ns == nil {
		ns = &hostIndex{}
		s.namespaces[namespace] = ns
	}
	ns.set(host, t)
}

// scope is what a proxy may be judged by; nil where there is nothing.
func (s *Snapshot) scope(sc Scope) *hostIndex {
	switch sc.Kind {
	case ScopeNone, ScopeGateway:
		return &s.hosts
	case ScopeNamespace:
		return s.namespaces[sc.Namespace]
	}
	return nil // a Service has the policies that name it, and none does yet
}

// Lookup says where req lands. It is pure; req is written, and belongs to the landing.
func (s *Snapshot) Lookup(req *Request) Landing {
	l := Landing{req: req, snapshot: s}
	var enforced, all *table
	if x := s.scope(req.in.Scope); x != nil {
		l.Enforced, enforced = x.land(req)
		all, _ = x.lookup(req.host, true, 0)
	}
	l.enforced, l.all = enforced, all
	switch {
	case enforced != nil:
	case all != nil || s.opts.DryRun:
		l.Enforced = Candidate{reason: ReasonDryRun, allow: true}
	default:
		l.Enforced = Candidate{reason: ReasonNoPolicy}
	}
	switch {
	case all == nil:
		if s.opts.DryRun {
			l.DryRun = Candidate{reason: ReasonNoPolicy}
		}
	case all != enforced:
		l.DryRun = all.land(req, nil, &req.rooms[1])
		if enforced != nil && !l.DryRun.dry() && !l.DryRun.differs(&l.Enforced) {
			l.DryRun = Candidate{}
		}
	}
	return l
}

// land finds the rules of the table on which req lands.
func (t *table) land(req *Request, segs []string, room *room) Candidate {
	c := Candidate{req: req, table: t}
	p, ok := splitPath(req.path, t.paths, segs)
	if !ok {
		c.reason = ReasonAmbiguousRequest
		return c
	}
	if t.closed != nil {
		c.reason, c.closedBy = ReasonNotCompiled, t.closed
		return c
	}
	room.path = p
	c.path = &room.path
	if req.announced != "" && t.preflight {
		if c.hits, c.reason = t.pick(req, c.path, req.announced, room.hits[:0]); c.reason == "" && c.allPreflight() {
			c.preflight = true
			return c
		}
	}
	c.hits, c.reason = t.pick(req, c.path, req.in.Method, room.hits[:0])
	if c.reason == ReasonNoRule && t.open {
		c.reason, c.allow = ReasonDryRun, true
	}
	return c
}

// maxFound bounds the patterns of one host that match one path. They are compared pair by pair, and only hundreds of
// templates that cannot be told apart by specificity come near it; a request to such a path is refused, so that one host
// cannot take the time of all.
const maxFound = 128

// pick finds the rules that decide, in the order of their policies. The Reason says why there are none. In a table that
// is open, patterns and readings without a rule that fits ask for nothing; in any other they refuse.
func (t *table) pick(req *Request, p *path, method string, hits []hit) ([]hit, Reason) {
	found := t.tree.root.collect(p.segs, req.found[:0])
	if len(found) > maxFound {
		return nil, ReasonNotCompiled
	}
	if t.open {
		found = slices.DeleteFunc(found, func(f terminal) bool {
			_, reason := pickEntries(f.at.entries[f.end], req, method, nil)
			return reason == ReasonNoRule
		})
	}
	readings := []reading{readWithout, readWith}
	if !p.slash {
		readings = readings[:1]
	}
	for _, r := range readings {
		before := len(hits)
		decided := false
		for i := range found {
			if !decides(found, i, r, p.slash, len(p.segs)) {
				continue
			}
			decided = true
			var reason Reason
			if hits, reason = pickEntries(found[i].at.entries[found[i].end], req, method, hits); reason != "" {
				return nil, reason
			}
		}
		if !decided && !t.open {
			return nil, ReasonNoRule
		}
		hits = dropRepeated(hits, before)
	}
	if len(hits) == 0 {
		return nil, ReasonNoRule
	}
	if len(hits) > 1 {
		slices.SortStableFunc(hits, func(a, b hit) int { return compareRules(a.rule, b.rule) })
	}
	return hits, ""
}

// pickEntries appends the entries of one pattern that decide: of those that fit, the ones of highest rank, and of these
// the first of each policy.
func pickEntries(entries []entry, req *Request, method string, hits []hit) ([]hit, Reason) {
	before := len(hits)
	var rank uint32
	for i := range entries {
		e := &entries[i]
		if len(hits) > before && (e.match.rank != rank || hits[len(hits)-1].rule.policy == e.rule.policy) {
			if e.match.rank != rank {
				break
			}
			continue
		}
		fits, ambiguous := e.match.fits(req, method)
		if ambiguous {
			return nil, ReasonAmbiguousRequest
		}
		if fits {
			rank = e.match.rank
			hits = append(hits, hit{e.rule, e.match})
		}
	}
	if len(hits) == before {
		return nil, ReasonNoRule
	}
	return hits, ""
}

// dropRepeated removes hits from index on that stand before it too: both readings of a path often agree.
func dropRepeated(hits []hit, from int) []hit {
	out := hits[:from]
	for _, h := range hits[from:] {
		if !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return out
}
