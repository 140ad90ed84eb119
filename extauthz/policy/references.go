package policy

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// The kinds of which a provider may read a key.
const (
	kindSecret    = "Secret"
	kindConfigMap = "ConfigMap"
)

// references are the Secrets, ConfigMaps and Namespaces of a compile, by name.
type references struct {
	secrets    map[types.NamespacedName]map[string][]byte
	configMaps map[types.NamespacedName]map[string][]byte
	namespaces map[string]map[string]string // labels
	accounts   ServiceAccounts
	// readable are the namespaces whose Secrets and ConfigMaps are here; nil: all.
	readable []string
}

func newReferences(objs *Objects) *references {
	r := &references{
		secrets:    map[types.NamespacedName]map[string][]byte{},
		configMaps: map[types.NamespacedName]map[string][]byte{},
		namespaces: map[string]map[string]string{},
		accounts:   objs.ServiceAccounts,
		readable:   objs.ReferenceNamespaces,
	}
	for _, s := range objs.Secrets {
		data := map[string][]byte{}
		for k, v := range s.Data {
			data[k] = v
		}
		for k, v := range s.StringData { // overwrites Data, as the API server does
			data[k] = []byte(v)
		}
		r.secrets[types.NamespacedName{Namespace: s.Namespace, Name: s.Name}] = data
	}
	for _, c := range objs.ConfigMaps {
		data := map[string][]byte{}
		for k, v := range c.BinaryData {
			data[k] = v
		}
		for k, v := range c.Data {
			data[k] = []byte(v)
		}
		r.configMaps[types.NamespacedName{Namespace: c.Namespace, Name: c.Name}] = data
	}
	for _, n := range objs.Namespaces {
		r.namespaces[n.Name] = n.Labels
	}
	return r
}

// keyRead is a key of a Secret or ConfigMap, or all data of one, as a provider found it.
type keyRead struct {
	kind   string
	object types.NamespacedName
	key    string // of what value is
	all    bool   // then data is what was found
	found  readResult
	value  []byte
	data   map[string][]byte
}

// readResult is what became of reading a key.
type readResult uint8

const (
	readForbidden readResult = iota // the namespace could not be read
	readNoObject
	readNoKey
	readValue
)

// read looks up a key of a Secret or ConfigMap.
func (r *references) read(kind string, object types.NamespacedName, key string) keyRead {
	out := keyRead{kind: kind, object: object, key: key}
	data, found := r.look(kind, object)
	if out.found = found; found == readValue {
		var ok bool
		if out.value, ok = data[key]; !ok {
			out.found = readNoKey
		}
	}
	return out
}

// readAll looks up all data of a Secret or ConfigMap.
func (r *references) readAll(kind string, object types.NamespacedName) keyRead {
	out := keyRead{kind: kind, object: object, all: true}
	out.data, out.found = r.look(kind, object)
	return out
}

// look finds a Secret or ConfigMap; readValue: it is there.
func (r *references) look(kind string, object types.NamespacedName) (map[string][]byte, readResult) {
	from := r.configMaps
	if kind == kindSecret {
		from = r.secrets
	}
	data, ok := from[object]
	switch {
	case ok:
		return data, readValue
	case r.readable == nil || slices.Contains(r.readable, object.Namespace):
		return nil, readNoObject
	}
	return nil, readForbidden
}

// same tells whether reading the same again gives the same.
func (r *references) same(before keyRead) bool {
	if before.all {
		now := r.readAll(before.kind, before.object)
		return now.found == before.found && maps.EqualFunc(now.data, before.data, bytes.Equal)
	}
	now := r.read(before.kind, before.object, before.key)
	return now.found == before.found && bytes.Equal(now.value, before.value)
}

// stands tells whether compiling the provider would give the same again: it would read the same.
func (p *provider) stands(refs *references) bool {
	return !slices.ContainsFunc(p.reads, func(r keyRead) bool { return !refs.same(r) }) && (p.accounts == nil || *p.accounts == refs.accounts)
}

// directory finds the providers that policies refer to.
type directory struct {
	providers map[ObjectRef]*provider
	refs      *references
}

func newDirectory(providers []*provider, refs *references) *directory {
	d := &directory{providers: make(map[ObjectRef]*provider, len(providers)), refs: refs}
	for _, p := range providers {
		d.providers[p.ref] = p
	}
	return d
}

// reference is what one entry of spec.identityProviders leads to.
type reference struct {
	// provider is nil where there is none.
	provider *provider
	// serves: the provider serves the namespace of the policy.
	serves bool
}

// follow looks up what ref, of a policy in namespace, leads to.
func (d *directory) follow(namespace string, ref *v1alpha1.IdentityProviderReference) reference {
	p := d.providers[providerRef(namespace, ref)]
	if p == nil {
		return reference{}
	}
	set, known := d.refs.namespaces[namespace]
	return reference{p, p.serves == nil || known && p.serves.Matches(labels.Set(set))}
}

// providerRef names what an entry of spec.identityProviders refers to.
func providerRef(namespace string, ref *v1alpha1.IdentityProviderReference) ObjectRef {
	out := ObjectRef{Kind: cmp.Or(ref.Kind, v1alpha1.KindIdentityProvider), Name: ref.Name}
	if out.Kind == v1alpha1.KindIdentityProvider {
		out.Namespace = namespace
	}
	return out
}
