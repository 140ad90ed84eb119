package controller

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// eventWorld are the objects that events are about. What stands behind "---" are states of one object: an event puts one
// of them in place of another.
var eventWorld = []string{`
{kind: ClusterIdentityProvider, metadata: {name: corp}, spec: {issuer: "https://id.example.com", audiences: [a]}}
---
{kind: ClusterIdentityProvider, metadata: {name: corp}, spec: {issuer: "https://id.example.com", audiences: [b]}}
---
{kind: ClusterIdentityProvider, metadata: {name: corp}, spec: {issuer: "https://other.example.com", audiences: [a], claimValidationRules: [{expression: "claims.x == 1"}]}}
---
{kind: ClusterIdentityProvider, metadata: {name: corp}, spec: {issuer: "http://id.example.com", audiences: [], unknown: 1}}
---
{kind: ClusterIdentityProvider, metadata: {name: corp}, spec: {issuer: "https://id.example.com", audiences: [a], allowedNamespaces: {from: Selector, selector: {matchLabels: {team: web}}}}}
`, `
{kind: IdentityProvider, metadata: {name: own, namespace: shop}, spec: {issuer: "https://own.example.com", audiences: [a], tokenSources: [{cookie: {name: sid}}]}}
---
{kind: IdentityProvider, metadata: {name: own, namespace: shop}, spec: {issuer: "https://id.example.com", audiences: [a]}}
`, `
{kind: AuthPolicy, metadata: {name: orders, namespace: shop}, spec: {hosts: [orders.example.com], identityProviders: [{kind: ClusterIdentityProvider, name: corp}], rules: [{name: read, matches: [{path: {value: /v1}}], require: {scopes: [read]}}, {name: open, matches: [{path: {type: Exact, value: /healthz}}], access: Public}]}}
---
{kind: AuthPolicy, metadata: {name: orders, namespace: shop}, spec: {hosts: [orders.example.com], identityProviders: [{kind: ClusterIdentityProvider, name: corp}], rules: [{name: read, matches: [{path: {value: /v1}}], access: Public}]}}
---
{kind: AuthPolicy, metadata: {name: orders, namespace: shop}, spec: {hosts: [orders.example.com], identityProviders: [{kind: ClusterIdentityProvider, name: corp}], rules: [{name: read, matches: [{path: {value: /v1}}], require: {scopes: [read], rolez: [x]}}]}}
---
{kind: AuthPolicy, metadata: {name: orders, namespace: shop}, spec: {hosts: [orders.example.com], mode: DryRun, identityProviders: [{kind: ClusterIdentityProvider, name: corp}], rules: [{name: read, matches: [{path: {value: /v1}}], require: {expressions: [{expression: "claims.x == 1"}]}}]}}
---
{kind: AuthPolicy, metadata: {name: orders, namespace: shop}, spec: {hosts: ["*.example.com"], identityProviders: [{name: own}], rules: [{name: read, matches: [{path: {type: Template, value: "/{a}"}}], require: {claims: [{claim: sub, operator: In, values: ["{a}"]}]}}], upstream: {headers: [{name: x-user, claim: sub}]}}}
`, `
{kind: AuthPolicy, metadata: {name: second, namespace: shop}, spec: {hosts: [orders.example.com], identityProviders: [{name: own}], rules: [{name: read, matches: [{path: {value: /v1}}], access: Authenticated}]}}
---
{kind: AuthPolicy, metadata: {name: second, namespace: shop}, spec: {hosts: [orders.example.com], rules: [{name: put, matches: [{path: {value: /v1}, methods: [PUT]}], access: Denied}]}}
---
{kind: AuthPolicy, metadata: {name: second, namespace: shop}, spec: {hosts: [orders.example.com], paths: {encodedSlash: Keep}, rules: [{name: broken, matches: [{path: {type: Template, value: "/{a:(}"}}], access: Public}]}}
`, `
{kind: AuthPolicy, metadata: {name: orders, namespace: other}, spec: {hosts: [orders.example.com, other.example.com], rules: [{name: all, access: Public}]}}
---
{kind: AuthPolicy, metadata: {name: orders, namespace: other}, spec: {hosts: ["*"], rules: [{name: all, access: Denied}], upstream: {headers: [{name: x-other, claim: sub}]}}}
`, `
{kind: AuthPolicy, metadata: {name: routed, namespace: shop}, spec: {targetRefs: [{kind: HTTPRoute, name: orders}], rules: [{name: route, access: Public}]}}
---
{kind: AuthPolicy, metadata: {name: routed, namespace: shop}, spec: {targetRefs: [{kind: Service, name: orders}], rules: [{name: service, access: Public}]}}
`, `
{kind: AuthPolicy, metadata: {name: edge, namespace: infra}, spec: {targetRefs: [{kind: Gateway, name: edge}], rules: [{name: edge, access: Denied}]}}
---
{kind: AuthPolicy, metadata: {name: edge, namespace: infra}, spec: {targetRefs: [{kind: Gateway, name: edge}], inheritance: Required, identityProviders: [{kind: ClusterIdentityProvider, name: corp}], rules: [{name: edge, access: Authenticated}]}}
`, `
{kind: Gateway, metadata: {name: edge, namespace: infra}, spec: {gatewayClassName: any, listeners: [{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]}}
---
{kind: Gateway, metadata: {name: edge, namespace: infra}, spec: {gatewayClassName: any, listeners: [{name: http, port: 80, protocol: HTTP, hostname: routed.example.com}]}}
`, `
{kind: HTTPRoute, metadata: {name: orders, namespace: shop}, spec: {parentRefs: [{name: edge, namespace: infra}], hostnames: [routed.example.com], rules: [{matches: [{path: {type: PathPrefix, value: /}}]}]}}
---
{kind: HTTPRoute, metadata: {name: orders, namespace: shop}, spec: {parentRefs: [{name: edge, namespace: infra}], hostnames: [orders.example.com], rules: [{matches: [{path: {type: Exact, value: /v1}}]}]}}
`, `
{kind: Namespace, metadata: {name: shop, labels: {team: web}, annotations: {sallyport.dev/hosts: "orders.example.com, *.example.com"}}}
---
{kind: Namespace, metadata: {name: shop, labels: {team: shop}}}
`, `
{kind: Namespace, metadata: {name: other, annotations: {sallyport.dev/hosts: "*, other.example.com"}}}
---
{kind: Namespace, metadata: {name: other, annotations: {sallyport.dev/hosts: orders.example.com}}}
`, `
{kind: Service, metadata: {name: orders, namespace: shop}, spec: {ports: [{port: 80}]}}
---
{kind: Service, metadata: {name: orders, namespace: shop}, spec: {ports: [{port: 8080}]}}
`}

