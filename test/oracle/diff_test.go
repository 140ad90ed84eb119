package oracle

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// each is the number of requests to every set of policies.
const each = 40

// pairs is how many pairs of objects and a request are compared: a few seconds of a CPU, and always the same ones.
func pairs(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SALLYPORT_PROVE")
	if text == "" {
		return 25_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		t.Fatalf("SALLYPORT_PROVE is %q, and must be a number", text)
	}
	return n
}

// TestDifferential draws objects and requests, and compares verdict, reason, policy and rule of both evaluators.
func TestDifferential(t *testing.T) {
	n := pairs(t)
	began := time.Now()
	seen := map[string]int{}
	compared, several, levels, differences := 0, 0, 0, 0
	for seed := uint64(1); compared < n; seed++ {
		d := newDrawer(seed)
		w, draw := d.any()
		e := compile(w)
		for range each {
			q := draw()
			compared++
			enforced, dryRun := w.ask(q)
			if err := compare(e.ask(q), enforced, dryRun); err != nil {
				differences++
				small := shrink(w, func(w *world) bool {
					enforced, dryRun := w.ask(q)
					return compare(compile(w).ask(q), enforced, dryRun) != nil
				})
				t.Errorf("seed %d: %v\n%s", seed, err, describe(t, small, q))
				if differences == 5 {
					t.FailNow()
				}
			}
			reason, _, _ := strings.Cut(enforced.says[0], " ")
			seen[reason]++
			several += min(1, max(0, enforced.rules-1))
			levels += min(1, max(0, enforced.levels-1))
		}
	}
	t.Logf("%d pairs, %d differences, %.0f s: %v, %d with several rules that must hold, %d with several levels",
		compared, differences, time.Since(began).Seconds(), seen, several, levels)
	if several*200 < compared || levels*50 < compared {
		t.Errorf("several rules had to hold %d times in %d, and several levels %d times", several, compared, levels)
	}
	// A comparison in which something never happens would not compare it.
	for _, reason := range []string{
		"Public", "Anonymous", "Allowed", "Preflight", "DryRun", "AmbiguousRequest", "NoPolicy", "NoRule", "Denied",
		"NotCompiled", "SourceNotAllowed", "MissingToken", "UntrustedIssuer", "InvalidSignature", "InvalidAudience",
		"TokenExpired", "ClaimValidationFailed", "InsufficientScope", "InsufficientClaims", "ExpressionFailed",
	} {
		if seen[reason] == 0 && n >= 25_000 {
			t.Errorf("%s did not come up in %d", reason, compared)
		}
	}
}
