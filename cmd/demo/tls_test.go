package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// authority signs certificates for one test.
type authority struct {
	t      *testing.T
	folder string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	pool   *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, folder: t.TempDir(), pool: x509.NewCertPool()}
	a.cert, a.key = a.sign("ca", &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	a.pool.AddCert(a.cert)
	return a
}

// sign writes NAME.crt and NAME.key; the first certificate is its own issuer.
func (a *authority) sign(name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		name + ".crt": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(filepath.Join(a.folder, file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// files are those of a certificate, together with the authority's.
func (a *authority) files(name string) *TLSFiles {
	return &TLSFiles{
		CertFile: filepath.Join(a.folder, name+".crt"), KeyFile: filepath.Join(a.folder, name+".key"),
		CAFile: filepath.Join(a.folder, "ca.crt"),
	}
}

func (a *authority) pair(name string) tls.Certificate {
	a.t.Helper()
	pair, err := tls.LoadX509KeyPair(a.files(name).CertFile, a.files(name).KeyFile)
	if err != nil {
		a.t.Fatal(err)
	}
	return pair
}

func TestEnvoySpeaksMutualTLSOnBothSides(t *testing.T) {
	envoyBin(t)
	a := newAuthority(t)
	loopback := []net.IP{net.IPv4(127, 0, 0, 1)}
	a.sign("envoy", &x509.Certificate{IPAddresses: loopback})
	a.sign("sallyport", &x509.Certificate{DNSNames: []string{"sallyport.test"}})
	caller := &url.URL{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/monitoring/sa/prometheus"}
	a.sign("caller", &x509.Certificate{URIs: []*url.URL{caller}})

	d, address := startDoorman(t, "tcp", "127.0.0.1:0", grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{a.pair("sallyport")}, ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert,
	})))
	e, _ := startEnvoy(t, EnvoyConfig{
		TLS: a.files("envoy"),
		Authz: AuthzConfig{
			Address: address, TLS: a.files("envoy"), ServerName: "sallyport.test", Timeout: 5 * time.Second,
			IncludePeerCertificate: true,
		},
	})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: a.pool, Certificates: []tls.Certificate{a.pair("caller")},
	}}}
	defer client.CloseIdleConnections()
	if resp := get(t, client, "https://"+e.Address()+"/", nil); resp.status != http.StatusOK {
		t.Fatalf("status %d: %s", resp.status, resp.body)
	}
	source := (<-d.asked).GetAttributes().GetSource()
	if source.GetPrincipal() != caller.String() || source.GetCertificate() == "" {
		t.Errorf("source is %v, want the principal %s and its certificate", source, caller)
	}
}
