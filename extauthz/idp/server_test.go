package idp

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

// secret stands in everything that the servers of these tests answer. It must never be told again.
const secret = "zanzibar"

// certify returns a self-signed certificate for 127.0.0.1 and name that is valid until notAfter, and its PEM.
func certify(t testing.TB, name string, notAfter time.Time) (tls.Certificate, []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: secret},
		NotBefore: notAfter.Add(-48 * time.Hour), NotAfter: notAfter,
		DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
	}
	if name == "localhost" {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, bundle
}

// serve starts an HTTPS server with certificate that is closed with the test.
func serve(t testing.TB, handler http.Handler, config *tls.Config) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Secret", secret)
		handler.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes are what is tested
	server.TLS = config
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// identityProvider starts a sound HTTPS server on localhost, and returns a provider whose keys are at its /keys.
func identityProvider(t testing.TB, handler http.Handler) (*httptest.Server, *token.Provider) {
	t.Helper()
	certificate, bundle := certify(t, "localhost", time.Now().Add(time.Hour))
	server := serve(t, handler, &tls.Config{Certificates: []tls.Certificate{certificate}})
	return server, &token.Provider{Name: "p", Issuer: server.URL, Remote: &token.Remote{
		URL: server.URL + "/keys", Issuer: server.URL, RootCAs: bundle,
		Interval: time.Hour, MinInterval: time.Minute, StaleFor: time.Hour,
	}}
}

// write returns a handler that answers body with status.
func write(status int, contentType string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}
}

// encoded returns a handler that answers body as it is and calls it encoded.
func encoded(encoding string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", encoding)
		_, _ = w.Write(body)
	}
}

// compressed returns body in gzip.
func compressed(t testing.TB, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// gzipBeyondTheBound returns body in gzip and empty members behind it, one of which ends with the last byte that is
// read of a key set, where a reader could take the end of what it may read for the end of the answer.
func gzipBeyondTheBound(t testing.TB, body []byte) []byte {
	t.Helper()
	data, empty := compressed(t, body), compressed(t, nil)
	room := maxKeySet + 1 - len(data)
	n := room/len(empty) - 2
	data = append(data, bytes.Repeat(empty, n)...)
	var last bytes.Buffer
	w := gzip.NewWriter(&last)
	w.Extra = make([]byte, maxKeySet+1-len(data)-len(empty)-2) // 2: its length
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	data = append(data, last.Bytes()...)
	if len(data) != maxKeySet+1 {
		t.Fatalf("%d bytes, want %d", len(data), maxKeySet+1)
	}
	return append(data, empty...)
}

// hang answers nothing until the client goes away.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// drip answers a byte every few milliseconds until the client goes away.
func drip(w http.ResponseWriter, r *http.Request) {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-ticker.C:
			_, _ = w.Write([]byte(" "))
			_ = http.NewResponseController(w).Flush()
		}
	}
}

// pour answers size bytes without saying so beforehand.
func pour(size int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for chunk := bytes.Repeat([]byte(secret), 1<<10); size > 0; size -= len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
}

// breakOff promises more than it answers, and closes the connection.
func breakOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = w.Write([]byte(secret))
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// redirectTo answers with a Location.
func redirectTo(status int, location string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", location)
		w.WriteHeader(status)
	}
}

// discovery is a discovery document.
func discovery(issuer, jwksURI string) []byte {
	return fmt.Appendf(nil, `{"issuer":%q,"jwks_uri":%q,"note":%q}`, issuer, jwksURI, secret)
}

// blackHole is a TCP listener on loopback whose connections nobody reads; it returns its address.
func blackHole(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

// unused is a loopback address on which nobody listens.
func unused(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
