package envoy

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/cmd/demo"
)

// TestIdentityHeaders shows that the application receives identity headers from Sallyport only, however a client
// spells and repeats its own.
func TestIdentityHeaders(t *testing.T) {
	w := newWorld(t, []string{"identity.yaml"})
	token := w.token(t, map[string]any{"groups": []string{"ops", "sre"}, "tier": "gold"})
	plain := w.token(t, nil)
	for _, raw := range []bool{false, true} {
		name := map[bool]string{false: "headers as a map", true: "headers raw"}[raw]
		t.Run(name, func(t *testing.T) {
			e := w.edge(t, demo.EnvoyConfig{
				HeadersWithUnderscores: "ALLOW", Authz: demo.AuthzConfig{EncodeRawHeaders: raw},
			})
			testIdentityHeaders(t, e.Address(), token, plain)
		})
	}
}

// identityCase is a request, to which every spoofed header is added, and the identity headers that are to arrive.
type identityCase struct {
	name string
	call call
	want []string
}

func identityCases(token, plain string) []identityCase {
	return []identityCase{
		{
			name: "those of the rule's policy are set, those of others removed",
			call: call{target: "/one", token: token},
			want: []string{"x-user-groups: ops,sre", "x-user: alice"},
		},
		{
			name: "a claim that is absent leaves no header",
			call: call{target: "/one", token: plain},
			want: []string{"x-user: alice"},
		},
		{
			name: "those of the other policy",
			call: call{target: "/two", token: token},
			want: []string{"x-tier: gold"},
		},
		{
			name: "an expression without a value leaves no header",
			call: call{target: "/two", token: plain},
		},
		{name: "public", call: call{target: "/one/public"}},
		{name: "public, with a token", call: call{target: "/one/public", token: token}},
		{name: "public of the other policy", call: call{target: "/two/public"}},
		{name: "optional without a token", call: call{target: "/one/optional"}},
		{
			name: "optional with a token",
			call: call{target: "/one/optional", token: token},
			want: []string{"x-user-groups: ops,sre", "x-user: alice"},
		},
		{
			name: "a preflight, with a token",
			call: call{
				method: "OPTIONS", target: "/one", token: token,
				header: []string{"Origin: https://id.test", "Access-Control-Request-Method: GET"},
			},
		},
		{name: "a host with DryRun policies only", call: call{host: "dry.test", target: "/"}},
		{name: "such a host, with a token", call: call{host: "dry.test", target: "/", token: token}},
		{name: "such a host, with a path that is ambiguous", call: call{host: "dry.test", target: "//a/%2e%2e/b"}},
	}
}

func testIdentityHeaders(t *testing.T, address, token, plain string) {
	for _, test := range identityCases(token, plain) {
		t.Run(test.name, func(t *testing.T) {
			if test.call.host == "" {
				test.call.host = "id.test"
			}
			spoof := spoofed
			if test.call.host == "dry.test" {
				spoof = spoofedUser // the others are none of that host's
			}
			test.call.header = append(test.call.header, spoof...)
			a := do(t, address, test.call)
			if !a.passed() {
				t.Fatalf("status %d, reason %s", a.status, a.reason())
			}
			if diff := cmp.Diff(test.want, identityHeaders(a.echo(t))); diff != "" {
				t.Errorf("the application's identity headers (-want +got):\n%s", diff)
			}
		})
	}
}

var (
	spoofedUser = []string{
		"x-user: root", "X-User: root", "X-USER: root", "x_user: root", "X_User: root", "X-User:", "x_user:",
		"x-user: root,admin", "Connection: x-user",
	}
	spoofed = append(slices.Clone(spoofedUser),
		"x-user-groups: ops", "x_user_groups: ops", "x-user_groups: ops", "x_user-groups: ops", "X_User-Groups: ops",
		"x-tier: gold", "X-Tier: gold", "x_tier: gold", "x-later: root", "x_later: root", "X-LATER: root",
	)
)

// identityHeaders are the headers of e that an application could take for one of the policies', as lines.
func identityHeaders(e demo.Echo) []string {
	var lines []string
	for name, values := range e.Headers {
		switch strings.ReplaceAll(name, "_", "-") {
		case "x-user", "x-user-groups", "x-tier", "x-later":
			for _, value := range values {
				lines = append(lines, name+": "+value)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// TestIdentityHeadersThatSallyportIsNotShown has an Envoy that shows Sallyport only some of the headers. A spelling that
// Sallyport does not see is Envoy's to drop.
func TestIdentityHeadersThatSallyportIsNotShown(t *testing.T) {
	w := newWorld(t, []string{"identity.yaml"})
	e := w.edge(t, demo.EnvoyConfig{
		HeadersWithUnderscores: "DROP_HEADER", Authz: demo.AuthzConfig{AllowedHeaders: []string{"authorization"}},
	})
	for target, want := range map[string][]string{"/one": {"x-user: alice"}, "/one/public": nil} {
		a := do(t, e.Address(), call{host: "id.test", target: target, token: w.token(t, nil), header: spoofed})
		if diff := cmp.Diff(want, identityHeaders(a.echo(t))); diff != "" {
			t.Errorf("%s: the application's identity headers (-want +got):\n%s", target, diff)
		}
	}
}
