package oracle

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// reading is a path as it is read: decoded segments, and whether a final slash stands behind them.
type reading struct {
	segs  []string
	slash bool
}

// readPath reads the path of q as its host says: Keep or Strip where all of its policies that have a say do.
func (v view) readPath(q *question, policies []*v1alpha1.AuthPolicy) (reading, bool) {
	keep, strip := true, true
	for _, p := range policies {
		if v.speaks(p) {
			k, s := pathOptions(p)
			keep, strip = keep && k, strip && s
		}
	}
	path, _, _ := strings.Cut(q.path, "?")
	return read(path, keep, strip)
}

func pathOptions(p *v1alpha1.AuthPolicy) (keep, strip bool) {
	o := value(p.Spec.Paths, v1alpha1.PathOptions{})
	return value(o.EncodedSlash, "") == v1alpha1.EncodedSlashKeep, value(o.Semicolon, "") == v1alpha1.SemicolonStrip
}

// read splits a path and decodes its segments once.
func read(path string, keep, strip bool) (r reading, ok bool) {
	if strings.Contains(strings.ToLower(path), "%2f") && strings.ContainsAny(path, "\"<>^`{|}") {
		return r, false // kept or not: a server that meets these escapes the path anew
	}
	parts := strings.Split(path, "/")
	if len(path) > 8192 || len(parts) < 2 || parts[0] != "" {
		return r, false
	}
	parts = parts[1:]
	if parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
		r.slash = len(parts) > 0
	}
	if len(parts) > 128 {
		return r, false
	}
	for _, part := range parts {
		s, ok := decode(part, keep, strip)
		if !ok {
			return r, false
		}
		r.segs = append(r.segs, s)
	}
	return r, true
}

var refusedEscape = regexp.MustCompile(`(?i)%(5c|2e|3b|3f|23|25|0.|1.|7f)`)

func decode(s string, keep, strip bool) (string, bool) {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`\#?`, c) >= 0 {
			return "", false
		}
	}
	if refusedEscape.MatchString(s) || !strip && strings.Contains(s, ";") || !keep && strings.Contains(strings.ToLower(s), "%2f") {
		return "", false
	}
	whole, err := url.PathUnescape(s)
	if err != nil || !utf8.ValidString(whole) || strings.ContainsFunc(whole, unicode.IsControl) {
		return "", false
	}
	s, params, cut := strings.Cut(s, ";")
	if cut && strings.Contains(strings.ToLower(params), "%2f") {
		return "", false
	}
	s, err = url.PathUnescape(s)
	for part := range strings.SplitSeq(s, "/") {
		if err != nil || part == "" || part == "." || part == ".." {
			return "", false
		}
	}
	return s, true
}

// claim is one match of one rule.
type claim struct {
	p      *v1alpha1.AuthPolicy
	rule   *v1alpha1.Rule
	match  *v1alpha1.RouteMatch
	index  int
	segs   []piece
	prefix bool
	slash  bool
	unfit  bool // something in it does not compile: its conditions do not count

	path      reading // of the request
	preflight bool    // the request is one that passes
}

// piece is one segment of a pattern.
type piece struct {
	literal string
	capture string
	expr    string // of a capture with an expression
	re      *regexp.Regexp
}

// rank of a piece: literal, expression, capture.
func (p *piece) rank() int {
	switch {
	case p.capture == "":
		return 3
	case p.expr != "":
		return 2
	}
	return 1
}

// claims are the matches of every rule that counts, in order; unreadable is the first of which nobody knows the routes.
func (v view) claims(policies []*v1alpha1.AuthPolicy) (out []*claim, unreadable *claim) {
	for _, p := range policies {
		for i := range p.Spec.Rules {
			r := &p.Spec.Rules[i]
			if !v.counts(p, r) {
				continue
			}
			matches := r.Matches
			if len(matches) == 0 {
				matches = []v1alpha1.RouteMatch{{}}
			}
			for j := range matches {
				c := &claim{p: p, rule: r, match: &matches[j], index: i}
				if !c.parse() && unreadable == nil {
					unreadable = c
				}
				out = append(out, c)
			}
		}
	}
	return out, unreadable
}

