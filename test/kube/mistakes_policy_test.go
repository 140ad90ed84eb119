package kube_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// rule is a policy of one rule; requirement one whose rule has this require; matches one whose rule has this match.
func rule(text string) string { return "{hosts: [example.com], rules: [" + text + "]}" }

func requirement(text string) string { return rule("{name: r, require: " + text + "}") }

func matches(text string) string { return rule("{name: r, access: Public, matches: [" + text + "]}") }

func from(text string) string { return rule("{name: r, access: Public, from: " + text + "}") }

// open is a policy that is sound but for what is added to its spec.
func open(text string) string {
	return "{hosts: [example.com], rules: [{name: r, access: Public}], " + text + "}"
}

// many is a list of n texts in YAML, each made from its number.
func many(n int, format string) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(format, i))
	}
	return "[" + strings.Join(out, ", ") + "]"
}

func TestMistakesInPoliciesAreRefused(t *testing.T) {
	refuse(t, v1alpha1.KindAuthPolicy, []mistake{
		{"no hosts", `{rules: [{name: r, access: Public}]}`, "spec", "say exactly one of hosts and targetRefs"},
		{"hosts and targets", `{hosts: [a], targetRefs: [{kind: HTTPRoute, name: r}], rules: [{name: r, access: Public}]}`, "spec", "say exactly one of hosts and targetRefs"},
		{"a target of another kind", `{targetRefs: [{kind: Pod, name: r}], rules: [{name: r, access: Public}]}`, "spec.targetRefs[0].kind", "supported values"},
		{"a target of another group", `{targetRefs: [{group: apps, kind: HTTPRoute, name: r}], rules: [{name: r, access: Public}]}`, "spec.targetRefs[0]", "group must be that of the kind"},
		{"a section of a Service", `{targetRefs: [{kind: Service, name: r, sectionName: s}], rules: [{name: r, access: Public}]}`, "spec.targetRefs[0]", "a Service has no sections"},
		{"inheritance of hosts", `{hosts: [a], inheritance: Required, rules: [{name: r, access: Public}]}`, "spec", "inheritance is for a policy on a Gateway"},
		{"an empty list of hosts", `{hosts: [], rules: [{name: r, access: Public}]}`, "spec.hosts", "should have at least 1 items"},
		{"a host twice", `{hosts: [a, a], rules: [{name: r, access: Public}]}`, "spec.hosts[1]", `Duplicate value: "a"`},
		{"a host that is a URL", `{hosts: ["https://a.example.com"], rules: [{name: r, access: Public}]}`, "spec.hosts[0]", "without scheme, port or path"},
		{"a host with a port", `{hosts: ["example.com:443"], rules: [{name: r, access: Public}]}`, "spec.hosts[0]", "without scheme, port or path"},
		{"a wildcard in the middle", `{hosts: [a.*.example.com], rules: [{name: r, access: Public}]}`, "spec.hosts[0]", "a wildcard such as *.example.com"},
		{"too many hosts", `{rules: [{name: r, access: Public}], hosts: ` + many(65, "h%d") + `}`, "spec.hosts", "must have at most 64 items"},
		{"no rules", `{hosts: [example.com]}`, "spec.rules", "Required value"},
		{"an empty list of rules", `{hosts: [example.com], rules: []}`, "spec.rules", "should have at least 1 items"},
		{"too many rules", `{hosts: [example.com], rules: ` + many(257, "{name: r%d, access: Public}") + `}`, "spec.rules", "must have at most 256 items"},
		{"an unknown mode", open(`mode: Audit`), "spec.mode", `supported values: "Enforce", "DryRun"`},
		{"a preflight that YAML reads as true", open(`preflight: Yes`), "spec.preflight", "must be of type string"},
		{"an unknown reading of slashes", open(`paths: {encodedSlash: Decode}`), "spec.paths.encodedSlash", `supported values: "Refuse", "Keep"`},
		{"an unknown reading of semicolons", open(`paths: {semicolon: Keep}`), "spec.paths.semicolon", `supported values: "Refuse", "Strip"`},
		{"a provider twice", open(`identityProviders: [{name: a}, {name: a, kind: ClusterIdentityProvider}]`), "spec.identityProviders[1]", "Duplicate value"},
		{"a provider without a name", open(`identityProviders: [{kind: ClusterIdentityProvider}]`), "spec.identityProviders[0].name", "Required value"},
		{"a provider of an unknown kind", open(`identityProviders: [{name: a, kind: Issuer}]`), "spec.identityProviders[0].kind", `supported values: "IdentityProvider", "ClusterIdentityProvider"`},
		{"an audience twice", open(`identityProviders: [{name: a, audiences: [x, x]}]`), "spec.identityProviders[0].audiences[1]", "Duplicate value"},
		{"a step-up that asks for nothing", requirement(`{stepUp: {}}`), "spec.rules[0].require.stepUp", "should have at least 1 properties"},
		{"an empty list of acr", requirement(`{stepUp: {acr: []}}`), "spec.rules[0].require.stepUp.acr", "should have at least 1 items"},
		{"an acr with a space", requirement(`{stepUp: {acr: ["a b"]}}`), "spec.rules[0].require.stepUp.acr[0]", "should match"},
		{"an amr twice", requirement(`{stepUp: {amr: [otp, otp]}}`), "spec.rules[0].require.stepUp.amr[1]", "Duplicate value"},
		{"a maxAge of nothing", requirement(`{stepUp: {maxAge: 0s}}`), "spec.rules[0].require.stepUp.maxAge", "must be whole seconds, at least 1s"},
		{"a maxAge of parts of a second", requirement(`{stepUp: {maxAge: 1s500ms}}`), "spec.rules[0].require.stepUp.maxAge", "must be whole seconds, at least 1s"},
		{"a resource without https", open(`denied: {resourceMetadata: {resources: ["http://example.com"]}}`), "spec.denied.resourceMetadata.resources[0]", "should match"},
		{"a resource with a query", open(`denied: {resourceMetadata: {resources: ["https://example.com/a?b"]}}`), "spec.denied.resourceMetadata.resources[0]", "should match"},
		{"a resource with a final slash", open(`denied: {resourceMetadata: {resources: ["https://example.com/a/"]}}`), "spec.denied.resourceMetadata.resources[0]", "should match"},
		{"no resources", open(`denied: {resourceMetadata: {resources: []}}`), "spec.denied.resourceMetadata.resources", "should have at least 1 items"},
		{"a scope with a space", open(`denied: {resourceMetadata: {scopes: ["a b"]}}`), "spec.denied.resourceMetadata.scopes[0]", "should match"},
		{"a page that is no URL", open(`denied: {resourceMetadata: {resourceDocumentation: "ftp://a"}}`), "spec.denied.resourceMetadata.resourceDocumentation", "must be a URL that begins with https:// or http://"},
		{"an unknown redirect for a step-up", open(`denied: {unauthenticated: {redirect: {url: "https://l", stepUp: Always}}}`), "spec.denied.unauthenticated.redirect.stepUp", `supported values: "Refuse", "Redirect"`},
		{"an empty requirement of the policy", open(`require: {}`), "spec.require", "should have at least 1 properties"},
	})
}

