package extauthz

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

// sealKey is a key that tokens are encrypted for; n tells one from another.
func sealKey(t *testing.T, n byte) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), []byte(strings.Repeat("sealing", 4)+"key"+string('0'+rune(n))))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// privateJWK writes a key as it stands in a Secret.
func privateJWK(t *testing.T, k *ecdsa.PrivateKey) string {
	t.Helper()
	point, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	d, err := k.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q,"d":%q}`, b64(point[1:33]), b64(point[33:]), b64(d))
}

// seal encrypts a token as an identity provider does.
func seal(t *testing.T, k *ecdsa.PrivateKey, kid, signed string) string {
	t.Helper()
	e, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.ECDH_ES_A256KW, Key: &k.PublicKey, KeyID: kid}, (&jose.EncrypterOptions{}).WithContentType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	object, err := e.Encrypt([]byte(signed))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := object.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// publishEncrypted puts a provider in force that has this Secret, nil for none, and a policy of its own.
func (w *world) publishEncrypted(t *testing.T, secret map[string]string, required bool) {
	t.Helper()
	var objs policy.Objects
	decode(t, &objs.AuthPolicies, `
kind: AuthPolicy
metadata: {name: sealed, namespace: shop}
spec:
  hosts: [sealed.example.com]
  identityProviders: [{name: sealed}]
  rules: [{name: all, matches: [{path: {type: PathPrefix, value: /}}], require: {scopes: [orders.read]}}]
  upstream: {headers: [{name: x-user, claim: sub}]}`)
	decode(t, &objs.IdentityProviders, fmt.Sprintf(`
kind: IdentityProvider
metadata: {name: sealed, namespace: shop}
spec: {issuer: "https://id.example.com", audiences: [orders-api], keys: {inline: '%s'}, decryption: {secretRef: {name: jwe}, required: %t}}`, worldJWKS(t), required))
	if secret != nil {
		objs.Secrets = []*corev1.Secret{{ObjectMeta: metav1.ObjectMeta{Name: "jwe", Namespace: "shop"}, StringData: secret}}
	}
	snapshot, report := new(policy.Compiler).Compile(objs, policy.Options{})
	for _, o := range report.Objects {
		if o.Kind == v1alpha1.KindAuthPolicy && len(o.Problems) > 0 {
			t.Fatalf("%+v", o.Problems)
		}
	}
	w.snapshot.Store(snapshot)
}

// TestEncryptedTokensEndToEnd asks the server with tokens that an identity provider has encrypted, while keys come and go.
func TestEncryptedTokensEndToEnd(t *testing.T) {
	w := newWorld(t, nil)
	first, second := sealKey(t, 1), sealKey(t, 2)
	signed := mint(t, jwt.MapClaims{"scope": "orders.read"})
	narrow := mint(t, jwt.MapClaims{"scope": "other"})
	old, next := seal(t, first, "old", signed), seal(t, second, "next", signed)
	with := func(raw string) *authv3.CheckResponse {
		return w.check(t, ask("GET", "https://sealed.example.com/v1", "authorization: Bearer "+raw))
	}
	want := func(what, raw string, reason policy.Reason, status int32) {
		t.Helper()
		out := with(raw)
		if meta(out, "reason") != string(reason) || int32(out.GetDeniedResponse().GetStatus().GetCode()) != status {
			t.Errorf("%s: %s %d, want %s %d", what, meta(out, "reason"), out.GetDeniedResponse().GetStatus().GetCode(), reason, status)
		}
		if user := headersOf(t, out.GetOkResponse().GetHeaders())["x-user"]; reason == policy.ReasonAllowed && user != "alice" {
			t.Errorf("%s: the application sees the user %q", what, user)
		}
	}
	w.publishEncrypted(t, map[string]string{"old": privateJWK(t, first)}, false)
	want("encrypted", old, policy.ReasonAllowed, 0)
	want("encrypted, from the cache", old, policy.ReasonAllowed, 0)
	want("signed", signed, policy.ReasonAllowed, 0)
	want("encrypted, without the scope", seal(t, first, "old", narrow), policy.ReasonInsufficientScope, 403)
	want("for a key that is not there yet", next, policy.ReasonUnknownKey, 401)
	want("for another key of that name", seal(t, second, "old", signed), policy.ReasonMalformedToken, 401)
	want("altered", old[:len(old)-2]+"AA", policy.ReasonMalformedToken, 401)
	want("encrypted twice", seal(t, first, "old", old), policy.ReasonMalformedToken, 401)
	want("encrypted and not signed", seal(t, first, "old", `{"sub":"alice"}`), policy.ReasonMalformedToken, 401)

	w.publishEncrypted(t, map[string]string{"old": privateJWK(t, first), "next": privateJWK(t, second)}, false)
	want("for the old key, while both are there", old, policy.ReasonAllowed, 0)
	want("for the next key", next, policy.ReasonAllowed, 0)

	w.publishEncrypted(t, map[string]string{"next": privateJWK(t, second)}, true)
	want("for the old key, which is gone", old, policy.ReasonUnknownKey, 401)
	want("for the next key alone", next, policy.ReasonAllowed, 0)
	want("signed, where encryption is required", signed, policy.ReasonInvalidTokenType, 401)

	w.publishEncrypted(t, nil, false)
	want("encrypted, without the Secret", next, policy.ReasonKeysUnavailable, 503)
	want("signed, without the Secret", signed, policy.ReasonAllowed, 0)

	expected := `# HELP sallyport_token_decryptions_total Encrypted tokens that were not in the cache, by what became of them.
# TYPE sallyport_token_decryptions_total counter
sallyport_token_decryptions_total{result="AlgorithmNotAllowed"} 0
sallyport_token_decryptions_total{result="Failure"} 2
sallyport_token_decryptions_total{result="KeysUnavailable"} 1
sallyport_token_decryptions_total{result="Success"} 7
sallyport_token_decryptions_total{result="UnknownKey"} 2
`
	if err := testutil.GatherAndCompare(w.registry, strings.NewReader(expected), "sallyport_token_decryptions_total"); err != nil {
		t.Error(err)
	}
}
