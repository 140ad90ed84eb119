package controller

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the answers that stories get into their files")

// TestStories runs the stories that tell what policies mean.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("../extauthz/policy/testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories (%v)", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			s, err := ParseStory(name, data)
			if err != nil {
				t.Fatal(err)
			}
			if s.Comment == "" {
				t.Error("a story begins with a comment that says why its answers are right")
			}
			diffs := s.Run()
			if *update {
				if err := os.WriteFile(name, s.Format(), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, d := range diffs {
				t.Error(d)
			}
			if len(diffs) == 0 {
				if diff := cmp.Diff(string(data), string(s.Format())); diff != "" {
					t.Errorf("formatting changed it (-before +after)\n%s", diff)
				}
			}
		})
	}
}
