package controller

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// object is one object of a file, and where in it the object stands.
type object struct {
	metav1.Object
	ref  policy.ObjectRef
	line int
	// doc counts the documents of the file; item the items of a List, and is -1 outside one.
	doc, item int
}

// decode reads the objects of a file, strictly: what is not a field, stands twice or is of another type is an error.
// All errors are returned. An object that has one is left out. more are kinds that this file may hold beside those of
// every folder.
func decode(name string, content []byte, fields fieldIndex, more ...kind) ([]object, FileErrors) {
	docs, errs := parse(name, content)
	d := &decoder{converter: converter{file: name, fields: fields, errs: errs}, kinds: append(kinds(), more...), possible: possibleKinds}
	if len(more) > 0 {
		d.possible += possibleRoutingKinds
	}
	for i, doc := range docs {
		d.document(doc, i)
	}
	return d.objects, d.errs
}

// parse splits content into its documents. One that is empty is nil. After an error of syntax the rest of the file
// cannot be read.
func parse(name string, content []byte) ([]*yamlv3.Node, FileErrors) {
	var docs []*yamlv3.Node
	reader := yamlv3.NewDecoder(bytes.NewReader(content))
	for {
		var doc yamlv3.Node
		switch err := reader.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return docs, nil
		case err != nil:
			return docs, FileErrors{syntaxError(name, content, err)}
		}
		docs = append(docs, root(&doc))
	}
}

// root is what a document holds; nil for nothing.
func root(doc *yamlv3.Node) *yamlv3.Node {
	if doc.Kind != yamlv3.DocumentNode || len(doc.Content) == 0 {
		return nil
	}
	if n := doc.Content[0]; n.Kind != yamlv3.ScalarNode || n.ShortTag() != "!!null" {
		return n
	}
	return nil
}

// syntaxError takes the line out of what the parser says, which has it in its text only.
func syntaxError(name string, content []byte, err error) FileError {
	e := FileError{File: name, Line: 1, Message: strings.TrimPrefix(err.Error(), "yaml: ")}
	if m := regexp.MustCompile(`^line (\d+): (?s:(.*))$`).FindStringSubmatch(e.Message); m != nil {
		e.Line, _ = strconv.Atoi(m[1])
		e.Message = m[2]
	}
	if strings.HasPrefix(e.Message, "did not find expected ") {
		e.Line++ // the parser, unlike the scanner below it, counts lines from 0 here
	}
	e.Line = min(e.Line, bytes.Count(content, []byte("\n"))+1)
	e.Message = "is not YAML: " + e.Message
	return e
}

// decoder reads the objects of one file.
type decoder struct {
	converter
	kinds   []kind
	objects []object
	// possible is what an error says where another kind was found.
	possible string
}

func (d *decoder) document(n *yamlv3.Node, doc int) {
	if n == nil {
		return
	}
	apiVersion, name, ok := d.typeOf(n, nil)
	if !ok {
		return
	}
	item, anyItem, isList := listOf(name)
	switch k := d.kind(apiVersion, item); {
	case isList && anyItem && apiVersion == coreVersion:
		d.list(n, doc, nil)
	case isList && k != nil:
		d.list(n, doc, k)
	default:
		d.object(n, d.kindOrError(n, nil, apiVersion, name), nil, doc, -1)
	}
}

// list reads the items of a List; of is their kind where they need not name it.
func (d *decoder) list(n *yamlv3.Node, doc int, of *kind) {
	at := field.NewPath("items")
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], follow(n.Content[i+1])
		if seen[key.Value] {
			d.err(key, field.NewPath(key.Value), "stands here twice")
			continue
		}
		seen[key.Value] = true
		switch key.Value {
		case "apiVersion", "kind", "metadata":
		case "items":
			if value.Kind != yamlv3.SequenceNode {
				d.err(value, at, "must be a list")
				continue
			}
			for j, item := range value.Content {
				d.item(item, of, at.Index(j), doc, j)
			}
		default:
			d.err(key, field.NewPath(key.Value), "unknown field; a List has items")
		}
	}
}

func (d *decoder) item(n *yamlv3.Node, of *kind, at *field.Path, doc, item int) {
	n = follow(n)
	if of != nil && member(n, "kind") == nil && member(n, "apiVersion") == nil {
		d.object(n, of, at, doc, item)
		return
	}
	apiVersion, name, ok := d.typeOf(n, at)
	if !ok {
		return
	}
	k := d.kindOrError(n, at, apiVersion, name)
	if k != nil && of != nil && *k != *of {
		d.err(n, at, "is a %s in a list of %ss", k.name, of.name)
		return
	}
	d.object(n, k, at, doc, item)
}

