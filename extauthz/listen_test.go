package extauthz

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
)

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	lis, err := Listen("unix://"+path, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != DefaultSocketMode {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
	w := newWorld(t, nil)
	conn, served := w.serveOn(t, lis)
	out, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), ask("GET", "https://orders.example.com/healthz"))
	if err != nil || meta(out, "reason") != "Public" {
		t.Errorf("got %v %v", out, err)
	}
	if _, err := Listen("unix://"+path, 0); err == nil {
		t.Error("a socket on which somebody listens was taken")
	}
	if err := w.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	gone, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	gone.(*net.UnixListener).SetUnlinkOnClose(false) // as after a crash
	gone.Close()
	lis, err := Listen("unix://"+path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	if info, err := os.Stat(path); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
}

func TestListenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	writeFile(t, file, []byte("precious"))
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{
		"unix://" + file, "unix://" + link, "unix://relative.sock", "unix:" + dir + "/s.sock", "unix://" + dir + "/no/such/folder.sock", "127.0.0.1", "127.0.0.1:http-but-not",
	} {
		if lis, err := Listen(address, 0); err == nil {
			lis.Close()
			t.Errorf("%s: no error", address)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Errorf("the file was touched: %q %v", b, err)
	}
}
