package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// TestOverlapAgainstLookup compares what is reported of two patterns with what a lookup does: they overlap where some path
// lands on both.
func TestOverlapAgainstLookup(t *testing.T) {
	var patterns []*pattern
	var draw func(prefix string, depth int)
	draw = func(prefix string, depth int) {
		for _, end := range []string{"", "/", "/**"} {
			value := prefix + end
			if prefix == "" && end == "" {
				continue
			}
			typ := v1alpha1.PathMatchTemplate
			p, unreadable, broken := parsePattern(&v1alpha1.PathMatch{Type: &typ, Value: &value}, pathOptions{})
			if unreadable != nil || broken != nil {
				t.Fatal(value, unreadable, broken)
			}
			patterns = append(patterns, &p)
		}
		if depth == 0 {
			return
		}
		for _, s := range []string{"a", "c", "{x%d}", "{x%d:[ab]}", "{x%d:[bc]}"} {
			if strings.Contains(s, "%") {
				s = fmt.Sprintf(s, depth)
			}
			draw(prefix+"/"+s, depth-1)
		}
	}
	draw("", 2)
	paths := [][]string{{}}
	for i := 0; len(paths) < 1+3+9+27; i++ {
		for _, s := range []string{"a", "b", "c"} {
			paths = append(paths, append(slices.Clone(paths[i]), s))
		}
	}
	overlaps, apart := 0, 0
	for i, a := range patterns {
		for _, b := range patterns[i:] {
			tr := newTree()
			tr.add(a, entry{})
			tr.add(b, entry{})
			want := false
			for _, segs := range paths {
				for _, slash := range []bool{false, len(segs) > 0} {
					found := tr.root.collect(segs, nil)
					for r := readWithout; r == readWithout || slash && r == readWith; r++ {
						deciding := 0
						for i := range found {
							if decides(found, i, r, slash, len(segs)) {
								deciding++
							}
						}
						want = want || deciding > 1
					}
				}
			}
			if got, back := overlap(a, b), overlap(b, a); got != want || back != want {
				t.Errorf("%s and %s overlap: %t, and the other way round %t; want %t", a, b, got, back, want)
			}
			if want {
				overlaps++
			} else {
				apart++
			}
		}
	}
	if overlaps < 100 || apart < 100 {
		t.Errorf("%d pairs overlap, %d do not", overlaps, apart)
	}
}

// TestOverlapsAreBounded shows that a host with many overlaps is told of some, and that the compile goes on.
func TestOverlapsAreBounded(t *testing.T) {
	objs := func(n int) string {
		var rules []string
		for i := range n {
			rules = append(rules, fmt.Sprintf(`{name: r%d, matches: [{path: {type: Template, value: "/{x:.{1,%d}}"}}], access: Public}`, i, i+1))
		}
		return "kind: AuthPolicy\nmetadata: {name: p}\nspec: {hosts: [a.com], rules: [" + strings.Join(rules, ", ") + "]}\n"
	}
	for n, want := range map[int]int{8: 2 * 28, 9: 2 * maxOverlaps, 20: 2 * maxOverlaps} { // each pair is told to both rules
		_, r := new(Compiler).Compile(parse(t, objs(n)), Options{})
		if got := len(problemsOf(r, "p")); got != want {
			t.Errorf("%d rules: %d warnings, want %d", n, got, want)
		}
	}
}

func TestSameConditions(t *testing.T) {
	re, err := compileAnchored("1")
	if err != nil {
		t.Fatal(err)
	}
	a, b := valueMatch{name: "a", value: "1"}, valueMatch{name: "b", value: "1"}
	for _, tt := range []struct {
		name string
		x, y []valueMatch
		want bool
	}{
		{"none", nil, nil, true},
		{"the same", []valueMatch{a, b}, []valueMatch{a, b}, true},
		{"in another order", []valueMatch{a, b}, []valueMatch{b, a}, true},
		{"one more", []valueMatch{a}, []valueMatch{a, b}, false},
		{"another name", []valueMatch{a}, []valueMatch{b}, false},
		{"another value", []valueMatch{a}, []valueMatch{{name: "a", value: "2"}}, false},
		{"as an expression", []valueMatch{a}, []valueMatch{{name: "a", value: "1", re: re}}, false},
		{"both as expressions", []valueMatch{{name: "a", value: "1", re: re}}, []valueMatch{{name: "a", value: "1", re: re}}, true},
	} {
		if got, back := sameConditions(tt.x, tt.y), sameConditions(tt.y, tt.x); got != tt.want || back != tt.want {
			t.Errorf("%s: %t, %t", tt.name, got, back)
		}
	}
}