// typeOf reads apiVersion and kind.
func (d *decoder) typeOf(n *yamlv3.Node, at *field.Path) (apiVersion, kind string, ok bool) {
	if n.Kind != yamlv3.MappingNode {
		d.err(n, at, "must be an object: apiVersion, kind, metadata and spec")
		return "", "", false
	}
	ok = true
	for _, want := range []struct {
		name string
		to   *string
	}{{"apiVersion", &apiVersion}, {"kind", &kind}} {
		switch v := member(n, want.name); {
		case v == nil:
			d.err(n, at.Child(want.name), "is missing; possible are %s", d.possible)
			ok = false
		case v.Kind != yamlv3.ScalarNode || v.Value == "":
			d.err(v, at.Child(want.name), "must be text")
			ok = false
		default:
			*want.to = v.Value
		}
	}
	return apiVersion, kind, ok
}

func (d *decoder) kind(apiVersion, name string) *kind {
	i := slices.IndexFunc(d.kinds, func(k kind) bool { return k.apiVersion == apiVersion && k.name == name })
	if i < 0 {
		return nil
	}
	return &d.kinds[i]
}

func (d *decoder) kindOrError(n *yamlv3.Node, at *field.Path, apiVersion, name string) *kind {
	if k := d.kind(apiVersion, name); k != nil {
		return k
	}
	i := slices.IndexFunc(d.kinds, func(k kind) bool { return k.name == name })
	if i >= 0 {
		d.err(member(n, "apiVersion"), at.Child("apiVersion"), "%s is not an apiVersion of %s; write %s", shown(apiVersion), name, d.kinds[i].apiVersion)
		return nil
	}
	d.err(member(n, "kind"), at.Child("kind"), "%s is no kind that a folder may hold; possible are %s", shown(name), d.possible)
	return nil
}

// object reads one object of kind k; nil where that is not known, and reported.
func (d *decoder) object(n *yamlv3.Node, k *kind, at *field.Path, doc, item int) {
	if k == nil {
		return
	}
	errs := len(d.errs)
	to := reflect.New(k.of)
	d.text = 0
	d.out.Reset()
	d.value(n, to.Elem(), at, 0)
	if len(d.errs) > errs {
		return
	}
	o, ok := to.Interface().(metav1.Object)
	if !ok {
		d.err(n, at, "%s is no object", k.name)
		return
	}
	settle(o)
	d.identify(n, o, k, at)
	if len(d.errs) > errs {
		return
	}
	ref := policy.ObjectRef{Kind: k.name, Namespace: o.GetNamespace(), Name: o.GetName()}
	if k.cluster {
		ref.Namespace = ""
	}
	d.objects = append(d.objects, object{Object: o, ref: ref, line: n.Line, doc: doc, item: item})
}

// identify checks name and namespace, and gives objects without a namespace one.
func (d *decoder) identify(n *yamlv3.Node, o metav1.Object, k *kind, at *field.Path) {
	at = at.Child("metadata")
	name, namespace := at.Child("name"), at.Child("namespace")
	switch {
	case o.GetName() == "":
		d.err(nearest(n, "metadata"), name, "is missing")
	case k.name == "Namespace" && len(validation.IsDNS1123Label(o.GetName())) > 0:
		d.err(nearest(n, "metadata", "name"), name, "%s: must be at most 63 lower-case letters, digits and -", shown(o.GetName()))
	case len(validation.IsDNS1123Subdomain(o.GetName())) > 0:
		d.err(nearest(n, "metadata", "name"), name, "%s: must be lower-case letters, digits, - and ., and begin and end with a letter or digit", shown(o.GetName()))
	}
	switch {
	case k.cluster && o.GetNamespace() != "":
		d.err(nearest(n, "metadata", "namespace"), namespace, "a %s belongs to no namespace; leave it out", k.name)
	case k.cluster:
	case o.GetNamespace() == "":
		o.SetNamespace(metav1.NamespaceDefault)
	case len(validation.IsDNS1123Label(o.GetNamespace())) > 0:
		d.err(nearest(n, "metadata", "namespace"), namespace, "%s: must be at most 63 lower-case letters, digits and -", shown(o.GetNamespace()))
	}
}

// shown is a name as it stands in an error, at most a line of it.
func shown(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most]
	}
	return fmt.Sprintf("%q", s)
}
