package envoy

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/cmd/demo"
)

// table reads a file of path vectors: tabs between fields, comments, one line of names.
func table(t *testing.T, name string) []map[string]string {
	t.Helper()
	folder := os.Getenv("SALLYPORT_VECTORS")
	if folder == "" {
		t.Skip("SALLYPORT_VECTORS names no folder of vectors")
	}
	f, err := os.Open(filepath.Join(folder, "envoy", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var names []string
	var rows []map[string]string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Split(lines.Text(), "\t")
		switch {
		case strings.HasPrefix(lines.Text(), "# "):
		case names == nil:
			names = fields
		default:
			row := map[string]string{}
			for i, field := range fields {
				row[names[i]] = field
			}
			rows = append(rows, row)
		}
	}
	if len(rows) < 100 {
		t.Fatalf("%s has %d rows only", name, len(rows))
	}
	return rows
}

// TestIstioVectors sends every row of Istio's own table through an Envoy set up as Istio sets it up. What Envoy lets
// through arrives as the table says, and was judged as exactly what arrives; all else is refused.
func TestIstioVectors(t *testing.T) {
	rows := table(t, "istio-path-normalization.tsv")
	w := newWorld(t, []string{"paths.yaml"})
	token := w.token(t, map[string]any{"roles": []string{"admin"}})
	modes := map[string]demo.PathConfig{
		"NONE":                     {},
		"BASE":                     {Normalize: true},
		"MERGE_SLASHES":            {Normalize: true, MergeSlashes: true},
		"DECODE_AND_MERGE_SLASHES": {Normalize: true, MergeSlashes: true, EscapedSlashes: "UNESCAPE_AND_FORWARD"},
	}
	for mode, paths := range modes {
		t.Run(mode, func(t *testing.T) {
			e := w.edge(t, demo.EnvoyConfig{Paths: paths})
			sent, passed := 0, 0
			for _, row := range rows {
				if row["mode"] != mode {
					continue
				}
				sent++
				reached, ok := checkLaw(t, e.Address(), row["input"], token)
				if ok && reached != row["output"] && !strings.Contains(row["note"], reached) {
					t.Errorf("%q arrived as %q, the table says %q", row["input"], reached, row["output"])
				}
				if ok {
					passed++
				}
			}
			t.Logf("%d sent, %d passed", sent, passed)
			if passed == 0 {
				t.Error("not one request passed, so this shows nothing")
			}
		})
	}
}

// TestEnvoyVectors sends every path of Envoy's own tests through each kind of Envoy: what passes was judged as exactly
// what arrives.
func TestEnvoyVectors(t *testing.T) {
	rows := table(t, "envoy-path-utility.tsv")
	w := newWorld(t, []string{"paths.yaml"})
	token := w.token(t, map[string]any{"roles": []string{"admin"}})
	for _, form := range pathForms {
		t.Run(form.name, func(t *testing.T) {
			e := w.edge(t, demo.EnvoyConfig{Paths: form.paths})
			passed := 0
			for _, row := range rows {
				if row["input"] == "" {
					continue // no request line can say it
				}
				if _, ok := checkLaw(t, e.Address(), row["input"], token); ok {
					passed++
				}
			}
			t.Logf("%d rows, %d passed", len(rows), passed)
			if passed == 0 {
				t.Error("not one request passed, so this shows nothing")
			}
		})
	}
}
