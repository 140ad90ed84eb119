package policy

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sallyport/sallyport/extauthz/token"
)

// Snapshot is the set of rules that is in force. It is immutable and safe for concurrent use. The nil Snapshot means
// not ready.
type Snapshot struct {
	opts      Options
	providers []*token.Provider
	lookups   []*token.Lookup
	stats     Stats
	identity  []string
	// hosts of all namespaces, and of each.
	hosts      hostIndex
	namespaces map[string]*hostIndex
	// granted are the hosts that namespaces were granted; nil where nothing is granted.
	granted *grants
	// services and gateways that policies are attached to, directly or through routes.
	services     map[types.NamespacedName]*service
	gateways     map[types.NamespacedName]*gateway
	gatewayOrder []*gateway
}

// Stats count what a snapshot holds.
type Stats struct {
	Policies, DryRunPolicies, Rules, Hosts, Providers int
}

// Stats of the snapshot.
func (s *Snapshot) Stats() Stats { return s.stats }

// Providers are those that compile, in the order of their names. The slice belongs to the snapshot.
func (s *Snapshot) Providers() []*token.Provider { return s.providers }

// Lookups are what rules may have fetched. The slice belongs to the snapshot.
func (s *Snapshot) Lookups() []*token.Lookup { return s.lookups }

// DryRun tells whether the operator made every policy DryRun: nothing may be refused then.
func (s *Snapshot) DryRun() bool { return s.opts.DryRun }

// IdentityHeaders are the names that any policy sets under upstream, with their spellings, lower case and sorted: what
// to take out of a request of which nothing else is known, where it must pass. The slice belongs to the snapshot.
func (s *Snapshot) IdentityHeaders() []string { return s.identity }

// Lookup says where req lands. It is pure; req is written, and belongs to the landing.
func (s *Snapshot) Lookup(req *Request) Landing {
	l := Landing{req: req, snapshot: s}
	l.enforced = s.tables(req, false, req.rooms[0].tables[:0])
	l.all = s.tables(req, true, req.rooms[1].tables[:0])
	switch {
	case len(l.enforced) > 0:
		l.Enforced = land(req, l.enforced, req.segs[:0], &req.rooms[0])
	case len(l.all) > 0 || s.opts.DryRun:
		l.Enforced = Candidate{reason: ReasonDryRun, allow: true}
	default:
		l.Enforced = Candidate{reason: ReasonNoPolicy}
	}
	switch {
	case len(l.all) == 0:
		if s.opts.DryRun {
			l.DryRun = Candidate{reason: ReasonNoPolicy}
		}
	case !slices.Equal(l.all, l.enforced):
		l.DryRun = land(req, l.all, nil, &req.rooms[1])
		if !l.DryRun.differs(&l.Enforced) {
			l.DryRun = Candidate{}
		}
	}
	return l
}

// land finds the rules of all tables on which req lands.
func land(req *Request, tables []*table, segs []string, room *room) Candidate {
	c := Candidate{req: req, tables: tables, hits: room.hits[:0]}
	for _, t := range tables {
		if c.add(t, segs, room); c.reason != "" && !c.allow {
			c.hits = nil
			return c
		}
	}
	if len(c.hits) > 0 {
		c.reason, c.allow = "", false
	}
	slices.SortStableFunc(c.hits, func(a, b hit) int { return compareRules(a.rule, b.rule) })
	return c
}

// add finds the rules of one more table, or sets the reason why there are none.
func (c *Candidate) add(t *table, segs []string, room *room) {
	if t.deny != "" {
		c.refuse(t.deny)
		return
	}
	p := c.read(t.paths, segs, room)
	switch {
	case p == nil:
		c.refuse(ReasonAmbiguousRequest)
		return
	case t.closed != nil:
		c.refuse(ReasonNotCompiled)
		c.closedBy = t.closed
		return
	}
	before := len(c.hits)
	if c.req.announced != "" && t.preflight {
		hits, reason := t.pick(c.req, p, c.req.announced, c.hits)
		if reason == "" && allPreflight(hits[before:]) {
			c.hits = hits
			for i := range hits[before:] {
				hits[before+i].preflight = true
			}
			return
		}
	}
	hits, reason := t.pick(c.req, p, c.req.in.Method, c.hits[:before])
	switch {
	case reason == ReasonNoRule && t.open:
		c.reason, c.allow = ReasonDryRun, true
	case reason != "":
		c.refuse(reason)
	default:
		c.hits = hits
	}
}

