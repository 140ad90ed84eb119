package policy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// twoTenants is a platform with a shared Gateway and two tenants, of which b does what he can.
const twoTenants = `
kind: Namespace
metadata: {name: a, annotations: {sallyport.dev/hosts: "a.example.com, *.a.example.com"}}
---
kind: Namespace
metadata: {name: b, annotations: {sallyport.dev/hosts: "b.example.com"}}
---
kind: Service
metadata: {name: app, namespace: a}
---
kind: Service
metadata: {name: app, namespace: b}
---
kind: Gateway
metadata: {name: edge, namespace: infra}
spec:
  gatewayClassName: any
  listeners:
  - {name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
  - {name: https, port: 443, protocol: HTTPS, hostname: "*.example.com", allowedRoutes: {namespaces: {from: All}}}
---
`

var (
	lawHosts  = []string{"a.example.com", "x.a.example.com", "b.example.com", "*.example.com", "c.example.com", "app.a.svc"}
	lawPaths  = []string{"{path: {value: /}}", "{path: {value: /api}}", "{path: {type: Exact, value: /api/x}}", "{path: {type: RegularExpression, value: /a.*}}", "{path: {value: /api}, method: PUT}", "{headers: [{name: x-a, value: '1'}]}"}
	lawAccess = []string{"Public", "Denied"}
)

// lawWorlds is the number of worlds that are drawn for a law.
func lawWorlds() int {
	if testing.Short() {
		return 15
	}
	return 150
}

// drawn is a random word of a list.
func drawn(rng *rand.Rand, of []string) string { return of[rng.IntN(len(of))] }

// drawObjects makes n routes with policies for some, and policies for hosts and Services, in a namespace. Routes are
// attached to the parent.
func drawObjects(rng *rand.Rand, namespace, parent string, n int) string {
	var b strings.Builder
	policy := func(name, spec string) {
		if rng.IntN(4) == 0 {
			spec += ", mode: DryRun"
		}
		fmt.Fprintf(&b, "kind: AuthPolicy\nmetadata: {name: %s, namespace: %s}\nspec: {%s, rules: [{name: %s, access: %s}]}\n---\n", name, namespace, spec, namespace+"-"+name, drawn(rng, lawAccess))
	}
	for i := range n {
		name := fmt.Sprintf("r%d", i)
		fmt.Fprintf(&b, "kind: HTTPRoute\nmetadata: {name: %s, namespace: %s, creationTimestamp: \"2026-01-0%dT00:00:00Z\"}\nspec: {parentRefs: [%s], hostnames: ['%s'], rules: [{name: s, matches: [%s], backendRefs: [{name: app, port: 80}]}]}\n---\n",
			name, namespace, 1+rng.IntN(3), parent, lawHosts[rng.IntN(5)], drawn(rng, lawPaths))
		if rng.IntN(2) == 0 {
			policy(name, "targetRefs: [{kind: HTTPRoute, name: "+name+"}]")
		}
	}
	if rng.IntN(2) == 0 {
		policy("host", "hosts: ['"+drawn(rng, lawHosts)+"']")
	}
	if rng.IntN(2) == 0 {
		policy("service", "targetRefs: [{kind: Service, name: app}]")
	}
	return b.String()
}

func drawTenantRequest(rng *rand.Rand, scope string, t *testing.T) call {
	host := strings.Replace(lawHosts[rng.IntN(len(lawHosts))], "*", "w", 1)
	scheme := drawn(rng, []string{"http", "https"})
	c := scoped(t, scope, scheme+"://"+host+drawn(rng, []string{"/", "/api", "/api/x", "/api/y", "/%61pi"}))
	c.Method = drawn(rng, []string{"GET", "PUT"})
	if rng.IntN(2) == 0 {
		c = c.header("x-a", drawn(rng, []string{"1", "2"}))
	}
	return c
}

// TestNeighbourElsewhere is a law: what a tenant does with his own Gateways, routes, Services and the hosts that he was
// granted changes no verdict of a proxy that states another's scope.
func TestNeighbourElsewhere(t *testing.T) {
	env := newEnvironment()
	rng := rand.New(rand.NewPCG(1, 2))
	for range lawWorlds() {
		shared := twoTenants + drawObjects(rng, "a", "{name: edge, namespace: infra}", 3)
		own := strings.Replace(strings.Replace(twoTenants[strings.Index(twoTenants, "kind: Gateway"):], "name: edge", "name: own", 1), "namespace: infra", "namespace: b", 1) +
			drawObjects(rng, "b", "{name: own}, {group: '', kind: Service, name: app, namespace: a}, {kind: ListenerSet, name: x}", 3) +
			attached("deny-gateway", "b", "inheritance: Required, targetRefs: [{kind: Gateway, name: own}]")
		before, _ := (&Compiler{env: env}).Compile(parse(t, shared), Options{HostGrants: true})
		after, _ := (&Compiler{env: env}).Compile(parse(t, shared+own), Options{HostGrants: true})
		for range 20 {
			c := drawTenantRequest(rng, drawn(rng, []string{"gateway/infra/edge", "namespace/a", "service/a/app"}), t)
			if c.Host == "b.example.com" {
				continue // his
			}
			if was, is := said(c.decide(t, before).Verdict), said(c.decide(t, after).Verdict); was != is {
				t.Fatalf("%s %s%s, scope %v: %q, and with b %q\n%s", c.Method, c.Host, c.Path, c.Scope, was, is, shared+own)
			}
		}
	}
}

