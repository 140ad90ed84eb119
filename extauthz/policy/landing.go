package policy

import (
	"cmp"
	"slices"

	"github.com/sallyport/sallyport/extauthz/token"
)

// Landing is where a request lands: the rules that decide, and those that would if DryRun rules were enforced.
type Landing struct {
	// Enforced are the rules that decide.
	Enforced Candidate
	// DryRun are the rules that would; it has nothing to say where no DryRun rule has.
	DryRun Candidate

	req      *Request
	snapshot *Snapshot
	// enforced and all are the tables that have a say: those in force, and those with DryRun rules.
	enforced, all []*table
}

// Candidate is a set of rules that must all hold, or the reason why there is none.
type Candidate struct {
	req    *Request
	tables []*table
	hits   []hit
	// reason, where the answer is known without a rule; allow is that answer.
	reason Reason
	allow  bool
	// closedBy is the rule for which the whole host refuses.
	closedBy *rule
}

// hit is a rule on which a request lands, with the match and the reading of the path that led there.
type hit struct {
	rule  *rule
	match *match
	path  *path
	// preflight: the request is a CORS preflight that the policy lets pass.
	preflight bool
}

// compareRules is the order of rules: by policy, then by place in it.
func compareRules(a, b *rule) int {
	return cmp.Or(a.policy.compare(b.policy), cmp.Compare(a.index, b.index))
}

// says tells whether the candidate has anything to say.
func (c *Candidate) says() bool { return c.reason != "" || len(c.hits) > 0 }

// differs tells whether c and o may give different answers.
func (c *Candidate) differs(o *Candidate) bool {
	return c.reason != o.reason || !slices.EqualFunc(c.hits, o.hits, func(a, b hit) bool {
		return a.rule == b.rule && a.preflight == b.preflight
	})
}

func allPreflight(hits []hit) bool {
	return !slices.ContainsFunc(hits, func(h hit) bool { return !h.rule.policy.preflight })
}

// looks tells whether the rule looks at tokens.
func (h *hit) looks() bool {
	return !h.preflight && (h.rule.access == accessOptional || h.rule.access == accessToken)
}

// Trusted are the providers that every rule would believe, for token.Extract and token.Verify. It is nil where no token
// is to be looked at: the rules are Public, or one refuses whoever comes. The slice belongs to the snapshot.
func (c *Candidate) Trusted() []*token.Provider {
	if c.reason != "" || c.refusedWithoutToken().reason != "" {
		return nil
	}
	var first *rule
	agree := true
	for i := range c.hits {
		switch h := &c.hits[i]; {
		case !h.looks():
		case first == nil:
			first = h.rule
		default:
			agree = agree && slices.Equal(first.tokens, h.rule.tokens)
		}
	}
	switch {
	case first == nil:
		return nil
	case agree:
		return first.tokens
	}
	return c.common(first)
}

// common are those of first's providers that every rule believes. Where a rule looks in more places than they do, one
// is added that looks there and proves nothing: what that rule would see, and refuse, is then refused for all.
func (c *Candidate) common(first *rule) []*token.Provider {
	out := slices.Clone(first.tokens)
	var seen []token.Source
	for i := range c.hits {
		r := c.hits[i].rule
		if !c.hits[i].looks() {
			continue
		}
		out = slices.DeleteFunc(out, func(p *token.Provider) bool { return !slices.Contains(r.tokens, p) })
		for _, p := range r.tokens {
			seen = append(seen, p.Sources...)
		}
	}
	more := slices.DeleteFunc(seen, func(s token.Source) bool {
		return slices.ContainsFunc(out, func(p *token.Provider) bool { return slices.Contains(p.Sources, s) })
	})
	if len(more) > 0 {
		out = append(out, &token.Provider{Name: nobody.Name, Sources: more})
	}
	return out
}
