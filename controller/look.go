package controller

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
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

// looker walks the folders.
type looker struct {
	out *look
	// seen are the real paths of files and folders, so that each counts once, however many links lead there.
	seen map[string]bool
}

// lookAt finds the files below dirs. Names that begin with "." are passed over, as are files that are not .yaml or
// .yml; symbolic links are followed.
func lookAt(dirs []string) *look {
	start := time.Now()
	l := &looker{out: &look{}, seen: map[string]bool{}}
	for _, dir := range dirs {
		l.root(dir)
	}
	slices.SortFunc(l.out.files, func(a, b seen) int { return strings.Compare(a.name, b.name) })
	l.out.took = time.Since(start)
	return l.out
}

func (l *looker) root(dir string) {
	dir = filepath.Clean(dir)
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		l.err(dir, err)
		return
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		l.err(dir, err)
	case info.IsDir():
		l.dir(dir, real)
	default:
		l.out.dirs = append(l.out.dirs, filepath.Dir(real))
		l.file(seen{dir, real, info})
	}
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
			l.entry(filepath.Join(name, e.Name()), filepath.Join(real, e.Name()), e)
		}
	}
}

func (l *looker) entry(name, real string, e fs.DirEntry) {
	if e.Type()&fs.ModeSymlink != 0 {
		target, err := filepath.EvalSymlinks(real)
		if err != nil {
			l.err(name, err) // a link that leads nowhere may be a folder of policies that is missing
			return
		}
		real = target
	} else if !e.IsDir() && !isYAML(name) {
		return
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		l.err(name, err)
	case info.IsDir():
		l.dir(name, real)
	case isYAML(name):
		if dir := filepath.Dir(real); !l.seen[dir] && !slices.Contains(l.out.dirs, dir) {
			l.out.dirs = append(l.out.dirs, dir)
		}
		l.file(seen{name, real, info})
	}
}

func (l *looker) file(s seen) {
	switch {
	case l.seen[s.real]:
		return
	case !s.info.Mode().IsRegular():
		l.out.errs = append(l.out.errs, FileError{File: s.name, Message: "is not a regular file"})
		return
	}
	l.seen[s.real] = true
	l.out.files = append(l.out.files, s)
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
