package demo

import (
	"fmt"
	"strings"
	"time"
)

// host is the one that the policy of the demo is for. A curl or a browser finds it on loopback without being told.
const host = "shop.localhost"

// request is one row of the table.
type request struct {
	who     string // as the table says it
	token   string // its name among the tokens; "": none
	method  string // "gRPC" for a unary call
	path    string
	headers map[string]string
	want    outcome
}

// outcome is what became of a request, as the table shows it.
type outcome struct {
	verdict string // Allow or Deny
	status  string
	reason  string
	rule    string
	saw     string // what the upstream received; "": nothing
}

var requests = []request{
	{
		who: "nobody", method: "GET", path: "/healthz",
		want: outcome{"Allow", "200", "Public", "liveness", "no user, no token"},
	}, {
		who: "nobody", method: "GET", path: "/v1/orders",
		want: outcome{"Deny", "401", "MissingToken", "read-orders", ""},
	}, {
		who: "alice, orders.read", token: "ALICE", method: "GET", path: "/v1/orders",
		want: outcome{"Allow", "200", "Allowed", "read-orders", "user alice, no token"},
	}, {
		who: "bob, orders.pay", token: "BOB", method: "GET", path: "/v1/orders",
		want: outcome{"Deny", "403", "InsufficientScope", "read-orders", ""},
	}, {
		who: "alice, expired", token: "EXPIRED", method: "GET", path: "/v1/orders",
		want: outcome{"Deny", "401", "TokenExpired", "read-orders", ""},
	}, {
		who: "alice, token for bank", token: "ELSEWHERE", method: "GET", path: "/v1/orders",
		want: outcome{"Deny", "401", "InvalidAudience", "read-orders", ""},
	}, {
		who: "bob, with alice's claims", token: "TAMPERED", method: "GET", path: "/v1/orders",
		want: outcome{"Deny", "401", "InvalidSignature", "read-orders", ""},
	}, {
		who: "alice", token: "ALICE", method: "PUT", path: "/v1/orders/7",
		want: outcome{"Deny", "403", "NoRule", "", ""},
	}, {
		who: "alice", token: "ALICE", method: "GET", path: "/v1/users/alice/profile",
		want: outcome{"Allow", "200", "Allowed", "own-profile", "user alice, no token"},
	}, {
		who: "alice", token: "ALICE", method: "GET", path: "/v1/users/bob/profile",
		want: outcome{"Deny", "404", "InsufficientClaims", "own-profile", ""},
	}, {
		who: "carol, role admin", token: "CAROL", method: "GET", path: "/admin/users",
		want: outcome{"Allow", "200", "Allowed", "admin", "user carol, no token"},
	}, {
		who: "alice", token: "ALICE", method: "GET", path: "/admin/users",
		want: outcome{"Deny", "403", "InsufficientClaims", "admin", ""},
	}, {
		who: "alice", token: "ALICE", method: "GET", path: "/v1/%2e%2e/admin",
		want: outcome{"Deny", "400", "AmbiguousRequest", "", ""},
	}, {
		who: "alice, x-user: root", token: "ALICE", method: "GET", path: "/v1/orders", headers: spoofed,
		want: outcome{"Allow", "200", "Allowed", "read-orders", "user alice, no token"},
	}, {
		who: "nobody, x-user: root", method: "GET", path: "/healthz", headers: spoofed,
		want: outcome{"Allow", "200", "Public", "liveness", "no user, no token"},
	}, {
		who: "bob, orders.pay", token: "BOB", method: "gRPC", path: "/shop.v1.Checkout/Pay",
		want: outcome{"Allow", "gRPC 0", "Allowed", "pay", "user bob, no token"},
	}, {
		who: "alice, orders.read", token: "ALICE", method: "gRPC", path: "/shop.v1.Checkout/Pay",
		want: outcome{"Deny", "gRPC 7", "InsufficientScope", "pay", ""},
	}, {
		who: "nobody", method: "gRPC", path: "/shop.v1.Checkout/Pay",
		want: outcome{"Deny", "gRPC 16", "MissingToken", "pay", ""},
	}, {
		who: "nobody, in a browser", method: "GET", path: "/app", headers: map[string]string{"Accept": "text/html"},
		want: outcome{"Deny", "302 to login", "MissingToken", "pages", ""},
	},
}

var spoofed = map[string]string{"x-user": "root"}

// mint signs the tokens that the requests name. They are good for an hour, but for the expired one.
func mint(issuer *Issuer) (map[string]string, error) {
	tokens := map[string]string{}
	for _, t := range []struct {
		name   string
		claims map[string]any
		opts   []TokenOption
	}{
		{"ALICE", map[string]any{"sub": "alice", "aud": "shop", "scope": "openid orders.read"}, nil},
		{"BOB", map[string]any{"sub": "bob", "aud": "shop", "scope": "openid orders.pay"}, nil},
		{
			"CAROL",
			map[string]any{"sub": "carol", "aud": "shop", "realm_access": map[string]any{"roles": []string{"admin"}}},
			[]TokenOption{SignedWith("ES256")},
		},
		{
			"EXPIRED",
			map[string]any{
				"sub": "alice", "aud": "shop", "scope": "orders.read",
				"iat": time.Now().Add(-2 * time.Hour).Unix(), "exp": time.Now().Add(-time.Hour).Unix(),
			},
			nil,
		},
		{"ELSEWHERE", map[string]any{"sub": "alice", "aud": "bank", "scope": "orders.read"}, nil},
	} {
		signed, err := issuer.Token(t.claims, t.opts...)
		if err != nil {
			return nil, fmt.Errorf("making token %q: %w", t.name, err)
		}
		tokens[t.name] = signed
	}
	alice, bob := strings.Split(tokens["ALICE"], "."), strings.Split(tokens["BOB"], ".")
	tokens["TAMPERED"] = bob[0] + "." + alice[1] + "." + bob[2]
	return tokens, nil
}
