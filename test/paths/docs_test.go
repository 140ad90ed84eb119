package paths

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestTableOfServers sees that docs/paths.md says of each server what the path oracle holds true.
func TestTableOfServers(t *testing.T) {
	page, err := os.ReadFile("../../docs/paths.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(line, "|"); len(cells) == 7 && !strings.Contains(cells[1], "---") {
			rows++
		}
	}
	if rows != len(applications)+1 {
		t.Errorf("the table has %d rows, for %d servers", rows-1, len(applications))
	}
	for _, a := range applications {
		cells := []string{"", a.title}
		for _, zone := range zoneNames() {
			if slices.Contains(a.fits, zone) {
				cells = append(cells, "fits")
			} else {
				cells = append(cells, "no")
			}
		}
		if row := strings.TrimSpace(strings.Join(append(cells, ""), " | ")); !strings.Contains(string(page), row) {
			t.Errorf("docs/paths.md lacks this row:\n%s", row)
		}
	}
}