func TestMistakesInRulesAreRefused(t *testing.T) {
	refuse(t, v1alpha1.KindAuthPolicy, []mistake{
		{"neither access nor require", rule(`{name: r}`), "spec.rules[0]", "say exactly one of access and require"},
		{"both access and require", rule(`{name: r, access: Public, require: {scopes: [a]}}`), "spec.rules[0]", "say exactly one of access and require"},
		{"an unknown access", rule(`{name: r, access: Allow}`), "spec.rules[0].access", `supported values: "Public", "Optional", "Authenticated", "Denied"`},
		{"no name", rule(`{access: Public}`), "spec.rules[0].name", "Required value"},
		{"a name with a space", rule(`{name: Read orders, access: Public}`), "spec.rules[0].name", "must be lower-case letters, digits and -"},
		{"a name of 64 letters", rule(`{access: Public, name: ` + strings.Repeat("a", 64) + `}`), "spec.rules[0].name", "may not be more than 63"},
		{"a name twice", rule(`{name: r, access: Public}, {name: r, access: Denied}`), "spec.rules[1]", `Duplicate value`},
		{"an empty requirement", requirement(`{}`), "spec.rules[0].require", "should have at least 1 properties"},
		{"an empty alternative", requirement(`{anyOf: [{}]}`), "spec.rules[0].require.anyOf[0]", "should have at least 1 properties"},
		{"an empty list of scopes", requirement(`{scopes: []}`), "spec.rules[0].require.scopes", "should have at least 1 items"},
		{"an empty scope", requirement(`{scopes: [""]}`), "spec.rules[0].require.scopes[0]", "should be at least 1 chars long"},
		{"a scope twice", requirement(`{scopes: [a, a]}`), "spec.rules[0].require.scopes[1]", "Duplicate value"},
		{"an unknown operator", requirement(`{claims: [{claim: sub, operator: Equals, values: [a]}]}`), "spec.rules[0].require.claims[0].operator", `supported values: "In", "NotIn"`},
		{"In without values", requirement(`{claims: [{claim: sub, operator: In}]}`), "spec.rules[0].require.claims[0]", "In, NotIn, HasAll and Matches need values"},
		{"NotIn with an empty list", requirement(`{claims: [{claim: sub, operator: NotIn, values: []}]}`), "spec.rules[0].require.claims[0]", "In, NotIn, HasAll and Matches need values"},
		{"Exists with values", requirement(`{claims: [{claim: sub, operator: Exists, values: [a]}]}`), "spec.rules[0].require.claims[0]", "Exists and DoesNotExist have none"},
		{"no operator", requirement(`{claims: [{claim: sub, values: [a]}]}`), "spec.rules[0].require.claims[0].operator", "Required value"},
		{"a value that is a number", requirement(`{claims: [{claim: level, operator: In, values: [3]}]}`), "spec.rules[0].require.claims[0].values[0]", `must be of type string`},
		{"an empty expression", requirement(`{expressions: [{expression: ""}]}`), "spec.rules[0].require.expressions[0].expression", "should be at least 1 chars long"},
		{"an empty from", from(`{}`), "spec.rules[0].from", "at least one of the fields in [principals serviceAccounts cidrs] must be set"},
		{"an address that is no range", from(`{cidrs: [10.0.0.1]}`), "spec.rules[0].from.cidrs[0]", "write /32 or /128 behind a single address"},
		{"a principal that is no URI", from(`{principals: [monitoring]}`), "spec.rules[0].from.principals[0]", "must be a URI such as spiffe://"},
		{"a service account of three parts", from(`{serviceAccounts: [a/b/c]}`), "spec.rules[0].from.serviceAccounts[0]", "must be namespace/name of a ServiceAccount"},
	})
}

