package keycloak

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// blocks are the fenced blocks of a page that are in a language.
func blocks(t *testing.T, page, language string) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	inside, text := false, ""
	for line := range strings.Lines(string(content)) {
		switch {
		case !inside && strings.TrimSpace(line) == "```"+language:
			inside, text = true, ""
		case inside && strings.TrimSpace(line) == "```":
			inside, out = false, append(out, text)
		case inside:
			text += line
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s has no %s", page, language)
	}
	return out
}

// rows are those of the table of the page whose first heading is first, without backquotes.
func rows(t *testing.T, page, first string) [][]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	var out [][]string
	inside := false
	for line := range strings.Lines(string(content)) {
		inner, ok := strings.CutPrefix(strings.TrimSpace(line), "|")
		if !ok {
			inside = false
			continue
		}
		var cells []string
		for cell := range strings.SplitSeq(strings.TrimSuffix(inner, "|"), "|") {
			cells = append(cells, strings.Trim(strings.TrimSpace(cell), "`"))
		}
		if inside && !strings.HasPrefix(cells[0], "---") {
			out = append(out, cells)
		}
		inside = inside || cells[0] == first
	}
	if len(out) == 0 {
		t.Fatalf("%s has no table whose first column is %q", page, first)
	}
	return out
}

// TestBlocksOfThePageAreInTheRealm looks for each piece of JSON of the pages in the realm that Keycloak imports.
func TestBlocksOfThePageAreInTheRealm(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(root, "examples/keycloak/realm.json"))
	if err != nil {
		t.Fatal(err)
	}
	var realm any
	if err := json.Unmarshal(content, &realm); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{page, sessionsPage} {
		for _, text := range blocks(t, p, "json") {
			var piece any
			if err := json.Unmarshal([]byte(text), &piece); err != nil {
				t.Errorf("%s: %v in\n%s", p, err, text)
				continue
			}
			if !isIn(piece, realm) {
				t.Errorf("%s: not in the realm:\n%s", p, text)
			}
		}
	}
}

// isIn tells whether whole, or something in it, has all that piece has. Lists are compared as a whole.
func isIn(piece, whole any) bool {
	if has(whole, piece) {
		return true
	}
	switch whole := whole.(type) {
	case map[string]any:
		for _, value := range whole {
			if isIn(piece, value) {
				return true
			}
		}
	case []any:
		for _, value := range whole {
			if isIn(piece, value) {
				return true
			}
		}
	}
	return false
}

// has tells whether whole is piece, or an object with all its members.
func has(whole, piece any) bool {
	w, ok := whole.(map[string]any)
	p, both := piece.(map[string]any)
	if !ok || !both {
		return reflect.DeepEqual(whole, piece)
	}
	for name, value := range p {
		if !has(w[name], value) {
			return false
		}
	}
	return true
}
