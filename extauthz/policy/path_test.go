package policy

import (
	"bufio"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplitPath(t *testing.T) {
	keep, strip := pathOptions{keepEncodedSlash: true}, pathOptions{stripSemicolon: true}
	for _, tt := range []struct {
		name  string
		raw   string
		o     pathOptions
		want  []string
		slash bool
		bad   bool
	}{
		{name: "root", raw: "/"},
		{name: "segments", raw: "/a/b", want: []string{"a", "b"}},
		{name: "final slash", raw: "/a/b/", want: []string{"a", "b"}, slash: true},
		{name: "decoded once, by segment", raw: "/a%20b/%C3%A9", want: []string{"a b", "é"}},
		{name: "dots within a segment", raw: "/a.b/...", want: []string{"a.b", "..."}},
		{name: "no slash in front", raw: "a", bad: true},
		{name: "empty", raw: "", bad: true},
		{name: "empty segment", raw: "/a//b", bad: true},
		{name: "two final slashes", raw: "/a//", bad: true},
		{name: "only slashes", raw: "//", bad: true},
		{name: "dot", raw: "/a/./b", bad: true},
		{name: "dot dot", raw: "/a/../b", bad: true},
		{name: "dot dot at the end", raw: "/a/..", bad: true},
		{name: "encoded dot", raw: "/a/%2e%2e/b", bad: true},
		{name: "encoded dot in a name", raw: "/a%2Ejson", bad: true},
		{name: "semicolon", raw: "/a;x=1/b", bad: true},
		{name: "semicolon stripped", raw: "/a;x=1/b", o: strip, want: []string{"a", "b"}},
		{name: "semicolon hides dots", raw: "/a/..;/b", o: strip, bad: true},
		{name: "semicolon hides a dot", raw: "/a/.;x/b", o: strip, bad: true},
		{name: "semicolon hides nothing", raw: "/a/;x/b", o: strip, bad: true},
		{name: "encoded slash behind a semicolon", raw: "/a;%2Fx/b", o: pathOptions{true, true}, bad: true},
		{name: "encoded semicolon, stripped", raw: "/a%3bx/b", o: strip, bad: true},
		{name: "encoded slash", raw: "/a%2Fb", bad: true},
		{name: "encoded slash kept", raw: "/a%2Fb/c", o: keep, want: []string{"a/b", "c"}},
		{name: "encoded slash kept, empty in front", raw: "/%2Fb", o: keep, bad: true},
		{name: "encoded slash kept, dots behind", raw: "/a%2f../c", o: keep, bad: true},
		{name: "encoded slash kept, beside what no path has", raw: "/a%2Fb/{c", o: keep, bad: true},
		{name: "encoded slash kept, behind what no path has", raw: `/a"/b%2fc`, o: keep, bad: true},
		{name: "what no path has, without an encoded slash", raw: "/a|b", o: keep, want: []string{"a|b"}},
		{name: "what no path has, escaped", raw: "/a%2Fb%7Cc", o: keep, want: []string{"a/b|c"}},
		{name: "encoded backslash, kept", raw: "/a%5Cb", o: keep, bad: true},
		{name: "encoded percent", raw: "/%252e%252e/b", bad: true},
		{name: "encoded hash", raw: "/a%23b", bad: true},
		{name: "encoded question mark", raw: "/a%3Fb", bad: true},
		{name: "backslash", raw: `/a\b`, bad: true},
		{name: "hash", raw: "/a#b", bad: true},
		{name: "control", raw: "/a\x01", bad: true},
		{name: "encoded control", raw: "/a%00", bad: true},
		{name: "encoded C1 control", raw: "/a%C2%85", bad: true},
		{name: "encoded delete", raw: "/a%7F", bad: true},
		{name: "space", raw: "/a b", bad: true},
		{name: "not ASCII", raw: "/é", bad: true},
		{name: "not UTF-8", raw: "/%ff", bad: true},
		{name: "overlong dot", raw: "/%c0%ae", bad: true},
		{name: "escape cut short", raw: "/a%2", bad: true},
		{name: "escape that is none", raw: "/a%zz", bad: true},
		{name: "escape of a first letter", raw: "/%c3%aa%C3%AA", want: []string{"êê"}},
		{name: "escape of a last letter", raw: "/%6f%6F", want: []string{"oo"}},
		{name: "delete", raw: "/a\x7fb", bad: true},
		{name: "nothing but a percent sign", raw: "/%", bad: true},
		{name: "nothing but percent signs", raw: "/%%", bad: true},
		{name: "escape of which one digit is none", raw: "/%g0%9F%98%80", bad: true},
		{name: "escape of which the other is none", raw: "/a%4g", bad: true},
		{name: "encoded control in front", raw: "/%01a", bad: true},
		{name: "as long as may be", raw: "/" + strings.Repeat("a", maxPath-1), want: []string{strings.Repeat("a", maxPath-1)}},
		{name: "too long", raw: "/" + strings.Repeat("a", maxPath), bad: true},
		{name: "most segments", raw: strings.Repeat("/a", maxSegments), want: slices.Repeat([]string{"a"}, maxSegments)},
		{name: "too many segments", raw: strings.Repeat("/a", maxSegments+1), bad: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, ok := splitPath(tt.raw, tt.o, nil)
			if ok == tt.bad {
				t.Fatalf("ok is %t", ok)
			}
			if ok && (!slices.Equal(p.segs, tt.want) || p.slash != tt.slash) {
				t.Errorf("got %q, %t", p.segs, p.slash)
			}
		})
	}
}