// parse reads the pattern; false where nobody knows what it claims.
func (c *claim) parse() bool {
	c.unfit = c.conditionsBroken()
	if g := c.match.GRPC; g != nil {
		c.segs = []piece{{literal: g.Service}, {literal: g.Method}}
		if g.Method == "" {
			c.segs[1] = piece{capture: "?"}
		}
		return !strings.ContainsAny(g.Service+g.Method, "/*") && c.match.Path == nil
	}
	path := value(c.match.Path, v1alpha1.PathMatch{})
	text := value(path.Value, "/")
	keep, _ := pathOptions(c.p)
	template := value(path.Type, v1alpha1.PathMatchPathPrefix) == v1alpha1.PathMatchTemplate
	c.prefix = value(path.Type, v1alpha1.PathMatchPathPrefix) == v1alpha1.PathMatchPathPrefix
	if before, ok := strings.CutSuffix(text, "/**"); template && ok {
		text, c.prefix = before, true
	}
	c.slash = !c.prefix && len(text) > 1 && strings.HasSuffix(text, "/")
	text = strings.TrimSuffix(strings.TrimPrefix(text, "/"), "/")
	if text == "" {
		return true
	}
	names := map[string]bool{}
	for part := range strings.SplitSeq(text, "/") {
		inner, isCapture := strings.CutPrefix(part, "{")
		if !template || !isCapture {
			s, ok := decode(part, keep, false)
			if !ok || strings.ContainsAny(part, "{}*") {
				return false
			}
			c.segs = append(c.segs, piece{literal: s})
			continue
		}
		var p piece
		p.capture, p.expr, _ = strings.Cut(strings.TrimSuffix(inner, "}"), ":")
		p.re = whole(p.expr)
		c.unfit = c.unfit || p.re == nil || names[p.capture]
		names[p.capture] = true
		c.segs = append(c.segs, p)
	}
	return true
}

// expressionsSeen spares compiling the same few expressions for every request. Nothing here runs side by side.
var expressionsSeen = map[string]*regexp.Regexp{}

// whole is an expression that must match a whole value; nil where it does not compile.
func whole(expr string) *regexp.Regexp {
	re, seen := expressionsSeen[expr]
	if !seen {
		re, _ = regexp.Compile("^(?:" + expr + ")$")
		expressionsSeen[expr] = re
	}
	return re
}

// takes tells whether the pattern matches r, read with its final slash or without.
func (c *claim) takes(r reading, with bool) bool {
	n := len(c.segs)
	if len(r.segs) < n || !c.prefix && len(r.segs) > n || c.slash && !r.slash || with && !c.prefix && !c.slash {
		return false
	}
	for i, p := range c.segs {
		switch {
		case p.rank() == 3 && p.literal != r.segs[i], p.rank() == 2 && p.re != nil && !p.re.MatchString(r.segs[i]):
			return false
		}
	}
	return true
}

// at is how specific the pattern is at segment i of a path of n; behind the last one, its end counts as a literal.
func (c *claim) at(i, n int) (rank int, expr string) {
	switch {
	case i < len(c.segs):
		return c.segs[i].rank(), c.segs[i].expr
	case i == n && !c.prefix:
		return 3, ""
	}
	return 0, ""
}

// beats tells whether c is at least as specific as o at every segment, and more so at one.
func (c *claim) beats(o *claim, n int) bool {
	more := false
	for i := 0; i <= n; i++ {
		a, aExpr := c.at(i, n)
		b, bExpr := o.at(i, n)
		if a < b || a == b && aExpr != bExpr {
			return false
		}
		more = more || a > b
	}
	return more
}

// same tells whether two claims have one pattern; names of captures do not matter.
func (c *claim) same(o *claim) bool {
	return c.prefix == o.prefix && c.slash == o.slash && slices.EqualFunc(c.segs, o.segs, func(a, b piece) bool {
		return a.rank() == b.rank() && a.literal == b.literal && a.expr == b.expr
	})
}

// captured are the segments that the pattern captures.
func (c *claim) captured() map[string]string {
	out := map[string]string{}
	for i, p := range c.segs {
		if p.capture != "" && p.capture != "?" {
			out[p.capture] = c.path.segs[i]
		}
	}
	return out
}
