package policy

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/cel-go/cel"
	celast "github.com/google/cel-go/common/ast"

	"github.com/sallyport/sallyport/extauthz/token"
)

// lookups is the variable under which expressions read what was fetched.
const lookupsVariable = "lookups"

// vocabulary is what an expression may name: the variables of env, and of lookups those that the policy has.
type vocabulary struct {
	env     *dialect
	lookups []string
}

// lookupsIn are the names that an expression reads of lookups. An error says that it reads one that does not exist, or
// lookups as a whole, of which nobody could tell what to fetch.
func (v *vocabulary) lookupsIn(parsed *cel.Ast) ([]string, error) {
	var names []string
	whole := 0
	var err error
	celast.PostOrderVisit(parsed.NativeRep().Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		switch {
		case e.Kind() == celast.IdentKind && e.AsIdent() == lookupsVariable:
			whole++
		case e.Kind() == celast.SelectKind && e.AsSelect().Operand().Kind() == celast.IdentKind && e.AsSelect().Operand().AsIdent() == lookupsVariable:
			whole--
			name := e.AsSelect().FieldName()
			if !slices.Contains(v.lookups, name) {
				err = fmt.Errorf("lookups.%s: spec.lookups has none of this name", name)
			}
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}))
	if err == nil && whole != 0 {
		err = errors.New("lookups is read as lookups.NAME only, so that it is known what to fetch")
	}
	return names, err
}

// rights is one entry of spec.lookups in a joined policy: what is fetched.
type rights struct {
	name     string
	optional bool
	// broken: it does not compile; rules that read it refuse.
	broken bool
	// lookup is that of every caller; nil where it differs from provider to provider, or does not compile.
	lookup *token.Lookup
	of     map[*provider]*token.Lookup
}

// at is what is fetched for a caller that p proved; nil where there is nothing.
func (r *rights) at(p *provider) *token.Lookup {
	if r.lookup != nil {
		return r.lookup
	}
	return r.of[p]
}

// LookedUp is what became of a lookup.
type LookedUp struct {
	Lookup *token.Lookup
	// Answer is nil where Err is set.
	Answer token.Claims
	Err    error
}

// readsOf are the lookups that a term's expressions read.
func (t *term) readsOf(out []string) []string {
	for _, e := range t.expressions {
		out = append(out, e.lookups...)
	}
	return out
}

func (r *requirements) reads() (out []string) {
	if r == nil {
		return nil
	}
	out = r.readsOf(out)
	for i := range r.anyOf {
		out = r.anyOf[i].readsOf(out)
	}
	return out
}

func (u *upstream) reads() (out []string) {
	for _, list := range [][]upstreamValue{u.headers, u.metadata} {
		for i := range list {
			if e := list[i].expression; e != nil {
				out = append(out, e.lookups...)
			}
		}
	}
	return out
}

// readLookups tells the rule what of the policy's lookups it reads, where it looks at a token.
func (r *rule) readLookups() {
	if len(r.policy.rights) == 0 || r.access == accessPublic || r.access == accessDenied {
		return
	}
	names := slices.Concat(r.require.reads(), r.policy.require.reads(), r.policy.upstream.reads())
	for i := range r.policy.rights {
		if right := &r.policy.rights[i]; slices.Contains(names, right.name) {
			r.rights = append(r.rights, right)
			r.closed = r.closed || right.broken
		}
	}
}

// Lookups are what the rules read of lookups, and the identity of f has: what to fetch before Decide. It is nil where they
// read nothing.
func (c *Candidate) Lookups(f Facts) (out []*token.Lookup) {
	if f.Identity == nil {
		return nil
	}
	for i := range c.hits {
		r := c.hits[i].rule
		if len(r.rights) == 0 || !c.hits[i].looks() {
			continue
		}
		t := r.believes(f.Identity)
		if t == nil {
			return nil // refused whatever is fetched
		}
		for _, right := range r.rights {
			if l := right.at(t.provider); l != nil && !slices.Contains(out, l) {
				out = append(out, l)
			}
		}
	}
	return out
}

// lookedUp are the answers that the rule reads, by name; complete is false where one is missing that is not optional.
func (r *rule) lookedUp(f Facts) (answers map[string]any, complete bool) {
	if len(r.rights) == 0 {
		return nil, true
	}
	t := r.believes(f.Identity)
	answers, complete = make(map[string]any, len(r.rights)), true
	for _, right := range r.rights {
		i := -1
		if t != nil {
			l := right.at(t.provider)
			i = slices.IndexFunc(f.Lookups, func(a LookedUp) bool { return a.Lookup == l && l != nil && a.Err == nil && a.Answer != nil })
		}
		switch {
		case i >= 0:
			answers[right.name] = map[string]any(f.Lookups[i].Answer)
		case !right.optional:
			complete = false
		}
	}
	return answers, complete
}

// lookedUp are the answers that the rules of p read which look at a token: what its upstream values read is among them.
func (c *Candidate) lookedUp(p *joined, f Facts) map[string]any {
	for i := range c.hits {
		if r := c.hits[i].rule; r.policy == p && len(r.rights) > 0 {
			answers, _ := r.lookedUp(f)
			return answers
		}
	}
	return nil
}

// appendLookups appends what the rules of the policy may have fetched.
func (p *joined) appendLookups(out []*token.Lookup) []*token.Lookup {
	for i := range p.rights {
		if l := p.rights[i].lookup; l != nil {
			out = append(out, l)
		}
		for j := range p.references {
			if l := p.rights[i].of[p.references[j].provider]; l != nil {
				out = append(out, l)
			}
		}
	}
	return out
}
