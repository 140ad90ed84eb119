package controller

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// everyField has each field of a policy and of a provider that holds others.
const everyField = `apiVersion: sallyport.dev/v1alpha1
kind: AuthPolicy
metadata: {name: orders, namespace: shop, labels: {a: b}, ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: a, uid: b}]}
spec:
  hosts: [orders.example.com]
  identityProviders: [{kind: ClusterIdentityProvider, name: corp, audiences: [a]}]
  paths: {encodedSlash: Keep}
  require: {expressions: [{expression: "true", message: no}]}
  rules:
  - name: read
    matches: [{path: {type: Exact, value: /a}, methods: [GET], headers: [{name: a, value: b}], queryParams: [{name: a, value: b}]}, {grpc: {service: a.B, method: C}}]
    from: {cidrs: [10.0.0.0/8]}
    require: {scopes: [a], claims: [{claim: sub, operator: In, values: [a]}], anyOf: [{groups: [b]}, {expressions: [{expression: "true"}]}]}
    denied: {status: 404, body: {type: Text, text: no}, headers: [{name: a, value: b}], unauthenticated: {redirect: {url: "https://a", onlyFor: HTML}}}
  upstream: {headers: [{name: x, claim: sub}], token: Remove, metadata: [{key: a, expression: "1"}]}
status: {conditions: [{type: Accepted, status: "True", reason: A, message: "", lastTransitionTime: 2026-01-02T03:04:05Z}], rules: 1}
---
apiVersion: sallyport.dev/v1alpha1
kind: ClusterIdentityProvider
metadata: {name: corp}
spec:
  issuer: https://id.example.com
  audiences: [a]
  keys: {remote: {url: "https://a"}, secretKeyRef: {name: a, key: b}, discovery: {}}
  refresh: {interval: 10m}
  tls: {caConfigMapKeyRef: {name: a, key: b}}
  tokenSources: [{header: {name: a}}, {cookie: {name: a}}, {queryParameter: {name: a}}]
  claimMappings: {subject: sub}
  claimValidationRules: [{expression: "true"}]
  allowedNamespaces: {from: Selector, selector: {matchLabels: {a: b}, matchExpressions: [{key: a, operator: Exists}]}}
`

// FuzzDecode: what is decoded and printed again decodes to equal objects; whatever is accepted, kubectl's parser reads
// as the same JSON, and an API server's decoder makes the same object of that, so that no field was lost or made up; and no
// field that is not known passes, wherever it stands.
func FuzzDecode(f *testing.F) {
	f.Add(policyWith("    require: {scopes: [a]}\n"))
	f.Add(everyField)
	f.Add(strings.Replace(everyField[strings.Index(everyField, "---\n"):], "---\n", "", 1))
	f.Add(everyField[:strings.Index(everyField, "---\n")])
	f.Add("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {b: aGk=}\nstringData: {on: 'x'}\n")
	f.Add("apiVersion: v1\nkind: List\nitems:\n- &a {apiVersion: v1, kind: Namespace, metadata: {name: b}}\n- *a\n")
	f.Add("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {a: &x \"0x1f\", b: *x, 1.10: \"\"}}\ndata: {c: |\n a\n b\n}\n")
	f.Add("? [a]\n: b\n---\n\xef\xbb\xbf")
	f.Fuzz(func(t *testing.T, text string) {
		objects, errs := decode("f.yaml", []byte(text), fieldIndex{})
		if len(errs) > 0 {
			return
		}
		for _, o := range objects {
			printed := printObject(t, o.Object)
			again, errs := decode("f.yaml", printed, fieldIndex{})
			if len(errs) > 0 || len(again) != 1 {
				t.Fatalf("printed again it is refused: %v\n%s", errs, printed)
			}
			if diff := cmp.Diff(o.Object, again[0].Object, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("printed again it differs (-first +second)\n%s\n%s", diff, printed)
			}
		}
		if len(objects) == 1 && objects[0].item < 0 {
			sameAsKubectl(t, text, objects[0].Object)
			refusesUnknownFields(t, objects[0].Object)
		}
	})
}

// refusesUnknownFields adds a field to each mapping of an object in turn, and wants it refused.
func refusesUnknownFields(t *testing.T, o metav1.Object) {
	t.Helper()
	var tree any
	if err := yaml.Unmarshal(printObject(t, o), &tree); err != nil {
		t.Fatal(err)
	}
	eachMapping(tree, func(m map[string]any) {
		m["xunknown"] = "x"
		text, err := yaml.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		if _, errs := decode("f.yaml", text, fieldIndex{}); len(errs) == 0 {
			t.Errorf("an unknown field passed\n%s", text)
		}
		delete(m, "xunknown")
	})
}

// eachMapping calls do for each mapping below v that has fields, and not keys of the author's choice.
func eachMapping(v any, do func(map[string]any)) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			eachMapping(e, do)
		}
	case map[string]any:
		do(v)
		for k, e := range v {
			if !slices.Contains([]string{"labels", "annotations", "data", "binaryData", "stringData", "matchLabels", "fieldsV1"}, k) {
				eachMapping(e, do)
			}
		}
	}
}

// printObject writes an object as YAML, without the fields that have no value: Go prints a list that was left out as null.
func printObject(t *testing.T, o metav1.Object) []byte {
	t.Helper()
	pruned, err := json.Marshal(withoutNulls(treeOf(t, o)))
	if err != nil {
		t.Fatal(err)
	}
	printed, err := yaml.JSONToYAML(pruned)
	if err != nil {
		t.Fatal(err)
	}
	return printed
}

// treeOf is an object as its JSON has it.
func treeOf(t *testing.T, o metav1.Object) (tree any) {
	t.Helper()
	raw, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

func withoutNulls(v any) any {
	if m, ok := v.(map[string]any); ok {
		maps.DeleteFunc(m, func(_ string, v any) bool { return withoutNulls(v) == nil })
	}
	if l, ok := v.([]any); ok {
		for i := range l {
			l[i] = withoutNulls(l[i])
		}
	}
	return v
}

func sameAsKubectl(t *testing.T, text string, o metav1.Object) {
	t.Helper()
	docs, _ := parse("f.yaml", []byte(text))
	if len(docs) != 1 || docs[0] == nil {
		return
	}
	theirs, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return // the parsers differ on YAML's darker corners; ours is the one that refuses or accepts
	}
	c := converter{file: "f.yaml", fields: fieldIndex{}}
	c.value(docs[0], reflect.Value{}, nil, 0)
	var a, b any
	if err := json.Unmarshal(theirs, &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(c.out.Bytes(), &b); err != nil {
		t.Fatalf("%v in %s, of %s", err, c.out.Bytes(), policy.ObjectRef{Name: o.GetName()})
	}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("(-kubectl +ours)\n%s", diff)
	}
	if diff := cmp.Diff(decodedByKubernetes(t, theirs, o), o); diff != "" {
		t.Errorf("(-an API server's decoder +ours)\n%s", diff)
	}
}

// decodedByKubernetes is an object of the type of like, read from JSON as strictly as an API server does.
func decodedByKubernetes(t *testing.T, content []byte, like metav1.Object) metav1.Object {
	t.Helper()
	o := reflect.New(reflect.TypeOf(like).Elem()).Interface().(metav1.Object)
	strict, err := k8sjson.UnmarshalStrict(content, o)
	if err := errors.Join(append(strict, err)...); err != nil {
		t.Fatalf("%v\n%s", err, content)
	}
	settle(o)
	if o.GetNamespace() == "" {
		o.SetNamespace(like.GetNamespace()) // default, but for what belongs to no namespace
	}
	return o
}
