package controller

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

// TestEveryReferenceOfAProviderIsWanted walks the type of a provider's spec: a field that names a Secret or a ConfigMap,
// and that nobody has taught to wantedBySpec, fails here.
func TestEveryReferenceOfAProviderIsWanted(t *testing.T) {
	checkReferences(t, 5, wantedBySpec)
}

// TestEveryReferenceOfAPolicyIsWanted does the same for policies.
func TestEveryReferenceOfAPolicyIsWanted(t *testing.T) {
	checkReferences(t, 4, wantedByPolicy)
}

func checkReferences[T any](t *testing.T, least int, wanted func(map[referenceKey]bool, *T, string)) {
	t.Helper()
	var found []string
	eachReference(reflect.TypeFor[T](), nil, func(path []int, names []string) {
		name := strings.Join(names, ".")
		found = append(found, name)
		var spec T
		reference := descend(reflect.ValueOf(&spec).Elem(), path)
		reference.FieldByName("Name").SetString("it")
		kind := kindSecret
		if strings.Contains(strings.ToLower(names[len(names)-1]), "configmap") {
			kind = kindConfigMap
		}
		got := map[referenceKey]bool{}
		wanted(got, &spec, "shop")
		want := map[referenceKey]bool{{kind, types.NamespacedName{Namespace: "shop", Name: "it"}}: true}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(referenceKey{})); diff != "" {
			t.Errorf("spec.%s (-want +got)\n%s", name, diff)
		}
	})
	if len(found) < least {
		t.Errorf("found only %q", found)
	}
}

// eachReference calls see with the place of each struct below t whose field's JSON name speaks of a Secret or ConfigMap.
func eachReference(t reflect.Type, names []string, see func(path []int, names []string), path ...int) {
	for i := range t.NumField() {
		f := t.Field(i)
		in := f.Type
		for in.Kind() == reflect.Pointer || in.Kind() == reflect.Slice {
			in = in.Elem()
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		at, called := append(append([]int{}, path...), i), append(append([]string{}, names...), name)
		lower := strings.ToLower(name)
		switch {
		case strings.HasSuffix(lower, "ref") && (strings.Contains(lower, "secret") || strings.Contains(lower, "configmap")):
			see(at, called)
		case in.Kind() == reflect.Struct && in.PkgPath() == t.PkgPath():
			eachReference(in, called, see, at...)
		}
	}
}

// descend makes what is missing on the way to a field.
func descend(v reflect.Value, path []int) reflect.Value {
	for _, i := range path {
		v = made(v).Field(i)
	}
	return made(v)
}

func made(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return made(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		return made(v.Index(0))
	}
	return v
}
