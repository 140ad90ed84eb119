package controller

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// TestDecodeEveryType fills each field of each kind, in many ways, and wants to read what an API server's decoder reads.
func TestDecodeEveryType(t *testing.T) {
	for _, k := range append(kinds(), routingKinds()...) {
		t.Run(k.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			for range 15 {
				want := reflect.New(k.of)
				f := filler{rng, fieldIndex{}}
				f.fill(want.Elem(), 0)
				o := want.Interface().(metav1.Object)
				o.SetName("a")
				if o.SetNamespace("b"); k.cluster {
					o.SetNamespace("")
				}
				want.Elem().FieldByName("Kind").SetString(k.name)
				want.Elem().FieldByName("APIVersion").SetString(k.apiVersion)
				printed := printObject(t, o)
				got, errs := decode("f.yaml", printed, fieldIndex{}, routingKinds()...)
				if len(errs) > 0 || len(got) != 1 {
					t.Fatalf("%v\n%s", errs, printed)
				}
				pruned, err := json.Marshal(withoutNulls(treeOf(t, o)))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(decodedByKubernetes(t, pruned, o), got[0].Object); diff != "" {
					t.Fatalf("(-an API server's decoder +ours)\n%s\n%s", diff, printed)
				}
			}
		})
	}
}

// filler makes up values.
type filler struct {
	*rand.Rand
	fields fieldIndex
}

func (f filler) fill(v reflect.Value, depth int) {
	const deepest = 12
	if f.fields.of(v.Type()).decodesItself {
		f.fillItself(v)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if depth < deepest && f.IntN(4) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(v.Elem(), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i), depth+1)
		}
	case reflect.Slice:
		if depth < deepest {
			v.Set(reflect.MakeSlice(v.Type(), f.IntN(3), 3))
		}
		for i := range v.Len() {
			f.fill(v.Index(i), depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := range f.IntN(3) {
			elem := reflect.New(v.Type().Elem()).Elem()
			f.fill(elem, depth+1)
			v.SetMapIndex(reflect.ValueOf(fmt.Sprint("key", i)).Convert(v.Type().Key()), elem)
		}
	case reflect.String:
		texts := []string{"a", "", "on", "n", "007", "1e3", "10.0.0.0/8", "é\n", "<<", "null", "a: b", "- a", "# a", "0x1f", "2026-01-02", " a ", "\x01", strings.Repeat("x", 100)}
		v.SetString(texts[f.IntN(len(texts))])
	case reflect.Bool:
		v.SetBool(f.IntN(2) == 0)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(f.IntN(1<<31)) - 1<<30)
	case reflect.Uint8, reflect.Uint16:
		v.SetUint(uint64(f.IntN(256)))
	default:
		panic(fmt.Sprintf("nothing reads a %s yet; see converter.value", v.Type()))
	}
}

// fillItself fills what brings its own reading.
func (f filler) fillItself(v reflect.Value) {
	switch to := v.Addr().Interface().(type) {
	case *metav1.Time:
		*to = metav1.NewTime(time.Unix(f.Int64N(1<<32), 0))
	case *intstr.IntOrString:
		*to = []intstr.IntOrString{intstr.FromInt32(80), intstr.FromString("80"), intstr.FromString("http")}[f.IntN(3)]
	case *metav1.FieldsV1:
		to.SetRawBytes([]byte(`{"f:a":{".":{},"k:{\"b\":\"1\"}":[1,true,1.5,"on"]}}`))
	default:
		panic(fmt.Sprintf("nobody makes up a %s", v.Type()))
	}
}

// TestFieldsOfEveryType holds what the walk over nodes takes for granted of the types: no name stands for two fields, no
// option of a tag changes how a field is read, and keys of maps are texts.
func TestFieldsOfEveryType(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var visit func(reflect.Type)
	visit = func(of reflect.Type) {
		if seen[of] || (fieldIndex{}).of(of).decodesItself {
			return
		}
		seen[of] = true
		switch of.Kind() {
		case reflect.Pointer, reflect.Slice:
			visit(of.Elem())
		case reflect.Map:
			if of.Key().Kind() != reflect.String {
				t.Errorf("%s: its keys are no texts", of)
			}
			visit(of.Elem())
		case reflect.Struct:
			names := jsonNames(t, of)
			if slices.Sort(names); len(slices.Compact(slices.Clone(names))) != len(names) {
				t.Errorf("%s: a name stands for two fields: %q", of, names)
			}
			for i := range of.NumField() {
				visit(of.Field(i).Type)
			}
		}
	}
	for _, k := range append(kinds(), routingKinds()...) {
		visit(k.of)
	}
	if len(seen) < 100 {
		t.Errorf("only %d types were seen", len(seen))
	}
}