func (c *Candidate) refuse(r Reason) { c.reason, c.allow = r, false }

// read is the path of the request under o; nil where it can be read in two ways.
func (c *Candidate) read(o pathOptions, segs []string, room *room) *path {
	if room.path.segs != nil && room.path.options == o {
		return &room.path
	}
	p, ok := splitPath(c.req.path, o, segs)
	if !ok {
		return nil
	}
	p.options = o
	if room.path.segs == nil {
		if room.path = p; p.segs == nil {
			room.path.segs = []string{}
		}
		return &room.path
	}
	own := p // the tables of this request read paths in different ways
	own.segs = slices.Clone(p.segs)
	return &own
}

// maxFound bounds the patterns of one host that match one path. They are compared pair by pair, and only hundreds of
// templates that cannot be told apart by specificity come near it; a request to such a path is refused, so that one host
// cannot take the time of all.
const maxFound = 128

// pick appends the rules that decide to hits. The Reason says why there are none. In a table that is open, patterns and
// readings without a rule that fits ask for nothing; in any other they refuse.
func (t *table) pick(req *Request, p *path, method string, hits []hit) ([]hit, Reason) {
	found := t.tree.root.collect(p.segs, req.found[:0])
	if len(found) > maxFound {
		return nil, ReasonNotCompiled
	}
	if t.open {
		found = slices.DeleteFunc(found, func(f terminal) bool {
			_, reason := pickEntries(f.at.entries[f.end], req, p, method, nil)
			return reason == ReasonNoRule
		})
	}
	readings := []reading{readWithout, readWith}
	if !p.slash {
		readings = readings[:1]
	}
	start := len(hits)
	for _, r := range readings {
		before := len(hits)
		decided := false
		for i := range found {
			if !decides(found, i, r, p.slash, len(p.segs)) {
				continue
			}
			decided = true
			var reason Reason
			if hits, reason = pickEntries(found[i].at.entries[found[i].end], req, p, method, hits); reason != "" {
				return nil, reason
			}
		}
		if !decided && !t.open {
			return nil, ReasonNoRule
		}
		hits = dropRepeated(hits, start, before)
	}
	if len(hits) == start {
		return nil, ReasonNoRule
	}
	return hits, ""
}

// pickEntries appends the entries of one pattern that decide: of those that fit, the ones of highest rank, and of these
// the first of each policy.
func pickEntries(entries []entry, req *Request, p *path, method string, hits []hit) ([]hit, Reason) {
	before := len(hits)
	var rank uint32
	for i := range entries {
		e := &entries[i]
		if len(hits) > before {
			if e.match.rank != rank {
				return hits, ""
			}
			if hits[len(hits)-1].rule.policy == e.rule.policy {
				continue
			}
		}
		fits, ambiguous := e.match.fits(req, method)
		if ambiguous {
			return nil, ReasonAmbiguousRequest
		}
		if fits {
			rank = e.match.rank
			hits = append(hits, hit{rule: e.rule, match: e.match, path: p})
		}
	}
	if len(hits) == before {
		return nil, ReasonNoRule
	}
	return hits, ""
}

// dropRepeated removes hits from index on that stand between start and it too: both readings of a path often agree.
func dropRepeated(hits []hit, start, from int) []hit {
	out := hits[:from]
	for _, h := range hits[from:] {
		if !slices.Contains(out[start:], h) {
			out = append(out, h)
		}
	}
	return out
}
