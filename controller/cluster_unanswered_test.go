package controller

import (
	"errors"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestUnansweredWatchesAreCountedByKind(t *testing.T) {
	c, _ := unconnected(t)
	for resource, kind := range map[string]string{"authpolicies": "AuthPolicy", "namespaces": "Namespace", "secrets": "Reference"} {
		c.Unanswered(resource)
		if got := testutil.ToFloat64(c.metrics.watchFailures.WithLabelValues(kind)); got != 1 {
			t.Errorf("%s: %v of %s", resource, got, kind)
		}
	}
}

// TestEachFailureIsCountedOnce: by the transport, or, where there was an answer, by what judges that.
func TestEachFailureIsCountedOnce(t *testing.T) {
	if answeredBadly(fmt.Errorf("listing: %w", errors.New("connection refused"))) {
		t.Error("what got no answer counts twice")
	}
	if !answeredBadly(fmt.Errorf("listing: %w", apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "", nil))) {
		t.Error("a refusal does not count")
	}
}