// TestSplitPathAgainstEnvoy takes what Envoy sends on for each path of its own table and of Istio's: it is refused, or
// read as exactly the segments that stand in it.
func TestSplitPathAgainstEnvoy(t *testing.T) {
	dir := os.Getenv("SALLYPORT_VECTORS")
	if dir == "" {
		t.Skip("SALLYPORT_VECTORS names no folder")
	}
	for _, name := range []string{"envoy-path-utility.tsv", "istio-path-normalization.tsv"} {
		rows := readTSV(t, filepath.Join(dir, "envoy", name))
		if len(rows) < 100 {
			t.Fatalf("%s has %d rows", name, len(rows))
		}
		for _, row := range rows {
			out, _, _ := strings.Cut(row["output"], "?")
			p, ok := splitPath(out, pathOptions{}, nil)
			if !ok {
				continue
			}
			if lower := strings.ToLower(out); strings.Contains(out, "//") || strings.Contains(out, "/../") || strings.HasSuffix(out, "/..") ||
				strings.Contains(out, "/./") || strings.ContainsAny(out, `\;#`) || strings.Contains(lower, "%2f") || strings.Contains(lower, "%5c") ||
				strings.Contains(lower, "%2e") || strings.Contains(lower, "%25") {
				t.Errorf("%s: %q is read as %q", name, out, p.segs)
			}
			again, ok := splitPath(p.String(), pathOptions{}, nil)
			if ok && !cmp.Equal(again.segs, p.segs) {
				t.Errorf("%s: %q is read as %q, and that as %q", name, out, p.segs, again.segs)
			}
		}
	}
}

