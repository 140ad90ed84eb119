package policy

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// This file is a second opinion on where a request lands, kept naive on purpose: it tries every match of every rule, one
// by one, by the words of the concepts page, and shares nothing with the tree but the API types.

// naiveMatch is one match of one rule.
type naiveMatch struct {
	policy, rule string
	policyIndex  int
	ruleIndex    int
	segs         []string // "lit", "{x}", "{x:expr}"
	prefix       bool
	slash        bool
	methods      []string
	headers      int
	m            *v1alpha1.RouteMatch
}

func naiveMatches(objs Objects) []naiveMatch {
	var out []naiveMatch
	for pi, p := range objs.AuthPolicies {
		for ri, r := range p.Spec.Rules {
			for mi := range r.Matches {
				m := &r.Matches[mi]
				n := naiveMatch{policy: p.Name, rule: r.Name, policyIndex: pi, ruleIndex: ri, m: m, methods: m.Methods, headers: len(m.Headers)}
				value := *m.Path.Value
				n.prefix = *m.Path.Type == v1alpha1.PathMatchPathPrefix
				if before, ok := strings.CutSuffix(value, "/**"); ok {
					value, n.prefix = before, true
				}
				n.slash = len(value) > 1 && strings.HasSuffix(value, "/") && !n.prefix
				for s := range strings.SplitSeq(strings.Trim(value, "/"), "/") {
					if s != "" {
						n.segs = append(n.segs, s)
					}
				}
				out = append(out, n)
			}
		}
	}
	return out
}

// takes tells whether the pattern matches segs, in the reading with or without the final slash.
func (n *naiveMatch) takes(segs []string, hasSlash, readWith bool) bool {
	if len(segs) < len(n.segs) || len(segs) > len(n.segs) && !n.prefix {
		return false
	}
	for i, s := range n.segs {
		switch {
		case !strings.HasPrefix(s, "{"):
			if s != segs[i] {
				return false
			}
		case strings.Contains(s, ":"):
			_, expr, _ := strings.Cut(strings.Trim(s, "{}"), ":")
			if !regexp.MustCompile("^(" + expr + ")$").MatchString(segs[i]) {
				return false
			}
		}
	}
	switch {
	case n.prefix:
		return true
	case n.slash:
		return hasSlash
	}
	return !readWith
}

// rankAt is how specific the pattern is at segment i: a literal 3, an expression 2, a capture 1, a tail 0. At the end of
// the path a pattern that ends there is more specific than a tail.
func (n *naiveMatch) rankAt(i, length int) (rank int, expr string) {
	switch {
	case i == length && !n.prefix:
		return 3, ""
	case i >= len(n.segs):
		return 0, ""
	case !strings.HasPrefix(n.segs[i], "{"):
		return 3, ""
	case strings.Contains(n.segs[i], ":"):
		_, expr, _ = strings.Cut(n.segs[i], ":")
		return 2, expr
	}
	return 1, ""
}

// beats tells whether n is at least as specific as o at every segment, and more so at one.
func (n *naiveMatch) beats(o *naiveMatch, length int) bool {
	more := false
	for i := 0; i <= length; i++ {
		a, ae := n.rankAt(i, length)
		b, be := o.rankAt(i, length)
		if a < b || a == b && ae != be {
			return false
		}
		more = more || a > b
	}
	return more
}

// pattern names the pattern without the names of its captures.
func (n *naiveMatch) pattern() string {
	return regexp.MustCompile(`\{[a-z]+`).ReplaceAllString(strings.Join(n.segs, "/"), "{") + fmt.Sprint(n.prefix, n.slash)
}

func (n *naiveMatch) fits(method string, headers map[string]string) bool {
	if len(n.methods) > 0 && !slices.Contains(n.methods, method) {
		return false
	}
	for _, h := range n.m.Headers {
		if v, ok := headers[h.Name]; !ok || v != h.Value {
			return false
		}
	}
	return true
}

