package docs_test

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/controller"
)

// TestStoriesOfPages runs each story that stands on a page, as "sallyport test" does. Those of the page about stories have
// a test beside their parser.
func TestStoriesOfPages(t *testing.T) {
	run := map[string]int{}
	for _, page := range pages(t) {
		for _, b := range blocksOf(t, page) {
			if page == "docs/stories.md" || !strings.Contains(b.text, "\n-- checks --\n") {
				continue
			}
			run[page]++
			story, err := controller.ParseStory(page, []byte(b.text))
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range story.Run() {
				t.Error(d)
			}
		}
	}
	if run["docs/step-up.md"] != 1 || run["docs/protected-resource-metadata.md"] != 1 {
		t.Errorf("stories that were run: %v", run)
	}
}
