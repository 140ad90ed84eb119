package paths

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// known are tricks that are always sent; HOST stands for the host.
var known = []string{
	"/", "/x", "/admin", "/admin/", "/admin/x", "/admin/public", "/admin/public/x", "/shop", "/shop/", "/shop/x", "/shop/cart", "/shop/cart/",
	"/shop/dir", "/shop/dir/", "/users", "/users/", "/users/alice", "/users/alice/", "/users/alice/x", "/users/bob", "/users/bob/x",
	"/administrator", "/admin.x", "/shopping", "/ADMIN", "/Admin/x", "/SHOP/cart", "/shop/CART", "/shop/cart?x", "/admin?/../x", "/x?/admin",
	"/%61dmin", "/%2561dmin", "/admin%20", "/shop/c%61rt", "/users/%61lice", "/users/bob/../alice", "/users/alice/../bob",
	"/shop%2Fcart", "/shop%2fcart", "/admin%2Fx", "/admin%2Fpublic", "/users/alice%2Fx", "/users/alice%2F..%2Fbob", "/x%2F..%2Fadmin", "/x%2Fadmin",
	"/admin;x", "/admin;x/y", "/;/admin", "/x;/admin", "/shop/cart;x", "/shop/cart;x=y/", "/x/..;/admin", "/users/alice;bob", "/users/alice;/x", "/a;%2Fb",
	"/admin%2F{x", `/shop%2fcart/"`, "/users/alice%2Fx|", "/admin%2F%7Cx", "/admin%2F<x/y",
	"/shop;x%2Fcart", "/shop%2Fcart;x", "//admin", "/x//admin", "/admin//public", "/./admin", "/x/../admin", "/admin/../shop/cart", "/admin/.", "/admin/..",
	`/x\..\admin`, `/admin\x`, "/x%5C..%5Cadmin", "/x/%2e%2e/admin", "/%2e/admin", "/x/%252e%252e/admin", "/x%252F..%252Fadmin", "/admin%00", "/admin%00/x",
	"/admin%3Bx", "/admin%3Fx", "/admin%23x", "/admin#x", "/x/%c0%ae%c0%ae/admin", "/%c0%afadmin", "/admin%", "/admin%zz", "/admin%u0000",
	"/%E1%BC%80", "/caf%C3%A9", "/%EF%BC%8Fadmin", "/admin%E2%80%8B", "/a+b", "/a%2Bb", "/a,b=c:d@e!f$g&h'i(j)k*l~m", "/[x]", "/a|b", "/a{b}", "/a^b`c", `/a"b<c>d`,
	"http://HOST/admin", "http://HOST", "http://HOST/x/../admin", "HTTP://HOST/admin;x", "http://HOST?/admin", "http://user@HOST/admin", "*", "admin", "/.../admin",
	"/admin..", "/admin.", "/.admin", "/..admin", "/users/alice/../alice/x", "/users//alice", "/users/./bob", "/users/%62ob", "/WEB-INF/web.xml", "/answer.jsp",
}

var (
	bases = []string{
		"/", "/x", "/x/y", "/admin", "/admin/x", "/admin/public", "/admin/public/x/y", "/shop", "/shop/cart", "/shop/cart/x", "/shop/dir/", "/shop/dir",
		"/users/alice", "/users/alice/x", "/users/bob", "/administrator", "/shop/x.html", "/a/b/c/d/e",
	}
	// segments that stand between two slashes.
	dots = []string{".", "..", "%2e", "%2E%2e", ".%2e", "%2e.", "..;", ".;x", "..;x=y", "..%3b", "...", "%252e%252e", "%c0%ae%c0%ae", "..%00", "", "", ";", ";a=b", "%20", "%09"}
	// texts within a segment.
	within = []string{
		";", ";x", ";x=y", ";x=%2F", "%3b", "%3B", `\`, "%5c", "%5C", "%2f", "%2F", "%252f", "%255c", "%00", "%01", "%0a", "%0d", "%7f", "%25", "%2525", "%3f", "%23", "?", "#",
		"%", "%2", "%zz", "%u002f", "%c0%af", "%e0%80%af", "%f0%80%80%af", "%c0%80", "%ff", "%ef%bc%8f", "%e2%88%95", "%c2%85", "%e2%80%8b", "é", "|", "\"", "<", "{", "^", "`", "\t",
	}
	// texts that are data for all.
	mild = []string{"%20", "+", "%2B", "~", "-", "_", ".html", "%C3%A9", "%E6%97%A5", "!", "$", "&", "'", "(", ")", "*", ",", "=", ":", "@", "%40", "%26", "%3D", "%7E", "%2D", "%2A", "%22", "%7C"}
	ends = []string{"/", "?", "?x=/../admin", "?x;y", "?%2e%2e/", "/?x", "//", "/.", "/..", "/./", ";", ";/", "%20", "?/admin", "??", "?#", "#", "#/../admin", "\\", "%2F", ".", "..", "/;"}
)

