package idp

import (
	"context"
	"errors"
	"net/http"
	"net/url"
)

// Where an API server serves what its ServiceAccount tokens are verified with (OpenID Connect Discovery §4; the key set is
// there whatever jwks_uri says, which is often an address for others).
const (
	apiServerMetadata = ".well-known/openid-configuration"
	apiServerKeys     = "openid/v1/jwks"
)

// APIServer is how to reach the API server of the cluster. It is an http.RoundTripper that sends to no other host, so that
// credentials go nowhere else.
type APIServer struct {
	// URL of the API server, as the client of the cluster knows it. It may have a path.
	URL *url.URL
	// Transport trusts the API server's authorities, and has credentials for it.
	Transport http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (a *APIServer) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != a.URL.Scheme || req.URL.Host != a.URL.Host || req.Host != "" && req.Host != a.URL.Host {
		return nil, failure(AddressRefused)
	}
	return a.Transport.RoundTrip(req)
}

// fetchFromCluster returns the bytes of the key set of the cluster's ServiceAccounts, whose issuer must be that of the
// remote. Unless ctx was cancelled, its error is a *FetchError.
func (f *fetcher) fetchFromCluster(ctx context.Context) ([]byte, error) {
	if f.cluster == nil {
		return nil, &FetchError{Reason: InvalidURL, Document: keySetDocument}
	}
	metadata, err := f.cluster.get(ctx, apiServerMetadata, acceptDiscovery, maxDiscovery)
	if err == nil {
		err = checkIssuer(metadata, f.remote.Issuer)
	}
	if err != nil {
		return nil, refine(ctx, err, discoveryDocument)
	}
	body, err := f.cluster.get(ctx, apiServerKeys, acceptKeySet, maxKeySet)
	if err != nil {
		return nil, refine(ctx, err, keySetDocument)
	}
	return body, nil
}

// get fetches what is at path of the API server, which redirects nobody.
func (a *APIServer) get(ctx context.Context, path, accept string, limit int64) ([]byte, error) {
	next, body, err := getOnce(ctx, forbidding{a}, a.URL.JoinPath(path), accept, limit)
	if err == nil && next != nil {
		return nil, failure(RedirectRefused)
	}
	return body, err
}

// forbidding tells a right that is missing from other answers that are none.
type forbidding struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (f forbidding) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := f.RoundTripper.RoundTrip(req)
	if err == nil && (resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden) {
		return nil, errors.Join(failure(Forbidden), resp.Body.Close())
	}
	return resp, err
}

// checkIssuer checks that a discovery document names issuer.
func checkIssuer(document []byte, issuer string) error {
	members, ok := uniqueMembers(document)
	if !ok {
		return failure(InvalidDocument)
	}
	named, ok := text(members["issuer"])
	switch {
	case !ok:
		return failure(InvalidDocument)
	case named != issuer:
		return failure(IssuerMismatch)
	}
	return nil
}
