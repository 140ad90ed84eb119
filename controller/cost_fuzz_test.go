package controller

import (
	"runtime"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// FuzzDecodeCost states the law of the cost of a file: byte for byte of its text, to decode it and to compile what it
// holds takes at most 100 times the memory that a typical file takes. No alias, no nesting and no pattern multiplies it.
func FuzzDecodeCost(f *testing.F) {
	var compiler policy.Compiler
	cost := func(text string) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		objects, _ := decode("f.yaml", []byte(text), fieldIndex{})
		var objs policy.Objects
		for _, o := range objects {
			add(&objs, o.Object)
		}
		_, _ = compiler.Compile(objs, policy.Options{})
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	cost(everyField)
	typical := cost(everyField)
	f.Add(everyField)
	bomb := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  a: &a x\n"
	for i := range 12 {
		bomb += "  " + strings.Repeat("b", i+1) + ": &" + strings.Repeat("b", i+1) + " [" + strings.Repeat("*a, ", 9) + "*a]\n"
	}
	f.Add(bomb)
	f.Add("a: &a [x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c]\ne: [*d, *d, *d, *d, *d, *d, *d, *d]\n")
	f.Add(strings.Repeat("[", 3000))
	f.Add(strings.Repeat("- a\n", 3000))
	f.Add(strings.Repeat("---\n", 3000))
	f.Add(strings.Repeat("{", 300) + strings.Repeat("}", 300))
	f.Add(policyWith("    require: {claims: [{claim: sub, operator: Matches, values: [\"((a{1,30}){1,30})\"]}]}\n"))
	f.Add(policyWith("    require: {expressions: [{expression: \"" + strings.Repeat("!", 200) + "true\"}]}\n"))
	f.Fuzz(func(t *testing.T, text string) {
		if c := cost(text); c > 100*typical*uint64(1+len(text)/len(everyField)) {
			t.Errorf("%d bytes for a text of %d, of which a typical one of %d takes %d", c, len(text), len(everyField), typical)
		}
	})
}
