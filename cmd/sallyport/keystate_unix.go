//go:build unix

package main

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// othersMayWrite reports whether anybody but this user and root may write what info is of.
func othersMayWrite(info fs.FileInfo) bool {
	if info.Mode().Perm()&0o022 != 0 {
		return true
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || stat.Uid != 0 && int(stat.Uid) != os.Geteuid()
}

// syncFolder makes the names in dir last.
func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
