package controller

import (
	"os"
	"strings"
	"testing"
)

// TestDocumentedStories runs the examples of docs/stories.md.
func TestDocumentedStories(t *testing.T) {
	doc, err := os.ReadFile("../docs/stories.md")
	if err != nil {
		t.Fatal(err)
	}
	run := 0
	for i, text := range strings.Split(string(doc), "```\n") {
		if i%2 == 0 || !strings.Contains(text, "-- checks --\n") {
			continue
		}
		run++
		s, err := ParseStory("docs/stories.md", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range s.Run() {
			t.Error(d)
		}
	}
	if run != 2 {
		t.Errorf("ran %d examples, want 2", run)
	}
	for _, part := range answerParts() {
		if !strings.Contains(string(doc), "`"+part+"`") {
			t.Errorf("part %q is not documented", part)
		}
	}
}
