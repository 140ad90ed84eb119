package controller

import (
	"io/fs"
	"syscall"
)

// changeTime is when the inode was last changed, which, unlike the time of modification, nobody can set back. In
// nanoseconds.
func changeTime(info fs.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ctim.Nano()
	}
	return 0
}
