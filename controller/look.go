package controller

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// seen is a file as a look at its folder found it, without its content.
type seen struct {
	// name as it is shown: below the folder as the user named it.
	name string
	// real is the path behind all symbolic links.
	real string
	info fs.FileInfo
}

// same tells whether two looks found the same file, not written in between.
func (s seen) same(o seen) bool {
	return s.name == o.name && s.info.Size() == o.info.Size() && s.info.ModTime().Equal(o.info.ModTime()) &&
		s.info.Mode() == o.info.Mode() && changeTime(s.info) == changeTime(o.info) && os.SameFile(s.info, o.info)
}

// look is everything that one look at the folders found.
type look struct {
	files []seen
	// dirs are the folders that hold them, for a watch.
	dirs []string
	errs FileErrors
	took time.Duration
	// restless are the names of files that keep changing, sorted.
	restless []string
}

func (l *look) same(o *look) bool {
	return slices.EqualFunc(l.files, o.files, seen.same) && slices.Equal(l.errs, o.errs)
}

// changed are the names of files that the two looks do not both see alike, sorted.
func (l *look) changed(o *look) []string {
	var out []string
	for _, pair := range [][2]*look{{l, o}, {o, l}} {
		for _, s := range pair[0].files {
			i, found := slices.BinarySearchFunc(pair[1].files, s.name, func(s seen, name string) int { return strings.Compare(s.name, name) })
			if !found || !pair[1].files[i].same(s) {
				out = append(out, s.name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// without is the look without the files of these names, which are sorted.
func (l *look) without(names []string) *look {
	if len(names) == 0 {
		return l
	}
	out := *l
	out.files = slices.DeleteFunc(slices.Clone(l.files), func(s seen) bool {
		_, found := slices.BinarySearch(names, s.name)
		return found
	})
	return &out
}

// looker walks the folders. It first finds what there is, and then looks at all of it, which takes longer.
type looker struct {
	out *look
	// seen are the real paths of files and folders, so that each counts once, however many links lead there.
	seen map[string]bool
	// found are the files, in the order in which they were found.
	found []seen
}

// lookAt finds the files below dirs. Names that begin with "." are passed over, as are files that are not .yaml or
// .yml; symbolic links are followed.
func lookAt(dirs []string) *look {
	start := time.Now()
	l := &looker{out: &look{}, seen: map[string]bool{}}
	for _, dir := range dirs {
		l.root(filepath.Clean(dir))
	}
	errs := l.stat()
	for i, s := range l.found {
		switch {
		case errs[i] != nil:
			l.err(s.name, errs[i])
		case !s.info.Mode().IsRegular():
			l.out.errs = append(l.out.errs, FileError{File: s.name, Message: "is not a regular file"})
		default:
			l.out.files = append(l.out.files, s)
		}
	}
	slices.SortFunc(l.out.files, func(a, b seen) int { return strings.Compare(a.name, b.name) })
	l.out.took = time.Since(start)
	return l.out
}

// stat looks at all that was found, on every processor, and returns what went wrong with each.
func (l *looker) stat() []error {
	const share = 64 // as many are taken at a time
	errs := make([]error, len(l.found))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for from := 0; from < len(l.found); from += share {
		group.Go(func() error {
			for i := from; i < min(from+share, len(l.found)); i++ {
				l.found[i].info, errs[i] = os.Stat(l.found[i].real)
			}
			return nil
		})
	}
	_ = group.Wait() // there are none but those in errs
	return errs
}

// root is a folder, or a single file, that was asked for.
func (l *looker) root(dir string) {
	real, info, err := target(dir)
	switch {
	case err != nil:
		l.err(dir, err)
	case info.IsDir():
		l.dir(dir, real)
	default:
		l.out.dirs = append(l.out.dirs, filepath.Dir(real))
		l.file(dir, real)
	}
}

// target is where a link leads, or the file itself.
func target(path string) (real string, info fs.FileInfo, err error) {
	if real, err = filepath.EvalSymlinks(path); err != nil {
		return "", nil, err
	}
	info, err = os.Stat(real)
	return real, info, err
}

func (l *looker) dir(name, real string) {
	if l.seen[real] {
		return
	}
	l.seen[real] = true
	l.out.dirs = append(l.out.dirs, real)
	entries, err := os.ReadDir(real)
	if err != nil {
		l.err(name, err)
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			l.entry(within(name, e.Name()), within(real, e.Name()), e)
		}
	}
}

// within is the path of a name in a folder, whose own path is clean.
func within(dir, name string) string {
	if dir == "." || strings.HasSuffix(dir, string(filepath.Separator)) {
		return filepath.Join(dir, name)
	}
	return dir + string(filepath.Separator) + name
}

func (l *looker) entry(name, real string, e fs.DirEntry) {
	switch {
	case e.Type()&fs.ModeSymlink != 0:
		l.link(name, real)
	case e.IsDir():
		l.dir(name, real)
	case isYAML(name):
		l.file(name, real)
	}
}

func (l *looker) link(name, path string) {
	real, info, err := target(path)
	switch {
	case err != nil:
		l.err(name, err) // a link that leads nowhere may be a folder of policies that is missing
	case info.IsDir():
		l.dir(name, real)
	case isYAML(name):
		if dir := filepath.Dir(real); !l.seen[dir] && !slices.Contains(l.out.dirs, dir) {
			l.out.dirs = append(l.out.dirs, dir)
		}
		l.file(name, real)
	}
}

func (l *looker) file(name, real string) {
	if !l.seen[real] {
		l.seen[real] = true
		l.found = append(l.found, seen{name: name, real: real})
	}
}

func (l *looker) err(name string, err error) {
	l.out.errs = append(l.out.errs, FileError{File: name, Message: "cannot be read: " + cause(err)})
}

func isYAML(name string) bool {
	ext := filepath.Ext(name)
	return ext == ".yaml" || ext == ".yml"
}

// cause is an error of the file system without the path, which stands beside it.
func cause(err error) string {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return fmt.Sprint(p.Err)
	}
	return err.Error()
}
