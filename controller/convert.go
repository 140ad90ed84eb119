package controller

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	yamlv3 "go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bounds of one file, far above what people write.
const (
	maxDepth     = 64
	maxNodes     = 1 << 20  // aliases followed: what ten lines of YAML can make billions of
	maxTextBytes = 16 << 20 // of one object
	maxErrors    = 200      // what an alias repeats could otherwise be wrong a million times
)

// converter puts nodes into the Go values that they are for, and holds them against their types, so that every error has
// its line and its path. It goes on where there are errors; the values are not to be used then. What has no type of ours,
// and what reads JSON in its own way, is written as JSON.
type converter struct {
	file   string
	fields fieldIndex
	errs   FileErrors
	out    bytes.Buffer
	nodes  int
	text   int  // bytes of texts
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

// value puts n into to, which is new; the zero reflect.Value has it written as JSON. It tells whether there is a value:
// for null there is none, and to stays as it is.
func (c *converter) value(n *yamlv3.Node, to reflect.Value, at *field.Path, depth int) bool {
	for n.Kind == yamlv3.AliasNode && n.Alias != nil && depth <= maxDepth {
		n, depth = n.Alias, depth+1
	}
	if !c.within(n, at, depth) {
		return c.null(to)
	}
	switch {
	case !to.IsValid():
	case to.Kind() == reflect.Pointer:
		return c.pointer(n, to, at, depth)
	case c.fields.of(to.Type()).decodesItself:
		return c.opaque(n, to, at, depth)
	}
	switch n.Kind {
	case yamlv3.MappingNode:
		c.mapping(n, to, at, depth)
	case yamlv3.SequenceNode:
		c.sequence(n, to, at, depth)
	default:
		return c.scalar(n, to, at)
	}
	return true
}

// null is no value, for to.
func (c *converter) null(to reflect.Value) bool {
	if !to.IsValid() {
		c.out.WriteString("null")
	}
	return false
}

// within tells whether n is within the bounds of a file.
func (c *converter) within(n *yamlv3.Node, at *field.Path, depth int) bool {
	if c.full {
		return false
	}
	c.nodes++
	c.text += len(n.Value)
	switch {
	case depth > maxDepth:
		c.err(n, at, "is nested more than %d deep", maxDepth)
	case c.nodes > maxNodes || max(c.text, c.out.Len()) > maxTextBytes:
		c.err(n, at, "becomes too large once its aliases (*name) are followed")
	default:
		return true
	}
	c.full = true
	return false
}

// pointer has to point to the value, or to nothing where there is none.
func (c *converter) pointer(n *yamlv3.Node, to reflect.Value, at *field.Path, depth int) bool {
	c.nodes, c.text = c.nodes-1, c.text-len(n.Value) // it is counted again
	elem := reflect.New(to.Type().Elem())
	if !c.value(n, elem.Elem(), at, depth) {
		return false
	}
	to.Set(elem)
	return true
}

// opaque lets a value whose type reads JSON in its own way read it.
func (c *converter) opaque(n *yamlv3.Node, to reflect.Value, at *field.Path, depth int) bool {
	start, errs := c.out.Len(), len(c.errs)
	defer c.out.Truncate(start)
	c.nodes, c.text = c.nodes-1, c.text-len(n.Value) // it is counted again
	found := c.value(n, reflect.Value{}, at, depth)
	if len(c.errs) > errs {
		return found
	}
	if err := json.Unmarshal(c.out.Bytes()[start:], to.Addr().Interface()); err != nil {
		c.err(n, at, "cannot be read as a %s", to.Type().Name())
	}
	return found
}

func (c *converter) mapping(n *yamlv3.Node, to reflect.Value, at *field.Path, depth int) {
	if problem := collectionTagProblem(n); problem != "" {
		c.err(n, at, "%s", problem)
	}
	if to.IsValid() && to.Kind() != reflect.Struct && to.Kind() != reflect.Map {
		c.err(n, at, "must be %s, not a mapping", wanted(to.Type()))
		to = reflect.Value{}
	}
	into := c.into(to)
	seen := make(map[string]int) // without a size it needs no memory of its own for as few as most have
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name, ok := c.key(key, at)
		if !ok {
			continue
		}
		child := into.path(at, name)
		if first, twice := seen[name]; twice {
			c.err(key, child, "stands here twice; the first is in line %d", first)
			continue
		}
		seen[name] = key.Line
		elem, known := into.member(name)
		if !known {
			c.err(key, child, "%s", unknownField(name, into.fields))
		}
		if !to.IsValid() {
			c.writeName(name, len(seen) == 1)
		}
		valued := c.valued
		c.valued = valued || depth == 0 && name != "metadata" && name != "status"
		c.value(value, elem, child, depth+1)
		c.valued = valued
		into.put(name, elem)
	}
	if !to.IsValid() {
		if len(seen) == 0 {
			c.out.WriteByte('{')
		}
		c.out.WriteByte('}')
	}
}

