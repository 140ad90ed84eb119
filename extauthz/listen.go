package extauthz

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// DefaultSocketMode lets the owner and the group of a Unix socket connect.
const DefaultSocketMode fs.FileMode = 0o660

// Listen listens on host:port or on unix:///path. The socket of a process that is gone is replaced; one on which
// somebody listens, or a file that is no socket, is an error. mode is that of the socket; 0 for DefaultSocketMode.
func Listen(address string, mode fs.FileMode) (net.Listener, error) {
	path, isUnix := strings.CutPrefix(address, "unix://")
	if !isUnix {
		if strings.HasPrefix(address, "unix:") {
			return nil, fmt.Errorf("address %q: write unix:///path", address)
		}
		return net.Listen("tcp", address)
	}
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("address %q: the path of a socket must be absolute, as in unix:///run/sallyport.sock", address)
	}
	if err := removeStaleSocket(path); err != nil {
		return nil, err
	}
	lis, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if mode == 0 {
		mode = DefaultSocketMode
	}
	if err := os.Chmod(path, mode.Perm()); err != nil {
		return nil, errors.Join(fmt.Errorf("setting the mode of socket %q: %w", path, err), lis.Close())
	}
	return lis, nil
}

func removeStaleSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("looking at socket %q: %w", path, err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%q is there, and is no socket", path)
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("somebody listens on socket %q already", path), conn.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("asking who listens on socket %q: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("removing the socket that was left behind: %w", err)
	}
	return nil
}
