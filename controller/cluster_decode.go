package controller

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"

	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/json"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// decodeStrictly decodes content, the JSON of an object without metadata and status, into into as far as that goes, and
// returns what did not fit, in the words in which files are judged: a field that is unknown, stands there twice, has no
// value or is of another type.
func decodeStrictly(content []byte, into any) []policy.UndecodedField {
	strict, err := json.UnmarshalStrict(content, into)
	clean := len(strict) == 0 && err == nil
	if clean && !bytes.Contains(content, []byte("null")) {
		return nil
	}
	errs, whole := judge(content, reflect.TypeOf(into).Elem())
	var out []policy.UndecodedField
	for _, e := range errs {
		out = append(out, policy.UndecodedField{Path: e.Field, Message: e.Message})
	}
	// Whatever the walk did not see, or had no room to tell, could be anywhere.
	if !whole || !clean && len(out) == 0 {
		message := "there is more wrong with the object than can be listed"
		if whole {
			message = fmt.Sprintf("cannot be decoded: %v", errors.Join(append(strict, err)...))
		}
		out = append(out, policy.UndecodedField{Path: "spec", Message: message})
	}
	return out
}

// judge holds content against t. whole is false where not every error is in errs.
func judge(content []byte, t reflect.Type) (errs FileErrors, whole bool) {
	r := jsonReader{stdjson.NewDecoder(bytes.NewReader(content))}
	r.UseNumber()
	n, err := r.node(0)
	if err != nil {
		return nil, false
	}
	c := converter{fields: fieldIndex{}}
	c.value(n, reflect.New(t).Elem(), nil, 0)
	return c.errs, !c.full
}

// jsonReader makes the nodes of YAML out of JSON, so that one walk judges both.
type jsonReader struct{ *stdjson.Decoder }

func (r jsonReader) node(depth int) (*yamlv3.Node, error) {
	t, err := r.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth+1 {
		return nil, errors.New("nested too deep")
	}
	switch v := t.(type) {
	case stdjson.Delim:
		return r.collection(v, depth)
	case string:
		return text(v), nil
	case stdjson.Number:
		return &yamlv3.Node{Kind: yamlv3.ScalarNode, Tag: "!!float", Value: v.String()}, nil
	case bool:
		return &yamlv3.Node{Kind: yamlv3.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}, nil
	}
	return &yamlv3.Node{Kind: yamlv3.ScalarNode, Tag: "!!null", Value: "null"}, nil
}

func (r jsonReader) collection(open stdjson.Delim, depth int) (*yamlv3.Node, error) {
	n := &yamlv3.Node{Kind: yamlv3.SequenceNode, Tag: "!!seq"}
	if open == '{' {
		n = &yamlv3.Node{Kind: yamlv3.MappingNode, Tag: "!!map"}
	}
	for r.More() {
		if open == '{' {
			name, err := r.Token()
			if err != nil {
				return nil, err
			}
			s, ok := name.(string)
			if !ok {
				return nil, io.ErrUnexpectedEOF
			}
			n.Content = append(n.Content, text(s))
		}
		child, err := r.node(depth + 1)
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, child)
	}
	_, err := r.Token()
	return n, err
}

func text(s string) *yamlv3.Node {
	return &yamlv3.Node{Kind: yamlv3.ScalarNode, Style: yamlv3.DoubleQuotedStyle, Tag: "!!str", Value: s}
}
