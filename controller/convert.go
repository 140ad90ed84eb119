package controller

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bounds of one file, far above what people write.
const (
	maxDepth     = 64
	maxNodes     = 1 << 20  // aliases followed: what ten lines of YAML can make billions of
	maxJSONBytes = 16 << 20 // of one object
	maxErrors    = 200      // what an alias repeats could otherwise be wrong a million times
)

// converter writes the JSON of nodes and holds them against the Go type that they are for, so that every error has its
// line and its path. It writes JSON even where there are errors; that is not to be used then.
type converter struct {
	file   string
	fields fieldIndex
	errs   FileErrors
	out    bytes.Buffer
	nodes  int
	full   bool // a bound was passed, and the error written
	// valued: a field must have a value. Where kubectl drops a field without one, a requirement could get lost.
	valued bool
}

func (c *converter) err(n *yamlv3.Node, at *field.Path, format string, args ...any) {
	if len(c.errs) >= maxErrors {
		c.full = true
		return
	}
	e := FileError{File: c.file, Line: n.Line, Message: fmt.Sprintf(format, args...)}
	if at != nil {
		e.Field = at.String()
	}
	c.errs = append(c.errs, e)
}

// value writes n, which is for a t; nil stands for anything.
func (c *converter) value(n *yamlv3.Node, t reflect.Type, at *field.Path, depth int) {
	for n.Kind == yamlv3.AliasNode && n.Alias != nil && depth <= maxDepth {
		n, depth = n.Alias, depth+1
	}
	if !c.within(n, at, depth) {
		c.out.WriteString("null")
		return
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t != nil && t.Kind() == reflect.Interface:
		t = nil
	case t != nil && decodesItself(t):
		c.opaque(n, t, at, depth)
		return
	}
	switch n.Kind {
	case yamlv3.MappingNode:
		c.mapping(n, t, at, depth)
	case yamlv3.SequenceNode:
		c.sequence(n, t, at, depth)
	default:
		c.scalar(n, t, at)
	}
}

// within tells whether n is within the bounds of a file.
func (c *converter) within(n *yamlv3.Node, at *field.Path, depth int) bool {
	if c.full {
		return false
	}
	c.nodes++
	switch {
	case depth > maxDepth:
		c.err(n, at, "is nested more than %d deep", maxDepth)
	case c.nodes > maxNodes || c.out.Len() > maxJSONBytes:
		c.err(n, at, "becomes too large once its aliases (*name) are followed")
	default:
		return true
	}
	c.full = true
	return false
}

// opaque writes a value whose type reads JSON in its own way, and lets it try.
func (c *converter) opaque(n *yamlv3.Node, t reflect.Type, at *field.Path, depth int) {
	start, errs := c.out.Len(), len(c.errs)
	c.value(n, nil, at, depth)
	if len(c.errs) > errs {
		return
	}
	if err := json.Unmarshal(c.out.Bytes()[start:], reflect.New(t).Interface()); err != nil {
		c.err(n, at, "cannot be read as a %s", t.Name())
	}
}

func (c *converter) mapping(n *yamlv3.Node, t reflect.Type, at *field.Path, depth int) {
	if problem := collectionTagProblem(n); problem != "" {
		c.err(n, at, "%s", problem)
	}
	if t != nil && t.Kind() != reflect.Struct && t.Kind() != reflect.Map {
		c.err(n, at, "must be %s, not a mapping", wanted(t))
		t = nil
	}
	c.out.WriteByte('{')
	seen := make(map[string]int) // without a size it needs no memory of its own for as few as most have
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name, ok := c.key(key, at)
		if !ok {
			continue
		}
		child := childPath(at, t, name)
		if first, twice := seen[name]; twice {
			c.err(key, child, "stands here twice; the first is in line %d", first)
			continue
		}
		seen[name] = key.Line
		elem, known := c.childType(t, name)
		if !known {
			c.err(key, child, "%s", unknownField(name, c.fields.of(t)))
		}
		if len(seen) > 1 {
			c.out.WriteByte(',')
		}
		c.out.Write(quote(name))
		c.out.WriteByte(':')
		valued := c.valued
		c.valued = valued || depth == 0 && name != "metadata" && name != "status"
		c.value(value, elem, child, depth+1)
		c.valued = valued
	}
	c.out.WriteByte('}')
}

