package main

import (
	"net/http"
	"path"
)

// watches is a transport to the API server that tells of each watch which got no answer.
type watches struct {
	next http.RoundTripper
	// unanswered is told of the resource, such as "authpolicies".
	unanswered func(resource string)
}

// RoundTrip implements http.RoundTripper.
func (w *watches) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(req)
	if err != nil && req.Context().Err() == nil && req.URL.Query().Has("watch") {
		w.unanswered(path.Base(req.URL.Path))
	}
	return resp, err
}
