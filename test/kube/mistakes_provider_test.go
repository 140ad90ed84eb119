package kube_test

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// provider is one that is sound but for what is added to its spec.
func provider(text string) string {
	return `{issuer: "https://id.example.com", audiences: [api], ` + text + "}"
}

// shared are keys that all tenants share.
const shared = `keys: {remote: {url: "https://id.example.com/keys"}}`

// tenants is a provider with an issuer for each tenant, sound but for its tenants and what is added to its spec.
func tenants(text, more string) string {
	return `{issuer: "https://id.example.com/{tenant}/v2.0", audiences: [api], tenants: ` + text + ", " + more + "}"
}

// providerMistakes are the same for both kinds.
var providerMistakes = []mistake{
	{"no issuer", `{audiences: [api]}`, "spec.issuer", "only keys.kubernetes finds it by itself"},
	{"no issuer, and keys from elsewhere", `{audiences: [api], keys: {remote: {url: "https://id.example.com/keys"}}}`, "spec.issuer", "only keys.kubernetes finds it by itself"},
	{"an issuer that cannot be asked for keys", `{issuer: corp, audiences: [api]}`, "spec.issuer", "must be an https URL for discovery"},
	{"discovery over http", `{issuer: "http://id.example.com", audiences: [api], keys: {discovery: {}}}`, "spec.issuer", "must be an https URL for discovery"},
	{"no audiences", `{issuer: "https://id.example.com"}`, "spec.audiences", "Required value"},
	{"an empty list of audiences", `{issuer: "https://id.example.com", audiences: []}`, "spec.audiences", "should have at least 1 items"},
	{"an audience twice", `{issuer: "https://id.example.com", audiences: [a, a]}`, "spec.audiences[1]", "Duplicate value"},
	{"an issuer of 2049 letters", `{audiences: [api], issuer: "https://` + strings.Repeat("a", 2041) + `"}`, "spec.issuer", "may not be more than 2048"},
	{"no source of keys", provider(`keys: {}`), "spec.keys", "exactly one of the fields in [discovery remote inline configMapKeyRef secretKeyRef pem kubernetes] must be set"},
	{"two sources of keys", provider(`keys: {discovery: {}, remote: {url: "https://id.example.com/keys"}}`), "spec.keys", "exactly one of the fields in"},
	{"keys from a file", provider(`keys: {remote: {url: "file:///etc/keys"}}`), "spec.keys.remote.url", "must be a URL that begins with https:// or http://"},
	{"keys over http", provider(`keys: {remote: {url: "http://id.example.com/keys"}}`), "spec.keys.remote.url", "allowHTTP: true allows http"},
	{"keys in a Secret without a key", provider(`keys: {secretKeyRef: {name: a}}`), "spec.keys.secretKeyRef.key", "Required value"},
	{"metadata from a file", provider(`keys: {discovery: {url: "file:///etc"}}`), "spec.keys.discovery.url", "must be a URL that begins with https:// or http://"},
	{"metadata over http", provider(`keys: {discovery: {url: "http://id.example.com"}}`), "spec.keys.discovery.url", "allowHTTP: true allows http"},
	{"mappings of ServiceAccounts", `{audiences: [api], keys: {kubernetes: {}}, claimMappings: {}}`, "spec.keys.kubernetes", "does not go with tenants, claimMappings, introspection or tls"},
	{"authorities of the API server", `{audiences: [api], keys: {kubernetes: {}}, tls: {caConfigMapKeyRef: {name: a, key: b}}}`, "spec.keys.kubernetes", "does not go with tenants, claimMappings, introspection or tls"},
	{"tenants without a mark", provider(`tenants: {values: [a]}`), "spec.tenants", "goes with an issuer that holds {tenant}"},
	{"a mark without tenants", `{issuer: "https://id.example.com/{tenant}", audiences: [api]}`, "spec.tenants", "goes with an issuer that holds {tenant}"},
	{"no tenants", tenants(`{}`, ""), "spec.tenants", "say either values, or from: Any"},
	{"an empty list of tenants", tenants(`{values: []}`, ""), "spec.tenants.values", "should have at least 1 items"},
	{"a list of all tenants", tenants(`{from: Any, values: [a], claim: tid}`, shared), "spec.tenants", "say either values, or from: Any"},
	{"tenants from another place", tenants(`{from: Some, values: [a]}`, ""), "spec.tenants.from", `supported values: "Values", "Any"`},
	{"a tenant twice", tenants(`{values: [a, a]}`, ""), "spec.tenants.values[1]", "Duplicate value"},
	{"a tenant with a slash", tenants(`{values: [a/b]}`, ""), "spec.tenants.values[0]", "should match"},
	{"a step up", tenants(`{values: [..]}`, ""), "spec.tenants.values[0]", "should match"},
	{"a tenant of 129 letters", tenants(`{values: [`+strings.Repeat("a", 129)+`]}`, ""), "spec.tenants.values[0]", "may not be more than 128"},
	{"65 tenants", tenants(`{values: `+many(65, "a%d")+`}`, ""), "spec.tenants.values", "must have at most 64 items"},
	{"shared keys without a claim", tenants(`{values: [a]}`, shared), "spec.tenants.claim", "is required where tenants share their keys"},
	{"shared metadata without a claim", tenants(`{values: [a]}`, `keys: {discovery: {url: "https://id.example.com/common"}}`), "spec.tenants.claim", "is required where tenants share their keys"},
	{"every tenant with keys of its own", tenants(`{from: Any, claim: tid}`, ""), "spec.tenants.from", "nothing is fetched from where a token says"},
	{"every tenant by discovery", tenants(`{from: Any, claim: tid}`, `keys: {discovery: {}}`), "spec.tenants.from", "nothing is fetched from where a token says"},
	{"opaque tokens of tenants", tenants(`{values: [a]}`, `introspection: {clientID: a, clientSecretRef: {name: a, key: b}}`), "spec.introspection", "does not go with tenants"},
	{"an unknown algorithm", provider(`algorithms: [none]`), "spec.algorithms[0]", `supported values: "RS256"`},
	{"a shared secret beside public keys", provider(`algorithms: [RS256, HS256], keys: {secretKeyRef: {name: a, key: b}}`), "spec.algorithms", "may not stand beside others"},
	{"a shared secret from a ConfigMap", provider(`algorithms: [HS256], keys: {configMapKeyRef: {name: a, key: b}}`), "spec.algorithms", "need keys.secretKeyRef"},
	{"a clock that may be a minute and more off", provider(`clockSkew: 61s`), "spec.clockSkew", "must be at most 60s"},
	{"a duration without a unit", provider(`maxTokenAge: "30"`), "spec.maxTokenAge", "must be whole numbers with units, such as 30s, 5m or 1h30m"},
	{"a duration in days", provider(`maxTokenAge: 1d`), "spec.maxTokenAge", "must be whole numbers with units, such as 30s, 5m or 1h30m"},
	{"a negative duration", provider(`maxTokenAge: -5m`), "spec.maxTokenAge", "must be whole numbers with units, such as 30s, 5m or 1h30m"},
	{"a fraction of a unit", provider(`refresh: {staleFor: 1.5h}`), "spec.refresh.staleFor", "must be whole numbers with units, such as 30s, 5m or 1h30m"},
	{"an age of nothing", provider(`maxTokenAge: 0s`), "spec.maxTokenAge", "must be at least 1s"},
	{"a refresh every second", provider(`refresh: {interval: 1s}`), "spec.refresh.interval", "must be at least 10s"},
	{"a refresh for every token", provider(`refresh: {minInterval: 1ms}`), "spec.refresh.minInterval", "must be at least 1s"},
	{"an empty list of token sources", provider(`tokenSources: []`), "spec.tokenSources", "should have at least 1 items"},
	{"a token source that is none", provider(`tokenSources: [{}]`), "spec.tokenSources[0]", "exactly one of the fields in [header cookie queryParameter] must be set"},
	{"a token source that is two", provider(`tokenSources: [{cookie: {name: a}, queryParameter: {name: a}}]`), "spec.tokenSources[0]", "exactly one of the fields in"},
	{"a scheme with a space", provider(`tokenSources: [{header: {name: Authorization, scheme: "Bearer "}}]`), "spec.tokenSources[0].header.scheme", "such as Bearer, without space"},
	{"a cookie with a space", provider(`tokenSources: [{cookie: {name: a b}}]`), "spec.tokenSources[0].cookie.name", "use letters, digits, _, . and -"},
	{"a CA without a key", provider(`tls: {caConfigMapKeyRef: {name: a}}`), "spec.tls.caConfigMapKeyRef.key", "Required value"},
	{"introspection without a client", provider(`introspection: {clientSecretRef: {name: a, key: b}}`), "spec.introspection.clientID", "Required value"},
	{"introspection without a secret", provider(`introspection: {clientID: a}`), "spec.introspection", "ClientSecretBasic and ClientSecretPost need clientSecretRef"},
	{"introspection with a key in place of a secret", provider(`introspection: {clientID: a, privateKeySecretRef: {name: a, key: b}}`), "spec.introspection", "PrivateKeyJWT needs privateKeySecretRef"},
	{"introspection with a secret in place of a key", provider(`introspection: {clientID: a, authMethod: PrivateKeyJWT, clientSecretRef: {name: a, key: b}}`), "spec.introspection", "PrivateKeyJWT needs privateKeySecretRef"},
	{"an unknown way to prove who asks", provider(`introspection: {clientID: a, authMethod: None, clientSecretRef: {name: a, key: b}}`), "spec.introspection.authMethod", `supported values: "ClientSecretBasic"`},
	{"introspection of tokens that are neither", provider(`introspection: {clientID: a, tokens: JWT, clientSecretRef: {name: a, key: b}}`), "spec.introspection.tokens", `supported values: "Opaque", "All"`},
	{"introspection over http", provider(`introspection: {clientID: a, endpoint: "http://id.example.com/i", clientSecretRef: {name: a, key: b}}`), "spec.introspection.endpoint", "allowHTTP: true allows http"},
	{"introspection that is remembered for a day", provider(`introspection: {clientID: a, cacheTTL: 24h, clientSecretRef: {name: a, key: b}}`), "spec.introspection.cacheTTL", "must be at most 1h"},
	{"introspection that takes a minute", provider(`introspection: {clientID: a, timeout: 1m, clientSecretRef: {name: a, key: b}}`), "spec.introspection.timeout", "must be from 10ms to 5s"},
	{"introspection without limits", provider(`introspection: {clientID: a, maxConcurrent: 0, clientSecretRef: {name: a, key: b}}`), "spec.introspection.maxConcurrent", "should be greater than or equal to 1"},
	{"decryption without a Secret", provider(`decryption: {required: true}`), "spec.decryption.secretRef", "Required value"},
	{"a Secret without a name", provider(`decryption: {secretRef: {name: ""}}`), "spec.decryption.secretRef.name", "should be at least 1 chars long"},
	{"a Secret with a name of 254 letters", provider(`decryption: {secretRef: {name: ` + strings.Repeat("a", 254) + `}}`), "spec.decryption.secretRef.name", "may not be more than 253"},
	{"logouts for nobody", provider(`maxTokenAge: 1h, backChannelLogout: {}`), "spec.backChannelLogout.clientIDs", "Required value"},
	{"logouts of no client", provider(`maxTokenAge: 1h, backChannelLogout: {clientIDs: []}`), "spec.backChannelLogout.clientIDs", "should have at least 1 items"},
	{"logouts of a client twice", provider(`maxTokenAge: 1h, backChannelLogout: {clientIDs: [a, a]}`), "spec.backChannelLogout.clientIDs[1]", "Duplicate value"},
	{"logouts that nobody knows the end of", provider(`backChannelLogout: {clientIDs: [a]}`), "spec.backChannelLogout.holdFor", "is needed without maxTokenAge"},
	{"logouts for a second", provider(`backChannelLogout: {clientIDs: [a], holdFor: 1s}`), "spec.backChannelLogout.holdFor", "must be from 1m to 9600h"},
	{"logouts for ever", provider(`backChannelLogout: {clientIDs: [a], holdFor: 99999h}`), "spec.backChannelLogout.holdFor", "must be from 1m to 9600h"},
	{"logout tokens of no type", provider(`backChannelLogout: {clientIDs: [a], holdFor: 1h, tokenTypes: []}`), "spec.backChannelLogout.tokenTypes", "should have at least 1 items"},
	{"an unknown mode of bound tokens", provider(`senderConstraint: {mode: Always}`), "spec.senderConstraint.mode", `supported values: "None"`},
	{"proofs that nobody looks at", provider(`senderConstraint: {mode: None, dpop: {}}`), "spec.senderConstraint.dpop", "goes with mode IfBound or Required"},
	{"proofs with a shared secret", provider(`senderConstraint: {dpop: {algorithms: [HS256]}}`), "spec.senderConstraint.dpop.algorithms[0]", `supported values: "RS256"`},
	{"proofs of no algorithm", provider(`senderConstraint: {dpop: {algorithms: []}}`), "spec.senderConstraint.dpop.algorithms", "should have at least 1 items"},
	{"proofs that last an hour", provider(`senderConstraint: {dpop: {maxProofAge: 1h}}`), "spec.senderConstraint.dpop.maxProofAge", "must be from 1s to 10m"},
	{"proofs that last no time", provider(`senderConstraint: {dpop: {maxProofAge: 0s}}`), "spec.senderConstraint.dpop.maxProofAge", "must be from 1s to 10m"},
	{"an unknown use of nonces", provider(`senderConstraint: {dpop: {nonce: Sometimes}}`), "spec.senderConstraint.dpop.nonce", `supported values: "None"`},
	{"an empty validation rule", provider(`claimValidationRules: [{message: a}]`), "spec.claimValidationRules[0].expression", "Required value"},
}

