package policy

import (
	"maps"
	"slices"
)

// Field is a text with a name: a header, or what a proxy says beside the request.
type Field struct{ Name, Value string }

// Fields are texts with names, each name once. They are a list because a request has few of them, and because a list can
// be used again where a map has to be made anew. The zero value has none.
type Fields []Field

// FieldsOf are those of m, in the order of their names.
func FieldsOf(m map[string]string) Fields {
	var out Fields
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, Field{name, m[name]})
	}
	return out
}

// Get is the value of name; ok tells whether it is there.
func (f Fields) Get(name string) (value string, ok bool) {
	for i := range f {
		if f[i].Name == name {
			return f[i].Value, true
		}
	}
	return "", false
}

// With is f with value for name, in place of the one that it has. It may write f, and share its memory.
func (f Fields) With(name, value string) Fields {
	for i := range f {
		if f[i].Name == name {
			f[i].Value = value
			return f
		}
	}
	return append(f, Field{name, value})
}

// texts are the fields as an expression sees them.
func (f Fields) texts() map[string]string {
	out := make(map[string]string, len(f))
	for i := range f {
		out[f[i].Name] = f[i].Value
	}
	return out
}
