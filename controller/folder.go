package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// Bounds of a folder.
const (
	maxFileBytes   = 4 << 20
	maxFolderBytes = 256 << 20
)

// DefaultSettle is how long files must have stayed as they are before a running server reads them: an editor's or a
// copy's several writes take less, and an edit is still in force well within a second.
const DefaultSettle = 60 * time.Millisecond

// unsettled is how long, and restlessLooks in how many looks, a file may keep changing before the others are read without
// it, so that one restless file does not hold back an edit of another. A copy of many files, each of which changes once,
// is waited for.
const (
	unsettled     = 600 * time.Millisecond
	restlessLooks = 5
)

// FolderConfig is what a Folder needs.
type FolderConfig struct {
	// Dirs are the folders, or single files; at least one.
	Dirs []string
	// Settle is how long files must stay as they are before they are read; 0 reads them at once, for a single Load.
	Settle time.Duration
	// Log gets what cannot be returned. The zero Logger discards.
	Log logr.Logger
}

// Folder reads the objects of every .yaml and .yml file below some folders. It keeps what it read, so that the next
// Load reads only files that changed. Load and Watch are not for concurrent use.
type Folder struct {
	config FolderConfig
	files  map[string]*file
	last   *look // what the last Load saw
	ahead  *look // what Watch saw before it called for this Load
	look   func(dirs []string) *look
}

// NewFolder returns a Folder that has read nothing yet. The error says what of config is out of range.
func NewFolder(config FolderConfig) (*Folder, error) {
	if len(config.Dirs) == 0 || slices.Contains(config.Dirs, "") {
		return nil, errors.New("a folder of objects must be named")
	}
	if config.Settle < 0 {
		return nil, fmt.Errorf("settle time %s is negative", config.Settle)
	}
	return &Folder{config: config, look: lookAt}, nil
}

// Load reads the files once nobody writes to them any more. The error is FileErrors, all errors of all files at once,
// or that of ctx. The Listing belongs to the caller.
func (f *Folder) Load(ctx context.Context) (*Listing, error) {
	for {
		now, err := f.settled(ctx)
		if err != nil {
			return nil, err
		}
		f.last = now
		files, errs := f.read(now)
		// What was written while it was read may be half of it, or of two files one before and one after.
		if f.config.Settle > 0 && !f.look(f.config.Dirs).without(now.restless).same(now.without(now.restless)) {
			continue
		}
		f.keep(files)
		if len(errs)+len(now.restless) > 0 {
			f.last = nil // a file that could not be read may be readable the next time, and look the same
		}
		listing, more := newListing(files)
		if errs = slices.Concat(now.errs, errs, more); len(errs) > 0 {
			errs.sort()
			return nil, errs
		}
		return listing, nil
	}
}

// settled looks until two looks in a row see the same. Of a running server it is content with less after a while: what
// keeps changing is named restless then, and stays as it was read last. At start everything must settle, since there is
// nothing to stay.
func (f *Folder) settled(ctx context.Context) (*look, error) {
	before := f.ahead
	if f.ahead = nil; before == nil {
		before = f.look(f.config.Dirs)
	}
	if f.config.Settle == 0 {
		return before, ctx.Err()
	}
	changes := map[string]int{}
	for waited := time.Duration(0); ; {
		if err := pause(ctx, f.config.Settle); err != nil {
			return nil, fmt.Errorf("waiting for files to settle: %w", err)
		}
		now := f.look(f.config.Dirs)
		if now.same(before) {
			return now, nil
		}
		changed := now.changed(before)
		for _, name := range changed {
			changes[name]++
		}
		calm := slices.ContainsFunc(changed, func(name string) bool { return changes[name] < restlessLooks })
		if waited += f.config.Settle + now.took; waited > unsettled && !calm && f.files != nil {
			now.restless = changed
			f.config.Log.Info("Files keep changing; they stay as they were read last", "files", strings.Join(now.restless, " "))
			return now, nil
		}
		before = now
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read reads the files of a look. Those that did not change since they were last read are taken as they are.
func (f *Folder) read(l *look) (files []*file, errs FileErrors) {
	var fresh []unread
	sum := int64(0)
	for _, name := range l.restless {
		if old := f.files[name]; old != nil {
			files, sum = append(files, old), sum+int64(len(old.content))
		}
	}
	for _, s := range l.without(l.restless).files {
		old := f.files[s.name]
		sum += s.info.Size()
		switch {
		case old != nil && f.config.Settle > 0 && old.seen.same(s):
			files = append(files, old)
		case sum > maxFolderBytes:
			errs = append(errs, FileError{File: s.name, Message: fmt.Sprintf("cannot be read: all files together have more than %d MiB", maxFolderBytes>>20)})
		default:
			fresh = append(fresh, unread{at: len(files), seen: s, old: old})
			files = append(files, nil)
		}
	}
	readAll(files, fresh)
	for _, u := range fresh {
		if u.err != nil {
			errs = append(errs, FileError{File: u.seen.name, Message: "cannot be read: " + cause(u.err)})
		}
	}
	return slices.DeleteFunc(files, func(f *file) bool { return f == nil }), errs
}

// unread is a file that is to be read, and its place among the others.
type unread struct {
	at   int
	seen seen
	old  *file // as it was read before; nil: never
	err  error // why it could not be read
}

// readAll puts files, read and decoded, in their places. That is most of the work of a start, so every processor takes
// part.
func readAll(files []*file, fresh []unread) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(fresh)) {
		group.Go(func() {
			fields := fieldIndex{}
			for i := next.Add(1); i <= int64(len(fresh)); i = next.Add(1) {
				u := &fresh[i-1]
				files[u.at], u.err = u.read(fields)
			}
		})
	}
	group.Wait()
}

// read reads the file, and decodes it unless it holds what it held before. A fault in that is an error of this file, and
// leaves the others and what is in force as they are.
func (u *unread) read(fields fieldIndex) (_ *file, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			clear(fields) // one of them may be half known
			err = fmt.Errorf("reading it met a fault of Sallyport's, please report it: %v", fault)
		}
	}()
	content, err := readFile(u.seen)
	switch {
	case err != nil:
		return nil, err
	case u.old != nil && bytes.Equal(u.old.content, content):
		u.old.seen = u.seen
		return u.old, nil
	}
	return newFile(u.seen, content, fields), nil
}

func readFile(s seen) ([]byte, error) {
	in, err := os.Open(s.real)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	// One byte more than the look saw: most often that shows that there is no more.
	content := make([]byte, min(s.info.Size(), maxFileBytes)+1)
	n, err := io.ReadFull(in, content)
	if content = content[:n]; errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return content, nil
	}
	var more []byte
	if err == nil {
		more, err = io.ReadAll(io.LimitReader(in, int64(maxFileBytes+1-n)))
	}
	if content = append(content, more...); err == nil && len(content) > maxFileBytes {
		err = fmt.Errorf("it has more than %d MiB", maxFileBytes>>20)
	}
	return content, err
}

// keep remembers files for the next Load.
func (f *Folder) keep(files []*file) {
	f.files = make(map[string]*file, len(files))
	for _, file := range files {
		f.files[file.name] = file
	}
}
