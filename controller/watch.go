package controller

import (
	"context"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// minPoll is the least time between two looks that no event asked for; network file systems and bind mounts send none.
	minPoll = 500 * time.Millisecond
	// pollShare is the most that polling may take of one core's time: one part in as many.
	pollShare = 50
	// coalesce is how long a burst of events is waited for.
	coalesce = 10 * time.Millisecond
)

// Watch calls changed whenever the files are no longer those that the last Load saw, until ctx ends, which is its
// error. changed is to call Load; one call at a time is made. Edits are seen through events of the file system and, where
// those are not to be had, by looking.
func (f *Folder) Watch(ctx context.Context, changed func(context.Context)) error {
	w := f.newWatcher()
	defer w.close()
	for {
		now := f.look(f.config.Dirs)
		w.add(now.dirs)
		if f.last == nil || !now.same(f.last) {
			f.ahead = now
			changed(ctx)
			f.ahead = nil
		}
		if err := w.wait(ctx, max(minPoll, pollShare*now.took), time.Now().Add(2*now.took)); err != nil {
			return err
		}
	}
}

// watcher waits for events of the file system.
type watcher struct {
	folder *Folder
	events *fsnotify.Watcher // nil: there are none to be had
	dirs   []string          // that are watched
	said   bool
}

func (f *Folder) newWatcher() *watcher {
	w := &watcher{folder: f}
	var err error
	if w.events, err = fsnotify.NewWatcher(); err != nil {
		w.unavailable(err)
	}
	return w
}

// add watches dirs and no others.
func (w *watcher) add(dirs []string) {
	if w.events == nil || slices.Equal(dirs, w.dirs) {
		return
	}
	w.dirs = dirs
	for _, dir := range dirs {
		if err := w.events.Add(dir); err != nil {
			w.unavailable(err)
		}
	}
	for _, dir := range w.events.WatchList() {
		if !slices.Contains(dirs, dir) {
			_ = w.events.Remove(dir) // it may be gone already
		}
	}
}

// unavailable says once that edits are seen by looking.
func (w *watcher) unavailable(err error) {
	if !w.said {
		w.said = true
		w.folder.config.Log.Info("No events of the file system for some folders, looking at them instead", "interval", minPoll.String(), "error", err.Error())
	}
}

// wait returns after poll, or sooner after an event, but neither in a burst of them nor before rest: looking for events
// that never end takes a third of the time.
func (w *watcher) wait(ctx context.Context, poll time.Duration, rest time.Time) error {
	timer := time.NewTimer(poll)
	defer timer.Stop()
	var events chan fsnotify.Event
	var errs chan error
	if w.events != nil {
		events, errs = w.events.Events, w.events.Errors
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	case <-events:
	case err := <-errs:
		w.lost(err)
	}
	deadline := time.NewTimer(max(coalesce, time.Until(rest)))
	defer deadline.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return nil
		case <-events:
		case err := <-errs:
			w.lost(err)
		}
	}
}

// lost tells of events that did not arrive. A look follows in any case, and finds what they were about.
func (w *watcher) lost(err error) {
	w.folder.config.Log.V(1).Info("Events of the file system were lost", "error", err.Error())
}

func (w *watcher) close() {
	if w.events != nil {
		_ = w.events.Close() // nothing is written through it
	}
}
