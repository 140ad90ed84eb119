package policy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// world is a set of objects that is edited at random. Names are few, so that objects come back under the name of one
// that has gone, and hosts and targets are few, so that policies share them and quarrel about them.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	docs    map[string]string  // manifests by name
	decoded map[string]Objects // of those; the same pointers while the manifest is not written anew
	unread  map[ObjectRef][]UndecodedField
	opts    Options
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), docs: map[string]string{}, decoded: map[string]Objects{},
		unread: map[ObjectRef][]UndecodedField{}, opts: Options{OwnNamespace: "own"}}
	for range 40 {
		w.edit()
	}
	return w
}

func (w *world) of(words ...string) string { return words[w.rng.IntN(len(words))] }

func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

// edit makes one change, and says which.
func (w *world) edit() string {
	if w.chance(3) {
		w.opts = Options{OwnNamespace: w.of("own", "a"), DryRun: w.chance(20), HostGrants: w.chance(50), TrustDomain: w.of("", "cluster.local")}
		return fmt.Sprintf("options %+v", w.opts)
	}
	name, doc := w.draw()
	if _, there := w.docs[name]; there && w.chance(25) {
		delete(w.docs, name)
		delete(w.decoded, name)
		return "delete " + name
	}
	if before, there := w.docs[name]; there && w.chance(15) {
		doc = before // the same in a new pointer
	}
	w.put(name, doc)
	return "write " + name + ":\n" + doc
}

func (w *world) put(name, doc string) {
	objs := parse(w.t, doc)
	if len(objs.AuthPolicies) > 0 {
		p := objs.AuthPolicies[0]
		p.CreationTimestamp = metav1.NewTime(time.Date(2000+w.rng.IntN(5), 1, 1, 0, 0, 0, 0, time.UTC))
		if before := w.decoded[name].AuthPolicies; len(before) > 0 && w.chance(80) {
			p.CreationTimestamp = before[0].CreationTimestamp // edited, and not made anew
		}
		ref := ObjectRef{"AuthPolicy", p.Namespace, p.Name}
		delete(w.unread, ref)
		if w.chance(5) {
			w.unread[ref] = []UndecodedField{{Path: w.of("spec.rules[0].requires", "spec.modes"), Message: "is not known"}}
		}
	}
	w.docs[name], w.decoded[name] = doc, objs
}

// draw is a manifest of any kind.
func (w *world) draw() (name, doc string) {
	ns := w.of("a", "b", "c")
	kind := w.of("AuthPolicy", "AuthPolicy", "AuthPolicy", "AuthPolicy", "AuthPolicy", "AuthPolicy", "IdentityProvider", "ClusterIdentityProvider",
		"Secret", "ConfigMap", "Namespace", "Service", "Gateway", "HTTPRoute", "GRPCRoute")
	switch kind {
	case "AuthPolicy":
		name, doc = w.of("p0", "p1", "p2", "p3"), w.policy()
	case "IdentityProvider":
		name, doc = "local", w.provider("")
	case "ClusterIdentityProvider":
		ns, name, doc = "", w.of("corp", "partner"), w.provider(w.of("", "", "allowedNamespaces: {from: Selector, selector: {matchLabels: {team: red}}}"))
	case "Secret":
		name, ns, doc = "keys", w.of("a", "own"), fmt.Sprintf("stringData: {k: %s}", strings.Repeat(w.of("0", "1"), w.rng.IntN(40)))
	case "ConfigMap":
		name, ns, doc = "keys", w.of("a", "own"), w.of(`data: {k: '{"keys":[]}'}`, `data: {k: '{"keys":[{"kty":"oct"}]}'}`, `data: {other: x}`)
	case "Namespace":
		name, ns, doc = ns, "", ""
	case "Service":
		name, doc = w.of("s0", "s1"), "spec: {}"
	case "Gateway":
		name, doc = "g", fmt.Sprintf(`spec: {gatewayClassName: x, listeners: [{name: %s, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: %s}}}]}`, w.of("web", "old"), w.of("All", "Same"))
	case "HTTPRoute":
		name, doc = "r", fmt.Sprintf(`spec: {parentRefs: [{name: g, namespace: %s}], hostnames: [%s], rules: [{name: %s, matches: [{path: {value: %s}}], backendRefs: [{name: s0, port: 80}]}]}`,
			w.of("a", "b"), w.of("r.com", "a.com"), w.of("one", "two"), w.of("/", "/v1"))
	case "GRPCRoute":
		name, doc = "r", fmt.Sprintf(`spec: {parentRefs: [{name: g}], rules: [{matches: [{method: {service: %s}}], backendRefs: [{name: s0, port: 80}]}]}`, w.of("x.Y", "x.Z"))
	}
	meta := "{name: " + name
	if ns != "" {
		meta += ", namespace: " + ns
	}
	if kind == "Namespace" {
		meta += fmt.Sprintf(`, labels: {team: %s}, annotations: {sallyport.dev/hosts: "%s"}`, w.of("red", "blue"), w.of("a.com", "*.a.com", "a.com,*", "*.a.com,b.com", ""))
	}
	return kind + " " + ns + "/" + name, "kind: " + kind + "\nmetadata: " + meta + "}\n" + doc
}

func (w *world) provider(more string) string {
	return fmt.Sprintf("spec:\n  issuer: https://%s.example.com\n  audiences: [%s]\n  %s\n  %s\n", w.of("one", "two", "two"), w.of("one", "two", "one, two"),
		w.of("algorithms: [HS256]\n  keys: {secretKeyRef: {name: keys, key: k}}", "keys: {configMapKeyRef: {name: keys, key: k}}", "keys: {discovery: {}}", "keys: {discovery: {}}",
			"claimValidationRules: [{expression: \"claims.sub != 'bob'\"}]", "tokenSources: [{cookie: {name: t}}]"), more)
}

