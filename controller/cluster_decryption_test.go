package controller

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

// decryptionJWK is a published key: that of RFC 7517, appendix A.2.
const decryptionJWK = `{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}`

// publicKeys are what a provider verifies with here, so that nothing is fetched.
const publicKeys = `{"keys":[{"kty":"EC","crv":"P-256","kid":"sig","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`

func decryptingProvider() *v1alpha1.IdentityProvider {
	p := &v1alpha1.IdentityProvider{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "corp"}}
	p.Spec.Issuer, p.Spec.Audiences = "https://id.example.com", []string{"api"}
	p.Spec.Keys = &v1alpha1.KeySource{Inline: publicKeys}
	p.Spec.Decryption = &v1alpha1.Decryption{SecretRef: v1alpha1.SecretReference{Name: "jwe"}}
	return p
}

// TestConditionsOfAProviderThatDecrypts gives its Secret in each state.
func TestConditionsOfAProviderThatDecrypts(t *testing.T) {
	for _, tt := range []struct {
		name            string
		data            map[string]string // nil: there is no Secret
		accepted, ready metav1.ConditionStatus
		message         string // of KeysReady
	}{
		{"a key", map[string]string{"new": decryptionJWK}, "True", "True", "There are keys to verify with"},
		{"no Secret", nil, "True", "False", "There are no keys: encrypted tokens are refused: spec.decryption.secretRef.name: there is no Secret shop/jwe; create it, or mend the name"},
		{"no key in it", map[string]string{}, "False", "False", `There are no keys: encrypted tokens are refused: spec.decryption.secretRef: Secret "jwe" holds no key to decrypt with; put a private key in PEM, or a JWK, under a name of its own`},
		{"a key and something else", map[string]string{"new": decryptionJWK, "x": "y"}, "False", "True", "There are keys to verify with"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objs := policy.Objects{IdentityProviders: []*v1alpha1.IdentityProvider{decryptingProvider()}}
			if tt.data != nil {
				objs.Secrets = []*corev1.Secret{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "jwe"}, StringData: tt.data}}
			}
			snapshot, report := new(policy.Compiler).Compile(objs, policy.Options{})
			c, _ := unconnected(t)
			o := report.Objects[0]
			status := wantedStatus(&observed{}, o, c.keysOf(providersByName(snapshot)[providerName(o.ObjectRef)], o), 1, metav1.Now())
			got := map[string]metav1.Condition{}
			for _, cond := range status.Conditions {
				got[cond.Type] = cond
			}
			ready := got[v1alpha1.ConditionKeysReady]
			if got[v1alpha1.ConditionAccepted].Status != tt.accepted || ready.Status != tt.ready || ready.Message != tt.message {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestTheSecretOfADecryptionIsWatched shows that an edit of it starts a compile, which has the new content.
func TestTheSecretOfADecryptionIsWatched(t *testing.T) {
	changes, content := 0, "first"
	r := newReferences([]string{"shop"}, func() { changes++ }, func(_ context.Context, k referenceKey) (client.Object, error) {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name, ResourceVersion: content}, Data: map[string][]byte{"key": []byte(content)}}, nil
	})
	for _, kind := range []string{kindSecret, kindConfigMap} {
		r.places["shop"].stores[kind].complete()
	}
	for i, version := range []string{"first", "second"} {
		content = version
		m := metadataOf(kindSecret)
		m.Namespace, m.Name, m.ResourceVersion = "shop", "jwe", version
		r.places["shop"].stores[kindSecret].put(m)
		if changes != i {
			t.Errorf("%d compiles were asked for after %d edits of a Secret that is named", changes, i)
		}
		objs := &policy.Objects{IdentityProviders: []*v1alpha1.IdentityProvider{decryptingProvider()}}
		if err := r.resolve(t.Context(), objs, "sallyport"); err != nil || len(objs.Secrets) != 1 || string(objs.Secrets[0].Data["key"]) != version {
			t.Errorf("%v, Secrets %v", err, objs.Secrets)
		}
	}
}
