package main

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestWatchesWithoutAnAnswerAreTold(t *testing.T) {
	refused := errors.New("connection refused")
	ended, end := context.WithCancel(t.Context())
	end()
	for _, tt := range []struct {
		name, url string
		ctx       context.Context
		err       error
		want      []string
	}{
		{name: "an answer", url: "/apis/sallyport.dev/v1alpha1/authpolicies?watch=true", ctx: t.Context()},
		{name: "none", url: "/apis/sallyport.dev/v1alpha1/authpolicies?watch=true", ctx: t.Context(), err: refused, want: []string{"authpolicies"}},
		{name: "in a namespace", url: "/api/v1/namespaces/shop/secrets?watch=true", ctx: t.Context(), err: refused, want: []string{"secrets"}},
		{name: "no watch", url: "/api/v1/namespaces/shop/secrets/hmac", ctx: t.Context(), err: refused},
		{name: "asked for no more", url: "/api/v1/services?watch=true", ctx: ended, err: refused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			w := &watches{
				next:       roundTrip(func(*http.Request) (*http.Response, error) { return nil, tt.err }),
				unanswered: func(resource string) { got = append(got, resource) },
			}
			req, err := http.NewRequestWithContext(tt.ctx, http.MethodGet, "https://127.0.0.1:1"+tt.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.RoundTrip(req); !errors.Is(err, tt.err) { //nolint:bodyclose // there is no response
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestRefusedConnectionsAreCounted runs the part that follows a cluster which nobody runs.
func TestRefusedConnectionsAreCounted(t *testing.T) {
	s := clusterService(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.cluster.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		families, err := s.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "sallyport_watch_failures_total" && f.GetMetric()[0].GetCounter().GetValue() > 0 {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("watches that are refused are not counted")
		}
	}
}
