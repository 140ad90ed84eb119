package oracle

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/api/v1alpha1"
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
	seen, open := map[string]int{}, map[string]int{}
	compared, several, levels, differences := 0, 0, 0, 0
	for seed := uint64(1); compared < n; seed++ {
		d := newDrawer(seed)
		w, draw := d.any()
		e := compile(w)
		for range each {
			q := draw()
			compared++
			enforced, dryRun := w.ask(q)
			err := compare(e.ask(q), enforced, dryRun)
			if why := unsettled(w, q); err != nil && why != "" {
				open[why]++
				continue
			}
			if err != nil {
				differences++
				small := shrink(w, func(w *world) bool {
					enforced, dryRun := w.ask(q)
					return unsettled(w, q) == "" && compare(compile(w).ask(q), enforced, dryRun) != nil
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
	t.Logf("%d pairs, %d differences, %.0f s: %v, %d with several rules that must hold, %d with several levels; differences that are not settled: %v",
		compared, differences, time.Since(began).Seconds(), seen, several, levels, open)
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

// unsettled names what both evaluators read in different ways, and what is not decided or mended yet; empty for all else.
// It excuses a difference, and is counted. Whatever is settled goes from here.
func unsettled(w *world, q *question) string {
	if len(w.gateways) == 0 {
		return ""
	}
	grpc := q.method == "POST" && q.headers["content-type"] == "application/grpc"
	routed := q.scope == "" || strings.HasPrefix(q.scope, "gateway/")
	switch {
	case q.scope == "" && w.grants && slices.ContainsFunc(w.policies, w.triesSomething):
		return "whether an owner's grant counts where policies of the host are tried out only"
	case routed && len(q.names()) > 1:
		return "a host with a final dot at a Gateway"
	case routed && len(w.grpcRoutes) > 0 && (len(w.httpRoutes) > 0 || !grpc):
		return "HTTPRoutes beside GRPCRoutes, and calls that are not gRPC beside these"
	}
	return ""
}

// triesSomething tells whether the policy, or a rule of it, is tried out.
func (w *world) triesSomething(p *v1alpha1.AuthPolicy) bool {
	return w.tried(p) || slices.ContainsFunc(p.Spec.Rules, func(r v1alpha1.Rule) bool { return value(r.Mode, "") == v1alpha1.ModeDryRun })
}
