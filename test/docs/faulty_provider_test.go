package docs_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// faults are those of the table, by the words of its first column.
var faults = map[string]string{
	"refuses connections":                     "refused",
	"takes connections, and says nothing":     "hanging",
	"answers a byte at a time":                "drip",
	"answers 500":                             "500",
	"answers HTML":                            "HTML",
	"answers 10 MiB":                          "large",
	"has a certificate that has expired":      "expired",
	"has an empty key set, and empty answers": "empty",
	"has replaced its key":                    "rotated",
	"is back, with one more key":              "back",
}

// faultyProvider is an identity provider, and a service of rights, on one loopback port over TLS.
type faultyProvider struct {
	address       string
	bundle        []byte // PEM of the certificates, which are their own authorities
	good, expired tls.Certificate
	keys          map[string]*ecdsa.PrivateKey

	mu     sync.Mutex
	server *http.Server // nil while nobody listens
}

func newFaultyProvider(t *testing.T, keys map[string]*ecdsa.PrivateKey) *faultyProvider {
	t.Helper()
	p := &faultyProvider{address: "127.0.0.1:" + freePort(t), keys: keys}
	p.good, p.expired = p.certify(t, time.Now().Add(time.Hour)), p.certify(t, time.Now().Add(-time.Hour))
	t.Cleanup(p.close)
	p.set(t, "")
	return p
}

// certify makes a certificate that is its own authority, good for a day until an hour.
func (p *faultyProvider) certify(t *testing.T, until time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: until.Add(-24 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	p.bundle = append(p.bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// set has the provider do this from now on, on new connections.
func (p *faultyProvider) set(t *testing.T, fault string) {
	t.Helper()
	p.close()
	if fault == "refused" {
		return
	}
	certificate := p.good
	if fault == "expired" {
		certificate = p.expired
	}
	lis, err := net.Listen("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: p.handler(fault), ErrorLog: log.New(io.Discard, "", 0)} // handshakes fail on purpose
	p.mu.Lock()
	p.server = server
	p.mu.Unlock()
	go func() {
		_ = server.Serve(tls.NewListener(lis, &tls.Config{Certificates: []tls.Certificate{certificate}})) // until it is closed
	}()
}

func (p *faultyProvider) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server != nil {
		_ = p.server.Close() // of connections that are gone
		p.server = nil
	}
}

func (p *faultyProvider) handler(fault string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch fault {
		case "hanging":
			<-r.Context().Done()
		case "drip":
			drip(w, r)
		case "500":
			w.WriteHeader(http.StatusInternalServerError)
		case "HTML":
			_, _ = io.WriteString(w, "<html><body>Sign in</body></html>") // the error is that of a client that is gone
		case "large":
			_, _ = w.Write(bytes.Repeat([]byte(" "), 10<<20))
		case "empty":
			if r.URL.Path == "/keys" {
				_, _ = io.WriteString(w, `{"keys":[]}`)
			}
		default:
			p.answer(w, r, fault)
		}
	}
}

// answer is that of a sound provider.
func (p *faultyProvider) answer(w http.ResponseWriter, r *http.Request, fault string) {
	switch {
	case r.URL.Path == "/introspect":
		_, _ = fmt.Fprintf(w, `{"active":true,"sub":"alice","aud":"orders-api","exp":%d}`, time.Now().Add(time.Hour).Unix())
	case strings.HasPrefix(r.URL.Path, "/rights/"):
		_, _ = io.WriteString(w, `{"ok":true}`)
	case fault == "rotated":
		_, _ = fmt.Fprintf(w, `{"keys":[%s]}`, p.jwk("new"))
	case fault == "back":
		_, _ = fmt.Fprintf(w, `{"keys":[%s,%s]}`, p.jwk("old"), p.jwk("new"))
	default:
		_, _ = fmt.Fprintf(w, `{"keys":[%s]}`, p.jwk("old"))
	}
}

func (p *faultyProvider) jwk(kid string) string {
	point, err := p.keys[kid].PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":%q,"x":%q,"y":%q}`, kid, b64(point[1:33]), b64(point[33:]))
}

// drip answers a byte at a time until the client goes away.
func drip(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			_, _ = io.WriteString(w, " ")
			_ = http.NewResponseController(w).Flush()
		}
	}
}
