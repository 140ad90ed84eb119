package kube_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// mistake is a spec that the schema refuses.
type mistake struct {
	name    string
	spec    string // YAML
	field   string // that the API server names
	message string // part of what it says about it
}

// refuse lets the API server judge each mistake, and looks for its message, which is all that the author sees.
func refuse(t *testing.T, kind string, mistakes []mistake) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			err := c.client.Create(t.Context(), objectOf(t, kind, ns, "mistake", m.spec), client.DryRunAll)
			if !apierrors.IsInvalid(err) {
				t.Fatalf("got %v, want that it is invalid", err)
			}
			causes := causesOf(err)
			for _, cause := range causes {
				if cause.Field == m.field && strings.Contains(cause.Message, m.message) {
					return
				}
			}
			t.Errorf("no %s: …%s…, but\n%s", m.field, m.message, tell(causes))
		})
	}
}

func causesOf(err error) []metav1.StatusCause {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return nil
	}
	return status.Status().Details.Causes
}

func tell(causes []metav1.StatusCause) string {
	var b strings.Builder
	for _, cause := range causes {
		fmt.Fprintf(&b, "%s: %s\n", cause.Field, cause.Message)
	}
	return b.String()
}
