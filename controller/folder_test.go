package controller

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// write writes files below a new folder.
func write(t testing.TB, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		put(t, filepath.Join(dir, name), text)
	}
	return dir
}

func put(t testing.TB, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func load(t testing.TB, dirs ...string) (*Listing, error) {
	t.Helper()
	f, err := NewFolder(FolderConfig{Dirs: dirs})
	if err != nil {
		t.Fatal(err)
	}
	return f.Load(context.Background())
}

func mustList(t testing.TB, files map[string]string) *Listing {
	t.Helper()
	l, err := load(t, write(t, files))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// at is where a field of an object stands, as file:line.
func at(l *Listing, ref policy.ObjectRef, field string) string { return place(l.Locate(ref, field)) }

func namespace(name string) string {
	return "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + name + "}\n"
}

func names(l *Listing) (out []string) {
	for _, n := range l.Objects.Namespaces {
		out = append(out, n.Name)
	}
	return out
}

func TestLoadFindsFiles(t *testing.T) {
	dir := write(t, map[string]string{
		"b.yaml": namespace("b"), "a.yml": namespace("a"), "sub/deep/c.yaml": namespace("c"),
		"README.md": "no objects", "d.json": "{}", ".hidden.yaml": "[", ".git/e.yaml": "[", "empty.yaml": "", "f.yaml.bak": "[",
	})
	l, err := load(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, names(l)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestLoadReadsEachFileOnce(t *testing.T) {
	dir := write(t, map[string]string{"sub/a.yaml": namespace("a")})
	link(t, "sub", filepath.Join(dir, "again"))
	link(t, "../sub/a.yaml", filepath.Join(dir, "sub", "b.yaml"))
	link(t, "..", filepath.Join(dir, "sub", "up"))
	l, err := load(t, dir, filepath.Join(dir, "sub"), filepath.Join(dir, "sub", "a.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if l.Len() != 1 || l.Files != 1 {
		t.Errorf("got %d objects of %d files, want one", l.Len(), l.Files)
	}
}

func link(t testing.TB, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func TestLoadReadsAMountedConfigMap(t *testing.T) {
	dir := write(t, map[string]string{"..2026_1/a.yaml": namespace("a"), "..2026_1/b.yaml": namespace("b")})
	link(t, "..2026_1", filepath.Join(dir, "..data"))
	link(t, "..data/a.yaml", filepath.Join(dir, "a.yaml"))
	link(t, "..data/b.yaml", filepath.Join(dir, "b.yaml"))
	l, err := load(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, names(l)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got, want := at(l, policy.ObjectRef{Kind: "Namespace", Name: "b"}, ""), filepath.Join(dir, "b.yaml")+":1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestLoadNamesEveryError(t *testing.T) {
	dir := write(t, map[string]string{
		"a.yaml": namespace("same") + "---\n" + namespace("same"),
		"b.yaml": namespace("other") + "---\n" + namespace("same"),
		"c.yaml": "[",
		"d.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {nam: d}\n",
		"e.yaml": strings.Repeat("#", maxFileBytes+1),
	})
	link(t, "nowhere", filepath.Join(dir, "f.yaml"))
	if err := os.Mkdir(filepath.Join(dir, "g.yaml"), 0o755); err != nil {
		t.Fatal(err) // a folder may be called so
	}
	_, err := load(t, dir, filepath.Join(dir, "missing"))
	var errs FileErrors
	if !errors.As(err, &errs) {
		t.Fatalf("got %v, want FileErrors", err)
	}
	want := strings.ReplaceAll(`DIR/a.yaml:5: Namespace same stands here a second time; the first is DIR/a.yaml:1
DIR/b.yaml:5: Namespace same stands here a second time; the first is DIR/a.yaml:1
DIR/c.yaml:1: is not YAML: did not find expected node content
DIR/d.yaml:3: metadata.nam: unknown field, did you mean "name"?
DIR/e.yaml: cannot be read: it has more than 4 MiB
DIR/f.yaml: cannot be read: no such file or directory
DIR/missing: cannot be read: no such file or directory`, "DIR", dir)
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestLoadKeepsObjectsOfUnchangedFiles(t *testing.T) {
	dir := write(t, map[string]string{"a.yaml": namespace("a"), "b.yaml": namespace("b"), "c.yaml": namespace("c")})
	for _, tt := range []struct {
		name   string
		config FolderConfig
	}{
		{"looked at", FolderConfig{Dirs: []string{dir}, Settle: 1}},
		{"read again", FolderConfig{Dirs: []string{dir}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := NewFolder(tt.config)
			if err != nil {
				t.Fatal(err)
			}
			first, err := f.Load(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(dir, "b.yaml"), "# "+tt.name+"\n"+namespace("b"))
			put(t, filepath.Join(dir, "c.yaml"), namespace("c"))
			second, err := f.Load(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			for i, kept := range []bool{true, false, true} {
				a, b := first.Objects.Namespaces[i], second.Objects.Namespaces[i]
				if (a == b) != kept {
					t.Errorf("%s: same pointer: %t, want %t", a.Name, a == b, kept)
				}
			}
			if got, want := at(second, policy.ObjectRef{Kind: "Namespace", Name: "b"}, "metadata"), filepath.Join(dir, "b.yaml")+":4"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestLocate(t *testing.T) {
	text := policyWith(`    - path:
        value: /a
    require:
      anyOf:
      - groups: [ops]
      - claims:
        - claim: a
          operator: Exists
        - claim: b
          operator: In
          values:
          - x
          - "y"
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Namespace
  metadata:
    name: shop
    annotations:
      sallyport.dev/hosts: a,b
      on: "1"
`)
	l := mustList(t, map[string]string{"f.yaml": text})
	orders := policy.ObjectRef{Kind: "AuthPolicy", Namespace: "shop", Name: "orders"}
	shop := policy.ObjectRef{Kind: "Namespace", Name: "shop"}
	for _, tt := range []struct {
		ref   policy.ObjectRef
		field string
		line  string
	}{
		{orders, "", "2"},
		{orders, "spec", "7"},
		{orders, "spec.hosts[0]", "8"},
		{orders, "spec.hosts[7]", "8"},
		{orders, "spec.identityProviders[0].name", "10"},
		{orders, "spec.rules[0].access", "13"},
		{orders, "spec.rules[0].require.scopes[1]", "12"},
		{orders, "spec.rules[1].matches[0].methods[0]", "16"},
		{orders, "spec.rules[1].matches[1].path.value", "18"},
		{orders, "spec.rules[1].require.anyOf[1].claims[1].values[1]", "29"},
		{orders, "spec.rules[1].require.anyOf[1].claims[1].operator", "26"},
		{orders, "spec.rules[1].require.anyOf[1].claims[0]", "23"},
		{orders, "spec.upstream.headers[0]", "7"},
		{orders, "nonsense[[..", "2"},
		{shop, "", "34"},
		{shop, "metadata.annotations[sallyport.dev/hosts]", "39"},
		{shop, "metadata.annotations[true]", "40"},
	} {
		t.Run(tt.field, func(t *testing.T) {
			if _, got, _ := strings.Cut(at(l, tt.ref, tt.field), "f.yaml:"); got != tt.line {
				t.Errorf("got line %s, want %s", got, tt.line)
			}
		})
	}
	if got := at(l, policy.ObjectRef{Kind: "Secret", Name: "none"}, "spec"); got != "" {
		t.Errorf("got %q for an object that is not there", got)
	}
}
