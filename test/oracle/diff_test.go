package oracle

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// each is the number of requests to every set of policies.
const each = 40

// pairs is how many pairs of policies and a request are compared: a few seconds of a CPU, and always the same ones.
func pairs(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SALLYPORT_ORACLE_PAIRS")
	if text == "" {
		return 25_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		t.Fatalf("SALLYPORT_ORACLE_PAIRS is %q, and must be a number", text)
	}
	return n
}

// TestAgainstOracle draws policies and requests, and compares verdict, reason, policy and rule of both evaluators.
func TestAgainstOracle(t *testing.T) {
	n := pairs(t)
	seen := map[string]int{}
	compared, several := 0, 0
	for seed := uint64(1); compared < n; seed++ {
		d := newDrawer(seed)
		w := d.world()
		e := compile(w)
		for range each {
			q := d.question()
			enforced, dryRun := w.ask(q)
			if err := compare(e.ask(q), enforced, dryRun); err != nil {
				t.Fatalf("seed %d: %v\n%s", seed, err, describe(t, w, q))
			}
			compared++
			reason, _, _ := strings.Cut(enforced.says[0], " ")
			seen[reason]++
			if enforced.rules > 1 {
				several++
			}
		}
	}
	t.Logf("%d pairs: %v, %d with several rules that must hold", compared, seen, several)
	if several*50 < compared {
		t.Errorf("several rules had to hold %d times in %d", several, compared)
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
