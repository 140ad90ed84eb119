package envoy

import (
	"crypto/tls"
	"fmt"
	"testing"

	"github.com/sallyport/sallyport/cmd/demo"
)

// scoped is an Envoy that says for whom it speaks.
type scoped struct {
	context, metadata map[string]string
}

func states(scope string) map[string]string { return map[string]string{"sallyport-scope": scope} }

// scopeCase is what becomes of three requests through one Envoy: the tenant's own host with a token and without, and a
// neighbour's public host.
type scopeCase struct {
	name      string
	envoy     scoped
	own       string // with a token
	bare      string // without
	neighbour string
}

// TestSidecar has Envoys that hand every Host to their one workload, as a sidecar does. There a client could name the
// public host of another tenant; with a scope that opens nothing.
func TestSidecar(t *testing.T) {
	w := newWorld(t, []string{"scope.yaml"})
	const invalid = "InvalidScope"
	tests := []scopeCase{
		{"a gateway without a scope goes by Host", scoped{}, "Allowed", "MissingToken", "Public"},
		{"scope by context extension", scoped{context: states("namespace/team-a")}, "Allowed", "MissingToken", "NoPolicy"},
		{"scope by initial metadata", scoped{metadata: states("namespace/team-a")}, "Allowed", "MissingToken", "NoPolicy"},
		{"both say the same", scoped{states("namespace/team-a"), states("namespace/team-a")}, "Allowed", "MissingToken", "NoPolicy"},
		{"the neighbour's own sidecar", scoped{context: states("namespace/team-b")}, "NoPolicy", "NoPolicy", "Public"},
		{"a namespace without policies", scoped{context: states("namespace/team-c")}, "NoPolicy", "NoPolicy", "NoPolicy"},
		{"a Service without policies of its own", scoped{context: states("service/team-b/blog")}, "NoPolicy", "NoPolicy", "NoPolicy"},
		{"both say different things", scoped{states("namespace/team-a"), states("namespace/team-b")}, invalid, invalid, invalid},
		{"empty by context extension", scoped{context: states("")}, invalid, invalid, invalid},
		{"a word", scoped{context: states("team-b")}, invalid, invalid, invalid},
		{"no name", scoped{context: states("namespace/")}, invalid, invalid, invalid},
		{"capitals", scoped{context: states("Namespace/team-b")}, invalid, invalid, invalid},
		{"too many parts", scoped{metadata: states("namespace/team-b/blog")}, invalid, invalid, invalid},
		{"a wildcard", scoped{metadata: states("namespace/*")}, invalid, invalid, invalid},
		{"two scopes in one", scoped{metadata: states("namespace/team-a,namespace/team-b")}, invalid, invalid, invalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, w) })
	}
}

// TestRequireScope has the same Envoys in front of a Sallyport that refuses whoever states no scope.
func TestRequireScope(t *testing.T) {
	w := newWorld(t, []string{"scope.yaml"}, "--require-scope")
	const required = "ScopeRequired"
	for _, test := range []scopeCase{
		{"no scope", scoped{}, required, required, required},
		{"another key", scoped{context: map[string]string{"scope": "namespace/team-a"}}, required, required, required},
		{"scope by context extension", scoped{context: states("namespace/team-a")}, "Allowed", "MissingToken", "NoPolicy"},
		{"scope by initial metadata", scoped{metadata: states("namespace/team-b")}, "NoPolicy", "NoPolicy", "Public"},
		{"an unreadable scope", scoped{context: states("x")}, "InvalidScope", "InvalidScope", "InvalidScope"},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, w) })
	}
}

// TestScopeFromPrincipal has sidecars of a mesh, which state no scope: that of their own certificate counts, where
// Sallyport was told so. Gateways are named, and go by Host.
func TestScopeFromPrincipal(t *testing.T) {
	w := newWorld(t, []string{"scope.yaml"}, "--scope-from-principal", "--trust-domain=cluster.local",
		"--gateway-principals=spiffe://cluster.local/ns/infra/sa/*")
	mesh := newAuthority(t, "mesh")
	const invalid = "InvalidScope"
	for i, test := range []struct {
		name, principal string
		scope           string // that is stated all the same
		own, neighbour  string
	}{
		{name: "a sidecar of the tenant", principal: "spiffe://cluster.local/ns/team-a/sa/web", own: "Allowed", neighbour: "NoPolicy"},
		{name: "a sidecar of the neighbour", principal: "spiffe://cluster.local/ns/team-b/sa/web", own: "NoPolicy", neighbour: "Public"},
		{name: "a gateway", principal: "spiffe://cluster.local/ns/infra/sa/edge", own: "Allowed", neighbour: "Public"},
		{name: "another trust domain", principal: "spiffe://elsewhere.test/ns/team-b/sa/web", own: invalid, neighbour: invalid},
		{name: "a gateway of another trust domain", principal: "spiffe://elsewhere.test/ns/infra/sa/edge", own: invalid, neighbour: invalid},
		{name: "an identity of another form", principal: "spiffe://cluster.local/team-b/web", own: invalid, neighbour: invalid},
		{name: "a scope that is stated goes first", principal: "spiffe://cluster.local/ns/team-b/sa/web", scope: "namespace/team-a", own: "Allowed", neighbour: "NoPolicy"},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := fmt.Sprintf("proxy-%d", i)
			mesh.issueURI(t, name, test.principal)
			files := mesh.files(name)
			files.CAFile = "" // clients need no certificate
			config := demo.EnvoyConfig{TLS: files}
			if test.scope != "" {
				config.Authz.ContextExtensions = states(test.scope)
			}
			e := w.edge(t, config)
			for host, want := range map[string]string{"ledger.team-a.test": test.own, "blog.team-b.test": test.neighbour} {
				// The certificate names no host that a client could look for.
				conn, err := tls.Dial("tcp", e.Address(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
				if err != nil {
					t.Fatal(err)
				}
				a, err := exchange(conn, call{host: host, target: "/", token: w.token(t, nil)}.String())
				_ = conn.Close()
				if err != nil || a.reason() != want {
					t.Errorf("%s: %v, status %d, reason %s, want %s", host, err, a.status, a.reason(), want)
				}
			}
		})
	}
}

func (c scopeCase) run(t *testing.T, w *world) {
	e := w.edge(t, demo.EnvoyConfig{
		Authz: demo.AuthzConfig{ContextExtensions: c.envoy.context, InitialMetadata: c.envoy.metadata},
	})
	// A client may write whatever it likes into headers of these names.
	spoof := []string{"sallyport-scope: namespace/team-b", "X-Sallyport-Scope: namespace/team-b", "Sallyport_Scope: namespace/team-b"}
	for _, r := range []struct {
		host, token, want string
	}{
		{"ledger.team-a.test", w.token(t, nil), c.own},
		{"ledger.team-a.test", "", c.bare},
		{"blog.team-b.test", "", c.neighbour},
		{"BLOG.team-b.test.:80", "", c.neighbour},
	} {
		a := do(t, e.Address(), call{host: r.host, target: "/", token: r.token, header: spoof})
		status := map[string]int{"Allowed": 200, "Public": 200, "MissingToken": 401}[r.want]
		if status == 0 {
			status = 403
		}
		if a.reason() != r.want || a.status != status {
			t.Errorf("%s (token %t): status %d, reason %s, want %d, %s", r.host, r.token != "", a.status, a.reason(), status, r.want)
		}
	}
}
