package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	eventsclient "k8s.io/client-go/kubernetes/typed/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

const (
	// statusRate and statusBurst bound the writes a second. Ten thousand policies that all change take under two minutes.
	// What nobody waits for has no burst: it is spread, so that what is edited meanwhile is soon in force.
	statusRate  = 100
	statusBurst = 200
	// statusPause is the least time between two looks over all objects.
	statusPause = 200 * time.Millisecond
	// statusRetry is how soon writes that failed are tried again.
	statusRetry = 5 * time.Second
)

// statusWriter brings the status of each object to what the last publish says of it. It compares with the status that
// the informers hold, and writes only what differs, with one patch an object.
type statusWriter struct {
	cluster *Cluster
	// patch merges data into the status of an object, and returns the resourceVersion that it then has.
	patch func(ctx context.Context, kind metav1.TypeMeta, key types.NamespacedName, data []byte) (string, error)
	// limiter bounds all writes, and spread those that nobody waits for.
	limiter, spread *rate.Limiter
	wakes           chan struct{}
	events          *events
	// written is what was written last, until the informer has seen it.
	written map[policy.ObjectRef]written
	// settled are the reports of policies whose status says the same, with the object that has that status. A compile that
	// has nothing new to say of a policy hands out the same report, so looking at it again is comparing two pointers.
	settled map[*policy.ObjectReport]declaredObject
	failed  bool
}

// written is one write: what the object was like before, and what it is like since.
type written struct {
	uid    types.UID
	before string // resourceVersion
	status observed
}

func newStatusWriter(c *Cluster, to client.Client) *statusWriter {
	return &statusWriter{
		cluster: c, limiter: rate.NewLimiter(statusRate, statusBurst), spread: rate.NewLimiter(statusRate, 1), wakes: make(chan struct{}, 1),
		patch: func(ctx context.Context, kind metav1.TypeMeta, key types.NamespacedName, data []byte) (string, error) {
			o := &metav1.PartialObjectMetadata{TypeMeta: kind, ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
			err := to.Status().Patch(ctx, o, client.RawPatch(types.MergePatchType, data), client.FieldOwner(eventSource))
			return o.ResourceVersion, err
		},
	}
}

// wake asks for a look at all objects.
func (w *statusWriter) wake() {
	select {
	case w.wakes <- struct{}{}:
	default:
	}
}

// run writes until ctx ends.
func (w *statusWriter) run(ctx context.Context, sink eventsclient.EventsV1Interface) {
	w.events = newEvents(ctx, sink, w.cluster.config.Log)
	defer w.events.close()
	w.written, w.settled = map[policy.ObjectRef]written{}, nil
	w.wake()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wakes:
		}
		w.outcome(ctx, w.pass(ctx))
		if pause(ctx, statusPause) != nil {
			return
		}
	}
}

// outcome tells of failures when they begin and when they are over, and sees to another try.
func (w *statusWriter) outcome(ctx context.Context, err error) {
	log := w.cluster.config.Log
	switch {
	case ctx.Err() != nil:
		return
	case err != nil && !w.failed:
		log.Error(err, "Status cannot be written, trying again")
	case err == nil && w.failed:
		log.Info("Status is written again")
	}
	w.failed = err != nil
	if w.failed {
		time.AfterFunc(statusRetry, w.wake)
	}
}

// pending is an object whose status may not be what it should.
type pending struct {
	object declaredObject
	report *policy.ObjectReport
}

// change is what is to be written of one object.
type change struct {
	object declaredObject
	ref    policy.ObjectRef
	to     observed
}

// pass writes the status of every object that has not what it should. What was edited is urgent: its author may be
// waiting. All else leaves the processors to what is being published. What a status should be is worked out when its turn
// comes: a pass over all objects is cheap, and may soon be followed by another. The error is the first of the writes; the
// others are made all the same.
func (w *statusWriter) pass(ctx context.Context) error {
	published := w.cluster.published.Load()
	if published == nil {
		return nil
	}
	list, edited := w.look(published)
	providers := providersByName(published.Snapshot)
	var first error
	for i, u := range list {
		urgent := i < edited
		if !urgent {
			w.cluster.publisher.yield()
		}
		ch := w.change(u, providers)
		if ch == nil {
			continue
		}
		if err := w.turn(ctx, urgent); err != nil {
			return err
		}
		if w.cluster.published.Load() != published && !urgent {
			w.wake() // what is left may have changed, and what was edited goes first
			return first
		}
		if err := w.write(ctx, *ch); err != nil && first == nil {
			first = fmt.Errorf("writing status of %s: %w", ch.ref, err)
		}
		if ctx.Err() != nil {
			return first
		}
	}
	return first
}

