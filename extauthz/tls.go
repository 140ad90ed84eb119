package extauthz

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// TLSFiles are the files of the gRPC port, in PEM.
type TLSFiles struct {
	// Cert is the server's chain, Key its private key.
	Cert, Key string
	// ClientCA are the authorities, one of which must have issued the client's certificate; empty to ask for none.
	ClientCA string
}

// TLS serves the certificate of files, and follows them when they change. Of a set of files that do not fit, nothing is
// taken: the last good one stays. It is safe for concurrent use.
type TLS struct {
	files   TLSFiles
	log     logr.Logger
	current atomic.Pointer[tls.Config]

	mu   sync.Mutex
	seen [][]byte // contents of the files behind current
}

// NewTLS reads the files for the first time; what is wrong with them is an error here.
func NewTLS(files TLSFiles, log logr.Logger) (*TLS, error) {
	if files.Cert == "" || files.Key == "" {
		return nil, errors.New("TLS needs both a certificate and a key")
	}
	t := &TLS{files: files, log: log}
	if _, err := t.Reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// Config for Config.TLS. Each handshake takes the files as they are known at that moment. TLS 1.2 or later, HTTP/2 only.
func (t *TLS) Config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"h2"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return t.current.Load(), nil },
	}
}

// HTTPConfig is Config for a port that speaks HTTP/1.1 as well.
func (t *TLS) HTTPConfig() *tls.Config {
	protocols := []string{"h2", "http/1.1"}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: protocols,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := t.current.Load().Clone()
			c.NextProtos = protocols
			return c, nil
		},
	}
}

// Run reads the files anew at every interval, until ctx is done. Polling, because a Secret that is mounted changes by a
// link two folders above.
func (t *TLS) Run(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch changed, err := t.Reload(); {
		case err != nil:
			t.log.Error(err, "TLS files cannot be used; the last good ones stay in force")
		case changed:
			t.log.Info("TLS files have changed; new connections use them")
		}
	}
}

// Reload reads the files and tells whether they have changed. After an error what was known before stays in force.
func (t *TLS) Reload() (changed bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var contents [][]byte
	for _, name := range []string{t.files.Cert, t.files.Key, t.files.ClientCA} {
		var b []byte
		if name != "" {
			if b, err = os.ReadFile(name); err != nil {
				return false, fmt.Errorf("reading TLS files: %w", err)
			}
		}
		contents = append(contents, b)
	}
	if equalContents(contents, t.seen) {
		return false, nil
	}
	c, err := t.parse(contents[0], contents[1], contents[2])
	if err != nil {
		return false, err
	}
	t.current.Store(c)
	t.seen = contents
	return true, nil
}

func equalContents(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func (t *TLS) parse(cert, key, clientCA []byte) (*tls.Config, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %q with key %q: %w", t.files.Cert, t.files.Key, err)
	}
	c := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2"},
		Certificates: []tls.Certificate{pair},
	}
	if t.files.ClientCA == "" {
		return c, nil
	}
	if c.ClientCAs, err = parsePool(clientCA); err != nil {
		return nil, fmt.Errorf("client CA %q: %w", t.files.ClientCA, err)
	}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	return c, nil
}

// parsePool reads a bundle of which every certificate counts: half a bundle would lock clients out in silence.
func parsePool(bundle []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	n := 0
	for {
		var block *pem.Block
		if block, bundle = pem.Decode(bundle); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("holds a block of type %q beside certificates", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", n, err)
		}
		pool.AddCert(cert)
		n++
	}
	if n == 0 {
		return nil, errors.New("holds no certificate")
	}
	return pool, nil
}
