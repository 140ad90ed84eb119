package policy

import (
	"testing"
)

const orders = corp + `
kind: AuthPolicy
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders.example.com, "*.orders.example.com"]
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  rules:
  - name: liveness
    matches: [{path: {type: Exact, value: /healthz}, methods: [GET, HEAD]}]
    access: Public
  - name: read-orders
    matches: [{path: {type: PathPrefix, value: /v1/orders}, methods: [GET, HEAD]}]
    require: {scopes: [orders.read]}
  - name: own-profile
    matches: [{path: {type: Template, value: "/v1/users/{user}/**"}}]
    require: {claims: [{claim: sub, operator: In, values: ["{user}"]}]}
    denied: {status: 404}
  - name: admin
    matches: [{path: {type: PathPrefix, value: /admin}}]
    require: {roles: [admin], anyOf: [{groups: [ops]}, {groups: [sre]}], expressions: [{expression: "claims.email_verified == true"}]}
  - name: checkout
    matches: [{grpc: {service: shop.v1.Checkout, method: Pay}}]
    require: {scopes: [orders.pay]}
`

func TestDecide(t *testing.T) {
	s := compile(t, orders, Options{})
	for _, tt := range []struct {
		name string
		call call
		want string
	}{
		{"public", get("https://orders.example.com/healthz"), "Public liveness"},
		{"wildcard host", get("https://eu.orders.example.com/healthz"), "Public liveness"},
		{"host with port, case and dot", get("https://Orders.Example.Com.:8443/healthz"), "Public liveness"},
		{"other host", get("https://example.com/healthz"), "NoPolicy"},
		{"no token", get("https://orders.example.com/v1/orders"), "MissingToken read-orders"},
		{"scope", get("https://orders.example.com/v1/orders/7").with(`{"sub":"a","scope":"x orders.read"}`), "allow read-orders"},
		{"no scope", get("https://orders.example.com/v1/orders/7").with(`{"sub":"a","scope":"orders.readx"}`), "InsufficientScope read-orders"},
		{"other method falls on no rule", request("PUT", "https://orders.example.com/v1/orders").with(`{"sub":"a","scope":"orders.read"}`), "NoRule"},
		{"own", get("https://orders.example.com/v1/users/al%20ice/x").with(`{"sub":"al ice"}`), "allow own-profile"},
		{"own, final slash", get("https://orders.example.com/v1/users/alice/").with(`{"sub":"alice"}`), "allow own-profile"},
		{"somebody else's", get("https://orders.example.com/v1/users/bob").with(`{"sub":"alice"}`), "InsufficientClaims own-profile"},
		{"admin", get("https://orders.example.com/admin/x").with(`{"sub":"a","roles":["admin"],"groups":["sre"],"email_verified":true}`), "allow admin"},
		{"admin, not verified", get("https://orders.example.com/admin/x").with(`{"sub":"a","roles":["admin"],"groups":["sre"],"email_verified":"true"}`), "ExpressionFailed admin"},
		{"admin, claim missing", get("https://orders.example.com/admin/x").with(`{"sub":"a","roles":["admin"],"groups":["sre"]}`), "ExpressionFailed admin"},
		{"admin, no group", get("https://orders.example.com/admin/x").with(`{"sub":"a","roles":["admin"],"groups":["dev"],"email_verified":true}`), "InsufficientClaims admin"},
		{"grpc", request("POST", "https://orders.example.com/shop.v1.Checkout/Pay").with(`{"sub":"a","scope":"orders.pay"}`), "allow checkout"},
		{"grpc, other method", request("POST", "https://orders.example.com/shop.v1.Checkout/Refund").with(`{"sub":"a","scope":"orders.pay"}`), "NoRule"},
		{"dot segment", get("https://orders.example.com/healthz/..%2fadmin"), "AmbiguousRequest"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := said(tt.call.decide(t, s).Verdict); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
