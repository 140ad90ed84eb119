package controller

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// fieldIndex knows the fields of structs by their JSON names. It only grows, with the types of the API; not for
// concurrent use.
type fieldIndex map[reflect.Type]map[string]reflect.Type

// of are the fields of a struct, those of inlined structs among them. Not to be written.
func (x fieldIndex) of(t reflect.Type) map[string]reflect.Type {
	if known, ok := x[t]; ok {
		return known
	}
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case name == "" && f.Anonymous || strings.Contains(options, "inline"):
			maps.Copy(fields, x.of(f.Type))
		case name == "":
			fields[f.Name] = f.Type
		default:
			fields[name] = f.Type
		}
	}
	x[t] = fields
	return fields
}

// decodesItself tells whether t, or a pointer to it, brings its own reading of JSON.
func decodesItself(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
}

// unknownField says what to do about a name that is no field.
func unknownField(name string, fields map[string]reflect.Type) string {
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
