package controller

import (
	"errors"
	"net/http"
	"path"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// watchTransport counts the requests of the informers that got no answer. Of a connection that is refused an informer
// tells nobody: it tries again.
type watchTransport struct {
	next http.RoundTripper
	// failed is told of the kind that could not be asked for.
	failed func(kind string)
	kinds  []clusterKind
}

// RoundTrip implements http.RoundTripper.
func (t *watchTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil && req.Context().Err() == nil {
		t.failed(kindOfPlural(t.kinds, path.Base(req.URL.Path)))
	}
	return resp, err
}

// answeredBadly tells whether an error is an answer of the API server: the transport has counted all others.
func answeredBadly(err error) bool {
	return errors.As(err, new(apierrors.APIStatus))
}

// kindOfPlural is the kind that stands in the path of a request; Reference for Secrets and ConfigMaps.
func kindOfPlural(kinds []clusterKind, plural string) string {
	for _, k := range kinds {
		if k.plural == plural {
			return k.Kind
		}
	}
	return kindReference
}
