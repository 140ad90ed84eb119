package controller

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// policyWith is a sound policy whose second rule has these lines more; they are line 17 and on.
func policyWith(lines string) string {
	return `# line 1
apiVersion: sallyport.dev/v1alpha1
kind: AuthPolicy
metadata:
  name: orders
  namespace: shop
spec:
  hosts: [orders.example.com]
  identityProviders:
  - name: corp
  rules:
  - name: health
    access: Public
  - name: read
    matches:
    - methods: [GET]
` + lines
}

func TestDecodeSaysWhatIsWrongAndWhere(t *testing.T) {
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"misspelt field of a list", policyWith("    requires:\n      scopes: [a]\n"), []string{`f.yaml:17: spec.rules[1].requires: unknown field, did you mean "require"?`}},
		{"other case", policyWith("    Require:\n      scopes: [a]\n"), []string{`f.yaml:17: spec.rules[1].Require: unknown field, did you mean "require"?`}},
		{"unknown field without a like", policyWith("    require:\n      xyzzyplugh: [a]\n"), []string{
			"f.yaml:18: spec.rules[1].require.xyzzyplugh: unknown field; there are anyOf, claims, expressions, groups, roles, scopes, stepUp"}},
		{"field of a later version", policyWith("    require:\n      assurance: {level: 3}\n"), []string{
			"f.yaml:18: spec.rules[1].require.assurance: unknown field; there are anyOf, claims, expressions, groups, roles, scopes, stepUp"}},
		{"nested lists", policyWith("    require:\n      anyOf:\n      - groups: [ops]\n      - claims:\n        - claim: a\n          operator: In\n        - claim: b\n          operater: In\n"), []string{
			`f.yaml:24: spec.rules[1].require.anyOf[1].claims[1].operater: unknown field, did you mean "operator"?`}},
		{"all at once, in order", policyWith("    require:\n      scopes: orders\n      roles: {a: b}\n    mod: x\n    mode: [x]\n"), []string{
			"f.yaml:18: spec.rules[1].require.scopes: must be a list, not text",
			"f.yaml:19: spec.rules[1].require.roles: must be a list, not a mapping",
			`f.yaml:20: spec.rules[1].mod: unknown field, did you mean "mode"?`,
			"f.yaml:21: spec.rules[1].mode: must be text, not a list"}},
		{"duplicate key", policyWith("    access: Public\n    access: Denied\n"), []string{"f.yaml:18: spec.rules[1].access: stands here twice; the first is in line 17"}},
		{"duplicate key in quotes", policyWith("    access: Public\n    \"access\": Denied\n"), []string{"f.yaml:18: spec.rules[1].access: stands here twice; the first is in line 17"}},
		{"list instead of mapping", policyWith("    require: [a]\n"), []string{"f.yaml:17: spec.rules[1].require: must be a mapping, not a list"}},
		{"text instead of mapping", policyWith("    require: a\n"), []string{"f.yaml:17: spec.rules[1].require: must be a mapping, not text"}},
		{"on is true, as kubectl reads it", policyWith("    require:\n      scopes:\n      - on\n"), []string{
			"f.yaml:19: spec.rules[1].require.scopes[0]: must be text, not true or false, as which YAML reads on, off, yes, no, y and n; put it in quotes"}},
		{"number where text must be", policyWith("    require:\n      scopes: [a, 7]\n"), []string{"f.yaml:18: spec.rules[1].require.scopes[1]: must be text, not a number; put it in quotes"}},
		{"no value in spec", policyWith("    require:\n      scopes:\n      # - orders.read\n      roles: [a]\n"), []string{
			"f.yaml:18: spec.rules[1].require.scopes: has no value; give it one, or leave the field out"}},
		{"fraction for a status", policyWith("    denied: {status: 404.5}\n"), []string{"f.yaml:17: spec.rules[1].denied.status: must be a whole number of 32 bits"}},
		{"too large for a status", policyWith("    denied: {status: 99999999999}\n"), []string{"f.yaml:17: spec.rules[1].denied.status: must be a whole number of 32 bits"}},
		{"no number at all", policyWith("    denied: {status: .inf}\n"), []string{"f.yaml:17: spec.rules[1].denied.status: is a number that JSON cannot hold; put text in quotes"}},
		{"boolean", "apiVersion: sallyport.dev/v1alpha1\nkind: IdentityProvider\nmetadata: {name: a}\nspec: {allowHTTP: please}\n", []string{"f.yaml:4: spec.allowHTTP: must be true or false"}},
		{"merge key", policyWith("    <<: {access: Public}\n"), []string{"f.yaml:17: spec.rules[1]: merge keys (<<) are not read, since parsers differ on them; write the fields out"}},
		{"tag", policyWith("    access: !!binary UHVibGlj\n"), []string{"f.yaml:17: spec.rules[1].access: YAML tags such as !!binary are not read; leave the tag out"}},
		{"key that is no text", policyWith("    ~: x\n"), []string{"f.yaml:17: spec.rules[1]: a key must be text; put it in quotes"}},
		{"other kind", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n", []string{`f.yaml:2: kind: "Deployment" is no kind that a folder may hold; possible are ` + possibleKinds}},
		{"other version", "apiVersion: sallyport.dev/v1\nkind: AuthPolicy\nmetadata: {name: a}\n", []string{`f.yaml:1: apiVersion: "sallyport.dev/v1" is not an apiVersion of AuthPolicy; write sallyport.dev/v1alpha1`}},
		{"no kind", "apiVersion: v1\nmetadata: {name: a}\n", []string{"f.yaml:1: kind: is missing; possible are " + possibleKinds}},
		{"neither version nor kind", "metadata: {name: a}\n", []string{
			"f.yaml:1: apiVersion: is missing; possible are " + possibleKinds, "f.yaml:1: kind: is missing; possible are " + possibleKinds}},
		{"a list for an object", "- a\n", []string{"f.yaml:1: must be an object: apiVersion, kind, metadata and spec"}},
		{"no name", "\napiVersion: v1\nkind: Secret\nmetadata:\n  generateName: a-\n", []string{"f.yaml:4: metadata.name: is missing"}},
		{"no metadata", "apiVersion: v1\nkind: Secret\n", []string{"f.yaml:1: metadata.name: is missing"}},
		{"bad name", "apiVersion: v1\nkind: Secret\nmetadata:\n  name: A_b\n", []string{`f.yaml:4: metadata.name: "A_b": must be lower-case letters, digits, - and ., and begin and end with a letter or digit`}},
		{"bad namespace", "apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\n  namespace: a.b\n", []string{`f.yaml:5: metadata.namespace: "a.b": must be at most 63 lower-case letters, digits and -`}},
		{"namespace of a cluster kind", "apiVersion: sallyport.dev/v1alpha1\nkind: ClusterIdentityProvider\nmetadata:\n  name: a\n  namespace: b\n", []string{
			"f.yaml:5: metadata.namespace: a ClusterIdentityProvider belongs to no namespace; leave it out"}},
		{"not base64", secret + "data:\n  key: plain text\n", []string{"f.yaml:5: data[key]: must be base64; plain text goes into stringData"}},
		{"number in a Secret, not shown", secret + "stringData:\n  key: 123456\n", []string{"f.yaml:5: stringData[key]: must be text, not a number; put it in quotes"}},
		{"second document", "---\n# nothing\n---\n" + secret + "datum: {}\n", []string{`f.yaml:7: datum: unknown field, did you mean "data"?`}},
		{"item of a List", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: a}\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: b}\n  strinData: {}\n", []string{
			`f.yaml:10: items[1].strinData: unknown field, did you mean "stringData"?`}},
		{"item of another kind", "apiVersion: v1\nkind: SecretList\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a}\n", []string{"f.yaml:4: items[0]: is a ConfigMap in a list of Secrets"}},
		{"field of a List", "apiVersion: v1\nkind: List\nitem: []\n", []string{"f.yaml:3: item: unknown field; a List has items"}},
		{"items twice", "apiVersion: v1\nkind: List\nitems: []\nitems: []\n", []string{"f.yaml:4: items: stands here twice"}},
		{"kind twice", "apiVersion: v1\nkind: Secret\nkind: ConfigMap\nmetadata: {name: a}\n", []string{"f.yaml:3: kind: stands here twice; the first is in line 2"}},
		{"data without a value", secret + "data:\n  key:\n", []string{"f.yaml:5: data[key]: has no value; give it one, or leave the field out"}},
		{"syntax", "a: 1\nb: [1\nc: 2\n", []string{"f.yaml:2: is not YAML: did not find expected ',' or ']'"}},
		{"syntax after a good document", secret + "---\na: \"x\n", []string{"f.yaml:5: is not YAML: found unexpected end of stream"}},
		{"tab", "a: 1\n\tb: 2\n", []string{"f.yaml:2: is not YAML: found a tab character that violates indentation"}},
		{"time", "apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\n  creationTimestamp: yesterday\n", []string{"f.yaml:5: metadata.creationTimestamp: cannot be read as a Time"}},
		{"alias of itself", secret + "data: &a\n  b: *a\n", []string{"f.yaml:4: data[b]: must be base64 text, not a mapping"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, errs := decode("f.yaml", []byte(tt.text), fieldIndex{})
			errs.sort()
			var got []string
			for _, e := range errs {
				got = append(got, e.Error())
			}
			// What follows an alias of itself repeats.
			if len(tt.want) == 1 && len(got) > 1 && strings.Contains(tt.name, "itself") {
				got = got[:1]
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestDecodeBoundsWhatAliasesMake(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  annotations:\n    x: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := range 10 {
		fmt.Fprintf(&b, "    x%d: &a%d [%s]\n", i, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 10), ","))
	}
	_, errs := decode("f.yaml", []byte(b.String()), fieldIndex{})
	if len(errs) == 0 || !strings.Contains(errs[len(errs)-1].Message, "too large") {
		t.Errorf("got %d errors, the last of which should be about the size", len(errs))
	}
}

// TestDecodeBoundsTextsThatAliasesMake repeats a long text, as a value and as the key of what is kept as JSON.
func TestDecodeBoundsTextsThatAliasesMake(t *testing.T) {
	long, aliases := strings.Repeat("x", maxFileBytes/4), ""
	for i := range 20 {
		aliases += fmt.Sprintf(", a%d: *a", i)
	}
	for name, text := range map[string]string{
		"value": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: &a " + long + aliases + "}\n",
		"key":   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, managedFields: [{fieldsV1: {a: &a {? " + long + " : x}" + aliases + "}}]}\n",
	} {
		_, errs := decode("f.yaml", []byte(text), fieldIndex{})
		if len(errs) != 1 || !strings.Contains(errs[0].Message, "too large") {
			t.Errorf("%s: got %d errors, want one about the size", name, len(errs))
		}
	}
}

