package controller

import (
	"slices"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
)

// plainReader reads YAML as people write objects: block mappings and sequences, flow collections and scalars of one line
// each, comments, ASCII. That is the larger part of what a start costs, and the parser of all of YAML takes four times as
// long. Whatever it does not know for certain it declines, and the parser reads the file; a fuzz target holds that
// its nodes are the parser's. Texts of nodes share the memory of the file.
type plainReader struct {
	lines []plainLine // of the document, without blank ones and comments
	at    int         // the line that comes next
	slab  []yamlv3.Node
	stack []*yamlv3.Node // contents of the collections that are open
}

// plainLine is a line behind its indentation.
type plainLine struct {
	text   string
	indent int
	number int
}

const (
	// maxPlainKey is far below what YAML allows for a key that is not marked as one.
	maxPlainKey = 128
	// nodesAtOnce are made in one piece.
	nodesAtOnce = 64
)

// parsePlain returns the documents of content; ok is false where it declines.
func parsePlain(content []byte) (docs []*yamlv3.Node, ok bool) {
	for _, c := range content {
		if c != '\n' && (c < ' ' || c > '~') {
			return nil, false
		}
	}
	r := &plainReader{}
	number, begun := 0, false
	for line := range strings.SplitSeq(string(content), "\n") {
		number++
		text := strings.TrimLeft(line, " ")
		indent := len(line) - len(text)
		switch {
		case text == "" || text[0] == '#':
		case line == "---":
			if begun || len(r.lines) > 0 {
				n := r.document()
				if n == nil {
					return nil, false
				}
				docs = append(docs, n)
			}
			begun = true
		case indent == 0 && (strings.HasPrefix(line, "---") || strings.HasPrefix(line, "...")):
			return nil, false
		default:
			r.lines = append(r.lines, plainLine{text, indent, number})
		}
	}
	n := r.document()
	if n == nil {
		return nil, false
	}
	return append(docs, n), true
}

// document reads the lines that were collected: one mapping. It returns nil where it declines.
func (r *plainReader) document() *yamlv3.Node {
	r.at, r.stack = 0, r.stack[:0]
	if len(r.lines) == 0 || r.lines[0].indent != 0 {
		return nil
	}
	n := r.mapping(0, 0)
	if r.at < len(r.lines) {
		return nil
	}
	r.lines = r.lines[:0]
	return n
}

func (r *plainReader) node(kind yamlv3.Kind, style yamlv3.Style, value string, line int) *yamlv3.Node {
	if len(r.slab) == 0 {
		r.slab = make([]yamlv3.Node, nodesAtOnce)
	}
	n := &r.slab[0]
	r.slab = r.slab[1:]
	n.Kind, n.Style, n.Value, n.Line = kind, style, value, line
	return n
}

// close makes a collection of what the stack holds above from.
func (r *plainReader) close(n *yamlv3.Node, from int) *yamlv3.Node {
	n.Content = slices.Clone(r.stack[from:])
	r.stack = r.stack[:from]
	return n
}

// next is the line that comes next; nil at the end.
func (r *plainReader) next() *plainLine {
	if r.at == len(r.lines) {
		return nil
	}
	return &r.lines[r.at]
}

// mapping reads a block mapping whose keys stand at indent.
func (r *plainReader) mapping(indent, depth int) *yamlv3.Node {
	if depth > maxDepth {
		return nil
	}
	from, n := len(r.stack), r.node(yamlv3.MappingNode, 0, "", r.lines[r.at].number)
	for l := r.next(); l != nil && l.indent == indent; l = r.next() {
		if isEntry(l.text) {
			break // a sequence that this mapping stands in, at the same indentation
		}
		key, rest := r.key(l.text, l.number)
		if key == nil {
			return nil
		}
		r.stack = append(r.stack, key)
		r.at++
		value := r.valueOf(rest, l.number, indent, depth)
		if value == nil {
			return nil
		}
		r.stack = append(r.stack, value)
	}
	if len(r.stack) == from {
		return nil
	}
	return r.close(n, from)
}

// key reads a key and its colon, and returns what follows; nil where it declines.
func (r *plainReader) key(text string, line int) (n *yamlv3.Node, rest string) {
	n, rest = r.scalar(text, line, false)
	if n == nil || len(text)-len(rest) > maxPlainKey || rest == "" || rest[0] != ':' || len(rest) > 1 && rest[1] != ' ' {
		return nil, ""
	}
	return n, strings.TrimLeft(rest[1:], " ")
}

// valueOf reads the value of a key that stands at indent: text, or where that is empty the lines below.
func (r *plainReader) valueOf(text string, line, indent, depth int) *yamlv3.Node {
	if text != "" && text[0] != '#' {
		n := r.inline(text, line, depth)
		if l := r.next(); l != nil && l.indent > indent {
			return nil // the value goes on, or is an error
		}
		return n
	}
	l := r.next()
	switch {
	case l == nil || l.indent < indent:
		return nil
	case isEntry(l.text):
		return r.sequence(l.indent, depth+1)
	case l.indent > indent:
		return r.mapping(l.indent, depth+1)
	}
	return nil
}

// isEntry tells whether a line is an element of a sequence.
func isEntry(text string) bool { return text == "-" || strings.HasPrefix(text, "- ") }

