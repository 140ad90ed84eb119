package controller

import (
	"encoding"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// fieldIndex knows what types look like in JSON. It only grows, with the types of the API; not for concurrent use.
type fieldIndex map[reflect.Type]*shape

// shape is what a type looks like in JSON. Not to be written.
type shape struct {
	// decodesItself: the type, or a pointer to it, brings its own reading.
	decodesItself bool
	// fields of a struct by their names, those of inlined structs among them. The ints lead to the field.
	fields map[string][]int
}

// of is the shape of t.
func (x fieldIndex) of(t reflect.Type) *shape {
	if known, ok := x[t]; ok {
		return known
	}
	p := reflect.PointerTo(t)
	s := &shape{decodesItself: p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())}
	x[t] = s
	if t.Kind() != reflect.Struct {
		return s
	}
	s.fields = map[string][]int{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case name == "" && f.Anonymous || strings.Contains(options, "inline"):
			for inner, index := range x.of(f.Type).fields {
				s.fields[inner] = slices.Concat(f.Index, index)
			}
		case name == "":
			s.fields[f.Name] = f.Index
		default:
			s.fields[name] = f.Index
		}
	}
	return s
}

// into is what the members of a mapping go into: the fields of a struct, the values of a map, or, where nothing is known
// of them, JSON.
type into struct {
	to     reflect.Value
	fields map[string][]int // nil: no struct
}

// into is for a mapping that goes into to, of which it makes an empty map where it is one.
func (c *converter) into(to reflect.Value) into {
	switch {
	case !to.IsValid():
		return into{}
	case to.Kind() == reflect.Map:
		to.Set(reflect.MakeMap(to.Type()))
		return into{to: to}
	}
	return into{to, c.fields.of(to.Type()).fields}
}

// member is where the value of a name goes. Below what is not known, nothing is.
func (i into) member(name string) (elem reflect.Value, known bool) {
	switch {
	case !i.to.IsValid():
		return reflect.Value{}, true
	case i.fields == nil:
		return reflect.New(i.to.Type().Elem()).Elem(), true
	}
	index, known := i.fields[name]
	if !known {
		return reflect.Value{}, false
	}
	return i.to.FieldByIndex(index), true
}

// put puts the value of a name where it belongs, unless it is there already.
func (i into) put(name string, elem reflect.Value) {
	if i.to.IsValid() && i.fields == nil {
		i.to.SetMapIndex(reflect.ValueOf(name).Convert(i.to.Type().Key()), elem)
	}
}

// path is that of a member: .name in a struct, [name] in a map.
func (i into) path(at *field.Path, name string) *field.Path {
	if at != nil && i.to.IsValid() && i.fields == nil {
		return at.Key(name)
	}
	return at.Child(name)
}

// unknownField says what to do about a name that is no field.
func unknownField(name string, fields map[string][]int) string {
	known := slices.Sorted(maps.Keys(fields))
	best, distance := "", max(2, len(name)/3)+1
	for _, k := range known {
		if strings.EqualFold(k, name) {
			return `unknown field, did you mean "` + k + `"?`
		}
		if d := editDistance(name, k); d < distance && d < len(k) {
			best, distance = k, d
		}
	}
	switch {
	case best != "":
		return `unknown field, did you mean "` + best + `"?`
	case len(known) == 0:
		return "unknown field; there are no fields here, write {}"
	}
	return "unknown field; there are " + strings.Join(known, ", ")
}

// editDistance is the least number of letters to add, drop or replace between a and b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
