package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/controller"
	"github.com/sallyport/sallyport/extauthz/idp"
)

const (
	// keySettle gathers what several providers bring at about the same time into one save.
	keySettle = 2 * time.Second
	// keyRefresh is how old the times of fetches may be in what was saved; keys that change are saved sooner.
	keyRefresh = 5 * time.Minute
	// keyPause is the least time between two saves, failed ones included: a provider that changes its keys all the time
	// must not wear out the store, which in a cluster is etcd.
	keyPause = 30 * time.Second
	// keyLoadTimeout and keySaveTimeout bound one call of a store. A start waits for the first, an end for the second.
	keyLoadTimeout = 2 * time.Second
	keySaveTimeout = 5 * time.Second
)

// keyStore is where public keys outlive the process: a folder, or a ConfigMap of the cluster.
type keyStore interface {
	// Load returns what was saved last; nil: nothing was.
	Load(ctx context.Context) ([]byte, error)
	// Save puts what change makes of it in its place, at once. What is held is nil where nothing was saved, or by nobody
	// else than this process. Where others save too, change may be called more than once.
	Save(ctx context.Context, change func(held []byte) ([]byte, error)) error
}

// keyState keeps the state of a keeper in a store. Every replica loads it, the one that leads saves it.
type keyState struct {
	keeper   *idp.Keeper
	store    keyStore // nil: keys do not outlive the process
	limit    int      // bytes that store takes; 0: idp.MaxState
	log      logr.Logger
	failures prometheus.Counter
	changed  chan struct{} // holds one: an attempt has ended since the last look
	leading  atomic.Bool

	// What Run knows of the store. At first it is as if nothing were there, so a process that never had a key saves
	// nothing: its clock may have been wrong, or its objects unreadable, when it passed over what is there.
	saved            idp.State
	savedAt, triedAt time.Time
	dropped          []string
	failed           bool
}

// newKeyState registers its metric with reg. It saves nothing until it is told to lead; without a store it never does.
func newKeyState(keeper *idp.Keeper, store keyStore, limit int, log logr.Logger, reg prometheus.Registerer) (*keyState, error) {
	s := &keyState{
		keeper: keeper, store: store, limit: limit, log: log, changed: make(chan struct{}, 1),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sallyport_key_state_failures_total", Help: "Times that kept keys could not be read or saved, as a whole or in part.",
		}),
	}
	if err := reg.Register(s.failures); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	return s, nil
}

// restore hands what is stored to the keeper. What cannot be used is logged and left: the keys are fetched then.
func (s *keyState) restore(ctx context.Context) {
	if s == nil || s.store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, keyLoadTimeout)
	defer cancel()
	data, err := s.store.Load(ctx)
	if err != nil {
		s.failures.Inc()
		s.log.Error(err, "Kept keys cannot be read, going on without them")
		return
	}
	if data == nil {
		s.log.Info("No keys are kept yet")
		return
	}
	sets, err := s.keeper.Restore(data)
	if err != nil {
		s.failures.Inc()
		s.log.Error(err, "Kept keys are ignored, all or some of them", "taken", sets)
	}
	s.log.Info("Kept keys read", "sets", sets)
}

// note says that an attempt to fetch has ended. It never waits.
func (s *keyState) note() {
	if s == nil {
		return
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// lead says whether this process is the one that saves, from now on.
func (s *keyState) lead(leading bool) {
	s.leading.Store(leading)
	s.note()
}

// Run saves the keys when they change, while this process leads, until ctx ends, and then once more. One Run at a time.
// Its error is nil.
func (s *keyState) Run(ctx context.Context) error {
	if s.store == nil {
		<-ctx.Done()
		return nil
	}
	wait := time.NewTimer(0)
	wait.Stop()
	defer wait.Stop()
	for {
		select {
		case <-s.changed:
			wait.Reset(keySettle)
			select {
			case <-wait.C:
			case <-ctx.Done():
			}
		case <-wait.C:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), keySaveTimeout)
			defer cancel()
			s.saveNow(last)
			return nil
		}
		if again := s.saveDue(ctx); again > 0 {
			wait.Reset(again)
		}
	}
}

// saveDue saves what has changed, and returns when to look again; 0: when something changes.
func (s *keyState) saveDue(ctx context.Context) time.Duration {
	if !s.leading.Load() {
		s.saved = idp.State{} // the store is another's, and changes unseen
		return 0
	}
	state := s.keeper.State()
	if state.SameKeys(s.saved) {
		if !state.NewerThan(s.saved) {
			return 0
		}
		if rest := keyRefresh - time.Since(s.savedAt); rest > 0 {
			return rest
		}
	}
	if rest := keyPause - time.Since(s.triedAt); rest > 0 {
		return rest
	}
	ctx, cancel := context.WithTimeout(ctx, keySaveTimeout)
	defer cancel()
	if !s.save(ctx, state) {
		return keyPause
	}
	return 0
}

// saveNow saves what the store does not have yet.
func (s *keyState) saveNow(ctx context.Context) {
	if state := s.keeper.State(); s.leading.Load() && (!state.SameKeys(s.saved) || state.NewerThan(s.saved)) {
		s.save(ctx, state)
	}
}

// save writes state, and what the store has that is newer, and reports whether the store has it.
func (s *keyState) save(ctx context.Context, state idp.State) bool {
	s.triedAt = time.Now()
	var dropped []string
	var size int
	err := s.store.Save(ctx, func(held []byte) (data []byte, err error) {
		both, err := s.keeper.StateOver(held)
		if err != nil {
			s.failures.Inc()
			s.log.Error(err, "Kept keys are replaced, all or some of them")
		}
		data, dropped, err = both.Encode(s.limit)
		size = len(data)
		return data, err
	})
	if err != nil {
		s.failures.Inc()
		if !s.failed {
			s.log.Error(err, "Keys cannot be kept, they would not survive a restart")
		}
		s.failed = true
		return false
	}
	if s.failed {
		s.log.Info("Keys are kept again")
	}
	s.failed = false
	if len(dropped) > 0 && !slices.Equal(dropped, s.dropped) {
		s.log.Error(errTooLarge, "The largest key sets are not kept", "providers", dropped, "limit", s.limit)
	}
	s.saved, s.savedAt, s.dropped = state, time.Now(), dropped
	s.log.V(1).Info("Keys kept", "bytes", size)
	return true
}

var errTooLarge = errors.New("the keys of all providers are too large for the store")

// keepKeys lets the keys of providers outlive the process: in a cluster in a ConfigMap, which the leader saves; with
// --from in --state-dir, where that is set.
func (s *service) keepKeys() error {
	store, limit, err := s.keyStore()
	if err != nil {
		return err
	}
	if s.keys.state, err = newKeyState(s.keys.keeper, store, limit, s.log, s.registry); err != nil {
		return err
	}
	s.keys.state.lead(!s.flags.inCluster())
	return nil
}

// keyStore returns where keys are kept, nil for nowhere, and how many bytes that takes.
func (s *service) keyStore() (store keyStore, limit int, err error) {
	switch {
	case s.flags.inCluster():
		store, err := controller.NewKeyState(s.rest, s.flags.namespace)
		return store, controller.KeyStateLimit, err
	case s.flags.stateDir == "":
		return nil, 0, nil
	}
	folder, err := openKeyFolder(s.flags.stateDir)
	if err != nil {
		return nil, 0, fmt.Errorf("--state-dir: %w", err)
	}
	return folder, idp.MaxState, nil
}