// jsonNames are the names of fields, those of inlined structs among them.
func jsonNames(t *testing.T, of reflect.Type) (out []string) {
	t.Helper()
	for i := range of.NumField() {
		f := of.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		for _, option := range strings.Split(options, ",") {
			if !slices.Contains([]string{"", "inline", "omitempty", "omitzero"}, option) {
				t.Errorf("%s.%s: nothing knows the option %q", of, f.Name, option)
			}
		}
		switch {
		case name == "" && f.Anonymous:
			if f.Type.Kind() != reflect.Struct {
				t.Errorf("%s.%s: an inlined %s", of, f.Name, f.Type.Kind())
				continue
			}
			out = append(out, jsonNames(t, f.Type)...)
		case name == "-":
		default:
			out = append(out, name)
		}
	}
	return out
}

// TestDecodeReadsScalarsAsKubectl writes values in every way that YAML has for them, in places of every type. What is
// accepted is what an API server makes of what kubectl sends.
func TestDecodeReadsScalarsAsKubectl(t *testing.T) {
	const policy = "apiVersion: sallyport.dev/v1alpha1\nkind: AuthPolicy\nmetadata: {name: a, namespace: b}\nspec: {hosts: [a.com], rules: [{name: a, access: Public}]}\n"
	places := []string{
		strings.Replace(policy, "access: Public", "access: %s", 1),
		strings.Replace(policy, "[a.com]", "[%s]", 1),
		strings.Replace(policy, "access: Public", "denied: {status: %s}", 1),
		strings.Replace(policy, "access: Public", "matches: [{headers: [{name: a, value: %s}]}]", 1),
		strings.Replace(policy, "name: a,", "name: a, labels: {a: %s},", 1),
		strings.Replace(policy, "name: a,", "name: a, labels: {%s: a},", 1),
		strings.Replace(policy, "name: a,", "name: a, creationTimestamp: %s,", 1),
		strings.Replace(policy, "name: a,", "name: a, generation: %s,", 1),
		policy + "status: {rules: %s}\n",
		policy + "status: {conditions: %s}\n",
		"apiVersion: sallyport.dev/v1alpha1\nkind: IdentityProvider\nmetadata: {name: a, namespace: b}\nspec: {issuer: a, allowHTTP: %s}\n",
		"apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: b}\ndata: {a: %s}\n",
		"apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: b}\nstringData: {a: &a %s, b: *a}\n",
		"apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: b}\nimmutable: %s\n",
		"apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\nspec: {ports: [{port: 80, targetPort: %s}]}\n",
	}
	values := strings.Fields(`a on On ON off yes No y N true TRUE True false tRue "true" 'on' !!str\x20on !!bool\x20on !!str\x201 null Null ~ "" '' -
		1 +1 -1 01 0o17 0x1F 0b11 1_000 1.0 1.5 .5 1. 1e3 1E3 1e400 .inf -.Inf .nan NaN 12345678901234567890 404 2147483648 -0 0.0 1:30 1:30:00
		2026-01-02 2026-01-02T03:04:05Z "2026-01-02T03:04:05Z" aGk= aGk aGV\nsbG8= "aGk=" [] {} [a] {a:\x20b} << "<<" = "=" "\\u00e9" é "\\x00" "\\ud83d\\ude00"
		"\\n" "a\\/b" >\n\x20\x20a\n\x20\x20b\n |\n\x20\x20on\n &z\x201 !a a*b %20 a#b a:b 10.0.0.0/8 1.2.3.4 1-2 -a +a .a 00 0 08 0.1.2`)
	spelt := strings.NewReplacer(`\x20`, " ", `\n`, "\n", `\\`, `\`)
	accepted := 0
	for _, place := range places {
		for _, value := range values {
			text := fmt.Sprintf(place, spelt.Replace(value))
			objects, errs := decode("f.yaml", []byte(text), fieldIndex{}, routingKinds()...)
			if len(errs) > 0 || len(objects) != 1 {
				continue
			}
			accepted++
			sameAsKubectl(t, text, objects[0].Object)
			if t.Failed() {
				t.Fatal(text)
			}
		}
	}
	if accepted < 400 {
		t.Errorf("only %d were accepted", accepted)
	}
}
