//go:build unix

package main

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A pipe would keep the start waiting for a writer.
func TestKeyFolderReadsNoPipe(t *testing.T) {
	f, err := openKeyFolder(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(f.dir, keyFile), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := f.Load(t.Context())
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("read a pipe")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("waits for a pipe")
	}
}
