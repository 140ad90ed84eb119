package envoy

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/url"
	"testing"

	"github.com/sallyport/sallyport/cmd/demo"
)

const prometheus = "spiffe://cluster.local/ns/monitoring/sa/prometheus"

// newMesh is an authority that has issued a certificate to the edge, and one to each caller.
func newMesh(t *testing.T) *authority {
	t.Helper()
	a := newAuthority(t, "mesh")
	a.issue(t, "edge", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	for name, uri := range map[string]string{
		"prometheus": prometheus, "grafana": "spiffe://cluster.local/ns/monitoring/sa/grafana",
		"orders": "spiffe://cluster.local/ns/shop/sa/orders", "elsewhere": "spiffe://elsewhere.test/ns/monitoring/sa/prometheus",
		"deeper": prometheus + "/x",
	} {
		a.issueURI(t, name, uri)
	}
	// Envoy says the first URI, else a DNS name, else the subject: neither of these is the identity of a workload.
	a.issue(t, "dns", &x509.Certificate{DNSNames: []string{"cluster.local"}})
	a.issue(t, "subject", &x509.Certificate{Subject: pkix.Name{CommonName: prometheus}})
	first, err := url.Parse("spiffe://cluster.local/ns/shop/sa/other")
	if err != nil {
		t.Fatal(err)
	}
	second, err := url.Parse(prometheus)
	if err != nil {
		t.Fatal(err)
	}
	a.issue(t, "second", &x509.Certificate{URIs: []*url.URL{first, second}})
	return a
}

// TestPrincipals shows that from goes by the certificate that a caller has proved to Envoy, and by nothing that a
// caller writes.
func TestPrincipals(t *testing.T) {
	binary(t, "SALLYPORT_ENVOY")
	binary(t, "SALLYPORT_BIN")
	a := newMesh(t)
	w := newWorld(t, []string{"principals.yaml"}, "--trust-domain=cluster.local")
	e := w.edge(t, demo.EnvoyConfig{TLS: a.files("edge")})
	for _, test := range []struct {
		caller                  string
		one, all, accountOfRule bool
	}{
		{"prometheus", true, true, true},
		{"grafana", false, true, false},
		{"orders", false, false, true},
		{"elsewhere", false, false, false},
		{"deeper", false, false, false},
		{"dns", false, false, false},
		{"subject", false, false, false},
		{"second", false, false, false},
	} {
		t.Run(test.caller, func(t *testing.T) {
			for target, want := range map[string]bool{"/one": test.one, "/all": test.all, "/account": test.accountOfRule} {
				conn, err := tls.Dial("tcp", e.Address(), &tls.Config{
					RootCAs: a.pool, Certificates: []tls.Certificate{a.pair(t, test.caller)}, NextProtos: []string{"http/1.1"},
				})
				if err != nil {
					t.Fatal(err)
				}
				got, err := exchange(conn, call{
					host: "metrics.test", target: target,
					header: []string{"X-Forwarded-Client-Cert: URI=" + prometheus, "X-Spiffe-Id: " + prometheus},
				}.String())
				_ = conn.Close()
				if err != nil {
					t.Fatal(err)
				}
				reason := map[bool]string{true: "Public", false: "SourceNotAllowed"}[want]
				if got.passed() != want || got.reason() != reason {
					t.Errorf("%s: status %d, reason %s, want %s", target, got.status, got.reason(), reason)
				}
			}
		})
	}
}

// TestPrincipalsWithoutTLS shows that nobody has a principal where nobody has to show a certificate.
func TestPrincipalsWithoutTLS(t *testing.T) {
	w := newWorld(t, []string{"principals.yaml"}, "--trust-domain=cluster.local")
	e := w.edge(t, demo.EnvoyConfig{})
	for _, target := range []string{"/one", "/all", "/account"} {
		a := do(t, e.Address(), call{
			host: "metrics.test", target: target,
			header: []string{"X-Forwarded-Client-Cert: URI=spiffe://cluster.local/ns/monitoring/sa/prometheus"},
		})
		if a.reason() != "SourceNotAllowed" {
			t.Errorf("%s: status %d, reason %s", target, a.status, a.reason())
		}
	}
}