// writeName writes the name of a member.
func (c *converter) writeName(name string, first bool) {
	if first {
		c.out.WriteByte('{')
	} else {
		c.out.WriteByte(',')
	}
	c.out.Write(quote(name))
	c.out.WriteByte(':')
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

func (c *converter) sequence(n *yamlv3.Node, to reflect.Value, at *field.Path, depth int) {
	if problem := collectionTagProblem(n); problem != "" {
		c.err(n, at, "%s", problem)
	}
	if to.IsValid() && (to.Kind() != reflect.Slice || isBytes(to.Type())) {
		c.err(n, at, "must be %s, not a list", wanted(to.Type()))
		to = reflect.Value{}
	}
	if !to.IsValid() {
		c.out.WriteByte('[')
		for i, e := range n.Content {
			if i > 0 {
				c.out.WriteByte(',')
			}
			c.value(e, to, at.Index(i), depth+1)
		}
		c.out.WriteByte(']')
		return
	}
	if len(n.Content) > maxNodes-c.nodes { // so many would pass the bound, once they have their memory
		c.nodes = maxNodes
		c.within(n, at, depth)
		return
	}
	to.Set(reflect.MakeSlice(to.Type(), len(n.Content), len(n.Content)))
	for i, e := range n.Content {
		c.value(e, to.Index(i), at.Index(i), depth+1)
	}
}

func (c *converter) scalar(n *yamlv3.Node, to reflect.Value, at *field.Path) bool {
	if to.IsValid() && to.Kind() == reflect.String && isText(n) && tagProblem(n) == "" && utf8.ValidString(n.Value) {
		to.SetString(n.Value)
		return true
	}
	text, problem := scalar(n)
	if problem != "" {
		c.err(n, at, "%s", problem)
		return c.null(to)
	}
	if string(text) == "null" {
		if c.valued {
			c.err(n, at, "has no value; give it one, or leave the field out")
		}
		return c.null(to)
	}
	if to.IsValid() {
		c.fit(n, text, to, at)
	} else {
		c.out.Write(text)
	}
	return true
}

// fit puts a scalar, of which text is the JSON, into to, or reports that it is of another type.
func (c *converter) fit(n *yamlv3.Node, text []byte, to reflect.Value, at *field.Path) {
	found := "text"
	switch text[0] {
	case '"':
	case 't', 'f':
		found = "true or false"
		if to.Kind() == reflect.String && n.Value != "true" && n.Value != "false" {
			found += ", as which YAML reads on, off, yes, no, y and n"
		}
	default:
		found = "a number"
	}
	isText, bytes := text[0] == '"', isBytes(to.Type())
	switch {
	case to.Kind() == reflect.String && !isText:
		c.err(n, at, "must be text, not %s; put it in quotes", found)
	case (to.Kind() == reflect.Struct || to.Kind() == reflect.Map || to.Kind() == reflect.Slice) && !(bytes && isText):
		c.err(n, at, "must be %s, not %s", wanted(to.Type()), found)
	case json.Unmarshal(text, to.Addr().Interface()) == nil:
	case bytes:
		c.err(n, at, "must be base64; plain text goes into stringData")
	default:
		c.err(n, at, "must be %s", wanted(to.Type()))
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
