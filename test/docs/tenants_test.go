package docs_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/sallyport/sallyport/extauthz"
	"github.com/sallyport/sallyport/extauthz/idp"
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

const tenantsPage = "docs/multi-tenant-issuers.md"

// tenantKey is a key with its kid, and the issuer that its set binds it to; "" for none.
type tenantKey struct {
	kid, issuer string
	private     *ecdsa.PrivateKey
}

func newTenantKey(t *testing.T, kid, issuer string) *tenantKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &tenantKey{kid, issuer, private}
}

// tenantKeySet is the key set of keys.
func tenantKeySet(t *testing.T, keys ...*tenantKey) []byte {
	t.Helper()
	list := []map[string]string{}
	for _, k := range keys {
		point, err := k.private.PublicKey.Bytes() // 4, x, y
		if err != nil {
			t.Fatal(err)
		}
		b64 := base64.RawURLEncoding.EncodeToString
		jwk := map[string]string{"kty": "EC", "crv": "P-256", "use": "sig", "kid": k.kid, "x": b64(point[1:33]), "y": b64(point[33:])}
		if k.issuer != "" {
			jwk["issuer"] = k.issuer
		}
		list = append(list, jwk)
	}
	text, err := json.Marshal(map[string]any{"keys": list})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// token signs claims, with what every token has.
func (k *tenantKey) token(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	claims["sub"], claims["exp"] = "alice", time.Now().Add(time.Hour).Unix()
	out := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	out.Header["kid"] = k.kid
	signed, err := out.SignedString(crypto.PrivateKey(k.private))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// tenantServer serves documents by their paths, in which HOST stands for itself, and counts what else it is asked for.
func tenantServer(t *testing.T, documents map[string]string) (url string, strangers func() []string) {
	t.Helper()
	var mu sync.Mutex
	var others []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		document, ok := documents[r.URL.EscapedPath()]
		if !ok {
			mu.Lock()
			others = append(others, r.URL.EscapedPath())
			mu.Unlock()
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(strings.ReplaceAll(document, "HOST", "http://"+r.Host)))
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return others
	}
}

// tenantGuard answers requests by the objects of a block of the page, whose provider is at url and not at at.
func tenantGuard(t *testing.T, block int, at, url string) func(method, host, path, raw string) (status, reason string) {
	t.Helper()
	objects := strings.ReplaceAll(blocksOf(t, tenantsPage)[block].text, at, url)
	objects = strings.Replace(objects, "  audiences:", "  allowHTTP: true\n  audiences:", 1)
	snapshot := new(atomic.Pointer[policy.Snapshot])
	snapshot.Store(compileText(t, objects))
	keeper, err := idp.New(idp.Config{AllowLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(keeper.Close)
	keeper.Sync(snapshot.Load().Providers())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := keeper.WaitTried(ctx); err != nil {
		t.Fatal(err)
	}
	verifier, err := token.NewVerifier(token.Config{Keys: keeper, CacheBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	server, err := extauthz.New(extauthz.Config{Snapshot: snapshot, Verifier: verifier})
	if err != nil {
		t.Fatal(err)
	}
	return func(method, host, path, raw string) (status, reason string) {
		out, err := server.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
			Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
				Method: method, Scheme: "https", Host: host, Path: path, Headers: map[string]string{"authorization": "Bearer " + raw},
			}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		status = "200"
		if denied := out.GetDeniedResponse(); denied != nil {
			status = map[string]string{"Unauthorized": "401", "Forbidden": "403", "ServiceUnavailable": "503"}[denied.GetStatus().GetCode().String()]
		}
		return status, out.GetDynamicMetadata().GetFields()["reason"].GetStringValue()
	}
}

// TestTenantsThatShareKeysOfThePage plays the first table against metadata and keys as Entra has them.
func TestTenantsThatShareKeysOfThePage(t *testing.T) {
	const entra, a, b = "https://login.microsoftonline.com", "8eaef023-2b34-4da1-9baa-8bc8c9d6a490", "f8cdef31-a31e-4b4a-93e4-5f571e91255a"
	keys := map[string]*tenantKey{
		"the key of all":               newTenantKey(t, "all", "HOST/{tenantid}/v2.0"),
		"a key of tenant b":            newTenantKey(t, "of-b", "HOST/"+b+"/v2.0"),
		"a key that is not in the set": newTenantKey(t, "other", ""),
	}
	url, strangers := tenantServer(t, map[string]string{
		"/organizations/v2.0/.well-known/openid-configuration": `{"issuer":"HOST/{tenantid}/v2.0","jwks_uri":"HOST/keys"}`,
		"/keys": string(tenantKeySet(t, keys["the key of all"], keys["a key of tenant b"])),
	})
	ask := tenantGuard(t, 0, entra, url)
	spelt := strings.NewReplacer("a/../b", a+"/../"+b)
	name := func(cell string) string {
		switch c := code(cell); c {
		case "a":
			return a
		case "b":
			return b
		default:
			return spelt.Replace(c)
		}
	}
	rows := rowsUnder(t, tenantsPage, "tenant in `iss`")
	for _, row := range rows {
		claims := jwt.MapClaims{"iss": url + "/" + name(row[0]) + "/v2.0", "aud": "6731de76-14a6-49ae-97bc-6eba6914391e", "scp": "Orders.Read"}
		if row[1] != "none" {
			claims["tid"] = name(row[1])
		}
		key := keys[strings.ReplaceAll(row[2], "`", "")]
		if key == nil {
			t.Fatalf("no key is called %s", row[2])
		}
		method, path, _ := strings.Cut(code(row[3]), " ")
		raw := key.token(t, claims)
		for range 2 { // the second time from the cache
			if status, reason := ask(method, "orders.example.com", path, raw); status != row[4] || reason != code(row[5]) {
				t.Errorf("%q: %s %s", row, status, reason)
			}
		}
	}
	if asked := strangers(); len(rows) < 10 || len(asked) > 0 {
		t.Errorf("%d rows; the server was asked for %q", len(rows), asked)
	}
}

// TestTenantsWithTheirOwnKeysOfThePage plays the second table against a server with realms.
func TestTenantsWithTheirOwnKeysOfThePage(t *testing.T) {
	documents, keys := map[string]string{}, map[string]*tenantKey{}
	for _, realm := range []string{"acme", "globex", "master"} {
		keys[realm] = newTenantKey(t, realm, "")
		documents["/realms/"+realm+"/.well-known/openid-configuration"] = `{"issuer":"HOST/realms/` + realm + `","jwks_uri":"HOST/realms/` + realm + `/certs"}`
		documents["/realms/"+realm+"/certs"] = string(tenantKeySet(t, keys[realm]))
	}
	url, strangers := tenantServer(t, documents)
	ask := tenantGuard(t, 1, "https://id.example.com", url)
	rows := rowsUnder(t, tenantsPage, "realm in `iss`")
	for _, row := range rows {
		claims := jwt.MapClaims{"iss": url + "/realms/" + code(row[0]), "aud": "reports"}
		method, path, _ := strings.Cut(code(row[2]), " ")
		raw := keys[code(row[1])].token(t, claims)
		for range 2 {
			if status, reason := ask(method, "reports.example.com", path, raw); status != row[3] || reason != code(row[4]) {
				t.Errorf("%q: %s %s", row, status, reason)
			}
		}
	}
	if asked := strangers(); len(rows) < 8 || len(asked) > 0 {
		t.Errorf("%d rows; the server was asked for %q", len(rows), asked)
	}
}
