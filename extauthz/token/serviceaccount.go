package token

import (
	"fmt"
	"strings"
)

// What Kubernetes calls a ServiceAccount and the groups that it is in.
const (
	serviceAccountPrefix = "system:serviceaccount:"
	serviceAccountsGroup = "system:serviceaccounts"
	// kubernetesClaim is the claim that says for what a ServiceAccount's token was made.
	kubernetesClaim = "kubernetes.io"
)

// ServiceAccountOf takes the subject of a ServiceAccount's token, system:serviceaccount:NAMESPACE:NAME, apart.
func ServiceAccountOf(subject string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(subject, serviceAccountPrefix)
	if !ok {
		return "", "", false
	}
	namespace, name, ok = strings.Cut(rest, ":")
	return namespace, name, ok && namespace != "" && name != "" && !strings.Contains(name, ":")
}

// ServiceAccountClaims is what the token of a ServiceAccount says of it beside its subject, under a name of its own.
func ServiceAccountClaims(namespace, serviceAccount string) (name string, value map[string]any) {
	return kubernetesClaim, map[string]any{"namespace": namespace, "serviceaccount": map[string]any{"name": serviceAccount}}
}

// readServiceAccount requires the subject of a ServiceAccount, of which the token says the same elsewhere, and puts it into
// the groups that Kubernetes puts it into.
func (id *Identity) readServiceAccount() error {
	namespace, name, ok := ServiceAccountOf(id.Subject)
	if !ok {
		return fmt.Errorf("%w: it is no ServiceAccount", ErrSubject)
	}
	said, _ := id.claims[kubernetesClaim].(map[string]any)
	account, _ := said["serviceaccount"].(map[string]any)
	if said["namespace"] != namespace || account["name"] != name {
		return fmt.Errorf("%w: the token was made for another ServiceAccount, or does not say for which", ErrSubject)
	}
	id.Groups = []string{serviceAccountsGroup, serviceAccountsGroup + ":" + namespace}
	return nil
}
