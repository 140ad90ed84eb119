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
	reason   Reason
	allow    bool
	closedBy *policy
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

// dry tells whether a DryRun rule is among those that decide.
func (c *Candidate) dry() bool {
	return slices.ContainsFunc(c.hits, func(h hit) bool { return h.rule.dryRun })
}

// differs tells whether c and o may give different answers.
func (c *Candidate) differs(o *Candidate) bool {
	return c.reason != o.reason || !slices.EqualFunc(c.hits, o.hits, func(a, b hit) bool {
		return a.rule == b.rule && a.match == b.match && a.preflight == b.preflight
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
	var out []*token.Provider
	first := true
	for i := range c.hits {
		h := &c.hits[i]
		switch {
		case !h.looks():
		case first:
			out, first = h.rule.tokens, false
		default:
			out = intersect(out, h.rule.tokens)
		}
	}
	return out
}

// intersect are the providers of both; nobody where there is none, so that a token that is shown is still refused.
func intersect(a, b []*token.Provider) []*token.Provider {
	if slices.Equal(a, b) {
		return a
	}
	var out []*token.Provider
	for _, p := range a {
		if slices.Contains(b, p) {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return []*token.Provider{nobody}
	}
	return out
}
