package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKeyFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	f, err := openKeyFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := f.Load(t.Context()); data != nil || err != nil {
		t.Errorf("Load of nothing = %q, %v", data, err)
	}
	// What a crash left behind is in nobody's way.
	if err := os.WriteFile(filepath.Join(dir, keyNewFile), []byte("half"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first", "second, which is longer", "3"} {
		if err := f.Save(t.Context(), always(want)); err != nil {
			t.Fatal(err)
		}
		if data, err := f.Load(t.Context()); string(data) != want || err != nil {
			t.Errorf("Load = %q, %v, want %q", data, err, want)
		}
	}
	info, err := os.Stat(filepath.Join(dir, keyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	if info, err = os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode of the folder %v, %v, want 0700", info.Mode(), err)
	}
	wantFiles(t, dir, keyFile)

	if err := os.WriteFile(filepath.Join(dir, keyFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := f.Load(t.Context()); data == nil || len(data) > 0 || err != nil {
		t.Errorf("Load of an empty file = %#v, %v, want empty and not absent", data, err)
	}
}

func TestKeyFolderLeavesTheOldFileWhenASaveFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := openKeyFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, keyFile), 0o700); err != nil { // a rename cannot replace it
		t.Fatal(err)
	}
	if err := f.Save(t.Context(), always("new")); err == nil {
		t.Error("saved over a folder")
	}
	wantFiles(t, dir, keyFile)
}

func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestKeysThatOthersMayWriteAreRefused(t *testing.T) {
	tests := []struct {
		name    string
		spoil   func(dir, file string) error
		refuses bool // the folder, and not only the file
		fine    bool
	}{
		{name: "nothing", spoil: func(_, _ string) error { return nil }, fine: true},
		{name: "readable by others", spoil: func(dir, file string) error { return errors.Join(os.Chmod(dir, 0o755), os.Chmod(file, 0o644)) }, fine: true},
		{name: "folder of a group", spoil: func(dir, _ string) error { return os.Chmod(dir, 0o770) }, refuses: true},
		{name: "folder of the world", spoil: func(dir, _ string) error { return os.Chmod(dir, 0o707) }, refuses: true},
		{name: "folder of the world, sticky", spoil: func(dir, _ string) error { return os.Chmod(dir, 0o777|os.ModeSticky) }, refuses: true},
		{name: "file of a group", spoil: func(_, file string) error { return os.Chmod(file, 0o660) }},
		{name: "file of the world", spoil: func(_, file string) error { return os.Chmod(file, 0o602) }},
		{name: "link", spoil: func(dir, file string) error {
			return errors.Join(os.Rename(file, dir+"/other"), os.Symlink("other", file))
		}},
		{name: "folder of another user", spoil: func(dir, _ string) error { return os.Chown(dir, 12345, -1) }, refuses: true},
		{name: "file of another user", spoil: func(_, file string) error { return os.Chown(file, 12345, -1) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "keys")
			f, err := openKeyFolder(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Save(t.Context(), always("keys")); err != nil {
				t.Fatal(err)
			}
			if err := tt.spoil(dir, filepath.Join(dir, keyFile)); errors.Is(err, os.ErrPermission) {
				t.Skip("only root may give files away")
			} else if err != nil {
				t.Fatal(err)
			}
			if _, err := openKeyFolder(dir); (err != nil) != tt.refuses {
				t.Errorf("opening: %v, want refusal %t", err, tt.refuses)
			}
			if _, err := f.Load(t.Context()); (err == nil) != tt.fine {
				t.Errorf("Load: %v, want fine %t", err, tt.fine)
			}
			if err := f.Save(t.Context(), always("more")); (err != nil) != tt.refuses {
				t.Errorf("Save: %v, want refusal %t", err, tt.refuses)
			}
			if tt.refuses {
				return
			}
			if _, err := f.Load(t.Context()); err != nil {
				t.Errorf("Load after a save: %v", err) // the file is ours again
			}
		})
	}
}

func TestStateDirThatIsNoFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openKeyFolder(file); err == nil {
		t.Error("opened a file")
	}
	if _, err := openKeyFolder(filepath.Join(file, "below")); err == nil {
		t.Error("made a folder below a file")
	}
}

// always is a change that makes text of whatever was there.
func always(text string) func([]byte) ([]byte, error) {
	return func([]byte) ([]byte, error) { return []byte(text), nil }
}
