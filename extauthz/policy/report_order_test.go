package policy

import (
	"slices"
	"testing"
)

// TestReportDoesNotDependOnOrder: an informer hands out objects in any order, and what is attached to several of them is
// told of each. Nothing changed, so the report must be the same one, or its status would be written again and again.
func TestReportDoesNotDependOnOrder(t *testing.T) {
	const targets = "[{kind: Service, name: a}, {kind: Service, name: b}, {kind: Gateway, name: a, sectionName: web}, {kind: Gateway, name: b, sectionName: web}, " +
		"{kind: HTTPRoute, name: a}, {kind: HTTPRoute, name: b}, {kind: HTTPRoute, name: lost}, {kind: HTTPRoute, name: lost-too}]"
	const objects = `
kind: Service
metadata: {name: a, namespace: shop}
---
kind: Service
metadata: {name: b, namespace: shop}
---
kind: Gateway
metadata: {name: a, namespace: shop}
spec: {gatewayClassName: any, listeners: [{name: web, port: 80, protocol: HTTP}]}
---
kind: Gateway
metadata: {name: b, namespace: shop}
spec: {gatewayClassName: any, listeners: [{name: web, port: 80, protocol: HTTP}]}
---
kind: HTTPRoute
metadata: {name: a, namespace: shop}
spec: {parentRefs: [{name: a}], hostnames: [a.com], rules: [{backendRefs: [{name: a, port: 80}]}]}
---
kind: HTTPRoute
metadata: {name: b, namespace: shop}
spec: {parentRefs: [{name: b}], hostnames: [a.com], rules: [{backendRefs: [{name: b, port: 80}]}]}
---
kind: HTTPRoute
metadata: {name: lost, namespace: shop}
spec: {parentRefs: [{name: none}], rules: [{backendRefs: [{name: b, port: 80}]}]}
---
kind: HTTPRoute
metadata: {name: lost-too, namespace: shop}
spec: {parentRefs: [{name: none}], rules: [{backendRefs: [{name: b, port: 80}]}]}
---
kind: AuthPolicy
metadata: {name: keeps, namespace: shop}
spec:
  targetRefs: ` + targets + `
  paths: {encodedSlash: Keep}
  rules: [{name: left, matches: [{path: {type: Template, value: "/{a}/x"}}], access: Public}]
---
kind: AuthPolicy
metadata: {name: refuses, namespace: shop}
spec:
  targetRefs: ` + targets + `
  rules: [{name: right, matches: [{path: {type: Template, value: "/x/{b}"}}], access: Public}]
`
	objs, c := parse(t, objects), new(Compiler)
	_, first := c.Compile(objs, Options{})
	if n := len(first.Objects[0].Problems); n < 8 {
		t.Fatalf("%d problems, of eight targets: %+v", n, first.Objects[0].Problems)
	}
	for range 20 {
		slices.Reverse(objs.Services)
		slices.Reverse(objs.Gateways)
		slices.Reverse(objs.HTTPRoutes)
		if _, again := c.Compile(objs, Options{}); !slices.Equal(first.Objects, again.Objects) {
			t.Fatalf("one time it says\n%+v\nand another\n%+v", first.Objects[0].Problems, again.Objects[0].Problems)
		}
	}
}
