package controller

import (
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// store holds the objects of one kind, as the informer reports them. Safe for concurrent use.
type store struct {
	// changed is told of each change that a compile could see; touched of all others.
	changed, touched func(types.NamespacedName)

	mu      sync.Mutex
	objects map[types.NamespacedName]client.Object
	// whole is closed when every object that there is has been reported, or when there is no need to wait for that.
	whole  chan struct{}
	opened bool // whole is closed
	synced bool
}

func newStore(changed, touched func(types.NamespacedName)) *store {
	return &store{changed: changed, touched: touched, objects: map[types.NamespacedName]client.Object{}, whole: make(chan struct{})}
}

var _ toolscache.ResourceEventHandler = (*store)(nil)

// OnAdd implements toolscache.ResourceEventHandler.
func (s *store) OnAdd(in any, _ bool) { s.put(in) }

// OnUpdate implements toolscache.ResourceEventHandler.
func (s *store) OnUpdate(_, in any) { s.put(in) }

// OnDelete implements toolscache.ResourceEventHandler.
func (s *store) OnDelete(in any) {
	if gone, ok := in.(toolscache.DeletedFinalStateUnknown); ok {
		in = gone.Obj
	}
	o, ok := in.(client.Object)
	if !ok {
		return
	}
	key := client.ObjectKeyFromObject(o)
	s.mu.Lock()
	delete(s.objects, key)
	s.mu.Unlock()
	s.changed(key)
}

func (s *store) put(in any) {
	o, ok := in.(client.Object)
	if !ok {
		return
	}
	key := client.ObjectKeyFromObject(o)
	s.mu.Lock()
	before, known := s.objects[key]
	same := known && unchanged(before, o)
	s.objects[key] = o
	s.mu.Unlock()
	if same {
		s.touched(key)
		return
	}
	s.changed(key)
}

// get returns an object, or nil.
func (s *store) get(key types.NamespacedName) client.Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[key]
}

// each calls f with every object; with none while not all are there, since a part of a kind could mean something else
// than the whole.
func (s *store) each(f func(client.Object)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.synced {
		return
	}
	for _, o := range s.objects {
		f(o)
	}
}

// keys calls f with the name of every object.
func (s *store) keys(f func(types.NamespacedName)) {
	s.mu.Lock()
	names := slices.Collect(maps.Keys(s.objects))
	s.mu.Unlock()
	for _, key := range names {
		f(key)
	}
}

// complete says that every object is there.
func (s *store) complete() {
	s.mu.Lock()
	s.synced = true
	s.mu.Unlock()
	s.doNotWait()
}

// doNotWait lets go whoever waits for the store.
func (s *store) doNotWait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.opened {
		s.opened = true
		close(s.whole)
	}
}

func (s *store) isSynced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.synced
}
