package docs_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/controller"
	"github.com/sallyport/sallyport/extauthz/policy"
)

const concepts = "docs/concepts.md"

// TestReasonsOfThePage holds the table of reasons against the code: the list and its order, and each status.
func TestReasonsOfThePage(t *testing.T) {
	var got, want []policy.Reason
	for _, row := range rowsUnder(t, concepts, "reason") {
		r := policy.Reason(code(row[0]))
		got = append(got, r)
		status := "allowed"
		if n := r.Status(); n != 0 {
			status = strconv.Itoa(n)
		}
		if row[1] != status {
			t.Errorf("%s: the page says %s, the code %s", r, row[1], status)
		}
		if row[3] == "" {
			t.Errorf("%s has no meaning", r)
		}
	}
	want = policy.Reasons()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reasons of the page (-code +page):\n%s", diff)
	}
}

// TestLandingsOfThePage sends the requests of the page's example to its rules.
func TestLandingsOfThePage(t *testing.T) {
	var rules string
	for _, b := range blocksOf(t, concepts) {
		if b.info == "yaml" && strings.HasPrefix(b.text, "rules:") {
			rules = b.text
			break
		}
	}
	snapshot := compileText(t, policyWith(rules))
	for _, row := range rowsUnder(t, concepts, "request") {
		method, path, _ := strings.Cut(code(row[0]), " ")
		t.Run(code(row[0]), func(t *testing.T) {
			request, err := controller.ParseRequest(method + " https://example.com" + path + ` {"roles":["admin","auditor"]}`)
			if err != nil {
				t.Fatal(err)
			}
			d, err := request.Ask(snapshot)
			if err != nil {
				t.Fatal(err)
			}
			got := d.Rule
			if d.Reason == policy.ReasonNoRule && !d.Allow {
				got = "none: refused"
			}
			if got != row[1] {
				t.Errorf("lands on %q (%s), the page says %q", got, d.Reason, row[1])
			}
		})
	}
}