// turn waits until something may be written.
func (w *statusWriter) turn(ctx context.Context, urgent bool) error {
	if !urgent {
		if err := w.spread.Wait(ctx); err != nil {
			return err
		}
	}
	return w.limiter.Wait(ctx)
}

// look finds the objects whose status may not be what it should: first those, as many as edited says, of which it is
// about a state before, then those that have none yet.
func (w *statusWriter) look(p *Published) (list []pending, edited int) {
	var outdated, fresh, others []pending
	settled := make(map[*policy.ObjectReport]declaredObject, len(w.settled))
	compiled := sync.OnceValue(func() map[policy.ObjectRef]metav1.Object { return decodedByRef(p.Listing) })
	for _, report := range slices.Concat(p.Report.Objects, w.cluster.revocationReports(p.Snapshot)) {
		current := w.cluster.declared(report.ObjectRef)
		if before, known := w.settled[report]; known && before == current {
			settled[report] = current
			continue
		}
		// What changed since is compiled anew first. An object that is to go needs no status.
		if current == nil || current.GetDeletionTimestamp() != nil ||
			report.Kind != v1alpha1.KindTokenRevocation && current.decoded() != compiled()[report.ObjectRef] {
			continue
		}
		u := pending{current, report}
		switch is := w.statusOf(report.ObjectRef, current).Conditions; {
		case len(is) == 0:
			fresh = append(fresh, u)
		case is[0].ObservedGeneration != current.GetGeneration():
			outdated = append(outdated, u)
		default:
			others = append(others, u)
		}
	}
	w.settled = settled
	return slices.Concat(outdated, fresh, others), len(outdated)
}

// change is what is to be written of an object; nil where its status is right.
func (w *statusWriter) change(u pending, providers map[string]*token.Provider) *change {
	ref := u.report.ObjectRef
	var keys *KeyStatus
	if ref.Kind == v1alpha1.KindIdentityProvider || ref.Kind == v1alpha1.KindClusterIdentityProvider {
		keys = w.cluster.keysOf(providers[providerName(ref)], u.report)
	}
	is := w.statusOf(ref, u.object)
	now := metav1.NewTime(w.cluster.config.Now().Truncate(time.Second))
	to := wantedStatus(is, u.report, keys, u.object.GetGeneration(), now)
	if !sameStatus(is, &to) {
		return &change{u.object, ref, to}
	}
	if keys == nil && is == u.object.status() {
		w.settled[u.report] = u.object
	}
	return nil
}

// statusOf is the status that an object has: what was written last, until the informer has seen that.
func (w *statusWriter) statusOf(ref policy.ObjectRef, current declaredObject) *observed {
	last, known := w.written[ref]
	if known && last.uid == current.GetUID() && last.before == current.GetResourceVersion() {
		return &last.status
	}
	delete(w.written, ref)
	return current.status()
}

func decodedByRef(l *Listing) map[policy.ObjectRef]metav1.Object {
	out := make(map[policy.ObjectRef]metav1.Object, len(l.declared))
	for _, d := range l.declared {
		out[refOf(d)] = d.decoded()
	}
	return out
}

// declared is an object as the informers hold it now, or nil.
func (c *Cluster) declared(ref policy.ObjectRef) declaredObject {
	s := c.store(v1alpha1.GroupVersion.WithKind(ref.Kind))
	if s == nil {
		return nil
	}
	d, _ := s.get(types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}).(declaredObject)
	return d
}

// write writes one status. That the object has gone, or is another one by now, is no error.
func (w *statusWriter) write(ctx context.Context, ch change) error {
	data, err := statusPatch(ch.object.GetUID(), ch.ref.Kind, &ch.to)
	if err != nil {
		return err
	}
	kind := metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: ch.ref.Kind}
	version, err := w.patch(ctx, kind, client.ObjectKeyFromObject(ch.object), data)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	result := statusWritten
	if err != nil {
		result = statusFailed
	}
	w.cluster.metrics.statusWrites.WithLabelValues(result).Inc()
	if err != nil {
		return err
	}
	w.cluster.metrics.answered()
	if version != ch.object.GetResourceVersion() {
		w.written[ch.ref] = written{ch.object.GetUID(), ch.object.GetResourceVersion(), ch.to}
	}
	w.events.tell(ch)
	return nil
}

// shorten bounds a message to what a condition may hold, with room to spare.
func shorten(message string) string { return shortenTo(message, 4096) }

// shortenTo cuts a text of more than most bytes at the end of a character.
func shortenTo(s string, most int) string {
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + " …"
}
