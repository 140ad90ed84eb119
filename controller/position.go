package controller

import (
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
)

// member is the value of a key of a mapping; nil where there is none.
func member(n *yamlv3.Node, name string) *yamlv3.Node {
	if _, value := entry(n, name); value != nil {
		return value
	}
	return nil
}

// entry is a key of a mapping with its value. Aliases are followed.
func entry(n *yamlv3.Node, name string) (key, value *yamlv3.Node) {
	if n == nil || n.Kind != yamlv3.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind != yamlv3.ScalarNode {
			continue
		}
		if got, problem := scalarKey(k); problem == "" && got == name {
			return k, follow(n.Content[i+1])
		}
	}
	return nil, nil
}

// follow is what an alias stands for, or n itself.
func follow(n *yamlv3.Node) *yamlv3.Node {
	for depth := 0; n.Kind == yamlv3.AliasNode && n.Alias != nil && depth < maxDepth; depth++ {
		n = n.Alias
	}
	return n
}

// nearest is the key at the end of a path of names, or the last of its parents that is there.
func nearest(n *yamlv3.Node, names ...string) *yamlv3.Node {
	at := n
	for _, name := range names {
		key, value := entry(n, name)
		if key == nil {
			break
		}
		at, n = key, value
	}
	return at
}

// lineOf is the line of the field at path, as field.Path writes it, below n: of its key, or of the element of a list.
// Where the field is absent it is the line of the nearest parent that is there.
func lineOf(n *yamlv3.Node, path string) int {
	n = follow(n)
	line := n.Line
	for path != "" {
		step, rest := nextStep(path)
		var at, next *yamlv3.Node
		if n.Kind == yamlv3.SequenceNode {
			if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.Content) {
				at, next = n.Content[i], follow(n.Content[i])
			}
		} else {
			at, next = entry(n, step)
		}
		if at == nil {
			return line
		}
		line, n, path = at.Line, next, rest
	}
	return line
}

// nextStep cuts a path such as a.b[2].c or a[x.y/z] behind its first step.
func nextStep(path string) (step, rest string) {
	path = strings.TrimPrefix(path, ".")
	if inner, ok := strings.CutPrefix(path, "["); ok {
		step, rest, _ = strings.Cut(inner, "]")
		return step, rest
	}
	if i := strings.IndexAny(path, ".["); i > 0 {
		return path[:i], path[i:]
	}
	return path, ""
}
