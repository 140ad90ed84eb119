package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

const (
	logoutFile    = "revocations.jsonl"
	logoutNewFile = "revocations.jsonl.new" // renamed to logoutFile once it is whole
	// logoutGrowth is how much the file may grow before it is written anew without what has ended.
	logoutGrowth = 1 << 20
	// maxLogoutFile bounds what is read, far above a million revocations.
	maxLogoutFile = 1 << 30
)

// logoutFolder keeps the revocations of one process in a file of its state folder, one a line. Safe for concurrent use.
type logoutFolder struct {
	folder keyFolder
	now    func() time.Time
	// add is told of what was written.
	add func(list []token.Revocation, now time.Time)

	mu     sync.Mutex
	file   *os.File // written at its end; nil: not open
	size   int64    // of what is whole in it
	wanted int64    // size at which it is written anew
}

// keptLogouts tells whether there is such a file.
func keptLogouts(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, logoutFile))
	return !errors.Is(err, fs.ErrNotExist)
}

// openLogoutFolder reads what was kept, hands it to add, and goes on where it ends. What cannot be read is an error: to start
// without it would let in what was revoked.
func openLogoutFolder(dir string, now func() time.Time, add func([]token.Revocation, time.Time)) (*logoutFolder, error) {
	folder, err := openKeyFolder(dir)
	if err != nil {
		return nil, err
	}
	f := &logoutFolder{folder: folder, now: now, add: add}
	list, err := f.load()
	if err != nil {
		return nil, err
	}
	if err := f.renew(list); err != nil {
		return nil, err
	}
	add(list, now())
	return f, nil
}

func (f *logoutFolder) name() string { return filepath.Join(f.folder.dir, logoutFile) }

// load reads what has not ended. The last line is not whole where the process ended while it wrote: nobody was told that it
// is kept.
func (f *logoutFolder) load() ([]token.Revocation, error) {
	info, err := os.Lstat(f.name())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > maxLogoutFile:
		return nil, fmt.Errorf("%s: not a regular file of at most 1 GiB", f.name())
	case othersMayWrite(info):
		return nil, fmt.Errorf("%s: %w", f.name(), errOthersMayWrite)
	}
	data, err := os.ReadFile(f.name())
	if err != nil {
		return nil, err
	}
	if !bytes.HasSuffix(data, []byte("\n")) {
		data = data[:bytes.LastIndexByte(data, '\n')+1]
	}
	var list []token.Revocation
	line := 0
	for text := range bytes.Lines(data) {
		line++
		r, err := token.DecodeRevocation(bytes.TrimSuffix(text, []byte("\n")))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w; mend or delete the line: what it named would be let in", f.name(), line, err)
		}
		if r.Expires.IsZero() || f.now().Before(r.Expires) {
			list = append(list, r)
		}
	}
	return list, nil
}

// renew writes the file anew, with this list. After a crash it is the old or the new one, whole.
func (f *logoutFolder) renew(list []token.Revocation) error {
	data, fresh := encodeLines(list), filepath.Join(f.folder.dir, logoutNewFile)
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeSynced(fresh, data); err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	if err := os.Rename(fresh, f.name()); err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	if err := syncFolder(f.folder.dir); err != nil {
		return err
	}
	file, err := os.OpenFile(f.name(), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if f.file != nil {
		_ = f.file.Close() // what was written to it is synced, and it has no name any more
	}
	f.file, f.size = file, int64(len(data))
	f.wanted = 2*f.size + logoutGrowth
	return nil
}

func encodeLines(list []token.Revocation) []byte {
	var out []byte
	for i := range list {
		out = append(append(out, list[i].Encode()...), '\n')
	}
	return out
}

// Write appends a list, and returns once a crash cannot lose it. After an error nothing of it stays.
func (f *logoutFolder) Write(_ context.Context, list []token.Revocation) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return errors.New("the file of revocations is closed")
	}
	data := encodeLines(list)
	_, err := f.file.WriteAt(data, f.size) // where half a line may stand that could not be written before
	if err == nil {
		err = f.file.Sync()
	}
	if err != nil {
		return errors.Join(err, f.file.Truncate(f.size))
	}
	f.size += int64(len(data))
	f.add(list, f.now())
	return nil
}

// prune writes the file anew where it has grown much, without what has ended.
func (f *logoutFolder) prune() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil || f.size < f.wanted {
		return nil
	}
	list, err := f.load()
	if err != nil {
		return err
	}
	return f.renew(list)
}

// close closes the file. What was written is synced.
func (f *logoutFolder) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file != nil {
		_ = f.file.Close()
		f.file = nil
	}
}
