package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sallyport/sallyport/extauthz/idp"
)

const (
	keyFile    = "keys.json"
	keyNewFile = "keys.json.new" // renamed to keyFile once it is whole
)

// errOthersMayWrite refuses a folder or file: whoever writes the keys can sign tokens.
var errOthersMayWrite = errors.New("group, others or another user may write it; keep it to the user that runs sallyport (chmod go-w)")

// keyFolder is a keyStore in a folder that belongs to one process. Everybody may read what is in it, only this user
// may write.
type keyFolder struct{ dir string }

var _ keyStore = keyFolder{}

// openKeyFolder makes dir where it is missing. It is an error when others may write there.
func openKeyFolder(dir string) (keyFolder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return keyFolder{}, err
	}
	f := keyFolder{dir}
	return f, f.check()
}

func (f keyFolder) check() error {
	info, err := os.Stat(f.dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s: not a folder", f.dir)
	case othersMayWrite(info):
		return fmt.Errorf("%s: %w", f.dir, errOthersMayWrite)
	}
	return nil
}

// Load implements keyStore. Nobody else can exchange the file while it is looked at: the folder is ours.
func (f keyFolder) Load(context.Context) ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	name := filepath.Join(f.dir, keyFile)
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a regular file", name)
	case othersMayWrite(info):
		return nil, fmt.Errorf("%s: %w", name, errOthersMayWrite)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // nothing was written that could be lost
	data, err := io.ReadAll(io.LimitReader(file, idp.MaxState+1))
	if data == nil {
		data = []byte{} // an empty file is damage, not absence
	}
	return data, err
}

// Save implements keyStore. Nobody else saves here, so what is there has nothing that this process would not know of.
// After a crash, of the process or the machine, the file is the old or the new one, whole.
func (f keyFolder) Save(_ context.Context, change func([]byte) ([]byte, error)) error {
	if err := f.check(); err != nil {
		return err
	}
	data, err := change(nil)
	if err != nil {
		return err
	}
	fresh := filepath.Join(f.dir, keyNewFile)
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeSynced(fresh, data); err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	if err := os.Rename(fresh, filepath.Join(f.dir, keyFile)); err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	return syncFolder(f.dir)
}

// writeSynced writes a file that is not there yet, for this user alone.
func writeSynced(name string, data []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}
