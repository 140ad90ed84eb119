package policy

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/extauthz/token"
)

// decryption reads the keys that encrypted tokens are decrypted with. What is wrong with them closes the door to encrypted
// tokens, and to no others: the provider is there all the same, with the keys that could be read.
func (c *providerCompiler) decryption(t *token.Provider, at *field.Path) {
	in := c.spec.Decryption
	if in == nil {
		return
	}
	t.EncryptedOnly = in.Required
	t.Decryption = new(token.PrivateKeySet)
	ref := at.Child("secretRef")
	if in.SecretRef.Name == "" {
		c.p().required(ref.Child("name"), "the Secret with the private keys")
		return
	}
	data, ok := c.resolveAll(in.SecretRef.Name, ref)
	if !ok {
		return
	}
	set, faults := token.ParsePrivateKeys(data)
	for _, fault := range faults {
		c.p().invalid(ref, "", fmt.Sprintf("Secret %q: %s; tokens for that key are refused", in.SecretRef.Name, fault))
	}
	if set.Len() == 0 {
		c.p().invalid(ref, "", fmt.Sprintf("Secret %q holds no key to decrypt with; put a private key in PEM, or a JWK, under a name of its own", in.SecretRef.Name))
	}
	t.Decryption = set
}

// resolveAll reads all data of a Secret. They are part of what the provider is a function of.
func (c *providerCompiler) resolveAll(secret string, at *field.Path) (map[string][]byte, bool) {
	name := types.NamespacedName{Namespace: c.namespace, Name: secret}
	r := c.refs.readAll(kindSecret, name)
	c.out.reads = append(c.out.reads, r)
	if !c.p().found(&r, at) {
		return nil, false
	}
	c.fp.addAll(kindSecret, r.data)
	return r.data, true
}
