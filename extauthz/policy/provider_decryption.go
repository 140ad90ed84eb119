package policy

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
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
	if !c.found(&r, at) {
		return nil, false
	}
	c.fp.addAll(kindSecret, r.data)
	return r.data, true
}

// found tells whether r found something, and says what to do where it did not.
func (c *providerCompiler) found(r *keyRead, at *field.Path) bool {
	switch r.found {
	case readForbidden:
		c.p().add(at.Child("name"), SeverityError, v1alpha1.ReasonRefNotPermitted, fmt.Sprintf("Sallyport may not read the %ss of namespace %q; whoever installs Sallyport adds it to referenceNamespaces", r.kind, c.namespace))
	case readNoObject:
		c.p().add(at.Child("name"), SeverityError, v1alpha1.ReasonRefNotFound, fmt.Sprintf("there is no %s %s; create it, or mend the name", r.kind, r.object))
	case readNoKey:
		c.p().add(at.Child("key"), SeverityError, v1alpha1.ReasonRefNotFound, fmt.Sprintf("%s %s has no key %q", r.kind, r.object, r.key))
	case readValue:
		return true
	}
	return false
}
