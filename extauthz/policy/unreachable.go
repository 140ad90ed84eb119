package policy

import (
	"slices"
)

// samePlace tells whether two patterns share one place in the tree: they differ in the names of captures at most.
func samePlace(a, b *pattern) bool {
	return a.end == b.end && slices.EqualFunc(a.segs, b.segs, func(x, y segment) bool {
		return x.kind == y.kind && (x.kind == segmentCapture || x.text == y.text)
	})
}

// sameConditions tells whether two lists hold the same conditions, in any order.
func sameConditions(a, b []valueMatch) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x valueMatch) bool {
		return !slices.ContainsFunc(b, func(y valueMatch) bool {
			return x.name == y.name && x.value == y.value && (x.re == nil) == (y.re == nil)
		})
	})
}

// shadowed tells whether earlier rules of d take every request that m, a match of r, would take: those of equal rank
// whose conditions are the same, by all of its methods.
func shadowed(d *draft, r *ruleDraft, m *match) bool {
	left := slices.Clone(m.methods)
	for _, earlier := range d.rules[:r.index] {
		if earlier.dryRun != r.dryRun {
			continue
		}
		for i := range earlier.matches {
			e := &earlier.matches[i]
			if e.rank != m.rank || !samePlace(&e.pattern, &m.pattern) || !sameConditions(e.headers, m.headers) || !sameConditions(e.query, m.query) {
				continue
			}
			if len(m.methods) == 0 {
				return true
			}
			left = slices.DeleteFunc(left, func(method string) bool { return slices.Contains(e.methods, method) })
		}
	}
	return len(m.methods) > 0 && len(left) == 0
}

// getWithoutHead finds a match of r that takes GET where no rule of d at the same place takes HEAD.
func getWithoutHead(d *draft, r *ruleDraft) *match {
	for i := range r.matches {
		m := &r.matches[i]
		if !slices.Contains(m.methods, "GET") {
			continue
		}
		if !slices.ContainsFunc(d.rules, func(o *ruleDraft) bool {
			return slices.ContainsFunc(o.matches, func(om match) bool {
				return samePlace(&om.pattern, &m.pattern) && (len(om.methods) == 0 || slices.Contains(om.methods, "HEAD"))
			})
		}) {
			return m
		}
	}
	return nil
}
