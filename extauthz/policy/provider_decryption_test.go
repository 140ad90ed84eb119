package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/token"
)

// decryptionJWK is the key of RFC 7517 appendix A.2 for P-256, which everybody knows.
const decryptionJWK = `{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}`

// decrypting is a provider with a Secret.
func decrypting(decryption, secrets string) string {
	return "kind: IdentityProvider\nmetadata: {name: p, namespace: shop}\nspec: {issuer: 'https://a', audiences: [b], decryption: " + decryption + "}\n" + secrets
}

func secretOf(namespace, name, stringData string) string {
	return "---\nkind: Secret\nmetadata: {name: " + name + ", namespace: " + namespace + "}\nstringData: " + stringData + "\n"
}

// TestProviderDecryption gives a Secret in each state. Whatever is wrong with it, the provider is there for signed tokens,
// and a key that can be read decrypts.
func TestProviderDecryption(t *testing.T) {
	key := quote(decryptionJWK)
	for _, tt := range []struct {
		name, text string
		readable   []string
		ids        []string
		problem    string // "": none
		reason     string
	}{
		{name: "a key", text: decrypting("{secretRef: {name: s}}", secretOf("shop", "s", "{new: "+key+"}")), ids: []string{"new"}},
		{name: "no Secret", text: decrypting("{secretRef: {name: s}}", ""), problem: "spec.decryption.secretRef.name: there is no Secret shop/s; create it, or mend the name", reason: v1alpha1.ReasonRefNotFound},
		{name: "a Secret of another namespace", text: decrypting("{secretRef: {name: s}}", secretOf("bank", "s", "{new: "+key+"}")), problem: "there is no Secret shop/s", reason: v1alpha1.ReasonRefNotFound},
		{name: "a namespace that may not be read", text: decrypting("{secretRef: {name: s}}", ""), readable: []string{"bank"}, problem: "adds it to referenceNamespaces", reason: v1alpha1.ReasonRefNotPermitted},
		{name: "no name", text: decrypting("{secretRef: {name: ''}}", ""), problem: "spec.decryption.secretRef.name: is missing", reason: v1alpha1.ReasonInvalid},
		{name: "an empty Secret", text: decrypting("{secretRef: {name: s}}", secretOf("shop", "s", "{}")), problem: `Secret "s" holds no key to decrypt with`, reason: v1alpha1.ReasonInvalid},
		{name: "a Secret of something else", text: decrypting("{secretRef: {name: s}}", secretOf("shop", "s", "{password: hunter2}")), problem: "password: is neither a private key in PEM nor a JWK; tokens for that key are refused", reason: v1alpha1.ReasonInvalid},
		{name: "a key beside something else", text: decrypting("{secretRef: {name: s}}", secretOf("shop", "s", "{password: hunter2, new: "+key+"}")), ids: []string{"new"}, problem: "password: is neither", reason: v1alpha1.ReasonInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objs := parse(t, tt.text)
			objs.ReferenceNamespaces = tt.readable
			s, r := new(Compiler).Compile(objs, Options{})
			told := problemsOf(r, "p")
			if (tt.problem == "") != (len(told) == 0) || !slices.ContainsFunc(told, func(p string) bool { return strings.Contains(p, tt.problem) }) && tt.problem != "" {
				t.Errorf("problems %q, want %q", told, tt.problem)
			}
			for _, o := range r.Objects {
				for _, p := range o.Problems {
					if p.Reason != tt.reason || p.Severity != SeverityError {
						t.Errorf("%s %s: %s", p.Severity, p.Reason, p.Message)
					}
					if strings.Contains(p.Message, "hunter2") {
						t.Errorf("a Secret shows in %q", p.Message)
					}
				}
			}
			if len(s.Providers()) != 1 {
				t.Fatal("the provider is gone, and signed tokens with it")
			}
			if p := s.Providers()[0]; p.Decryption == nil || p.EncryptedOnly || !slices.Equal(p.Decryption.KeyIDs(), tt.ids) {
				t.Errorf("decryption %+v, encrypted only %t", p.Decryption, p.EncryptedOnly)
			}
		})
	}
}

// TestClusterProviderDecryption reads the Secret of Sallyport's own namespace, whoever asks.
func TestClusterProviderDecryption(t *testing.T) {
	text := "kind: ClusterIdentityProvider\nmetadata: {name: p}\nspec: {issuer: 'https://a', audiences: [b], decryption: {required: true, secretRef: {name: s}}}\n" +
		secretOf("sallyport", "s", "{own: "+quote(decryptionJWK)+"}") + secretOf("shop", "s", "{other: "+quote(decryptionJWK)+"}")
	p := compile(t, text, Options{OwnNamespace: "sallyport"}).Providers()[0]
	if !p.EncryptedOnly || !slices.Equal(p.Decryption.KeyIDs(), []string{"own"}) {
		t.Errorf("got %q, %t", p.Decryption.KeyIDs(), p.EncryptedOnly)
	}
}

// TestNoDecryption: where a provider does not say it, there is nothing that could decrypt.
func TestNoDecryption(t *testing.T) {
	if p := compile(t, corp, Options{}).Providers()[0]; p.Decryption != nil || p.EncryptedOnly {
		t.Errorf("got %+v", p)
	}
}

// TestDecryptionIsCompiledAgain changes the Secret between two compiles: the next snapshot has the new keys, under another
// fingerprint, so that no cached token stays; and where nothing changes, the provider is the same pointer.
func TestDecryptionIsCompiledAgain(t *testing.T) {
	with := func(data string) Objects {
		return parse(t, decrypting("{secretRef: {name: s}}", secretOf("shop", "s", data)))
	}
	key := quote(decryptionJWK)
	var c Compiler
	first := with("{old: " + key + "}")
	at := func(objs Objects) *token.Provider {
		objs.IdentityProviders = first.IdentityProviders
		s, _ := c.Compile(objs, Options{})
		return s.Providers()[0]
	}
	seen := map[[32]byte]bool{}
	for _, step := range []struct {
		objs Objects
		ids  []string
	}{
		{first, []string{"old"}},
		{with("{old: " + key + ", new: x}"), []string{"old"}},
		{with("{new: " + key + "}"), []string{"new"}},
		{with("{}"), nil},
		{Objects{}, nil},
	} {
		p := at(step.objs)
		if !slices.Equal(p.Decryption.KeyIDs(), step.ids) || seen[p.Fingerprint] {
			t.Errorf("keys %q, want %q; fingerprint seen before: %t", p.Decryption.KeyIDs(), step.ids, seen[p.Fingerprint])
		}
		seen[p.Fingerprint] = true
		if at(step.objs) != p {
			t.Error("another provider though nothing has changed")
		}
	}
}
