package paths

import (
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every server answers 200 to what it would serve, and says which resource that is and as which path it has read it.
const (
	resourceHeader = "X-Resource"
	pathHeader     = "X-Path"
)

// resource is what is served for a decoded path: the naive reading of the rules in testdata/paths.yaml.
func resource(path string) string {
	below := func(dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
	if rest, ok := strings.CutPrefix(path, "/users/"); ok && rest != "" {
		user, _, _ := strings.Cut(rest, "/")
		return "user:" + user
	}
	switch {
	case path == "/shop/cart":
		return "cart"
	case path == "/shop/dir/":
		return "dir"
	case below("/admin/public"):
		return "public"
	case below("/admin"):
		return "admin"
	case below("/shop"):
		return "shop"
	}
	return "root"
}

// say answers. A header cannot hold a control character, so these are escaped; Sallyport lets none through.
func say(w http.ResponseWriter, resource, path string) {
	w.Header().Set(resourceHeader, controls.ReplaceAllStringFunc(resource, url.PathEscape))
	w.Header().Set(pathHeader, controls.ReplaceAllStringFunc(path, url.PathEscape))
}

var controls = regexp.MustCompile("[\x00-\x1f\x7f]")

// onMux is an application that lets Go's ServeMux choose. The mux splits the escaped path and decodes the segments, so
// an encoded slash is data.
func onMux() http.Handler {
	mux := http.NewServeMux()
	for pattern, name := range map[string]string{
		"/{$}": "root", "/{any...}": "root", "/admin": "admin", "/admin/{any...}": "admin", "/admin/public": "public",
		"/admin/public/{any...}": "public", "/shop": "shop", "/shop/{any...}": "shop", "/shop/cart": "cart", "/shop/dir/{$}": "dir",
		"/users/{$}": "root", "/users/{user}": "user:", "/users/{user}/{any...}": "user:",
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			segments := strings.Split(r.URL.EscapedPath(), "/")
			for i, s := range segments {
				s, err := url.PathUnescape(s)
				if err != nil {
					http.Error(w, "no path", http.StatusBadRequest)
					return
				}
				segments[i] = strings.ReplaceAll(s, "/", "%2F")
			}
			found := name
			if name == "user:" {
				found += r.PathValue("user")
			}
			say(w, found, strings.Join(segments, "/"))
		})
	}
	return mux
}

// onPath is one that compares the decoded path by itself, as many do.
func onPath(w http.ResponseWriter, r *http.Request) { say(w, resource(r.URL.Path), r.URL.Path) }

// slashless is one that drops the final slash before it compares; what it has at /shop/dir/ is then at /shop/dir too.
func slashless(w http.ResponseWriter, r *http.Request) {
	short := strings.TrimRight(r.URL.Path, "/")
	if short == "/shop/dir" {
		short += "/"
	}
	say(w, resource(short), r.URL.Path)
}

// startGo starts the applications on net/http.
func startGo(t *testing.T) map[string]string {
	t.Helper()
	addresses := map[string]string{}
	for name, handler := range map[string]http.Handler{
		"gomux": onMux(), "gopath": http.HandlerFunc(onPath), "goslashless": http.HandlerFunc(slashless),
	} {
		s := httptest.NewServer(handler)
		t.Cleanup(s.Close)
		addresses[name] = strings.TrimPrefix(s.URL, "http://")
	}
	return addresses
}

// startServers starts the applications on every server that is there.
func startServers(t *testing.T) map[string]string {
	t.Helper()
	all := startGo(t)
	for _, s := range []struct {
		name  string
		file  string
		start func(*testing.T, string) map[string]string
	}{
		{"nginx", "usr/sbin/nginx", startNginx},
		{"httpd", "usr/sbin/apache2", startHttpd},
		{"tomcat", "usr/share/tomcat10/bin/bootstrap.jar", startTomcat},
	} {
		root := os.Getenv("SALLYPORT_SERVERS")
		if _, err := os.Stat(filepath.Join(root, s.file)); root == "" || err != nil {
			t.Run(s.name, func(t *testing.T) {
				t.Skipf("SALLYPORT_SERVERS has no %s: make servers unpacks it", s.file)
			})
			continue
		}
		maps.Copy(all, s.start(t, root))
	}
	return all
}

// unpacked runs a program of root with the libraries that were unpacked beside it.
func unpacked(root, program string, args ...string) *exec.Cmd {
	cmd := unprivileged(exec.Command(filepath.Join(root, program), args...))
	libs, _ := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu"))
	more, _ := filepath.Glob(filepath.Join(root, "lib/*-linux-gnu"))
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(append(libs, more...), ":"))
	return cmd
}

// awaitAll waits until each address answers with a resource, and returns them by name.
func awaitAll(t *testing.T, p *process, names, ports []string) map[string]string {
	t.Helper()
	addresses := map[string]string{}
	for i, name := range names {
		addresses[name] = net.JoinHostPort("127.0.0.1", ports[i])
		p.await(t, func() error {
			_, err := ask("http://" + addresses[name] + "/")
			return err
		})
	}
	return addresses
}
