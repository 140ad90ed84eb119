package docs_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// sallyportBinary is the Sallyport that make test has built.
func sallyportBinary(t *testing.T) string {
	t.Helper()
	bin := os.Getenv("SALLYPORT_BIN")
	if bin == "" {
		t.Skip("SALLYPORT_BIN names no Sallyport; make test does")
	}
	return bin
}

var (
	flagLine    = regexp.MustCompile(`^\s+(?:-\w, )?(--[a-z-]+)(?:\[=\S+\])?( \w+)?\s{2,}(.+)$`)
	flagDefault = regexp.MustCompile(`\(default "?([^"]*?)"?\)$`)
)

// TestFlagsOfThePage holds the page against what serve says of itself: the flags, their defaults, their variables.
func TestFlagsOfThePage(t *testing.T) {
	help, err := exec.CommandContext(t.Context(), sallyportBinary(t), "serve", "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, help)
	}
	defaults := map[string]string{}
	for _, line := range strings.Split(string(help), "\n") {
		m := flagLine.FindStringSubmatch(line)
		if m == nil || m[1] == "--help" {
			continue
		}
		defaults[m[1]] = ""
		if d := flagDefault.FindStringSubmatch(m[3]); d != nil {
			defaults[m[1]] = d[1]
		}
	}
	if len(defaults) < 10 {
		t.Fatalf("serve --help has only the flags %v:\n%s", defaults, help)
	}
	for _, row := range rowsUnder(t, "docs/operating.md", "flag") {
		name := code(row[0])
		want, there := defaults[name]
		delete(defaults, name)
		switch {
		case !there:
			t.Errorf("serve has no flag %s", name)
		case want != "" && row[1] != "`"+want+"`":
			t.Errorf("%s: the default is `%s`, the page says %s", name, want, row[1])
		case want == "" && strings.HasPrefix(row[1], "`"):
			t.Errorf("%s has no default, the page says %s", name, row[1])
		}
		if env := "SALLYPORT_" + strings.ToUpper(strings.ReplaceAll(name[2:], "-", "_")); code(row[2]) != env {
			t.Errorf("%s: the variable is %s, the page says %s", name, env, row[2])
		}
	}
	for name := range defaults {
		t.Errorf("the page lacks %s", name)
	}
}
