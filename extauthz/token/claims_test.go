package token

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestParseClaimPath(t *testing.T) {
	tests := []struct {
		name, text string
		ok         bool
	}{
		{"a name", "sub", true},
		{"steps", "realm_access.roles", true},
		{"a URI", "https://example.com/roles", true},
		{"empty", "", false},
		{"256 bytes", strings.Repeat("a", 256), true},
		{"257 bytes", strings.Repeat("a", 257), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := ParseClaimPath(test.text)
			if (err == nil) != test.ok {
				t.Fatal(err)
			}
			if test.ok && p.String() != test.text {
				t.Errorf("String is %q", p)
			}
		})
	}
}

func TestLookup(t *testing.T) {
	object, err := parseObject(`{
		"sub": "alice", "n": null, "a.b": "top", "a": {"b": "below", "c": {"d": "deep"}, "e": [{"f": 1}], "n": null},
		"https://x.example/roles": "url", ".": "dot", "x..y": "dots", "x": {"": {"y": "never"}}, "null.a": null, "null": {"a": 1}}`)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path string
		want       any // nil: absent
	}{
		{"top level", "sub", "alice"},
		{"another case", "Sub", nil},
		{"null counts as absent", "n", nil},
		{"the whole name first", "a.b", "top"},
		{"steps", "a.c.d", "deep"},
		{"a null below", "a.n", nil},
		{"through a string", "sub.x", nil},
		{"through an array", "a.e.f", nil},
		{"through nothing", "q.r.s", nil},
		{"a URI", "https://x.example/roles", "url"},
		{"a dot alone", ".", "dot"},
		{"an empty step at top level", "x..y", "dots"},
		{"an empty step is not stepped through", "x.", nil},
		{"a name whose value is null is not stepped through", "null.a", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := path(t, test.path)
			got, ok := Claims(object).Lookup(p)
			if got != test.want || ok != (test.want != nil) {
				t.Errorf("got %v, %v", got, ok)
			}
			if n := testing.AllocsPerRun(10, func() { Claims(object).Lookup(p) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
	if _, ok := Claims(object).Lookup(ClaimPath{}); ok {
		t.Error("the zero path found something")
	}
}

func TestText(t *testing.T) {
	tests := []struct {
		name string
		v    any
		want string
		ok   bool
	}{
		{"string", "x", "x", true},
		{"empty string", "", "", true},
		{"integer", json.Number("9007199254740993"), "9007199254740993", true},
		{"negative", json.Number("-1"), "-1", true},
		{"fraction", json.Number("1.0"), "", false},
		{"exponent", json.Number("1e2"), "", false},
		{"capital exponent", json.Number("1E2"), "", false},
		{"bool", true, "", false},
		{"null", nil, "", false},
		{"array", []any{"x"}, "", false},
		{"object", map[string]any{}, "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := Text(test.v)
			if ok != test.ok || ok && got != test.want {
				t.Errorf("got %q, %v", got, ok)
			}
		})
	}
}

func TestScopes(t *testing.T) {
	tests := []struct {
		name string
		v    any
		want []string
	}{
		{"one", "a", []string{"a"}},
		{"blanks", " a  b ", []string{"a", "b"}},
		{"other white space stays", "a\tb\nc\u00a0d", []string{"a\tb\nc\u00a0d"}},
		{"commas stay", "a,b", []string{"a,b"}},
		{"empty", "", nil},
		{"array", []any{"a b", ""}, []string{"a b", ""}},
		{"mixed array", []any{"a", json.Number("1")}, nil},
		{"number", json.Number("1"), nil},
		{"absent", nil, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := scopes(test.v); strings.Join(got, "|") != strings.Join(test.want, "|") || len(got) != len(test.want) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestAlgorithms(t *testing.T) {
	for _, name := range []string{"", "none", "rs256", "RS256 ", "ES256K", "Ed25519", "RS1", "HS1"} {
		if _, err := ParseAlgorithm(name); err == nil {
			t.Errorf("%q was taken for an algorithm", name)
		}
		if n := NewAlgorithms(Algorithm(name)); n != 0 || Asymmetric.Has(Algorithm(name)) {
			t.Errorf("%q is in a set", name)
		}
	}
	all := Asymmetric | NewAlgorithms(HS256, HS384, HS512)
	names := strings.Split(all.String(), ", ")
	if len(names) != 13 {
		t.Errorf("algorithms: %q", names)
	}
	for _, name := range names {
		a, err := ParseAlgorithm(name)
		if err != nil || !all.Has(a) || NewAlgorithms(a).Symmetric() != strings.HasPrefix(name, "HS") || method(a).Alg() != name {
			t.Errorf("%s: %v", name, err)
		}
		if Asymmetric.Has(a) == NewAlgorithms(a).Symmetric() {
			t.Errorf("%s is wrongly in or out of Asymmetric", name)
		}
	}
	if Algorithms(0).Has(RS256) || Asymmetric.Symmetric() || !(Asymmetric | NewAlgorithms(HS384)).Symmetric() {
		t.Error("the sets are wrong")
	}
}

func TestRemoteID(t *testing.T) {
	base := Remote{Discovery: true, URL: "a", Issuer: "b", RootCAs: []byte("c"), Interval: 1, MinInterval: 2, StaleFor: 3}
	same := base
	if base.ID() != same.ID() {
		t.Error("equal remotes have different IDs")
	}
	changed := map[string]func(*Remote){
		"discovery": func(r *Remote) { r.Discovery = false },
		"url":       func(r *Remote) { r.URL = "x" },
		"issuer":    func(r *Remote) { r.Issuer = "x" },
		"cas":       func(r *Remote) { r.RootCAs = nil },
		"http":      func(r *Remote) { r.AllowHTTP = true },
		"flags":     func(r *Remote) { r.Discovery, r.AllowHTTP = false, true },
		"interval":  func(r *Remote) { r.Interval = time.Hour },
		"min":       func(r *Remote) { r.MinInterval = time.Hour },
		"stale":     func(r *Remote) { r.StaleFor = time.Hour },
		"shifted":   func(r *Remote) { r.URL, r.Issuer = "ab", "" },
	}
	seen := map[[32]byte]string{base.ID(): "base"}
	for name, change := range changed {
		r := base
		change(&r)
		if other, twice := seen[r.ID()]; twice {
			t.Errorf("%s and %s have one ID", name, other)
		}
		seen[r.ID()] = name
	}
}
