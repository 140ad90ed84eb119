package paths

import (
	"context"
	"net/url"
	"path"
	"strings"
	"sync/atomic"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/sallyport/sallyport/extauthz"
)

// faulty is a Sallyport that reads requests wrongly: what it gets to see is changed as a fault of its own would have it.
type faulty struct {
	authv3.UnimplementedAuthorizationServer
	inner *extauthz.Server
	path  atomic.Pointer[func(string) string] // the fault; it gets the path with its query
}

// Check asks the sound server about what is seen.
func (f *faulty) Check(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	http := in.GetAttributes().GetRequest().GetHttp()
	http.Path = (*f.path.Load())(http.Path)
	return f.inner.Check(ctx, in)
}

// onlyPath leaves the query alone.
func onlyPath(change func(string) string) func(string) string {
	return func(target string) string {
		p, query, found := strings.Cut(target, "?")
		if p = change(p); found {
			return p + "?" + query
		}
		return p
	}
}

func replaced(pairs ...string) func(string) string {
	return onlyPath(strings.NewReplacer(pairs...).Replace)
}

// pathFaults are what engines have got wrong about paths.
var pathFaults = []struct {
	name string
	path func(string) string
}{
	{"case does not count", onlyPath(strings.ToLower)},
	{"decoded twice", onlyPath(func(p string) string {
		if once, err := url.PathUnescape(p); err == nil {
			return (&url.URL{Path: once}).EscapedPath()
		}
		return p
	})},
	{"a semicolon and what follows is not seen", onlyPath(func(p string) string {
		segments := strings.Split(p, "/")
		for i, s := range segments {
			segments[i], _, _ = strings.Cut(s, ";")
		}
		return strings.Join(segments, "/")
	})},
	{"the sign of the query is dropped", func(target string) string { return strings.Replace(target, "?", "", 1) }},
	{"the query is part of the path", func(target string) string { return strings.Replace(target, "?", "%20", 1) }},
	{"a backslash is a slash", replaced(`\`, "/", "%5C", "/", "%5c", "/")},
	{"an encoded slash is a slash", replaced("%2f", "/", "%2F", "/")},
	{"dots are resolved", onlyPath(func(p string) string {
		if strings.HasSuffix(p, "/") && p != "/" {
			return path.Clean(p) + "/"
		}
		return path.Clean(p)
	})},
	{"slashes are merged", replaced("///", "/", "//", "/")},
	{"a path ends at NUL", onlyPath(func(p string) string { p, _, _ = strings.Cut(p, "%00"); return p })},
	{"a final slash is not seen", onlyPath(func(p string) string { return "/" + strings.Trim(p, "/") })},
	{"spaces are trimmed", onlyPath(func(p string) string { return strings.TrimSuffix(p, "%20") })},
	{"wide characters are narrowed", replaced("/%EF%BC%8F", "/")},
}

// TestPathOracleFindsFaults plants each fault, and sees that the oracle finds it with the known tricks and the
// applications on net/http alone.
func TestPathOracleFindsFaults(t *testing.T) {
	envoyBinary(t)
	f := &faulty{inner: newSallyport(t, zonePolicies(t))}
	addresses := startGo(t)
	o := newOracle(t, startEnvoy(t, serveAny(t, f), modes, addresses, zoneNames()))
	find := func(change func(string) string) (found []string) {
		f.path.Store(&change)
		y := &tally{counts: map[[2]string]*count{}}
		o.run(t, known, func(mode string, c *client, target string) error {
			if y.enough() {
				return nil
			}
			for _, application := range []string{"gomux", "gopath"} {
				a, difference, err := o.try(c, application, "default", target)
				if err != nil {
					return err
				}
				y.add(application, mode, target, a, difference)
			}
			return nil
		})
		return y.found
	}
	for _, fault := range pathFaults {
		t.Run(fault.name, func(t *testing.T) {
			found := find(fault.path)
			if len(found) == 0 {
				t.Fatal("not found")
			}
			t.Log(found[0])
		})
	}
	if found := find(func(target string) string { return target }); len(found) > 0 {
		t.Errorf("without a fault: %s", found[0])
	}
}
