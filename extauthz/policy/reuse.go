package policy

import (
	"slices"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// This file is what a Compiler takes over from one compile to the next. What it takes over is immutable, and a function
// of its inputs alone; it does so only where a comparison shows that every input is the same. Nothing depends on being
// told what has changed.
//
//	taken over       is made of                                          while
//	provider         its object, the keys that it read                   the pointer is, and the bytes are, the same
//	draft            its object, the options                             the pointer is the same; other options drop all
//	joined           its draft, what its references lead to,             the pointers of these are, and the bytes
//	                 the keys that its lookups read                      are, the same
//	tables           an ordered list of joined policies                  the list holds the same pointers
//	grants           the annotations of Namespaces                       these say the same
//	ownership        who names which host, how old it is, how much of    these are, and the pointer of the grants
//	                 it is tried out; grants                             is, the same
//	index            the ownership, the joined policies                  the ownership was taken over; hosts of policies
//	                                                                     of which the pointer differs are set anew
//	object report    a joined policy, its hosts, targets and problems    the pointer is, and these are, the same
//
// What else policies have to do with each other, such as who stands in the list of which route, is worked out anew in
// every compile.

// keptPolicy is what a Compiler keeps of one policy. No snapshot holds one.
type keptPolicy struct {
	// turn is the last compile that had the policy.
	turn uint64
	// object is what the draft was made of.
	object *v1alpha1.AuthPolicy
	*draft
	joined *joined
	// tables are those of the lists of policies that begin with this one: of hosts, routes, Services and Gateways alike,
	// since what they hold depends on the list alone.
	tables []*builtTables
	// report was made of said.
	report *ObjectReport
	said   *policy
}

// builtTables are the tables of a list of policies.
type builtTables struct {
	// turn is the last compile that had the list.
	turn     uint64
	policies []*joined
	hostTables
}

// joinedAt is the draft with what its references lead to now.
func (k *keptPolicy) joinedAt(dir *directory) *joined {
	if k.joined == nil || !k.joined.stands(dir) {
		k.joined = join(k.draft, dir)
	}
	return k.joined
}

// reportOf is the report of p, which is the policy in this compile.
func (k *keptPolicy) reportOf(p *policy) *ObjectReport {
	if k.said == nil || !p.saysAs(k.said) {
		k.report = reportPolicy(p)
	}
	k.said = p
	return k.report
}

// saysAs tells whether there is the same to report of p as of o.
func (p *policy) saysAs(o *policy) bool {
	return p.joined == o.joined && slices.Equal(p.hosts, o.hosts) && slices.Equal(p.problems.list, o.problems.list) &&
		slices.EqualFunc(p.ancestors, o.ancestors, ancestor.equal)
}

// tablesOf are the tables of policies, of which the first is k's.
func (k *keptPolicy) tablesOf(policies []*policy) hostTables {
	for _, b := range k.tables {
		if slices.EqualFunc(b.policies, policies, func(j *joined, p *policy) bool { return j == p.joined }) {
			b.turn = k.turn
			return b.hostTables
		}
	}
	list := joinedOf(policies)
	b := &builtTables{turn: k.turn, policies: list, hostTables: buildHostTables(list)}
	old := func(b *builtTables) bool { return b.turn+1 < k.turn } // those of the last compile may be of use in this one
	k.tables = append(slices.DeleteFunc(k.tables, old), b)
	return b.hostTables
}

// takePolicies brings the kept policies to those of objs, in their order.
func (c *Compiler) takePolicies(objs *Objects) []*keptPolicy {
	var fresh []*keptPolicy
	for _, o := range objs.AuthPolicies {
		k := c.policies[o]
		if k == nil {
			k = &keptPolicy{object: o}
			c.policies[o] = k
			fresh = append(fresh, k)
		}
		k.turn = c.turn
	}
	inParallel(len(fresh), func(i int) {
		o := fresh[i].object
		undecoded := objs.Undecoded[ObjectRef{v1alpha1.KindAuthPolicy, o.Namespace, o.Name}]
		fresh[i].draft = compileDraft(o, undecoded, &c.opts, c.env)
	})
	gone := func(k *keptPolicy) bool {
		if k.turn == c.turn {
			return false
		}
		delete(c.policies, k.object)
		return true
	}
	c.order = merge(slices.DeleteFunc(c.order, gone), fresh, func(a, b *keptPolicy) int { return compareRefs(a.ref, b.ref) })
	return c.order
}

// merge sorts fresh, and merges it into sorted.
func merge[T any](sorted, fresh []T, compare func(a, b T) int) []T {
	slices.SortFunc(fresh, compare)
	out := make([]T, 0, len(sorted)+len(fresh))
	for _, s := range sorted {
		for len(fresh) > 0 && compare(fresh[0], s) < 0 {
			out, fresh = append(out, fresh[0]), fresh[1:]
		}
		out = append(out, s)
	}
	return append(out, fresh...)
}
