package controller

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sized is a file of another size than it has.
type sized struct {
	fs.FileInfo
	size int64
}

func (s sized) Size() int64 { return s.size }

// TestReadFileReadsToTheEnd reads files that are no longer as large as the look saw them.
func TestReadFileReadsToTheEnd(t *testing.T) {
	for _, tt := range []struct {
		name       string
		seen, now  int
		wantTooBig bool
	}{
		{name: "as it was", seen: 100, now: 100},
		{name: "empty", seen: 0, now: 0},
		{name: "grown from nothing", seen: 0, now: 5000},
		{name: "grown by one", seen: 100, now: 101},
		{name: "shrunk", seen: 100, now: 7},
		{name: "truncated", seen: 100, now: 0},
		{name: "as large as may be", seen: 1, now: maxFileBytes},
		{name: "too large, grown", seen: 1, now: maxFileBytes + 1, wantTooBig: true},
		{name: "too large from the beginning", seen: maxFileBytes + 9, now: maxFileBytes + 9, wantTooBig: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "a.yaml")
			text := strings.Repeat("0123456789", tt.now/10+1)[:tt.now]
			put(t, name, text)
			content, err := readFile(seen{name: name, real: name, info: sized{size: int64(tt.seen)}})
			switch {
			case tt.wantTooBig:
				if err == nil {
					t.Error("no error")
				}
			case err != nil || string(content) != text:
				t.Errorf("got %d bytes and %v, want %d", len(content), err, tt.now)
			}
		})
	}
}

// TestReadBoundsTheFolder: of files that together are too large, those that come first are read.
func TestReadBoundsTheFolder(t *testing.T) {
	dir := write(t, map[string]string{"a.yaml": namespace("a"), "b.yaml": namespace("b"), "c.yaml": namespace("c")})
	f, err := NewFolder(FolderConfig{Dirs: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	l := lookAt([]string{dir})
	l.files[0].info = sized{l.files[0].info, maxFolderBytes - l.files[1].info.Size()}
	files, errs := f.read(l)
	if len(files) != 2 || len(errs) != 1 || filepath.Base(errs[0].File) != "c.yaml" || !strings.Contains(errs[0].Message, "all files together") {
		t.Errorf("read %d files, with %v", len(files), errs)
	}
}

// TestLoadTakesTheLookOfWatch: what Watch saw right before is the first of the looks that Load needs, once.
func TestLoadTakesTheLookOfWatch(t *testing.T) {
	dir := write(t, map[string]string{"a.yaml": namespace("a")})
	f, err := NewFolder(FolderConfig{Dirs: []string{dir}, Settle: 1})
	if err != nil {
		t.Fatal(err)
	}
	looks := 0
	f.look = func(dirs []string) *look {
		looks++
		return lookAt(dirs)
	}
	// The file is another than Watch saw: nothing is read until it rests.
	ahead := lookAt([]string{dir})
	replaced := filepath.Join(dir, "new")
	put(t, replaced, namespace("b"))
	if err := os.Rename(replaced, filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		ahead *look
		want  int
	}{{nil, 3}, {lookAt([]string{dir}), 2}, {nil, 3}, {ahead, 3}} {
		looks, f.ahead = 0, tt.ahead
		if l, err := f.Load(t.Context()); err != nil || names(l)[0] != "b" {
			t.Fatal(l, err)
		}
		if looks != tt.want {
			t.Errorf("%d looks, want %d", looks, tt.want)
		}
	}
}

// TestFaultIsAnErrorOfItsFile: whatever goes wrong with one file, the process does not end for it.
func TestFaultIsAnErrorOfItsFile(t *testing.T) {
	dir := write(t, map[string]string{"a.yaml": namespace("a")})
	u := unread{seen: lookAt([]string{dir}).files[0]}
	if f, err := u.read(nil); err == nil || f != nil || !strings.Contains(err.Error(), "fault of Sallyport's") { // a nil index cannot be written
		t.Errorf("%v, %v", f, err)
	}
	if f, err := u.read(fieldIndex{}); err != nil || len(f.objects) != 1 {
		t.Errorf("%v, %v", f, err)
	}
}
