package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// root is the folder of the repository.
const root = "../.."

// pages are all pages that users read, by their path below root.
func pages(t *testing.T) []string {
	t.Helper()
	out := []string{"README.md"}
	for _, pattern := range []string{"docs/*.md", "docs/adr/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			rel, err := filepath.Rel(root, f)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, filepath.ToSlash(rel))
		}
	}
	if len(out) < 8 {
		t.Fatalf("found the pages %q only", out)
	}
	return out
}

func readPage(t *testing.T, page string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// block is a fenced block of a page.
type block struct {
	info string // the words behind the opening fence
	text string
	line int // of the opening fence
}

// blocksOf are the fenced blocks of a page.
func blocksOf(t *testing.T, page string) []block {
	t.Helper()
	var out []block
	var open *block
	for i, line := range strings.Split(readPage(t, page), "\n") {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case !fence && open != nil:
			open.text += line + "\n"
		case !fence:
		case open == nil:
			open = &block{info: info, line: i + 1}
		default:
			out = append(out, *open)
			open = nil
		}
	}
	if open != nil {
		t.Errorf("%s:%d: the block does not end", page, open.line)
	}
	return out
}

// rowsUnder are the rows of every table of a page whose first heading is first, each cell without blanks around it.
func rowsUnder(t *testing.T, page, first string) [][]string {
	t.Helper()
	var out [][]string
	inTable := false
	for _, line := range strings.Split(readPage(t, page), "\n") {
		inner, ok := strings.CutPrefix(line, "|")
		if !ok {
			inTable = false
			continue
		}
		var cells []string
		for _, c := range strings.Split(strings.TrimSuffix(inner, "|"), "|") {
			cells = append(cells, strings.TrimSpace(c))
		}
		switch {
		case cells[0] == first:
			inTable = true
		case inTable && !strings.HasPrefix(cells[0], "---"):
			out = append(out, cells)
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s has no table whose first column is %q", page, first)
	}
	return out
}

// code is the text of a cell between backquotes.
func code(cell string) string { return strings.Trim(cell, "`") }