func TestMistakesInMatchesAreRefused(t *testing.T) {
	refuse(t, v1alpha1.KindAuthPolicy, []mistake{
		{"a path without a slash", matches(`{path: {value: v1}}`), "spec.rules[0].matches[0].path.value", "must start with /"},
		{"an empty path", matches(`{path: {value: ""}}`), "spec.rules[0].matches[0].path.value", "must start with /"},
		{"an unknown type of path", matches(`{path: {type: RegularExpression, value: /a}}`), "spec.rules[0].matches[0].path.type", `supported values: "Exact", "PathPrefix", "Template"`},
		{"grpc beside a path", matches(`{grpc: {service: a.B}, path: {value: /a}}`), "spec.rules[0].matches[0]", "say either grpc, or path and methods"},
		{"grpc beside methods", matches(`{grpc: {service: a.B}, methods: [POST]}`), "spec.rules[0].matches[0]", "say either grpc, or path and methods"},
		{"grpc without a service", matches(`{grpc: {method: Pay}}`), "spec.rules[0].matches[0].grpc.service", "Required value"},
		{"a service that is a path", matches(`{grpc: {service: /shop.v1.Checkout}}`), "spec.rules[0].matches[0].grpc.service", "such as shop.v1.Checkout"},
		{"a gRPC method that is a path", matches(`{grpc: {service: a.B, method: B/Pay}}`), "spec.rules[0].matches[0].grpc.method", "such as Pay"},
		{"a method in lower case", matches(`{methods: [get]}`), "spec.rules[0].matches[0].methods[0]", "write GET, not get"},
		{"a method twice", matches(`{methods: [GET, GET]}`), "spec.rules[0].matches[0].methods[1]", "Duplicate value"},
		{"a header twice", matches(`{headers: [{name: a, value: b}, {name: a, value: c}]}`), "spec.rules[0].matches[0].headers[1]", "Duplicate value"},
		{"a header without a value", matches(`{headers: [{name: a}]}`), "spec.rules[0].matches[0].headers[0].value", "Required value"},
		{"a query parameter twice", matches(`{queryParams: [{name: a, value: b}, {name: a, value: c}]}`), "spec.rules[0].matches[0].queryParams[1]", "Duplicate value"},
		{"an unknown comparison", matches(`{headers: [{name: a, value: b, type: Prefix}]}`), "spec.rules[0].matches[0].headers[0].type", `supported values: "Exact", "RegularExpression"`},
		{"too many matches", rule(`{name: r, access: Public, matches: ` + many(65, "{path: {value: /%d}}") + `}`), "spec.rules[0].matches", "must have at most 64 items"},
	})
}

