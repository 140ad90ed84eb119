//go:build !unix

package main

import "io/fs"

// othersMayWrite knows only the permissions of Unix; elsewhere the folder's access list is the operator's to see to.
func othersMayWrite(fs.FileInfo) bool { return false }

// syncFolder does nothing: a folder cannot be synced here.
func syncFolder(string) error { return nil }
