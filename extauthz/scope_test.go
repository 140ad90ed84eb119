package extauthz

import (
	"context"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/metadata"

	"github.com/sallyport/sallyport/extauthz/policy"
)

func TestScope(t *testing.T) {
	const spiffe = "spiffe://cluster.local/ns/shop/sa/orders"
	shop := policy.Scope{Kind: policy.ScopeNamespace, Namespace: "shop"}
	for _, tt := range []struct {
		name      string
		extension *string
		metadata  []string
		principal string
		ignore    bool // the principal
		require   bool
		want      policy.Scope
		reason    policy.Reason
	}{
		{name: "none"},
		{name: "none, but required", require: true, reason: policy.ReasonScopeRequired},
		{name: "extension", extension: new("namespace/shop"), require: true, want: shop},
		{name: "metadata", metadata: []string{"service/shop/orders"}, want: policy.Scope{Kind: policy.ScopeService, Namespace: "shop", Name: "orders"}},
		{name: "both agree", extension: new("namespace/shop"), metadata: []string{"namespace/shop"}, want: shop},
		{name: "both differ", extension: new("namespace/shop"), metadata: []string{"namespace/other"}, reason: policy.ReasonInvalidScope},
		{name: "both differ, one is empty", extension: new(""), metadata: []string{"namespace/shop"}, reason: policy.ReasonInvalidScope},
		{name: "metadata twice", metadata: []string{"namespace/shop", "namespace/shop"}, reason: policy.ReasonInvalidScope},
		{name: "empty extension", extension: new(""), reason: policy.ReasonInvalidScope},
		{name: "empty metadata", metadata: []string{""}, reason: policy.ReasonInvalidScope},
		{name: "unreadable", extension: new("shop"), reason: policy.ReasonInvalidScope},
		{name: "unreadable, in spite of a principal", extension: new("namespace/"), principal: spiffe, reason: policy.ReasonInvalidScope},
		{name: "stated before the principal", extension: new("namespace/other"), principal: spiffe, want: policy.Scope{Kind: policy.ScopeNamespace, Namespace: "other"}},
		{name: "principal", principal: spiffe, require: true, want: shop},
		{name: "principal, not asked for", principal: spiffe, ignore: true},
		{name: "principal, not asked for, but required", principal: spiffe, ignore: true, require: true, reason: policy.ReasonScopeRequired},
		{name: "principal of another domain", principal: "spiffe://evil/ns/shop/sa/orders", reason: policy.ReasonInvalidScope},
		{name: "principal of another form", principal: "spiffe://cluster.local/workload/orders", reason: policy.ReasonInvalidScope},
		{name: "principal with more", principal: spiffe + "/x", reason: policy.ReasonInvalidScope},
		{name: "principal without a namespace", principal: "spiffe://cluster.local/ns//sa/orders", reason: policy.ReasonInvalidScope},
		{name: "principal without an account", principal: "spiffe://cluster.local/ns/shop/sa/", reason: policy.ReasonInvalidScope},
		{name: "principal that is no namespace", principal: "spiffe://cluster.local/ns/Shop/sa/orders", reason: policy.ReasonInvalidScope},
		{name: "principal that is no URI", principal: "CN=orders"},
		{name: "principal that is no URI, but required", principal: "CN=orders", require: true, reason: policy.ReasonScopeRequired},
		{name: "gateway", principal: "spiffe://cluster.local/ns/infra/sa/edge", require: true},
		{name: "gateway of a deeper path", principal: "spiffe://cluster.local/ns/infra/sa/edge/x", reason: policy.ReasonInvalidScope},
		{name: "gateway that states a scope", extension: new("gateway/infra/edge"), principal: "spiffe://cluster.local/ns/infra/sa/edge", want: policy.Scope{Kind: policy.ScopeGateway, Namespace: "infra", Name: "edge"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(c *Config) {
				c.RequireScope, c.ScopeFromPrincipal = tt.require, !tt.ignore
				c.TrustDomain, c.GatewayPrincipals = "cluster.local", []string{"spiffe://cluster.local/ns/infra/sa/*"}
			})
			in := ask("GET", "https://orders.example.com/")
			in.Attributes.Destination = &authv3.AttributeContext_Peer{Principal: tt.principal}
			if tt.extension != nil {
				in.Attributes.ContextExtensions = map[string]string{policy.ScopeKey: *tt.extension}
			}
			ctx := t.Context()
			if tt.metadata != nil {
				ctx = metadata.NewIncomingContext(ctx, metadata.MD{policy.ScopeKey: tt.metadata})
			}
			r := readOf(t, in)
			got, reason := w.scope(ctx, r)
			if got != tt.want || reason != tt.reason {
				t.Errorf("got %+v %q, want %+v %q", got, reason, tt.want, tt.reason)
			}
		})
	}
}

// TestScopeKeepsNeighboursOut: a sidecar takes any Host, so that of another namespace must not be judged by its policies.
func TestScopeKeepsNeighboursOut(t *testing.T) {
	w := newWorld(t, nil)
	in := ask("GET", "https://blog.example.com/")
	in.Attributes.ContextExtensions = map[string]string{policy.ScopeKey: "namespace/shop"}
	if got := meta(w.check(t, in), "reason"); got != "NoPolicy" {
		t.Errorf("the neighbour's public host answers with %q", got)
	}
	in.Attributes.ContextExtensions = map[string]string{policy.ScopeKey: "namespace/other"}
	if got := meta(w.check(t, in), "reason"); got != "Public" {
		t.Errorf("in its own namespace it answers with %q", got)
	}
	in.Attributes.ContextExtensions = map[string]string{policy.ScopeKey: ""}
	out := w.check(t, in)
	if got := meta(out, "reason"); got != "InvalidScope" || out.GetDeniedResponse().GetStatus().GetCode() != 403 {
		t.Errorf("an empty scope answers with %q", got)
	}
}

// TestScopeOverTheWire: initial metadata as a proxy sends it.
func TestScopeOverTheWire(t *testing.T) {
	w := newWorld(t, nil)
	conn, _ := w.serve(t)
	ctx := metadata.AppendToOutgoingContext(context.Background(), policy.ScopeKey, "namespace/shop")
	out, err := authv3.NewAuthorizationClient(conn).Check(ctx, ask("GET", "https://blog.example.com/"))
	if err != nil || meta(out, "reason") != "NoPolicy" {
		t.Errorf("%v %v", out, err)
	}
}
