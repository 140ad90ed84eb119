package docs_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/sallyport/sallyport/controller"
	"github.com/sallyport/sallyport/extauthz"
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

const encryptedPage = "docs/encrypted-tokens.md"

// issuer is an identity provider as the page has it: it signs, and encrypts for the key that the page's Secret holds.
type issuer struct {
	signing  *ecdsa.PrivateKey
	sealing  jose.JSONWebKey // public
	manifest string
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{signing: keyOf(t, "s")}
	for _, b := range blocksOf(t, encryptedPage) {
		if b.info == "yaml" {
			i.manifest = b.text
		}
	}
	first, _, _ := strings.Cut(i.manifest, "---\n")
	var secret corev1.Secret
	if err := yaml.UnmarshalStrict([]byte(first), &secret); err != nil || secret.Name == "" {
		t.Fatalf("the page does not begin with a Secret: %v", err)
	}
	var private jose.JSONWebKey
	if err := json.Unmarshal([]byte(secret.StringData["2026-11"]), &private); err != nil {
		t.Fatal(err)
	}
	i.sealing = private.Public()
	return i
}

// keyOf is the same key for the same letter.
func keyOf(t *testing.T, letter string) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), []byte(strings.Repeat(letter, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sign signs a token for Alice that ends after this time.
func (i *issuer) sign(t *testing.T, life time.Duration) string {
	t.Helper()
	raw, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": "https://id.example.com/realms/corp", "aud": "orders-api", "sub": "alice", "scope": "orders.read", "exp": time.Now().Add(life).Unix(),
	}).SignedString(i.signing)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func encryptFor(t *testing.T, key any, kid, plaintext string) string {
	t.Helper()
	e, err := jose.NewEncrypter(jose.A128CBC_HS256, jose.Recipient{Algorithm: jose.ECDH_ES, Key: key, KeyID: kid}, nil)
	if err != nil {
		t.Fatal(err)
	}
	object, err := e.Encrypt([]byte(plaintext))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := object.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Keys implements token.KeySource with the key that signs.
func (i *issuer) Keys(context.Context, *token.Provider, *token.KeySet) (*token.KeySet, error) {
	point, err := i.signing.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	b64 := base64.RawURLEncoding.EncodeToString
	set, _, err := token.ParseJWKS([]byte(fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-256","x":%q,"y":%q}]}`, b64(point[1:33]), b64(point[33:]))), false)
	return set, err
}

// answer asks a server, which has these objects, with a token, for what the page's policy guards.
func (i *issuer) answer(t *testing.T, objects, raw string) (reason string, status int) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "page.yaml"), []byte(objects), 0o600); err != nil {
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
	verifier, err := token.NewVerifier(token.Config{Keys: i})
	if err != nil {
		t.Fatal(err)
	}
	snapshot := new(atomic.Pointer[policy.Snapshot])
	compiled, _ := new(policy.Compiler).Compile(listing.Objects, options)
	snapshot.Store(compiled)
	server, err := extauthz.New(extauthz.Config{Snapshot: snapshot, Verifier: verifier})
	if err != nil {
		t.Fatal(err)
	}
	out, err := server.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
		Method: "GET", Scheme: "https", Host: "orders.example.com", Path: "/", Headers: map[string]string{"authorization": "Bearer " + raw},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	return out.GetDynamicMetadata().GetFields()["reason"].GetStringValue(), int(out.GetDeniedResponse().GetStatus().GetCode())
}

// TestEncryptedTokensOfThePage makes each token of the page's table and compares the answer.
func TestEncryptedTokensOfThePage(t *testing.T) {
	i := newIssuer(t)
	_, withoutSecret, _ := strings.Cut(i.manifest, "---\n")
	required := strings.Replace(i.manifest, "decryption: {", "decryption: {required: true, ", 1)
	signed := i.sign(t, time.Hour)
	sealed := encryptFor(t, i.sealing.Key, "2026-11", signed)
	letter := "A"
	if sealed[len(sealed)-8:len(sealed)-7] == letter {
		letter = "B"
	}
	altered := sealed[:len(sealed)-8] + letter + sealed[len(sealed)-7:]
	tokens := map[string]struct{ objects, raw string }{
		"encrypted for `2026-11`":                      {i.manifest, sealed},
		"encrypted, without a `kid`":                   {i.manifest, encryptFor(t, i.sealing.Key, "", signed)},
		"signed, not encrypted":                        {i.manifest, signed},
		"signed, not encrypted, with `required: true`": {required, signed},
		"encrypted for `2026-10`":                      {i.manifest, encryptFor(t, i.sealing.Key, "2026-10", signed)},
		"encrypted for another key of that name":       {i.manifest, encryptFor(t, &keyOf(t, "o").PublicKey, "2026-11", signed)},
		"altered by one character":                     {i.manifest, altered},
		"encrypted, but not signed":                    {i.manifest, encryptFor(t, i.sealing.Key, "2026-11", `{"sub":"alice"}`)},
		"encrypted twice":                              {i.manifest, encryptFor(t, i.sealing.Key, "2026-11", sealed)},
		"encrypted, and expired":                       {i.manifest, encryptFor(t, i.sealing.Key, "2026-11", i.sign(t, -time.Hour))},
		"encrypted, while the Secret is missing":       {withoutSecret, sealed},
		"signed, while the Secret is missing":          {withoutSecret, signed},
	}
	rows := rowsUnder(t, encryptedPage, "token")
	for _, row := range rows {
		made, ok := tokens[row[0]]
		if !ok {
			t.Errorf("nobody knows how to make a token that is %q", row[0])
			continue
		}
		want := 0
		if row[2] != "" {
			var err error
			if want, err = strconv.Atoi(row[2]); err != nil {
				t.Fatal(err)
			}
		}
		if reason, status := i.answer(t, made.objects, made.raw); reason != code(row[1]) || status != want {
			t.Errorf("%s: %s %d, the page says %s %s", row[0], reason, status, row[1], row[2])
		}
	}
	if len(rows) != len(tokens) {
		t.Errorf("%d rows, want %d", len(rows), len(tokens))
	}
}

// TestKeyOfThePage runs the commands that make a key, and reads it as an entry of a Secret.
func TestKeyOfThePage(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("there is no openssl")
	}
	dir := t.TempDir()
	for _, b := range blocksOf(t, encryptedPage) {
		if b.info != "sh" {
			continue
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-ec", b.text)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for file, keys := range map[string]int{"private.pem": 1, "public.pem": 0} {
		content, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if set, problems := token.ParsePrivateKeys(map[string][]byte{"2026-11": content}); set.Len() != keys {
			t.Errorf("%s: %d keys, problems %q", file, set.Len(), problems)
		}
	}
}
