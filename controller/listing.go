package controller

import (
	"sync"

	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// Listing is every object that there is, and where it was found. It is not written once it was handed out.
type Listing struct {
	// Objects, in no order. An object of a file that did not change since the last Listing is the same pointer.
	Objects policy.Objects
	// Files is how many files were read.
	Files int

	places map[policy.ObjectRef]found
	// declared are the objects of CRDs, where they came from a cluster.
	declared []declaredObject
}

// found is where an object stands.
type found struct {
	file   *file
	object *object
}

// file is a file that was read.
type file struct {
	name    string
	seen    seen
	content []byte
	objects []object
	errs    FileErrors
	nodes   func() []*yamlv3.Node // the documents; parsed when they are first asked for
}

// newFile decodes a file. more are kinds that it may hold beside those of every folder.
func newFile(s seen, content []byte, fields fieldIndex, more ...kind) *file {
	f := &file{name: s.name, seen: s, content: content}
	f.objects, f.errs = decode(s.name, content, fields, more...)
	f.nodes = sync.OnceValue(func() []*yamlv3.Node {
		docs, _ := parse(f.name, f.content)
		return docs
	})
	return f
}

// Len counts the objects.
func (l *Listing) Len() int {
	o := &l.Objects
	return len(o.AuthPolicies) + len(o.IdentityProviders) + len(o.ClusterIdentityProviders) + len(o.TokenRevocations) + len(o.Secrets) +
		len(o.ConfigMaps) + len(o.Namespaces) + len(o.Services) + len(o.Gateways) + len(o.HTTPRoutes) + len(o.GRPCRoutes)
}

// Locate is the place of a field of an object, for example of a policy.Problem; where the field is absent, of the
// nearest parent that is there. The file is empty for an object that is not in the listing. Safe for concurrent use.
func (l *Listing) Locate(ref policy.ObjectRef, field string) (file string, line int) {
	f, ok := l.places[ref]
	if !ok {
		return "", 0
	}
	docs := f.file.nodes()
	if f.object.doc >= len(docs) || docs[f.object.doc] == nil {
		return f.file.name, f.object.line
	}
	n := follow(docs[f.object.doc])
	if f.object.item >= 0 {
		items := member(n, "items")
		if items == nil || f.object.item >= len(items.Content) {
			return f.file.name, f.object.line
		}
		n = items.Content[f.object.item]
	}
	return f.file.name, lineOf(n, field)
}

// newListing joins files. One object in two places is an error, since nothing could say which of them counts.
func newListing(files []*file) (*Listing, FileErrors) {
	l := &Listing{Files: len(files), places: map[policy.ObjectRef]found{}}
	var errs FileErrors
	for _, f := range files {
		errs = append(errs, f.errs...)
		for i := range f.objects {
			o := &f.objects[i]
			if first, twice := l.places[o.ref]; twice {
				errs = append(errs, FileError{File: f.name, Line: o.line,
					Message: o.ref.String() + " stands here a second time; the first is " + place(first.file.name, first.object.line)})
				continue
			}
			l.places[o.ref] = found{f, o}
			add(&l.Objects, o.Object)
		}
	}
	errs.sort()
	return l, errs
}
