package policy

import (
	"slices"
	"strings"
)

// tree holds the patterns of a host by their segments. Patterns that differ only in the names of their captures share
// one place, and so do a Template and an Exact of the same segments.
type tree struct {
	root node
	// expressions numbers the different expressions, so that places can be compared by number.
	expressions map[string]shape
}

// node is one place in the tree: the patterns whose segments led here.
type node struct {
	literals    []literalEdge // sorted by text
	expressions []expressionEdge
	capture     *node
	// entries of the patterns that end here, by patternEnd; each sorted by rank.
	entries [3][]entry
	// shapes of the segments that led here.
	shapes []shape
}

type literalEdge struct {
	text string
	to   *node
}

type expressionEdge struct {
	segment segment
	to      *node
}

// entry is one match of one rule, at the place of its pattern.
type entry struct {
	rule  *rule
	match *match
}

// shape is what specificity compares of a segment: its kind, and which expression.
type shape uint32

const (
	shapeTail shape = iota
	shapeCapture
	shapeLiteral
	shapeFirstExpression
)

// kind of the shape, in the order of specificity.
func (s shape) kind() segmentKind {
	switch s {
	case shapeTail:
		return segmentTail
	case shapeCapture:
		return segmentCapture
	case shapeLiteral:
		return segmentLiteral
	}
	return segmentExpression
}

// terminal is a pattern that matches a path: where it ends in the tree, and how.
type terminal struct {
	at  *node
	end patternEnd
}

func newTree() *tree { return &tree{expressions: map[string]shape{}} }

// add puts e at the place of its pattern. Call sort before the first lookup.
func (t *tree) add(p *pattern, e entry) {
	n := &t.root
	for i := range p.segs {
		n = t.step(n, &p.segs[i])
	}
	n.entries[p.end] = append(n.entries[p.end], e)
}

func (t *tree) step(n *node, s *segment) *node {
	switch s.kind {
	case segmentCapture:
		if n.capture == nil {
			n.capture = &node{shapes: extend(n.shapes, shapeCapture)}
		}
		return n.capture
	case segmentExpression:
		for i := range n.expressions {
			if n.expressions[i].segment.text == s.text {
				return n.expressions[i].to
			}
		}
		sh, ok := t.expressions[s.text]
		if !ok {
			sh = shapeFirstExpression + shape(len(t.expressions))
			t.expressions[s.text] = sh
		}
		to := &node{shapes: extend(n.shapes, sh)}
		n.expressions = append(n.expressions, expressionEdge{segment: *s, to: to})
		return to
	}
	i, ok := n.find(s.text)
	if !ok {
		to := &node{shapes: extend(n.shapes, shapeLiteral)}
		n.literals = slices.Insert(n.literals, i, literalEdge{text: s.text, to: to})
	}
	return n.literals[i].to
}

func extend(s []shape, with shape) []shape {
	return append(slices.Clip(slices.Clone(s)), with)
}

// find is a binary search, written out since it runs once a segment of every request.
func (n *node) find(text string) (int, bool) {
	lo, hi := 0, len(n.literals)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch c := strings.Compare(n.literals[mid].text, text); {
		case c == 0:
			return mid, true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return lo, false
}

// sort puts the entries of every place into the order in which lookups try them.
func (n *node) sort() {
	for i := range n.entries {
		slices.SortStableFunc(n.entries[i], compareEntries)
	}
	for i := range n.literals {
		n.literals[i].to.sort()
	}
	for i := range n.expressions {
		n.expressions[i].to.sort()
	}
	if n.capture != nil {
		n.capture.sort()
	}
}

// walk calls f for every place at which patterns end.
func (n *node) walk(f func(*node)) {
	f(n)
	for i := range n.literals {
		n.literals[i].to.walk(f)
	}
	for i := range n.expressions {
		n.expressions[i].to.walk(f)
	}
	if n.capture != nil {
		n.capture.walk(f)
	}
}

// collect appends every pattern below n that matches segs to found.
func (n *node) collect(segs []string, found []terminal) []terminal {
	if len(n.entries[endPrefix]) > 0 {
		found = append(found, terminal{n, endPrefix})
	}
	if len(segs) == 0 {
		for _, end := range [...]patternEnd{endExact, endSlash} {
			if len(n.entries[end]) > 0 {
				found = append(found, terminal{n, end})
			}
		}
		return found
	}
	if i, ok := n.find(segs[0]); ok {
		found = n.literals[i].to.collect(segs[1:], found)
	}
	for i := range n.expressions {
		if e := &n.expressions[i]; e.segment.re == nil || e.segment.re.MatchString(segs[0]) {
			found = e.to.collect(segs[1:], found)
		}
	}
	if n.capture != nil {
		found = n.capture.collect(segs[1:], found)
	}
	return found
}

// shapeAt is the shape of t's pattern at segment i of a path with n segments; segment n is the end of the path, at which
// a pattern that ends there is more specific than the tail of a prefix.
func (t terminal) shapeAt(i, n int) shape {
	switch {
	case i < len(t.at.shapes):
		return t.at.shapes[i]
	case i == n && t.end != endPrefix:
		return shapeLiteral
	}
	return shapeTail
}

// outranks tells whether t is at least as specific as u at every segment of a path with n segments, and more so at one.
// Two different expressions cannot be compared.
func (t terminal) outranks(u terminal, n int) bool {
	more := false
	for i := range n + 1 {
		a, b := t.shapeAt(i, n), u.shapeAt(i, n)
		if a == b {
			continue
		}
		if a.kind() <= b.kind() {
			return false
		}
		more = true
	}
	return more
}

// reading is one way to read the final slash of a path.
type reading uint8

const (
	// readWithout reads the path without its final slash.
	readWithout reading = iota
	// readWith reads it with.
	readWith
)

// takes tells whether a pattern that ends so matches a path in reading r; slash tells whether the path has a final one.
func (r reading) takes(end patternEnd, slash bool) bool {
	switch end {
	case endExact:
		return r == readWithout
	case endSlash:
		return slash
	}
	return true
}

// decides tells whether found[i] is among the most specific patterns in reading r.
func decides(found []terminal, i int, r reading, slash bool, n int) bool {
	if !r.takes(found[i].end, slash) {
		return false
	}
	for j := range found {
		if j != i && r.takes(found[j].end, slash) && found[j].outranks(found[i], n) {
			return false
		}
	}
	return true
}
