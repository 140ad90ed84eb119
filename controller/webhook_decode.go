package controller

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// decodeAdmitted reads an object of a kind of ours, as an API server hands it over, as strictly as a file is read and
// with the same errors. Its metadata is read as far as it is known, and its status not at all: a newer API server or
// replica may write more there.
func decodeAdmitted(raw []byte, kindName string) (metav1.Object, policy.ObjectRef, []policy.UndecodedField) {
	notJSON := func(err error) (metav1.Object, policy.ObjectRef, []policy.UndecodedField) {
		return nil, policy.ObjectRef{}, []policy.UndecodedField{{Message: "is not a JSON object: " + err.Error()}}
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return notJSON(err)
	}
	var meta metav1.ObjectMeta
	if err := json.Unmarshal(members["metadata"], &meta); err != nil {
		return notJSON(err)
	}
	delete(members, "metadata")
	delete(members, "status")
	rest, err := json.Marshal(members)
	if err != nil {
		return notJSON(err)
	}
	all := kinds()
	k := all[slices.IndexFunc(all, func(k kind) bool { return k.apiVersion == sallyportVersion && k.name == kindName })]
	into := reflect.New(k.of).Interface()
	undecoded := decodeStrictly(rest, into)
	o := into.(metav1.Object)
	o.SetName(meta.Name)
	o.SetNamespace(meta.Namespace)
	o.SetUID(meta.UID)
	o.SetCreationTimestamp(meta.CreationTimestamp)
	return o, policy.ObjectRef{Kind: k.name, Namespace: meta.Namespace, Name: meta.Name}, undecoded
}

// sameSpec tells whether two objects in JSON have one spec. What cannot be read is never the same.
func sameSpec(a, b []byte) bool {
	x, errX := specOf(a)
	y, errY := specOf(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

func specOf(raw []byte) (spec any, err error) {
	var members map[string]json.RawMessage // not a struct, whose fields compare without case
	if err := json.Unmarshal(raw, &members); err != nil || len(members["spec"]) == 0 {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(members["spec"]))
	d.UseNumber()
	err = d.Decode(&spec)
	return spec, err
}
