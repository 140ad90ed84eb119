package kube_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// TestDefaultsAreFilledIn compares whole specs, so that a default which nobody documents shows too.
func TestDefaultsAreFilledIn(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	for _, tt := range []struct{ name, kind, spec, want string }{
		{"the least policy", v1alpha1.KindAuthPolicy,
			`{hosts: [example.com], rules: [{name: r, access: Public}]}`,
			`{hosts: [example.com], mode: Enforce, preflight: Refuse,
			  rules: [{name: r, access: Public, matches: [{path: {type: PathPrefix, value: /}}]}]}`},
		{"parts of a policy", v1alpha1.KindAuthPolicy,
			`{hosts: [example.com], identityProviders: [{name: corp}], paths: {}, upstream: {},
			  denied: {body: {}, unauthenticated: {redirect: {url: "https://login.example.com"}}},
			  rules: [{name: r, access: Public, matches: [
			    {methods: [GET]}, {path: {}}, {path: {type: Exact}}, {headers: [{name: a, value: b}]}, {grpc: {service: a.B}}]}]}`,
			`{hosts: [example.com], mode: Enforce, preflight: Refuse,
			  identityProviders: [{kind: IdentityProvider, name: corp}],
			  paths: {encodedSlash: Refuse, semicolon: Refuse}, upstream: {token: Forward},
			  denied: {body: {type: ProblemJSON}, unauthenticated: {redirect: {url: "https://login.example.com", onlyFor: HTML, stepUp: Refuse}}},
			  rules: [{name: r, access: Public, matches: [
			    {methods: [GET]}, {path: {type: PathPrefix, value: /}}, {path: {type: Exact, value: /}},
			    {headers: [{type: Exact, name: a, value: b}]}, {grpc: {service: a.B}}]}]}`},
		{"the least provider", v1alpha1.KindIdentityProvider,
			`{issuer: "https://id.example.com", audiences: [api]}`,
			`{issuer: "https://id.example.com", audiences: [api], audienceClaim: aud, clockSkew: 30s}`},
		{"parts of a provider", v1alpha1.KindIdentityProvider,
			`{issuer: "https://id.example.com", audiences: [api], refresh: {}, claimMappings: {}, senderConstraint: {dpop: {}}}`,
			`{issuer: "https://id.example.com", audiences: [api], audienceClaim: aud, clockSkew: 30s,
			  refresh: {interval: 10m, minInterval: 10s, staleFor: 24h},
			  claimMappings: {subject: sub, scopes: scope, roles: roles, groups: groups},
			  senderConstraint: {mode: IfBound, dpop: {maxProofAge: 60s, nonce: None}}}`},
		{"namespaces of a cluster provider", v1alpha1.KindClusterIdentityProvider,
			`{issuer: "https://id.example.com", audiences: [api], allowedNamespaces: {}}`,
			`{issuer: "https://id.example.com", audiences: [api], audienceClaim: aud, clockSkew: 30s, allowedNamespaces: {from: All}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := objectOf(t, tt.kind, ns, "", tt.spec)
			o.SetGenerateName("defaults-")
			c.create(t, o)
			var want any
			if err := yaml.Unmarshal([]byte(tt.want), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, o.Object["spec"]); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
		})
	}
}