func (w *world) policy() string {
	var b strings.Builder
	b.WriteString("spec:\n")
	if w.chance(60) {
		hosts := []string{w.of("a.com", `"*.a.com"`, "x.a.com", "b.com", `"*"`)}
		if other := w.of("a.com", "c.com"); w.chance(40) {
			hosts = append(hosts, other)
		}
		fmt.Fprintf(&b, "  hosts: [%s]\n", strings.Join(hosts, ", "))
	} else {
		targets := []string{"{kind: Service, name: s0}", "{kind: Service, name: s1}", "{kind: Gateway, name: g}",
			"{kind: Gateway, name: g, sectionName: web}", "{kind: HTTPRoute, name: r}", "{kind: HTTPRoute, name: r, sectionName: one}", "{kind: GRPCRoute, name: r}"}
		w.rng.Shuffle(len(targets), func(i, j int) { targets[i], targets[j] = targets[j], targets[i] })
		fmt.Fprintf(&b, "  targetRefs: [%s]\n", strings.Join(targets[:1+w.rng.IntN(2)], ", "))
	}
	for _, line := range []string{"mode: DryRun", "preflight: Allow", "paths: {encodedSlash: Keep}", "paths: {semicolon: Strip}", "denied: {status: 404}",
		"upstream: {headers: [{name: x-user, claim: sub}]}", "upstream: {token: Remove, headers: [{name: x-host, claim: sub}]}",
		"require: {expressions: [{expression: \"claims.sub != 'eve'\"}]}", "require: {scopes: [all]}"} {
		if w.chance(12) && !strings.Contains(b.String(), "\n  "+line[:strings.Index(line, ":")+1]) {
			b.WriteString("  " + line + "\n")
		}
	}
	fmt.Fprintf(&b, "  identityProviders: [%s]\n  rules:\n", w.of("{name: local}", "{name: local}, {kind: ClusterIdentityProvider, name: corp}",
		"{kind: ClusterIdentityProvider, name: corp, audiences: [one]}", "{kind: ClusterIdentityProvider, name: partner}, {kind: ClusterIdentityProvider, name: corp}", "{name: absent}"))
	for i := range 1 + w.rng.IntN(3) {
		fmt.Fprintf(&b, "  - {name: r%d, matches: [{path: %s%s}], %s%s}\n", i,
			w.of("{value: /}", "{value: /v1}", "{type: Exact, value: /v1}", `{type: Template, value: "/v1/{u}"}`, `{type: Template, value: "/{t}/x"}`, `{type: Template, value: "/{t:v[0-9]}/x"}`),
			w.of("", "", ", methods: [GET]", ", headers: [{name: x-a, value: b}]"),
			w.of("access: Public", "access: Authenticated", "access: Optional", "access: Denied", "access: Publik", "require: {scopes: [s]}", "require: {claims: [{claim: sub, operator: In, values: [ann]}]}"),
			w.of("", "", ", mode: DryRun", ", mode: Enforce", ", denied: {status: 410}", `, from: {serviceAccounts: [a/b]}`))
	}
	return b.String()
}

// objects are all that there are, in no order.
func (w *world) objects() Objects {
	var out Objects
	for _, o := range w.decoded { // maps have no order
		out.AuthPolicies = append(out.AuthPolicies, o.AuthPolicies...)
		out.IdentityProviders = append(out.IdentityProviders, o.IdentityProviders...)
		out.ClusterIdentityProviders = append(out.ClusterIdentityProviders, o.ClusterIdentityProviders...)
		out.Secrets = append(out.Secrets, o.Secrets...)
		out.ConfigMaps = append(out.ConfigMaps, o.ConfigMaps...)
		out.Namespaces = append(out.Namespaces, o.Namespaces...)
		out.Services = append(out.Services, o.Services...)
		out.Gateways = append(out.Gateways, o.Gateways...)
		out.HTTPRoutes = append(out.HTTPRoutes, o.HTTPRoutes...)
		out.GRPCRoutes = append(out.GRPCRoutes, o.GRPCRoutes...)
	}
	out.Undecoded = map[ObjectRef][]UndecodedField{}
	for ref, fields := range w.unread {
		out.Undecoded[ref] = fields
	}
	return out
}

// calls are requests to everything that policies of a world may be about.
func (w *world) calls() (out []call) {
	for range 150 {
		c := request(w.of("GET", "GET", "POST"), "https://"+w.of("a.com", "x.a.com", "b.com", "c.com", "r.com", "s0.a", "s0", "nobody.org")+
			w.of("/", "/v1", "/v1/", "/v1/x", "/v2/x", "/v1/ann", "/x.Y/Call", "/v1/a;b", "/v1/a%2Fb")).
			with(w.of("", `{"sub":"ann","scope":"s all"}`, `{"sub":"bob","scope":"s"}`, `{"sub":"eve"}`, `{"sub":"ann","iss":"https://two.example.com","scope":"all"}`))
		if scope := w.of("", "", "", "namespace/a", "namespace/b", "service/a/s0", "service/b/s1", "gateway/a/g", "gateway/b/g"); scope != "" {
			c.Scope, _ = ParseScope(scope)
		}
		if w.chance(20) {
			c = c.header("x-a", "b").header("x_user", "me")
		}
		out = append(out, c)
	}
	return out
}