func TestMistakesInLookupsAreRefused(t *testing.T) {
	lookup := func(text string) string { return open(`lookups: [{name: rights, ` + text + `}]`) }
	http := func(text string) string { return lookup(`http: {url: "https://a/{claims.sub}", ` + text + `}`) }
	refuse(t, v1alpha1.KindAuthPolicy, []mistake{
		{"a lookup that is none", open(`lookups: [{name: rights}]`), "spec.lookups[0]", "exactly one of the fields in [userInfo http] must be set"},
		{"a lookup that is two", lookup(`userInfo: {}, http: {url: "https://a/"}`), "spec.lookups[0]", "exactly one of the fields in"},
		{"a lookup twice", open(`lookups: [{name: a, userInfo: {}}, {name: a, userInfo: {}}]`), "spec.lookups[1]", "Duplicate value"},
		{"a name that no expression can read", open(`lookups: [{name: my-rights, userInfo: {}}]`), "spec.lookups[0].name", "must be a lower-case letter"},
		{"too many lookups", open(`lookups: ` + many(9, "{name: a%d, userInfo: {}}")), "spec.lookups", "must have at most 8 items"},
		{"a lookup over http", lookup(`http: {url: "http://a/"}`), "spec.lookups[0].http.url", "allowHTTP: true allows http"},
		{"a lookup in a file", lookup(`http: {url: "file:///etc/passwd"}`), "spec.lookups[0].http.url", "must be a URL that begins with https:// or http://"},
		{"an unknown method of a lookup", http(`method: PUT`), "spec.lookups[0].http.method", `supported values: "GET", "POST"`},
		{"a body of a GET", http(`body: [{name: a, value: b}]`), "spec.lookups[0].http.body", "goes with method: POST"},
		{"unknown credentials", http(`credentials: {type: Digest, secretRef: {name: a, key: b}}`), "spec.lookups[0].http.credentials.type", `supported values: "Bearer", "Basic"`},
		{"credentials without a Secret", http(`credentials: {type: Bearer}`), "spec.lookups[0].http.credentials.secretRef", "Required value"},
		{"half a certificate", http(`tls: {certificateSecretRef: {name: a, key: b}}`), "spec.lookups[0].http.tls", "certificateSecretRef and privateKeySecretRef go together"},
		{"an empty TLS", http(`tls: {}`), "spec.lookups[0].http.tls", "should have at least 1 properties"},
		{"an answer that is remembered for a day", lookup(`userInfo: {}, cacheTTL: 24h`), "spec.lookups[0].cacheTTL", "must be at most 1h"},
		{"a lookup that takes a minute", lookup(`userInfo: {}, timeout: 1m`), "spec.lookups[0].timeout", "must be from 10ms to 5s"},
		{"a lookup without limits", lookup(`userInfo: {}, maxPerSecond: 0`), "spec.lookups[0].maxPerSecond", "should be greater than or equal to 1"},
	})
}

