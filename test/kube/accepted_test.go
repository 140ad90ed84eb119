package kube_test

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// TestWhatIsAllowedIsAccepted shows specs at the edge of a rule of the schema: a rule that refused too much would be
// noticed by nobody who looks at mistakes only.
func TestWhatIsAllowedIsAccepted(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	const asked = `clientID: a, clientSecretRef: {name: a, key: b}`
	for _, test := range []struct{ name, kind, spec string }{
		{"a maxAge of a second", v1alpha1.KindAuthPolicy, requirement(`{stepUp: {maxAge: 1s}}`)},
		{"a maxAge of minutes", v1alpha1.KindAuthPolicy, requirement(`{stepUp: {maxAge: 15m}}`)},
		{"a maxAge of hours, minutes and seconds", v1alpha1.KindAuthPolicy, requirement(`{stepUp: {maxAge: 1h30m10s}}`)},
		{"a maxAge of many milliseconds", v1alpha1.KindAuthPolicy, requirement(`{stepUp: {maxAge: 2000ms}}`)},
		{"introspection of opaque tokens", v1alpha1.KindIdentityProvider, provider(`introspection: {tokens: Opaque, ` + asked + `}`)},
		{"introspection of all tokens", v1alpha1.KindIdentityProvider, provider(`introspection: {tokens: All, ` + asked + `}`)},
		{"introspection for an hour", v1alpha1.KindIdentityProvider, provider(`introspection: {cacheTTL: 1h, ` + asked + `}`)},
		{"introspection for no time", v1alpha1.KindIdentityProvider, provider(`introspection: {cacheTTL: 0s, ` + asked + `}`)},
		{"introspection that may take five seconds", v1alpha1.KindIdentityProvider, provider(`introspection: {timeout: 5s, ` + asked + `}`)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := c.client.Create(t.Context(), objectOf(t, test.kind, ns, "fine", test.spec), client.DryRunAll); err != nil {
				t.Error(err)
			}
		})
	}
}
