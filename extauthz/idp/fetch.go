package idp

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/sallyport/sallyport/extauthz/token"
)

const (
	maxDiscovery    = 64 << 10 // bytes, decoded
	maxKeySet       = 1 << 20  // bytes, decoded; the bound of token.ParseJWKS
	maxHeader       = 32 << 10 // bytes of response header
	maxRedirects    = 3
	maxURL          = 2048 // bytes of a jwks_uri or Location; what browsers and proxies agree on
	userAgent       = "sallyport"
	acceptDiscovery = "application/json"
	acceptKeySet    = "application/jwk-set+json, application/json" // RFC 7517 §8.5
)

// failure is a Reason as an error, on its way to becoming a FetchError.
type failure Reason

// Error implements error.
func (f failure) Error() string { return meanings[Reason(f)] }

// errNotFound is the BadStatus after which discovery looks elsewhere.
var errNotFound = fmt.Errorf("status 404: %w", failure(BadStatus))

// fetcher fetches the key set of one remote. Its methods may be called by one goroutine at a time.
type fetcher struct {
	remote  *token.Remote
	tls     *tls.Config // nil: the CA bundle holds no certificate
	dialer  *net.Dialer
	cluster *APIServer // nil: there is none
}

// newFetcher returns the fetcher of remote.
func newFetcher(remote *token.Remote, allowLoopback bool) *fetcher {
	f := &fetcher{remote: remote, dialer: newDialer(allowLoopback)}
	var roots *x509.CertPool
	if remote.RootCAs != nil {
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(remote.RootCAs) {
			return f
		}
	}
	f.tls = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	return f
}

// fetch returns the bytes of the key set. Unless ctx was cancelled, its error is a *FetchError.
func (f *fetcher) fetch(ctx context.Context) ([]byte, error) {
	if f.remote.Kubernetes {
		return f.fetchFromCluster(ctx)
	}
	if f.tls == nil {
		return nil, &FetchError{Reason: InvalidCABundle, Document: keySetDocument}
	}
	// One transport an attempt: discovery and key set share a connection, and none outlives the attempt.
	transport := f.transport(ctx)
	defer transport.CloseIdleConnections()
	location, err := f.keySetURL(ctx, transport)
	if err != nil {
		return nil, refine(ctx, err, discoveryDocument)
	}
	body, err := get(ctx, transport, location, acceptKeySet, maxKeySet)
	if err != nil {
		return nil, refine(ctx, err, keySetDocument)
	}
	return body, nil
}

// keySetURL returns where the key set is: as configured, or as discovery says.
func (f *fetcher) keySetURL(ctx context.Context, transport http.RoundTripper) (*url.URL, error) {
	if f.remote.Discovery {
		return discover(ctx, transport, f.remote, memberKeys)
	}
	u, ok := parseURL(f.remote.URL, f.remote.AllowHTTP)
	if !ok {
		return nil, failure(InvalidURL)
	}
	return u, nil
}

// transport returns an HTTP/1.1 transport. It knows no proxy: one from the environment would resolve names and dial
// in our place, and so defeat the address filter. It dials in the attempt's ctx, not in that of a request: net/http
// lets a dial run on after its request was given up, for later use.
func (f *fetcher) transport(ctx context.Context) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return f.dialer.DialContext(ctx, network, address)
		},
		DialTLSContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return dialTLS(ctx, f.dialer, f.tls, network, address)
		},
		Protocols:              protocols,
		DisableCompression:     true, // readBody decodes, to bound the bytes on both sides of it
		MaxResponseHeaderBytes: maxHeader,
	}
}

// parseURL returns s as a URL that may be fetched: absolute, https (or http where allowHTTP is set), a host, no user
// information, no fragment, at most maxURL bytes.
func parseURL(s string, allowHTTP bool) (*url.URL, bool) {
	if len(s) > maxURL {
		return nil, false
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return nil, false
	}
	return u, u.Scheme == "https" || allowHTTP && u.Scheme == "http"
}

