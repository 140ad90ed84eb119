package controller

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkLoad reads 1 000 policies: all of them, or one that was edited among those that were not.
func BenchmarkLoad(b *testing.B) {
	files := map[string]string{}
	for i := range 1000 {
		text := strings.Replace(policyWith("    require:\n      scopes: [orders.read]\n"), "name: orders", fmt.Sprint("name: orders-", i), 1)
		files[fmt.Sprintf("%d/p%d.yaml", i%10, i)] = text
	}
	dir := write(b, files)
	for _, edited := range []bool{false, true} {
		name := "first"
		if edited {
			name = "edited"
		}
		b.Run(name, func(b *testing.B) {
			f, err := NewFolder(FolderConfig{Dirs: []string{dir}, Settle: 1})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if !edited {
					f.files = nil
				} else {
					put(b, filepath.Join(dir, "0", "p0.yaml"), fmt.Sprintf("# %d\n%s", i, files["0/p0.yaml"]))
				}
				if l, err := f.Load(b.Context()); err != nil || l.Len() != 1000 {
					b.Fatal(l, err)
				}
			}
		})
	}
}

// BenchmarkLook looks at 10 000 files in 100 folders, as happens three times for each edit.
func BenchmarkLook(b *testing.B) {
	files := map[string]string{}
	for i := range 10_000 {
		files[fmt.Sprintf("%d/p%d.yaml", i%100, i)] = ""
	}
	dir := write(b, files)
	b.ReportAllocs()
	for b.Loop() {
		if l := lookAt([]string{dir}); len(l.files) != len(files) {
			b.Fatal(len(l.files), l.errs)
		}
	}
}
