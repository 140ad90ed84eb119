package controller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestWatchesWithoutAnAnswerAreCounted(t *testing.T) {
	refused := errors.New("connection refused")
	ended, end := context.WithCancel(t.Context())
	end()
	for _, tt := range []struct {
		name, path string
		ctx        context.Context
		err        error
		want       []string
	}{
		{name: "an answer", path: "/apis/sallyport.dev/v1alpha1/authpolicies", ctx: t.Context()},
		{name: "none", path: "/apis/sallyport.dev/v1alpha1/authpolicies", ctx: t.Context(), err: refused, want: []string{"AuthPolicy"}},
		{name: "of a namespace", path: "/api/v1/namespaces", ctx: t.Context(), err: refused, want: []string{"Namespace"}},
		{name: "of what providers name", path: "/api/v1/namespaces/shop/secrets", ctx: t.Context(), err: refused, want: []string{"Reference"}},
		{name: "asked for no more", path: "/api/v1/services", ctx: ended, err: refused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			transport := &watchTransport{
				next:   roundTrip(func(*http.Request) (*http.Response, error) { return nil, tt.err }),
				failed: func(kind string) { got = append(got, kind) }, kinds: clusterKinds(),
			}
			req, err := http.NewRequestWithContext(tt.ctx, http.MethodGet, "https://127.0.0.1:1"+tt.path+"?watch=true", nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := transport.RoundTrip(req); !errors.Is(err, tt.err) { //nolint:bodyclose // there is no response
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
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