// key reads the key of a mapping.
func (c *converter) key(n *yamlv3.Node, at *field.Path) (string, bool) {
	for n.Kind == yamlv3.AliasNode && n.Alias != nil && n.Alias.Kind == yamlv3.ScalarNode {
		n = n.Alias
	}
	switch {
	case n.Kind != yamlv3.ScalarNode:
		c.err(n, at, "a key must be text")
		return "", false
	case n.Value == "<<" && n.Style == 0:
		c.err(n, at, "merge keys (<<) are not read, since parsers differ on them; write the fields out")
		return "", false
	}
	name, problem := scalarKey(n)
	if problem != "" {
		c.err(n, at, "%s", problem)
	}
	return name, problem == ""
}

// childType is the type of a field or of a map's values. Below what is not known, nothing is.
func (c *converter) childType(t reflect.Type, name string) (elem reflect.Type, known bool) {
	switch {
	case t == nil:
		return nil, true
	case t.Kind() == reflect.Map:
		return t.Elem(), true
	}
	elem, known = c.fields.of(t)[name]
	return elem, known
}

// childPath is the path of a member: .name in a struct, [name] in a map.
func childPath(at *field.Path, t reflect.Type, name string) *field.Path {
	if at != nil && t != nil && t.Kind() == reflect.Map {
		return at.Key(name)
	}
	return at.Child(name)
}

func (c *converter) sequence(n *yamlv3.Node, t reflect.Type, at *field.Path, depth int) {
	if problem := collectionTagProblem(n); problem != "" {
		c.err(n, at, "%s", problem)
	}
	if t != nil && (t.Kind() != reflect.Slice || isBytes(t)) {
		c.err(n, at, "must be %s, not a list", wanted(t))
		t = nil
	}
	var elem reflect.Type
	if t != nil {
		elem = t.Elem()
	}
	c.out.WriteByte('[')
	for i, e := range n.Content {
		if i > 0 {
			c.out.WriteByte(',')
		}
		c.value(e, elem, at.Index(i), depth+1)
	}
	c.out.WriteByte(']')
}

func (c *converter) scalar(n *yamlv3.Node, t reflect.Type, at *field.Path) {
	text, problem := scalar(n)
	if problem != "" {
		c.err(n, at, "%s", problem)
		text = []byte("null")
	}
	c.out.Write(text)
	if problem != "" || t == nil && !c.valued {
		return
	}
	if string(text) == "null" {
		if c.valued {
			c.err(n, at, "has no value; give it one, or leave the field out")
		}
		return
	}
	if t != nil {
		c.fits(n, text, t, at)
	}
}

// fits reports a scalar that is not of type t.
func (c *converter) fits(n *yamlv3.Node, text []byte, t reflect.Type, at *field.Path) {
	found := "text"
	switch text[0] {
	case '"':
		if t.Kind() == reflect.String {
			return
		}
	case 't', 'f':
		found = "true or false"
		if t.Kind() == reflect.String && n.Value != "true" && n.Value != "false" {
			found += ", as which YAML reads on, off, yes, no, y and n"
		}
	default:
		found = "a number"
	}
	switch {
	case t.Kind() == reflect.String:
		c.err(n, at, "must be text, not %s; put it in quotes", found)
	case isBytes(t) && text[0] == '"':
		if json.Unmarshal(text, new([]byte)) != nil {
			c.err(n, at, "must be base64; plain text goes into stringData")
		}
	case t.Kind() == reflect.Struct || t.Kind() == reflect.Map || t.Kind() == reflect.Slice:
		c.err(n, at, "must be %s, not %s", wanted(t), found)
	case json.Unmarshal(text, reflect.New(t).Interface()) != nil:
		c.err(n, at, "must be %s", wanted(t))
	}
}

func collectionTagProblem(n *yamlv3.Node) string {
	if n.Style&yamlv3.TaggedStyle != 0 && n.ShortTag() != "!!map" && n.ShortTag() != "!!seq" {
		return "YAML tags such as " + n.ShortTag() + " are not read; leave the tag out"
	}
	return ""
}

func isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}

// wanted says in the words of YAML what a type is.
func wanted(t reflect.Type) string {
	switch {
	case isBytes(t):
		return "base64 text"
	case t.Kind() == reflect.Struct || t.Kind() == reflect.Map:
		return "a mapping"
	case t.Kind() == reflect.Slice:
		return "a list"
	case t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case strings.HasPrefix(t.Kind().String(), "int"):
		return fmt.Sprintf("a whole number of %d bits", t.Bits())
	}
	return "a number"
}