func TestMistakesInAnswersAreRefused(t *testing.T) {
	refuse(t, v1alpha1.KindAuthPolicy, []mistake{
		{"an upstream header without a source", open(`upstream: {headers: [{name: x-user}]}`), "spec.upstream.headers[0]", "say exactly one of claim and expression"},
		{"an upstream header with two", open(`upstream: {headers: [{name: x-user, claim: sub, expression: claims.sub}]}`), "spec.upstream.headers[0]", "say exactly one of claim and expression"},
		{"an upstream header twice", open(`upstream: {headers: [{name: x-user, claim: sub}, {name: x-user, claim: azp}]}`), "spec.upstream.headers[1]", "Duplicate value"},
		{"an upstream header that is none", open(`upstream: {headers: [{name: "x user", claim: sub}]}`), "spec.upstream.headers[0].name", "must be the name of a header"},
		{"a pseudo-header", open(`upstream: {headers: [{name: ":path", claim: sub}]}`), "spec.upstream.headers[0].name", "must be the name of a header"},
		{"metadata without a source", open(`upstream: {metadata: [{key: sub}]}`), "spec.upstream.metadata[0]", "say exactly one of claim and expression"},
		{"metadata twice", open(`upstream: {metadata: [{key: a, claim: a}, {key: a, claim: b}]}`), "spec.upstream.metadata[1]", "Duplicate value"},
		{"an unknown forwarding", open(`upstream: {token: Drop}`), "spec.upstream.token", `supported values: "Forward", "Remove"`},
		{"a refusal with 200", open(`denied: {status: 200}`), "spec.denied.status", "should be greater than or equal to 300"},
		{"a refusal with 600", open(`denied: {status: 600}`), "spec.denied.status", "should be less than or equal to 599"},
		{"an unknown body", open(`denied: {body: {type: HTML}}`), "spec.denied.body.type", `supported values: "ProblemJSON", "Text", "Empty"`},
		{"a realm with a quote", open(`denied: {realm: 'a"b'}`), "spec.denied.realm", "without quotes and backslashes"},
		{"a realm with a backslash", open(`denied: {realm: 'a\b'}`), "spec.denied.realm", "without quotes and backslashes"},
		{"a header of a refusal with a line break", open(`denied: {headers: [{name: a, value: "b\nc"}]}`), "spec.denied.headers[0].value", "must be printable ASCII"},
		{"a redirect without a URL", open(`denied: {unauthenticated: {redirect: {onlyFor: Any}}}`), "spec.denied.unauthenticated.redirect.url", "Required value"},
		{"a redirect to a script", open(`denied: {unauthenticated: {redirect: {url: "javascript:alert(1)"}}}`), "spec.denied.unauthenticated.redirect.url", "must be a URL that begins with https:// or http://"},
		{"a redirect for an unknown audience", open(`denied: {unauthenticated: {redirect: {url: "https://a", onlyFor: Browsers}}}`), "spec.denied.unauthenticated.redirect.onlyFor", `supported values: "HTML", "Any"`},
		{"a parameter with a space", open(`denied: {unauthenticated: {redirect: {url: "https://a", returnParameter: "r d"}}}`), "spec.denied.unauthenticated.redirect.returnParameter", "use letters, digits, _, . and -"},
	})
}
