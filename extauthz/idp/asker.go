package idp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"
)

const (
	// dialTimeout bounds a connection that is made while somebody asks. It may be longer than a question: one that took too
	// long for the first serves those that follow.
	dialTimeout = 3 * time.Second
	// idleFor is how long a connection waits for the next question.
	idleFor = 60 * time.Second
	// maxAnswer bounds an answer, in bytes, decoded: some times what fits into a token.
	maxAnswer = 64 << 10
)

// asker asks one server while requests wait. Its connections stay open from question to question: each of them was made to
// an address that may be dialled. It follows no redirect, and knows no proxy and no cookie. Safe for concurrent use.
type asker struct {
	transport *http.Transport // nil: the CA bundle holds no certificate
	limit     int64           // of an answer
	gone      bool            // 404 and 410 are errGone
}

// newAsker returns an asker that trusts roots, a PEM bundle, or where that is nil the system's authorities. certificates
// are shown to a server that asks for one. It dials while ctx lasts.
func newAsker(ctx context.Context, roots []byte, certificates []tls.Certificate, connections int, allowLoopback bool) *asker {
	a := &asker{limit: maxAnswer}
	config := &tls.Config{Certificates: certificates, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if roots != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(roots) {
			return a
		}
	}
	dialer := newDialer(allowLoopback)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	// The dial runs in the asker's ctx: it may outlive the question, but not the asker.
	bounded := func(dial func(context.Context) (net.Conn, error)) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		return dial(ctx)
	}
	a.transport = &http.Transport{
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return bounded(func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, network, address) })
		},
		DialTLSContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return bounded(func(ctx context.Context) (net.Conn, error) { return dialTLS(ctx, dialer, config, network, address) })
		},
		Protocols:              protocols,
		DisableCompression:     true, // readBody decodes, to bound the bytes on both sides of it
		MaxResponseHeaderBytes: maxHeader,
		MaxConnsPerHost:        connections,
		MaxIdleConnsPerHost:    connections,
		IdleConnTimeout:        idleFor,
	}
	return a
}

// ask sends req and returns the body of a 200. Its error is for refine.
func (a *asker) ask(req *http.Request) ([]byte, error) {
	if a.transport == nil {
		return nil, failure(InvalidCABundle)
	}
	for name, value := range map[string]string{"Accept": acceptDiscovery, "Accept-Encoding": "gzip", "User-Agent": userAgent} {
		req.Header.Set(name, value)
	}
	resp, err := a.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // nothing was written that could be lost
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return nil, failure(RedirectRefused)
	case a.gone && (resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone):
		return nil, errGone
	case resp.StatusCode != http.StatusOK:
		return nil, failure(BadStatus)
	}
	body, err := readBody(resp, a.limit)
	if err == nil {
		err = req.Context().Err() // a body that the deadline cut off can end like a whole one
	}
	return body, err
}

// close ends the connections that are idle.
func (a *asker) close() {
	if a.transport != nil {
		a.transport.CloseIdleConnections()
	}
}
