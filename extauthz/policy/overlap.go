package policy

import (
	"fmt"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// maxOverlapPairs bounds the pairs of patterns of one host that are compared, and maxOverlaps those that are reported.
const (
	maxOverlapPairs = 200_000
	maxOverlaps     = 32
)

// findOverlaps finds patterns that some path matches alike and of which neither is more specific, so that the rules of
// both must hold; each by the first entry that it has in the table. Patterns of literals only are always comparable.
func findOverlaps(t *table) (out [][2]entry) {
	var fixed, open []entry
	t.tree.root.walk(func(n *node) {
		for _, entries := range n.entries {
			switch {
			case len(entries) == 0:
			case entries[0].match.pattern.literal():
				fixed = append(fixed, entries[0])
			default:
				open = append(open, entries[0])
			}
		}
	})
	pairs := 0
	for i, a := range open {
		for _, others := range [][]entry{open[i+1:], fixed} {
			for _, b := range others {
				if pairs++; pairs > maxOverlapPairs || len(out) >= maxOverlaps {
					return out
				}
				if overlap(&a.match.pattern, &b.match.pattern) {
					out = append(out, [2]entry{a, b})
				}
			}
		}
	}
	return out
}

// reportOverlap warns p, where e is a rule of it, that e overlaps o.
func reportOverlap(told *problems, host string, p *joined, e, o entry) {
	if e.rule.policy != p {
		return
	}
	told.warn(e.rule.at, v1alpha1.ReasonOverlap,
		fmt.Sprintf("on host %q, %s overlaps %s of rule %q (policy %s), and neither is more specific: requests to both must satisfy both", host, &e.match.pattern, &o.match.pattern, o.rule.name, o.rule.policy.name))
}

// overlap tells whether some path matches both patterns, and neither outranks the other there.
func overlap(a, b *pattern) bool {
	if samePlace(a, b) {
		return false
	}
	n := max(len(a.segs), len(b.segs))
	aMore, bMore := false, false
	for i := range n {
		x, y := a.segmentAt(i), b.segmentAt(i)
		if x == nil || y == nil {
			return false // one of them ends before
		}
		if !compatible(x, y) {
			return false
		}
		switch {
		case x.kind > y.kind:
			aMore = true
		case x.kind < y.kind:
			bMore = true
		case x.kind == segmentExpression && x.text != y.text:
			aMore, bMore = true, true
		}
	}
	if a.end != b.end {
		if len(a.segs) == len(b.segs) && a.end != endPrefix && b.end != endPrefix {
			return !aMore && !bMore || aMore && bMore // with and without the final slash
		}
		aMore = aMore || a.end != endPrefix
		bMore = bMore || b.end != endPrefix
	}
	return aMore && bMore
}

var tail = segment{kind: segmentTail}

// segmentAt is the segment at i, the tail of a prefix, or nil beyond the end.
func (p *pattern) segmentAt(i int) *segment {
	switch {
	case i < len(p.segs):
		return &p.segs[i]
	case p.end == endPrefix:
		return &tail
	}
	return nil
}

// compatible tells whether some segment matches both.
func compatible(x, y *segment) bool {
	switch {
	case x.kind == segmentLiteral && y.kind == segmentLiteral:
		return x.text == y.text
	case x.kind == segmentLiteral && y.kind == segmentExpression:
		return y.re == nil || y.re.MatchString(x.text)
	case x.kind == segmentExpression && y.kind == segmentLiteral:
		return x.re == nil || x.re.MatchString(y.text)
	}
	return true
}
