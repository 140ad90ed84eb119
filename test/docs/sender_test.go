package docs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/sallyport/sallyport/controller"
	"github.com/sallyport/sallyport/extauthz"
	"github.com/sallyport/sallyport/extauthz/ledger"
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

const senderPage = "docs/sender-constrained-tokens.md"

// senders is a server that has the page's objects, with the provider that the page has tokens of.
type senders struct {
	*issuer
	server *extauthz.Server
}

func newSenders(t *testing.T) *senders {
	t.Helper()
	s := &senders{issuer: &issuer{signing: keyOf(t, "s")}}
	dir := t.TempDir()
	for _, b := range blocksOf(t, senderPage) {
		if b.info == "yaml" {
			s.manifest = b.text
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "page.yaml"), []byte(s.manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	folder, err := controller.NewFolder(controller.FolderConfig{Dirs: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	listing, err := folder.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	snapshot := new(atomic.Pointer[policy.Snapshot])
	compiled, _ := new(policy.Compiler).Compile(listing.Objects, options)
	snapshot.Store(compiled)
	verifier, err := token.NewVerifier(token.Config{Keys: s})
	if err != nil {
		t.Fatal(err)
	}
	proofs, err := ledger.NewMemory(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.server, err = extauthz.New(extauthz.Config{Snapshot: snapshot, Verifier: verifier, Proofs: proofs}); err != nil {
		t.Fatal(err)
	}
	return s
}

// token is Alice's, with this cnf; nil for none.
func (s *senders) token(t *testing.T, cnf map[string]any) string {
	t.Helper()
	claims := jwt.MapClaims{
		"iss": "https://id.example.com/realms/corp", "aud": "orders-api", "sub": "alice", "scope": "orders.read", "exp": time.Now().Add(time.Hour).Unix(),
	}
	if cnf != nil {
		claims["cnf"] = cnf
	}
	raw, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(s.signing)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// sent is a request, as far as these tests change it.
type sent struct{ scheme, raw, proof, certificate string }

func (s *senders) answer(t *testing.T, r sent) (reason string, status int) {
	t.Helper()
	headers := map[string]string{"authorization": r.scheme + " " + r.raw}
	if r.proof != "" {
		headers["dpop"] = r.proof
	}
	out, err := s.server.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Certificate: r.certificate},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "GET", Scheme: "https", Host: "orders.example.com", Path: "/", Headers: headers,
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return out.GetDynamicMetadata().GetFields()["reason"].GetStringValue(), int(out.GetDeniedResponse().GetStatus().GetCode())
}

// clientCertificate is one as Envoy tells it, and its cnf.
func clientCertificate(t *testing.T, key *ecdsa.PrivateKey) (encoded string, cnf map[string]any) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return url.PathEscape(string(text)), map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}
}

// publicJWK writes a key, and the thumbprint of it that cnf has.
func publicJWK(t *testing.T, key *ecdsa.PrivateKey) (jwk json.RawMessage, cnf map[string]any) {
	t.Helper()
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64, half := base64.RawURLEncoding.EncodeToString, len(point)/2
	jwk = fmt.Appendf(nil, `{"crv":%q,"kty":"EC","x":%q,"y":%q}`, key.Params().Name, b64(point[1:half+1]), b64(point[half+1:]))
	sum := sha256.Sum256(jwk)
	return jwk, map[string]any{"jkt": b64(sum[:])}
}

// prove makes a proof with a key for a request to the page's host with a token, with changes of its claims.
func prove(t *testing.T, key *ecdsa.PrivateKey, raw string, changes jwt.MapClaims) string {
	t.Helper()
	sum := sha256.Sum256([]byte(raw))
	claims := jwt.MapClaims{
		"jti": rand.Text(), "htm": "GET", "htu": "https://orders.example.com/", "iat": time.Now().Unix(), "ath": base64.RawURLEncoding.EncodeToString(sum[:]),
	}
	for name, value := range changes {
		claims[name] = value
	}
	var method jwt.SigningMethod = jwt.SigningMethodES256
	if key.Curve == elliptic.P384() {
		method = jwt.SigningMethodES384
	}
	proof := jwt.NewWithClaims(method, claims)
	proof.Header["typ"] = "dpop+jwt"
	proof.Header["jwk"], _ = publicJWK(t, key)
	out, err := proof.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSendersOfThePage makes each request of the page's table and compares the answer.
func TestSendersOfThePage(t *testing.T) {
	s := newSenders(t)
	mine, other := keyOf(t, "m"), keyOf(t, "o")
	large, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	certificate, ofCertificate := clientCertificate(t, mine)
	another, _ := clientCertificate(t, other)
	_, ofKey := publicJWK(t, mine)
	_, ofLarge := publicJWK(t, large)
	byCertificate, byKey, free, byLarge := s.token(t, ofCertificate), s.token(t, ofKey), s.token(t, nil), s.token(t, ofLarge)
	used := prove(t, mine, byKey, nil)
	if reason, _ := s.answer(t, sent{"DPoP", byKey, used, ""}); reason != "Allowed" {
		t.Fatalf("the first use of a proof: %s", reason)
	}
	requests := map[string]sent{
		"bound to a certificate, over a connection with it":      {"Bearer", byCertificate, "", certificate},
		"bound to a certificate, over a connection with another": {"Bearer", byCertificate, "", another},
		"bound to a certificate, over a connection without one":  {"Bearer", byCertificate, "", ""},
		"bound to a key, with a proof":                           {"DPoP", byKey, prove(t, mine, byKey, nil), ""},
		"bound to a key, with a proof that was used before":      {"DPoP", byKey, used, ""},
		"bound to a key, with a proof of another key":            {"DPoP", byKey, prove(t, other, byKey, nil), ""},
		"bound to a key, with a proof for another path":          {"DPoP", byKey, prove(t, mine, byKey, jwt.MapClaims{"htu": "https://orders.example.com/7"}), ""},
		"bound to a key, with a proof for another method":        {"DPoP", byKey, prove(t, mine, byKey, jwt.MapClaims{"htm": "PUT"}), ""},
		"bound to a key, with a proof for another token":         {"DPoP", byKey, prove(t, mine, free, nil), ""},
		"bound to a key, with a proof of two minutes ago":        {"DPoP", byKey, prove(t, mine, byKey, jwt.MapClaims{"iat": time.Now().Unix() - 120}), ""},
		"bound to a key, with a proof signed with `ES384`":       {"DPoP", byLarge, prove(t, large, byLarge, nil), ""},
		"bound to a key, without a proof":                        {"DPoP", byKey, "", ""},
		"bound to a key, with a proof, as `Bearer`":              {"Bearer", byKey, prove(t, mine, byKey, nil), ""},
		"not bound":               {"Bearer", free, "", certificate},
		"not bound, with a proof": {"DPoP", free, prove(t, mine, free, nil), ""},
	}
	rows := rowsUnder(t, senderPage, "request")
	for _, row := range rows {
		request, ok := requests[row[0]]
		if !ok {
			t.Errorf("nobody knows how to send a request that is %q", row[0])
			continue
		}
		want := 0
		if row[2] != "" {
			if want, err = strconv.Atoi(row[2]); err != nil {
				t.Fatal(err)
			}
		}
		if reason, status := s.answer(t, request); reason != code(row[1]) || status != want {
			t.Errorf("%s: %s %d, the page says %s %s", row[0], reason, status, row[1], row[2])
		}
	}
	if len(rows) != len(requests) {
		t.Errorf("%d rows, want %d", len(rows), len(requests))
	}
}

// TestResultsOfTheStore: what can become of a question to the shared store stands on the page of metrics.
func TestResultsOfTheStore(t *testing.T) {
	for _, row := range rowsUnder(t, "docs/metrics.md", "name") {
		if code(row[0]) != "sallyport_shared_store_questions_total" {
			continue
		}
		for _, result := range ledger.Results() {
			if !strings.Contains(row[3], "`"+result+"`") {
				t.Errorf("the page lacks `%s`", result)
			}
		}
		return
	}
	t.Error("the page lacks the metric")
}
