package controller

import (
	"encoding/json"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// longestNumber is more than any number may have that a field takes; longer plain scalars are text.
const longestNumber = 64

// scalar is the JSON of a scalar as kubectl reads it: on, yes and their kin are booleans, 0777 is octal. The error says
// what to do about a value that has no JSON.
func scalar(n *yamlv3.Node) (jsonText []byte, problem string) {
	if problem := tagProblem(n); problem != "" {
		return nil, problem
	}
	if isText(n) {
		return quote(n.Value), ""
	}
	// One parser decides what a word means, the one that kubectl uses.
	out, err := yaml.YAMLToJSON([]byte(n.Value))
	switch {
	case err != nil:
		return nil, "is a number that JSON cannot hold; put text in quotes"
	case len(out) == 0 || out[0] == '{' || out[0] == '[':
		return quote(n.Value), ""
	}
	return out, ""
}

// scalarKey is a scalar as a key: kubectl reads on as "true" there too.
func scalarKey(n *yamlv3.Node) (key, problem string) {
	if problem := tagProblem(n); problem != "" {
		return "", problem
	}
	if isText(n) {
		return n.Value, ""
	}
	var keys map[string]json.RawMessage
	if err := yaml.Unmarshal([]byte("? "+n.Value+"\n: 0"), &keys); err != nil || len(keys) != 1 {
		return "", "a key must be text; put it in quotes"
	}
	for k := range keys {
		key = k
	}
	return key, ""
}

// isText tells whether a scalar cannot be anything but text.
func isText(n *yamlv3.Node) bool {
	if n.Style&(yamlv3.SingleQuotedStyle|yamlv3.DoubleQuotedStyle|yamlv3.LiteralStyle|yamlv3.FoldedStyle|yamlv3.TaggedStyle) != 0 {
		return true
	}
	if n.Value == "" || n.Value == "<<" {
		return false
	}
	const longestWord = len("false")
	if len(n.Value) > longestWord {
		return len(n.Value) > longestNumber || strings.IndexByte("+-.0123456789", n.Value[0]) < 0
	}
	switch strings.ToLower(n.Value) {
	case "y", "yes", "n", "no", "on", "off", "true", "false", "null", "~":
		return false
	}
	return strings.IndexByte("+-.0123456789", n.Value[0]) < 0
}

// tagProblem refuses tags: !!str, which makes text of anything, is the only one with one meaning for everybody.
func tagProblem(n *yamlv3.Node) string {
	if n.Style&yamlv3.TaggedStyle != 0 && n.ShortTag() != "!!str" {
		return "YAML tags such as " + n.ShortTag() + " are not read; leave the tag out"
	}
	return ""
}

// quote is s as a JSON string.
func quote(s string) []byte {
	if strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) < 0 {
		out := make([]byte, 0, len(s)+2)
		return append(append(append(out, '"'), s...), '"')
	}
	out, err := json.Marshal(s)
	if err != nil {
		return []byte(`""`) // not for a string
	}
	return out
}