// naiveLand are the rules that must all hold, as "policy/rule", sorted; nil where the request is refused.
func naiveLand(all []naiveMatch, segs []string, slash bool, method string, headers map[string]string) []string {
	var out []string
	readings := []bool{false}
	if slash {
		readings = append(readings, true)
	}
	for _, with := range readings {
		byPattern := map[string][]naiveMatch{}
		for i := range all {
			if !all[i].takes(segs, slash, with) {
				continue
			}
			beaten := slices.ContainsFunc(all, func(o naiveMatch) bool {
				return o.takes(segs, slash, with) && o.beats(&all[i], len(segs))
			})
			if !beaten {
				byPattern[all[i].pattern()] = append(byPattern[all[i].pattern()], all[i])
			}
		}
		if len(byPattern) == 0 {
			return nil
		}
		for _, deciding := range byPattern {
			rules := naiveRank(deciding, method, headers)
			if len(rules) == 0 {
				return nil
			}
			out = append(out, rules...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// naiveRank are the rules of one pattern that decide.
func naiveRank(deciding []naiveMatch, method string, headers map[string]string) []string {
	best := [2]int{-1, -1}
	var fitting []naiveMatch
	for _, n := range deciding {
		if !n.fits(method, headers) {
			continue
		}
		rank := [2]int{min(len(n.methods), 1), n.headers}
		switch slices.Compare(rank[:], best[:]) {
		case 1:
			best, fitting = rank, []naiveMatch{n}
		case 0:
			fitting = append(fitting, n)
		}
	}
	first := map[string]naiveMatch{}
	for _, n := range fitting {
		if f, ok := first[n.policy]; !ok || n.ruleIndex < f.ruleIndex {
			first[n.policy] = n
		}
	}
	var out []string
	for _, n := range first {
		out = append(out, n.policy+"/"+n.rule)
	}
	return out
}

// TestLookupAgainstNaive draws policies of one host and requests to them, and compares where they land.
func TestLookupAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	sets, requests := 400, 60
	if testing.Short() {
		sets = 50
	}
	landed, refused, several := 0, 0, 0
	for set := range sets {
		objs := drawPolicies(rng)
		s, r := new(Compiler).Compile(objs, Options{})
		if r.Errors() > 0 {
			t.Fatalf("set %d: %+v", set, r)
		}
		all := naiveMatches(objs)
		for range requests {
			in, segs, slash := drawRequest(rng)
			req, reason := NewRequest(in)
			if reason != "" {
				t.Fatal(reason)
			}
			l := s.Lookup(req)
			var got []string
			for _, h := range l.Enforced.hits {
				got = append(got, h.rule.policy.ref.Name+"/"+h.rule.name)
			}
			slices.Sort(got)
			got = slices.Compact(got)
			want := naiveLand(all, segs, slash, in.Method, in.Headers.texts())
			if !slices.Equal(got, want) || (len(want) == 0) != (l.Enforced.reason == ReasonNoRule) {
				for _, n := range all {
					t.Logf("%s/%s %s %s %v %d headers", n.policy, n.rule, *n.m.Path.Type, *n.m.Path.Value, n.methods, n.headers)
				}
				t.Fatalf("set %d: %s %s %v lands on %q, want %q", set, in.Method, in.Path, in.Headers, got, want)
			}
			switch {
			case len(want) == 0:
				refused++
			case len(want) > 1:
				several++
			default:
				landed++
			}
		}
	}
	// A comparison that never lands, or never on several, would compare nothing.
	if landed < sets || refused < sets || several < sets {
		t.Errorf("%d on one rule, %d on several, %d refused", landed, several, refused)
	}
}

var naiveSegments = []string{"a", "b", "c", "{x}", "{y}", "{x:[ab]}", "{y:[bc]}"}

func drawPolicies(rng *rand.Rand) Objects {
	var objs Objects
	public := v1alpha1.AccessPublic
	for pi := range 1 + rng.IntN(3) {
		p := &v1alpha1.AuthPolicy{}
		p.Name, p.Namespace = fmt.Sprintf("p%d", pi), "shop"
		p.Spec.Hosts = []string{"a.com"}
		for ri := range 1 + rng.IntN(5) {
			r := v1alpha1.Rule{Name: fmt.Sprintf("r%d", ri), Access: &public}
			for range 1 + rng.IntN(2) {
				r.Matches = append(r.Matches, drawMatch(rng))
			}
			p.Spec.Rules = append(p.Spec.Rules, r)
		}
		objs.AuthPolicies = append(objs.AuthPolicies, p)
	}
	return objs
}

func drawMatch(rng *rand.Rand) v1alpha1.RouteMatch {
	types := []v1alpha1.PathMatchType{v1alpha1.PathMatchExact, v1alpha1.PathMatchPathPrefix, v1alpha1.PathMatchTemplate}
	typ := types[rng.IntN(3)]
	value := ""
	names := map[string]bool{}
	for range rng.IntN(4) {
		s := naiveSegments[rng.IntN(len(naiveSegments))]
		if typ != v1alpha1.PathMatchTemplate || names[s[:min(2, len(s))]] {
			s = naiveSegments[rng.IntN(3)]
		}
		if strings.HasPrefix(s, "{") {
			names[s[:2]] = true
		}
		value += "/" + s
	}
	switch {
	case typ == v1alpha1.PathMatchTemplate && rng.IntN(3) == 0:
		value += "/**"
	case value == "" || typ != v1alpha1.PathMatchPathPrefix && rng.IntN(4) == 0:
		value += "/"
	}
	m := v1alpha1.RouteMatch{Path: &v1alpha1.PathMatch{Type: &typ, Value: &value}}
	switch rng.IntN(4) {
	case 0:
		m.Methods = []string{"GET"}
	case 1:
		m.Methods = []string{"GET", "PUT"}
	}
	for _, name := range []string{"x-one", "x-two"} {
		if rng.IntN(4) == 0 {
			m.Headers = append(m.Headers, v1alpha1.ValueMatch{Name: name, Value: "1"})
		}
	}
	return m
}

func drawRequest(rng *rand.Rand) (in Input, segs []string, slash bool) {
	for range rng.IntN(5) {
		segs = append(segs, []string{"a", "b", "c", "d"}[rng.IntN(4)])
	}
	slash = len(segs) > 0 && rng.IntN(3) == 0
	path := "/" + strings.Join(segs, "/")
	if slash {
		path += "/"
	}
	in = Input{Method: []string{"GET", "PUT", "POST"}[rng.IntN(3)], Host: "a.com", Path: path}
	for _, name := range []string{"x-one", "x-two"} {
		if rng.IntN(2) == 0 {
			in.Headers = in.Headers.With(name, "1")
		}
	}
	return in, segs, slash
}
