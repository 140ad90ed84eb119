package wiring

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestSettingsOfThePagesAreInTheExamples looks for each setting that a page explains among the examples that it is about,
// with the value that the page recommends. What the page says to leave out must be in none.
func TestSettingsOfThePagesAreInTheExamples(t *testing.T) {
	for page, folder := range map[string]string{"envoy-gateway": "envoy-gateway-securitypolicy", "istio": "istio", "contour": "contour"} {
		t.Run(page, func(t *testing.T) {
			text, rows := manifests(t, folder), settings(t, page)
			if len(rows) < 3 {
				t.Errorf("the page has only %d settings", len(rows))
			}
			for _, row := range rows {
				there := regexp.MustCompile(`(?m)\b`+regexp.QuoteMeta(row.name)+`:.*$`).FindAllString(text, -1)
				recommended := func(line string) bool { return strings.HasPrefix(line, row.name+": "+row.value) }
				switch {
				case row.value == "" && there != nil:
					t.Errorf("%s is to be left out: %q", row.name, there)
				case row.value != "" && !slices.ContainsFunc(there, recommended):
					t.Errorf("%s is nowhere %q, as the page says, but %q", row.name, row.value, there)
				}
			}
		})
	}
}

// manifests is the text of all examples of a folder, without whole lines of comment.
func manifests(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(examples, folder, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(regexp.MustCompile(`(?m)^\s*#.*$`).ReplaceAll(content, nil))
	}
	return text.String()
}

// setting is a row of a page's table: the last member of its path, and the value; none where it is to be left out.
type setting struct{ name, value string }

func settings(t *testing.T, page string) []setting {
	t.Helper()
	content, err := os.ReadFile("../../docs/" + page + ".md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(content), "| setting | value | why |\n")
	var out []setting
	quoted := regexp.MustCompile("`([^`]+)`")
	for _, line := range strings.Split(table, "\n")[1:] {
		cells := strings.Split(line, " | ")
		if len(cells) != 3 {
			break
		}
		path := strings.Split(quoted.FindStringSubmatch(cells[0])[1], ".")
		s := setting{name: path[len(path)-1]}
		if value := quoted.FindStringSubmatch(cells[1]); value != nil {
			s.value = value[1]
		}
		out = append(out, s)
	}
	return out
}