func TestMistakesInProvidersAreRefused(t *testing.T) {
	refuse(t, v1alpha1.KindIdentityProvider, providerMistakes)
}

func TestMistakesInClusterProvidersAreRefused(t *testing.T) {
	refuse(t, v1alpha1.KindClusterIdentityProvider, append([]mistake{
		{"a selector without from", provider(`allowedNamespaces: {selector: {matchLabels: {a: b}}}`), "spec.allowedNamespaces", "selector goes with from: Selector, and only with it"},
		{"from Selector without one", provider(`allowedNamespaces: {from: Selector}`), "spec.allowedNamespaces", "selector goes with from: Selector, and only with it"},
		{"an unknown from", provider(`allowedNamespaces: {from: Same}`), "spec.allowedNamespaces.from", `supported values: "All", "Selector"`},
		{"too many labels", provider(`allowedNamespaces: {from: Selector, selector: {matchLabels: ` + labels(33) + `}}`), "spec.allowedNamespaces.selector.matchLabels", "must have at most 32 entries"},
		{"too many expressions", provider(`allowedNamespaces: {from: Selector, selector: {matchExpressions: ` + many(33, "{key: a%d, operator: Exists}") + `}}`), "spec.allowedNamespaces.selector.matchExpressions", "must have at most 32 entries"},
	}, providerMistakes...))
}

// labels is a map of n labels in YAML.
func labels(n int) string {
	return "{" + strings.Trim(many(n, "a%d: b"), "[]") + "}"
}