// get fetches u and returns its body of at most limit bytes. It follows redirects itself: a transport has no cookies,
// no Referer and no opinion on redirects, all of which an http.Client brings along.
func get(ctx context.Context, transport http.RoundTripper, u *url.URL, accept string, limit int64) ([]byte, error) {
	for range maxRedirects + 1 {
		next, body, err := getOnce(ctx, transport, u, accept, limit)
		if err != nil {
			return nil, err
		}
		if next == nil {
			return body, nil
		}
		u = next
	}
	return nil, failure(RedirectRefused)
}

// getOnce returns the body of a 200, or where a redirect leads.
func getOnce(ctx context.Context, transport http.RoundTripper, u *url.URL, accept string, limit int64) (next *url.URL, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, nil, failure(InvalidURL)
	}
	req.Header = http.Header{"Accept": {accept}, "Accept-Encoding": {"gzip"}, "User-Agent": {userAgent}}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }() // nothing was written that could be lost
	switch resp.StatusCode {
	case http.StatusOK:
		if body, err = readBody(resp, limit); err == nil {
			// A body that the deadline cut off can end like a whole one: a server that sees us go ends it in good form.
			err = ctx.Err()
		}
		return nil, body, err
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		next, err = redirect(resp.Header.Get("Location"), u)
		return next, nil, err
	case http.StatusNotFound:
		return nil, nil, errNotFound
	default:
		return nil, nil, failure(BadStatus)
	}
}

// redirect returns where location leads from from, which must be the same scheme, host and port.
func redirect(location string, from *url.URL) (*url.URL, error) {
	if location == "" || len(location) > maxURL {
		return nil, failure(RedirectRefused)
	}
	next, err := from.Parse(location)
	if err != nil || next.User != nil || next.Scheme != from.Scheme || origin(next) != origin(from) {
		return nil, failure(RedirectRefused)
	}
	next.Fragment, next.RawFragment = "", ""
	return next, nil
}

// origin returns host and port of u in one spelling.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// readBody returns the body, decoded. Both the bytes read and the bytes that they decode to are at most limit, so
// that neither a bomb nor a stream of empty gzip members costs more.
func readBody(resp *http.Response, limit int64) ([]byte, error) {
	if resp.ContentLength > limit {
		return nil, failure(TooLarge)
	}
	wire := &io.LimitedReader{R: resp.Body, N: limit + 1}
	decoded := io.Reader(wire)
	switch strings.ToLower(resp.Header.Get("Content-Encoding")) {
	case "", "identity":
	case "gzip", "x-gzip":
		unzip, err := gzip.NewReader(wire)
		if err != nil {
			return nil, bodyError(err, wire)
		}
		decoded = unzip
	default:
		return nil, failure(InvalidDocument)
	}
	body, err := io.ReadAll(io.LimitReader(decoded, limit+1))
	if int64(len(body)) > limit || wire.N <= 0 {
		return nil, failure(TooLarge)
	}
	if err != nil {
		return nil, bodyError(err, wire)
	}
	return body, nil
}

// bodyError tells a body that is not gzip from one that did not arrive.
func bodyError(err error, wire *io.LimitedReader) error {
	var corrupt flate.CorruptInputError
	switch {
	case wire.N <= 0:
		return failure(TooLarge)
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.As(err, &corrupt):
		return failure(InvalidDocument)
	default:
		return err
	}
}

// refine turns err, of whatever kind, into a FetchError, dropping its text: net/http puts addresses and parts of
// answers into it. After a cancellation it returns the context's error.
func refine(ctx context.Context, err error, document string) error {
	reason := ConnectionFailed
	var known failure
	var timeout net.Error
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Canceled
	case ctx.Err() != nil:
		reason = Timeout
	case errors.As(err, &known):
		reason = Reason(known)
	case errors.Is(err, ErrAddressRefused):
		reason = AddressRefused
	case errors.As(err, &timeout) && timeout.Timeout():
		reason = Timeout
	}
	return &FetchError{Reason: reason, Document: document}
}