// sequence reads a block sequence whose dashes stand at indent.
func (r *plainReader) sequence(indent, depth int) *yamlv3.Node {
	if depth > maxDepth {
		return nil
	}
	from, n := len(r.stack), r.node(yamlv3.SequenceNode, 0, "", r.lines[r.at].number)
	for l := r.next(); l != nil && l.indent == indent && isEntry(l.text); l = r.next() {
		text := strings.TrimLeft(l.text[1:], " ")
		if text == "" || text[0] == '#' || isEntry(text) {
			return nil
		}
		var element *yamlv3.Node
		if key, _ := r.key(text, l.number); key != nil {
			l.indent, l.text = l.indent+len(l.text)-len(text), text // the first line of a mapping
			element = r.mapping(l.indent, depth+1)
		} else {
			r.at++
			element = r.inline(text, l.number, depth)
		}
		if element == nil {
			return nil
		}
		if next := r.next(); next != nil && next.indent > indent {
			return nil
		}
		r.stack = append(r.stack, element)
	}
	return r.close(n, from)
}

// inline reads a value that takes the rest of a line, a comment apart.
func (r *plainReader) inline(text string, line, depth int) *yamlv3.Node {
	n, rest := r.flow(text, line, false, depth)
	if n == nil || !isOver(rest) {
		return nil
	}
	return n
}

// isOver tells whether nothing but a comment follows a value.
func isOver(rest string) bool {
	comment := strings.TrimLeft(rest, " ")
	return comment == "" || comment[0] == '#' && len(comment) < len(rest)
}

// flow reads a flow collection or a scalar, and returns what follows; within tells that it stands in a collection.
func (r *plainReader) flow(text string, line int, within bool, depth int) (n *yamlv3.Node, rest string) {
	if text == "" || depth > maxDepth {
		return nil, ""
	}
	switch text[0] {
	case '[':
		return r.flowSequence(text[1:], line, depth+1)
	case '{':
		return r.flowMapping(text[1:], line, depth+1)
	}
	n, rest = r.scalar(text, line, within)
	if n != nil && strings.HasPrefix(rest, ":") {
		return nil, "" // a pair where there should be a value
	}
	return n, rest
}

func (r *plainReader) flowSequence(text string, line, depth int) (n *yamlv3.Node, rest string) {
	from := len(r.stack)
	n = r.node(yamlv3.SequenceNode, yamlv3.FlowStyle, "", line)
	text = strings.TrimLeft(text, " ")
	for more := !strings.HasPrefix(text, "]"); more; {
		element, rest := r.flow(text, line, true, depth)
		if element == nil {
			return nil, ""
		}
		r.stack = append(r.stack, element)
		text, more = separated(rest)
	}
	if !strings.HasPrefix(text, "]") {
		return nil, ""
	}
	return r.close(n, from), text[1:]
}

func (r *plainReader) flowMapping(text string, line, depth int) (n *yamlv3.Node, rest string) {
	from := len(r.stack)
	n = r.node(yamlv3.MappingNode, yamlv3.FlowStyle, "", line)
	text = strings.TrimLeft(text, " ")
	for more := !strings.HasPrefix(text, "}"); more; {
		key, rest := r.scalar(text, line, true)
		if key == nil || len(text)-len(rest) > maxPlainKey || !strings.HasPrefix(rest, ": ") {
			return nil, ""
		}
		value, rest := r.flow(strings.TrimLeft(rest[1:], " "), line, true, depth)
		if value == nil {
			return nil, ""
		}
		r.stack = append(r.stack, key, value)
		text, more = separated(rest)
	}
	if !strings.HasPrefix(text, "}") {
		return nil, ""
	}
	return r.close(n, from), text[1:]
}

// separated skips a comma, and tells whether there was one; then another element must follow.
func separated(text string) (rest string, more bool) {
	text = strings.TrimLeft(text, " ")
	if !strings.HasPrefix(text, ",") {
		return text, false
	}
	return strings.TrimLeft(text[1:], " "), true
}

// scalar reads a scalar, and returns what follows it; spaces behind a plain one are passed over. It declines by nil.
func (r *plainReader) scalar(text string, line int, within bool) (n *yamlv3.Node, rest string) {
	if text == "" {
		return nil, ""
	}
	switch c := text[0]; c {
	case '"', '\'':
		value, rest, closed := strings.Cut(text[1:], string(c))
		if !closed || strings.Contains(value, `\`) && c == '"' || strings.HasPrefix(rest, "'") {
			return nil, ""
		}
		style := yamlv3.DoubleQuotedStyle
		if c == '\'' {
			style = yamlv3.SingleQuotedStyle
		}
		return r.node(yamlv3.ScalarNode, style, value, line), rest
	case '-':
		if len(text) < 2 || !isLetterOrDigit(text[1]) {
			return nil, ""
		}
	default:
		if strings.IndexByte("?:,[]{}#&*!|>%@`", c) >= 0 {
			return nil, ""
		}
	}
	end := plainEnd(text, within)
	if end < 0 {
		return nil, ""
	}
	value := strings.TrimRight(text[:end], " ")
	rest = text[end:]
	if strings.HasPrefix(rest, "#") {
		rest = " " + rest // the space before it makes it a comment
	}
	return r.node(yamlv3.ScalarNode, 0, value, line), rest
}

// plainEnd is where a plain scalar ends; negative where it declines.
func plainEnd(text string, within bool) int {
	for i := range len(text) {
		switch text[i] {
		case ':':
			if i+1 == len(text) || text[i+1] == ' ' {
				return i
			}
			if within && strings.IndexByte(",[]{}", text[i+1]) >= 0 {
				return -1
			}
		case '#':
			if text[i-1] == ' ' {
				return i
			}
		case ',', '[', ']', '{', '}':
			if within {
				return i
			}
		case '?':
			if within {
				return -1
			}
		}
	}
	return len(text)
}

func isLetterOrDigit(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
