package extauthz

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/golang-jwt/jwt/v5"
)

// TestLogoutOverTLS: identity providers speak HTTP/1.1 or HTTP/2, and get a new certificate once there is one.
func TestLogoutOverTLS(t *testing.T) {
	servers := newAuthority(t, "servers")
	files := tlsFiles(t)
	files.ClientCA = ""
	write := func(serial int64) {
		cert, key := servers.issue(t, serial)
		writeFile(t, files.Cert, cert)
		writeFile(t, files.Key, key)
	}
	write(1)
	served, err := NewTLS(files, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	l := newLeaving(t)
	lis, err := Listen("127.0.0.1:0", 0)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: l, TLSConfig: served.HTTPConfig()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.ServeTLS(lis, "", "") // says that it was closed
	}()
	t.Cleanup(func() {
		_ = server.Close() // nothing is in flight
		<-done
	})
	for i, version := range []int{1, 2} {
		if i == 1 {
			write(2)
			if _, err := served.Reload(); err != nil {
				t.Fatal(err)
			}
		}
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: servers.pool()}, ForceAttemptHTTP2: version == 2}
		client := &http.Client{Transport: transport}
		raw := logoutToken(t, "logout+jwt", jwt.MapClaims{"jti": strings.Repeat("j", version)})
		resp, err := client.Post("https://"+lis.Addr().String()+LogoutPath, formType, strings.NewReader(form(raw)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		serial := resp.TLS.PeerCertificates[0].SerialNumber.Int64()
		if resp.StatusCode != http.StatusOK || resp.ProtoMajor != version || serial != int64(version) {
			t.Errorf("HTTP/%d: status %d over HTTP/%d, with certificate %d", version, resp.StatusCode, resp.ProtoMajor, serial)
		}
		transport.CloseIdleConnections()
	}
}