func TestDecodeBoundsErrors(t *testing.T) {
	text := "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n" + strings.Repeat("  key: 1\n", 3*maxErrors)
	if _, errs := decode("f.yaml", []byte(text), fieldIndex{}); len(errs) != maxErrors {
		t.Errorf("got %d errors, want %d", len(errs), maxErrors)
	}
}

func TestDecodeTakesWhatKubectlTakes(t *testing.T) {
	text := `
apiVersion: sallyport.dev/v1alpha1
kind: AuthPolicy
metadata: {name: a, uid: 1-2-3, creationTimestamp: 2026-01-02T03:04:05Z, labels: {on: "1", 0777: "2"}, annotations: null}
spec: {hosts: ["*"], rules: [{name: all, access: "Public"}]}
status: {rules: 3}
---
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: shop, creationTimestamp: null}
data: {a: aGVsbG8=, both: aGVsbG8=}
stringData: {b: "text", both: wins}
---
---
# nothing
---
apiVersion: sallyport.dev/v1alpha1
kind: ClusterIdentityProviderList
metadata: {resourceVersion: "1"}
items:
- metadata: {name: corp}
  spec: &spec {issuer: https://id.example.com, audiences: [a]}
- apiVersion: sallyport.dev/v1alpha1
  kind: ClusterIdentityProvider
  metadata: {name: corp-2}
  spec: *spec
...
`
	l := mustList(t, map[string]string{"f.yaml": text})
	p := l.Objects.AuthPolicies[0]
	if p.Namespace != "default" || p.UID != "1-2-3" || p.CreationTimestamp.Year() != 2026 || p.Status.Rules != 3 {
		t.Errorf("got %+v", p.ObjectMeta)
	}
	if diff := cmp.Diff(map[string]string{"true": "1", "511": "2"}, p.Labels); diff != "" {
		t.Errorf("labels (-want +got)\n%s", diff)
	}
	s := l.Objects.Secrets[0]
	if diff := cmp.Diff(map[string][]byte{"a": []byte("hello"), "b": []byte("text"), "both": []byte("wins")}, s.Data); diff != "" || s.StringData != nil {
		t.Errorf("data (-want +got)\n%s, stringData %v", diff, s.StringData)
	}
	if c := l.Objects.ClusterIdentityProviders; len(c) != 2 || c[0].Namespace != "" || c[1].Spec.Issuer != c[0].Spec.Issuer {
		t.Errorf("got %+v", c)
	}
	if l.Len() != 4 {
		t.Errorf("got %d objects, want 4", l.Len())
	}
}
