package controller

import (
	"os"
	"strings"
	"testing"
)

// TestDocumentedStory runs the example of docs/stories.md.
func TestDocumentedStory(t *testing.T) {
	doc, err := os.ReadFile("../docs/stories.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(doc), "behind a line `-- name --`.\n\n```\n")
	text, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("the example is not where it was")
	}
	s, err := ParseStory("docs/stories.md", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range s.Run() {
		t.Error(d)
	}
	for _, part := range answerParts() {
		if !strings.Contains(string(doc), "`"+part+"`") {
			t.Errorf("part %q is not documented", part)
		}
	}
}
