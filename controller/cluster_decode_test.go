package controller

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

func TestDecodeDeclared(t *testing.T) {
	for _, tt := range []struct {
		name string
		spec string
		want []policy.UndecodedField // Message is the beginning of it
	}{
		{name: "what is known", spec: `{"hosts":["a.example.com"],"rules":[{"name":"all","access":"Public"}]}`},
		{name: "null within a text", spec: `{"hosts":["null.example.com"]}`},
		{name: "unknown field of a rule", spec: `{"rules":[{"name":"all"},{"requires":{}}]}`,
			want: []policy.UndecodedField{{Path: "spec.rules[1].requires", Message: `unknown field, did you mean "require"?`}}},
		{name: "unknown field of the spec", spec: `{"moon":1}`,
			want: []policy.UndecodedField{{Path: "spec.moon", Message: "unknown field"}}},
		{name: "wrong type", spec: `{"hosts":"a.example.com","rules":[{"name":7}]}`,
			want: []policy.UndecodedField{{Path: "spec.hosts", Message: "must be a list"}, {Path: "spec.rules[0].name", Message: "must be text"}}},
		{name: "twice", spec: `{"rules":[{"access":"Denied","access":"Public"}]}`,
			want: []policy.UndecodedField{{Path: "spec.rules[0].access", Message: "stands here twice"}}},
		{name: "another case", spec: `{"rules":[{"Access":"Public"}]}`,
			want: []policy.UndecodedField{{Path: "spec.rules[0].Access", Message: `unknown field, did you mean "access"?`}}},
		{name: "no value", spec: `{"rules":[{"require":null}]}`,
			want: []policy.UndecodedField{{Path: "spec.rules[0].require", Message: "has no value"}}},
		{name: "more wrong than is told", spec: `{"rules":[{` + strings.TrimSuffix(strings.Repeat(`"x":1,`, maxErrors+5), ",") + `},{"y":1}]}`,
			want: nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := declaredPolicy(t, "shop", tt.spec).undecoded
			if tt.want == nil && strings.HasPrefix(tt.name, "more") {
				if last := got[len(got)-1]; last.Path != "spec" {
					t.Errorf("the last is %v, which does not close every rule", last)
				}
				return
			}
			for i := range min(len(got), len(tt.want)) {
				if strings.HasPrefix(got[i].Message, tt.want[i].Message) {
					got[i].Message = tt.want[i].Message
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestDecodeDeclaredAsFarAsPossible(t *testing.T) {
	d := declaredPolicy(t, "shop", `{"hosts":["a.example.com"],"rules":[{"name":"all","access":7,"matches":[{"path":{"value":"/a"}}]}]}`)
	p := d.object
	if p.Name != "shop" || p.Namespace != "shop" || len(p.Spec.Rules) != 1 || p.Spec.Rules[0].Name != "all" || len(p.Spec.Rules[0].Matches) != 1 {
		t.Errorf("got %+v", p)
	}
}

func TestUnchangedObjectsKeepTheirPointer(t *testing.T) {
	changed, touched := 0, 0
	c, _ := unconnected(t)
	s := newStore(c.objectChanged, c.objectTouched)
	s.complete()
	spec := `{"hosts":["a.example.com"],"rules":[{"name":"all","access":"Public"}]}`
	first := declaredPolicy(t, "shop", spec)
	s.put(first)
	kept := first.object
	s.changed, s.touched = func(k types.NamespacedName) { changed++ }, func(k types.NamespacedName) { touched++ }
	again := declaredPolicy(t, "shop", spec)
	again.ResourceVersion = "2" // its status was written
	s.put(again)
	if again.object != kept || changed != 0 || touched != 1 {
		t.Errorf("a new status: changed %d, touched %d, same pointer %t", changed, touched, again.object == kept)
	}
	other := declaredPolicy(t, "shop", strings.Replace(spec, "Public", "Denied", 1))
	s.put(other)
	if other.object == kept || changed != 1 {
		t.Errorf("an edit: changed %d, same pointer %t", changed, other.object == kept)
	}
	another := declaredPolicy(t, "shop", strings.Replace(spec, "Public", "Denied", 1))
	another.UID = "another"
	s.put(another)
	if another.object == other.object || changed != 2 {
		t.Errorf("made again: changed %d, same pointer %t", changed, another.object == other.object)
	}
	s.OnDelete(another)
	if s.get(types.NamespacedName{Namespace: "shop", Name: "shop"}) != nil || changed != 3 {
		t.Errorf("deleted: changed %d", changed)
	}
}

func TestStatusThatCannotBeReadCountsAsNone(t *testing.T) {
	d := new(declared[v1alpha1.AuthPolicy])
	if err := d.UnmarshalJSON([]byte(`{"metadata":{"name":"a"},"spec":{},"status":{"conditions":"spoilt"}}`)); err != nil {
		t.Fatal(err)
	}
	if len(d.undecoded) != 0 || d.observed.Conditions != nil {
		t.Errorf("got %+v", d)
	}
}