func readTSV(t *testing.T, file string) []map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var header []string
	var rows []map[string]string
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line := sc.Text()
		if strings.HasPrefix(line, "# ") || line == "" {
			continue
		}
		cells := strings.Split(line, "\t")
		if header == nil {
			header = cells
			continue
		}
		row := map[string]string{}
		for i, c := range cells {
			if i < len(header) {
				row[header[i]] = c
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// FuzzSplitPath states the law of paths: what is accepted has segments that are not empty and no dots, hold no control
// and, unless the host keeps it, no slash; and writing them encoded and reading them again gives the same.
func FuzzSplitPath(f *testing.F) {
	for _, s := range []string{"/", "/a/b/", "/a%20b", "/%2e%2e/x", "/a;b/c", "/a%2Fb", "/%C3%A9/x", "/a/..;/b", "//", "/a\\b"} {
		f.Add(s, false, false)
		f.Add(s, true, true)
	}
	f.Add("/admin%2F{x", true, false) // Go's ServeMux served /admin/{x
	f.Add("/admin%2F%7Cx", true, false)
	f.Fuzz(func(t *testing.T, raw string, keep, strip bool) {
		o := pathOptions{keep, strip}
		p, ok := splitPath(raw, o, nil)
		if !ok {
			return
		}
		if u, err := url.ParseRequestURI(raw); err != nil || strings.Count(u.EscapedPath(), "/") != strings.Count(raw, "/") {
			t.Fatalf("%q has other segments for net/url: %q, %v", raw, u.EscapedPath(), err)
		}
		var again strings.Builder
		for _, s := range p.segs {
			if isDotOrEmpty(s) || !isPrintable(s) || !keep && strings.Contains(s, "/") || strings.ContainsAny(s, `\;#?%`) {
				t.Fatalf("%q holds segment %q", raw, s)
			}
			again.WriteByte('/')
			for i := range len(s) {
				if c := s[i]; c <= ' ' || c >= 0x7f || c == '/' || strings.IndexByte(notInPath, c) >= 0 {
					again.WriteString("%" + strings.ToUpper(string("0123456789abcdef"[c>>4])+string("0123456789abcdef"[c&15])))
				} else {
					again.WriteByte(c)
				}
			}
		}
		if p.slash || len(p.segs) == 0 {
			again.WriteByte('/')
		}
		q, ok := splitPath(again.String(), o, nil)
		if !ok || !slices.Equal(p.segs, q.segs) || p.slash != q.slash {
			t.Fatalf("%q is %q, written %q, read %q %t", raw, p.segs, again.String(), q.segs, ok)
		}
	})
}

func TestQueryValue(t *testing.T) {
	for _, tt := range []struct {
		name, raw, param   string
		want               string
		present, ambiguous bool
	}{
		{name: "absent", raw: "a=1", param: "v"},
		{name: "empty query", param: "v"},
		{name: "plain", raw: "a=1&v=2", param: "v", want: "2", present: true},
		{name: "without value", raw: "v", param: "v", present: true},
		{name: "decoded", raw: "v=a+b%26c", param: "v", want: "a b&c", present: true},
		{name: "name encoded", raw: "%76=2", param: "v", want: "2", present: true},
		{name: "twice", raw: "v=1&v=2", param: "v", ambiguous: true},
		{name: "twice, once encoded", raw: "v=1&%76=2", param: "v", ambiguous: true},
		{name: "bad escape in the value", raw: "v=%zz", param: "v", ambiguous: true},
		{name: "controls and blanks escaped", raw: "v=%09%20%40%00", param: "v", want: "\t @\x00", present: true},
		{name: "escape cut short", raw: "v=%4", param: "v", ambiguous: true},
		{name: "nothing but a percent sign", raw: "v=%", param: "v", ambiguous: true},
		{name: "escape of which one digit is none", raw: "v=%g4", param: "v", ambiguous: true},
		{name: "escape of which the other is none", raw: "v=%4g", param: "v", ambiguous: true},
		{name: "bad escape in another name", raw: "%zz=1&v=2", param: "v", ambiguous: true},
		{name: "semicolon", raw: "a=1;v=2", param: "v", ambiguous: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, present, ambiguous := queryValue(tt.raw, tt.param)
			if got != tt.want || present != tt.present || ambiguous != tt.ambiguous {
				t.Errorf("got %q, %t, %t", got, present, ambiguous)
			}
		})
	}
}

// FuzzQueryValue states the law of query parameters: a value is only given where the name stands exactly once, however
// the query is cut.
func FuzzQueryValue(f *testing.F) {
	f.Add("a=1&v=2", "v")
	f.Add("v=1;v=2", "v")
	f.Add("%76=1", "v")
	f.Fuzz(func(t *testing.T, raw, name string) {
		_, present, ambiguous := queryValue(raw, name)
		if !present || ambiguous {
			return
		}
		n := 0
		for _, pair := range strings.FieldsFunc(raw, func(r rune) bool { return r == '&' || r == ';' }) {
			k, _, _ := strings.Cut(pair, "=")
			if key, ok := unescapeQuery(k); !ok || key == name {
				n++
			}
		}
		if name != "" && n != 1 {
			t.Fatalf("%q has %q %d times", raw, name, n)
		}
	})
}
