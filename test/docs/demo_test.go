package docs_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestReadmeShowsWhatTheDemoPrints runs the demo and looks for each row of its table that README.md shows.
func TestReadmeShowsWhatTheDemoPrints(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), sallyportBinary(t), "demo", "--envoy", envoyBinary(t))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	printed := map[string]bool{}
	for _, line := range strings.Split(string(out), "\n") {
		printed[strings.Join(strings.Fields(line), " ")] = true
	}
	rows := 0
	for _, b := range blocksOf(t, "README.md") {
		for _, line := range strings.Split(b.text, "\n") {
			if !strings.HasPrefix(line, "GET ") && !strings.HasPrefix(line, "REQUEST ") {
				continue
			}
			rows++
			if !printed[strings.Join(strings.Fields(line), " ")] {
				t.Errorf("README.md shows %q, the demo prints\n%s", line, out)
			}
		}
	}
	if rows < 4 {
		t.Errorf("README.md shows only %d rows of the demo", rows)
	}
}
