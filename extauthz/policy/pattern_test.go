package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

func TestIsIdentifier(t *testing.T) {
	for s, want := range map[string]bool{
		"": false, "a": true, "z": true, "A": true, "Z": true, "_": true, "a0": true, "a9": true, "azAZ_09": true,
		"0": false, "9": false, "0a": false, "a-b": false, "a/b": false, "a:b": false, "a@b": false, "a[b": false, "a`b": false, "a{b": false, "é": false,
		strings.Repeat("a", 64): true, strings.Repeat("a", 65): false,
	} {
		if got := isIdentifier(s); got != want {
			t.Errorf("%q: %t", s, got)
		}
	}
}

// TestParseTemplate tells which texts are templates. What is read is written again as it was.
func TestParseTemplate(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		bad         bool
	}{
		{name: "root", value: "/"},
		{name: "final slash", value: "/a/"},
		{name: "no final slash", value: "/a/{b}"},
		{name: "prefix", value: "/a/**"},
		{name: "everything", value: "/**"},
		{name: "expression with braces and a slash", value: "/{a:[a-z]{2,3}/}/b"},
		{name: "most segments", value: strings.Repeat("/a", maxSegments)},
		{name: "too many segments", value: strings.Repeat("/a", maxSegments+1), bad: true},
		{name: "capture without a name", value: "/{}", bad: true},
		{name: "brace that closes nothing", value: "/a}", bad: true},
		{name: "brace that opens nothing", value: "/{a", bad: true},
		{name: "braces the wrong way round", value: "/}{", bad: true},
		{name: "the wrong way round, around a slash", value: "/}a/b{", bad: true},
		{name: "one more behind", value: "/{a}}{", bad: true},
		{name: "capture and text", value: "/{a}b", bad: true},
		{name: "text and capture", value: "/a{b}", bad: true},
		{name: "two captures", value: "/{a}{b}", bad: true},
		{name: "star", value: "/a*", bad: true},
		{name: "two stars in the middle", value: "/**/a", bad: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			typ := v1alpha1.PathMatchTemplate
			p, unreadable, broken := parsePattern(&v1alpha1.PathMatch{Type: &typ, Value: &tt.value}, pathOptions{})
			if broken != nil || (unreadable != nil) != tt.bad {
				t.Fatalf("%v, %v", unreadable, broken)
			}
			if got := p.String(); !tt.bad && got != tt.value {
				t.Errorf("is written %q", got)
			}
		})
	}
}

// TestParseValueTemplate reads values with captures and with braces.
func TestParseValueTemplate(t *testing.T) {
	for s, want := range map[string]valueTemplate{
		"":            {""},
		"a":           {"a"},
		"{a}":         {"", "a"},
		"x{a}":        {"x", "a"},
		"{a}y":        {"", "a", "y"},
		"x{a}-{b}y":   {"x", "a", "-", "b", "y"},
		"{a}{b}":      {"", "a", "", "b"},
		"{{a}}":       {"{a}"},
		"{{":          {"{"},
		"}}":          {"}"},
		"x{{y":        {"x{y"},
		"{{{a}}}":     {"{", "a", "}"},
		"{a}{{{b}}}x": {"", "a", "{", "b", "}x"},
	} {
		if got, err := parseValueTemplate(s); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q is %q, %v; want %q", s, got, err, want)
		}
	}
	for _, s := range []string{"{", "}", "{}", "a{", "a}", "{a", "a}b", "}a}", "{a}}", "{a-b}", "{{{", "}}}", "x{{y}z"} {
		if got, err := parseValueTemplate(s); err == nil {
			t.Errorf("%q is %q", s, got)
		}
	}
}

// TestCaptures shows that values with captures compare with the segments of these names, wherever they stand.
func TestCaptures(t *testing.T) {
	rule := func(path, value string) string {
		return corp + onHost("p", `rules: [{name: r, matches: [{path: {type: Template, value: "`+path+`"}}], require: {claims: [{claim: c, operator: In, values: ["`+value+`"]}]}}]`)
	}
	for _, tt := range []struct{ name, path, value, claims, want string }{
		{"the first", "/{a}/x/{b}", "{a}", `{"sub":"s","c":"one"}`, "allow r"},
		{"the second", "/{a}/x/{b}", "{b}", `{"sub":"s","c":"two"}`, "allow r"},
		{"the first is not the second", "/{a}/x/{b}", "{b}", `{"sub":"s","c":"one"}`, "InsufficientClaims r"},
		{"both, in a text", "/{a}/x/{b}", "<{b}-{a}>", `{"sub":"s","c":"<two-one>"}`, "allow r"},
		{"in another order", "/{a}/x/{b}", "<{b}-{a}>", `{"sub":"s","c":"<one-two>"}`, "InsufficientClaims r"},
		{"behind a text", "/{a}/x/{b}", "u-{a}", `{"sub":"s","c":"u-one"}`, "allow r"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := compile(t, rule(tt.path, tt.value), Options{})
			if got := said(get("https://a.com/one/x/two").with(tt.claims).decide(t, s).Verdict); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	for _, value := range []string{"{c}", "{a}-{c}", "{a}-{a}-{c}"} {
		_, r := new(Compiler).Compile(parse(t, rule("/{a}/x/{b}", value)), Options{})
		if got := problemsOf(r, "p"); len(got) != 1 || !strings.Contains(got[0], "captures {c}") {
			t.Errorf("%q: problems %q", value, got)
		}
	}
}

// TestOperatorsOnWhatHasNoText shows that what is no text, such as true, is neither among values nor proves that it is not.
func TestOperatorsOnWhatHasNoText(t *testing.T) {
	for _, tt := range []struct{ operator, claim, want string }{
		{"NotIn", `true`, "InsufficientClaims r"},
		{"NotIn", `["b"]`, "allow r"},
		{"NotIn", `["b",true]`, "InsufficientClaims r"},
		{"NotIn", `[]`, "allow r"},
		{"In", `true`, "InsufficientClaims r"},
		{"In", `[true,"a"]`, "allow r"},
		{"HasAll", `["b"]`, "InsufficientClaims r"},
		{"HasAll", `["b","a"]`, "allow r"},
		{"HasAll", `"a"`, "allow r"},
		{"HasAll", `[true]`, "InsufficientClaims r"},
		{"Matches", `true`, "InsufficientClaims r"},
	} {
		s := compile(t, corp+onHost("p", "rules: [{name: r, require: {claims: [{claim: c, operator: "+tt.operator+", values: [a]}]}}]"), Options{})
		if got := said(get("https://a.com/").with(`{"sub":"s","c":`+tt.claim+`}`).decide(t, s).Verdict); got != tt.want {
			t.Errorf("%s on %s: got %q, want %q", tt.operator, tt.claim, got, tt.want)
		}
	}
}

// TestRequirementsOfTwoKinds shows that whatever is required asks for something, alone and beside something else.
func TestRequirementsOfTwoKinds(t *testing.T) {
	kinds := []string{"scopes: [a]", "roles: [a]", "groups: [a]", "claims: [{claim: c, operator: Exists}]", `expressions: [{expression: "true"}]`}
	for i, a := range kinds {
		compile(t, corp+onHost("p", "rules: [{name: r, require: {"+a+"}}, {name: q, require: {anyOf: [{"+a+"}]}}]"), Options{})
		for _, b := range kinds[i+1:] {
			compile(t, corp+onHost("p", "rules: [{name: r, require: {"+a+", "+b+"}}, {name: q, require: {anyOf: [{"+a+", "+b+"}]}}]"), Options{})
		}
	}
}