// clusterObject is one object as the API server holds it.
type clusterObject struct {
	state           int
	uid, generation int
	resourceVersion int
	createdAt       int
}

// json is what the API server sends of object n.
func (o clusterObject) json(t *testing.T, n int) (kind string, data []byte) {
	t.Helper()
	states := strings.Split(eventWorld[n], "\n---\n")
	var tree map[string]any
	if err := yaml.Unmarshal([]byte(states[o.state%len(states)]), &tree); err != nil {
		t.Fatal(err)
	}
	meta := tree["metadata"].(map[string]any)
	meta["uid"], meta["generation"], meta["resourceVersion"] = fmt.Sprint("u", o.uid), o.generation, fmt.Sprint(o.resourceVersion)
	meta["creationTimestamp"] = fmt.Sprintf("2026-01-02T03:%02d:%02dZ", o.createdAt/60%60, o.createdAt%60)
	data, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return tree["kind"].(string), data
}

// informed is the object as an informer hands it out.
func (o clusterObject) informed(t *testing.T, n int) (kind string, out client.Object) {
	t.Helper()
	kind, data := o.json(t, n)
	for _, k := range clusterKinds() {
		if k.Kind != kind {
			continue
		}
		out = k.example.DeepCopyObject().(client.Object)
		if err := json.Unmarshal(data, out); err != nil {
			t.Fatal(err)
		}
		trimmed, err := trim(out)
		if err != nil {
			t.Fatal(err)
		}
		return kind, trimmed.(client.Object)
	}
	t.Fatalf("kind %q is not watched", kind)
	return "", nil
}
