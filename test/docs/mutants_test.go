package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMutantsAreOfTheCode: each mutant that the page names changes a part of a line that stands in its file.
// That no test notices it is what .ci/mutate says.
func TestMutantsAreOfTheCode(t *testing.T) {
	const page = "docs/mutants.md"
	folder, rows := "", 0
	seen := map[string]bool{}
	for _, line := range strings.Split(readPage(t, page), "\n") {
		if name, ok := strings.CutPrefix(line, "## "); ok {
			folder = name
		}
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		rows++
		cells := strings.Split(strings.ReplaceAll(line, `\|`, "\x00"), "|")
		if len(cells) != 6 || seen[line] {
			t.Errorf("%s: not a row of four cells, or twice: %s", page, line)
			continue
		}
		seen[line] = true
		for i := range cells {
			cells[i] = strings.Trim(strings.ReplaceAll(cells[i], "\x00", "|"), " `")
		}
		file, code, becomes, reason := cells[1], cells[2], cells[3], cells[4]
		text, err := os.ReadFile(filepath.Join(root, folder, file))
		if err != nil {
			t.Errorf("%s: %v", page, err)
			continue
		}
		if !strings.Contains(string(text), code) || code == becomes || code == "" || reason == "" {
			t.Errorf("%s: %s/%s has no %q, or the row says too little", page, folder, file, code)
		}
	}
	if rows == 0 {
		t.Errorf("%s names no mutant", page)
	}
}
