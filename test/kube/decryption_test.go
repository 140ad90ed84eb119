package kube_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

const decryptingProvider = `apiVersion: sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: sealed}
spec:
  issuer: https://id.example.com
  audiences: [shop]
  keys: {inline: '{"keys":[{"kty":"EC","crv":"P-256","kid":"one","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}'}
  decryption: {secretRef: {name: corp-jwe}}
`

// The key is that of RFC 7517, appendix A.2.
const secretOfKeys = `apiVersion: v1
kind: Secret
metadata: {name: corp-jwe}
stringData:
  "2026-11": '{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}'
`

// TestDecryptionKeysThatComeAndGo makes the Secret of a provider, spoils it, and takes it away: the status says each time
// what to do, and the policy that believes the provider stays in force for signed tokens.
func TestDecryptionKeysThatComeAndGo(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	startReplica(t, c, ns, nil)
	idp := &v1alpha1.IdentityProvider{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "sealed"}}
	c.apply(t, ns, decryptingProvider)
	c.apply(t, ns, strings.Replace(publicPolicy("shop", ns+".example.com"), "access: Public",
		"require: {scopes: [a]}", 1)+"  identityProviders: [{name: sealed}]\n")
	for range 2 {
		if got := c.waitCondition(t, idp, "KeysReady", "KeysUnavailable"); !strings.Contains(got.Message, "there is no Secret "+ns+"/corp-jwe; create it") {
			t.Errorf("KeysReady says %q", got.Message)
		}
		c.waitCondition(t, policyNamed(ns, "shop"), "Programmed", "Programmed")
		c.apply(t, ns, secretOfKeys)
		c.waitCondition(t, idp, "KeysReady", "KeysReady")
		c.waitCondition(t, idp, "Accepted", "Accepted")
		c.apply(t, ns, secretOfKeys+"  password: hunter2\n")
		got := c.waitCondition(t, idp, "Accepted", "Invalid")
		if !strings.Contains(got.Message, "password: is neither a private key in PEM nor a JWK") || strings.Contains(got.Message, "hunter2") {
			t.Errorf("Accepted says %q", got.Message)
		}
		if err := c.client.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "corp-jwe"}}); err != nil {
			t.Fatal(err)
		}
	}
}