// draw makes one target: a path with none to four tricks, most of them small.
func draw(r *rand.Rand) string {
	target := bases[r.IntN(len(bases))]
	for range r.IntN(5) {
		target = trick(r, target)
	}
	if r.IntN(40) == 0 {
		target = pick(r, "http://HOST", "HTTP://HOST", "http://HOST:80", "http://user@HOST", "//HOST") + target
	}
	return target
}

func trick(r *rand.Rand, target string) string {
	segments := strings.Split(target, "/")
	i := r.IntN(len(segments))
	at := r.IntN(len(target)) + 1
	switch r.IntN(12) {
	case 0:
		segments[i] += "/" + pick(r, dots...)
		return strings.Join(segments, "/")
	case 1: // up and down again
		last := max(0, strings.LastIndex(target, "/"))
		return target[:last] + "/x/" + pick(r, dots...) + target[last:]
	case 2:
		return target[:at] + pick(r, within...) + target[at:]
	case 3, 4:
		return target[:at] + pick(r, mild...) + target[at:]
	case 5, 6: // one byte encoded
		return target[:at-1] + fmt.Sprintf(pick(r, "%%%02x", "%%%02X", "%%25%02x"), target[at-1]) + target[at:]
	case 7, 8:
		return target + pick(r, ends...)
	case 9:
		return swapCase(target, at-1)
	case 10: // one slash is something else
		return replaceSlash(target, i, pick(r, "//", `\`, "%2f", "%2F", "%5c", "%252f", "/./", ";/", "/;/", "%c0%af", "/%2e/"))
	}
	return target[:at] + pick(r, bases...) + target[at:]
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

func swapCase(s string, i int) string {
	c := s[i : i+1]
	if upper := strings.ToUpper(c); upper != c {
		return s[:i] + upper + s[i+1:]
	}
	return s[:i] + strings.ToLower(c) + s[i+1:]
}

func replaceSlash(s string, n int, with string) string {
	for i := range len(s) {
		if s[i] == '/' && i > 0 {
			if n--; n <= 0 {
				return s[:i] + with + s[i+1:]
			}
		}
	}
	return s
}

// targets are n different ones: the known, those of the published tables, and drawn ones.
func targets(t *testing.T, n int) []string {
	t.Helper()
	seen := map[string]bool{}
	var all []string
	add := func(target string) {
		if target != "" && !seen[target] && len(all) < n && !strings.ContainsAny(target, "\r\n ") {
			seen[target] = true
			all = append(all, target)
		}
	}
	for _, target := range known {
		add(target)
	}
	for _, target := range published(t) {
		add(target)
	}
	r := rand.New(rand.NewPCG(7, 40))
	for len(all) < n {
		add(draw(r))
	}
	return all
}

// published are the inputs of the tables about Envoy's normalization; none where they are not there.
func published(t *testing.T) (inputs []string) {
	t.Helper()
	dir := os.Getenv("SALLYPORT_VECTORS")
	if dir == "" {
		t.Log("SALLYPORT_VECTORS names no folder of vectors: going on without")
		return nil
	}
	for name, column := range map[string]int{"istio-path-normalization.tsv": 0, "envoy-path-utility.tsv": 1} {
		f, err := os.Open(filepath.Join(dir, "envoy", name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		head := true
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "# ") {
				continue
			}
			if fields := strings.Split(lines.Text(), "\t"); !head {
				inputs = append(inputs, fields[column])
			}
			head = false
		}
	}
	return inputs
}