// TestNeighbourOpensNothing is a law: without a scope, a tenant with a Gateway of his own opens no request that may land
// on a route of the shared one, nor any for a host that was granted to another.
func TestNeighbourOpensNothing(t *testing.T) {
	env := newEnvironment()
	rng := rand.New(rand.NewPCG(3, 4))
	allowed := 0
	for range lawWorlds() {
		shared := twoTenants + drawObjects(rng, "a", "{name: edge, namespace: infra}", 3)
		own := strings.Replace(strings.Replace(twoTenants[strings.Index(twoTenants, "kind: Gateway"):], "name: edge", "name: own", 1), "namespace: infra", "namespace: b", 1) +
			drawObjects(rng, "b", "{name: own}", 3)
		before, _ := (&Compiler{env: env}).Compile(parse(t, shared), Options{HostGrants: true})
		after, _ := (&Compiler{env: env}).Compile(parse(t, shared+own), Options{HostGrants: true})
		for range 20 {
			c := drawTenantRequest(rng, "", t)
			was, is := c.decide(t, before).Verdict, c.decide(t, after).Verdict
			if is.Allow {
				allowed++
			}
			req, reason := NewRequest(c.Input)
			if reason != "" {
				t.Fatal(reason)
			}
			opened := is.Allow && !was.Allow && c.Host != "b.example.com"
			if opened && (strings.HasSuffix(c.Host, "a.example.com") || routedAt(after, "edge", req)) {
				t.Fatalf("%s %s%s: %q, and with b %q\n%s", c.Method, c.Host, c.Path, said(was), said(is), shared+own)
			}
		}
	}
	if allowed == 0 {
		t.Error("nothing was allowed")
	}
}

// routedAt tells whether a Gateway of infra has a route for the request.
func routedAt(s *Snapshot, name string, req *Request) bool {
	for _, g := range s.gatewayOrder {
		for _, p := range g.land(&visit{req: req}) {
			if g.name.Namespace == "infra" && g.name.Name == name && p.rule != nil {
				return true
			}
		}
	}
	return false
}

// TestNamespaceMadeAgain shows that a namespace that is deleted and made again has nothing of what it had: no grant, and
// no precedence by age.
func TestNamespaceMadeAgain(t *testing.T) {
	namespace := func(name, hosts string) string {
		return "kind: Namespace\nmetadata: {name: " + name + ", annotations: {" + v1alpha1.HostsAnnotation + ": '" + hosts + "'}}\n---\n"
	}
	born := func(name, ns, year string) string {
		return strings.Replace(attached(name, ns, "hosts: [x.com]"), "namespace: "+ns, "namespace: "+ns+", creationTimestamp: \""+year+"-01-01T00:00:00Z\"", 1)
	}
	for _, tt := range []struct {
		name   string
		grants bool
		steps  []string // objects
		want   []string
	}{
		{"grants go with it", true,
			[]string{namespace("a", "x.com") + born("allow-a", "a", "2024"), "", namespace("a", "") + born("allow-a", "a", "2026"), namespace("a", "") + namespace("b", "x.com") + born("allow-a", "a", "2026") + born("deny-b", "b", "2026")},
			[]string{"Public allow-a", "NoPolicy", "NoPolicy", "Denied deny-b"}},
		{"a grant that it was given again holds again", true,
			[]string{namespace("a", "x.com") + born("allow-a", "a", "2024"), namespace("b", "*"), namespace("a", "x.com") + namespace("b", "*") + born("deny-b", "b", "2020")},
			[]string{"Public allow-a", "NoPolicy", "NoPolicy"}},
		{"without grants the host is whose policy is older by then", false,
			[]string{born("allow-a", "a", "2024") + born("deny-b", "b", "2025"), born("deny-b", "b", "2025"), born("allow-a", "a", "2026") + born("deny-b", "b", "2025")},
			[]string{"Public allow-a", "Denied deny-b", "Denied deny-b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kept := new(Compiler)
			for i, step := range tt.steps {
				objs := parse(t, step)
				for _, c := range []*Compiler{kept, new(Compiler)} {
					s, _ := c.Compile(objs, Options{HostGrants: tt.grants})
					if got := said(get("https://x.com/").decide(t, s).Verdict); got != tt.want[i] {
						t.Errorf("step %d: got %q, want %q", i, got, tt.want[i])
					}
				}
			}
		})
	}
}
