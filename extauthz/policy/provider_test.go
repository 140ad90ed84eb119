package policy

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/token"
)

// testKey is one public key, as a key set and in PEM.
func testKey(t *testing.T) (jwks, pemText string) {
	t.Helper()
	public := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	jwks = fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one","x":%q}]}`, base64.RawURLEncoding.EncodeToString(public))
	return jwks, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// quote writes s as a YAML text on one line.
func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func TestProviderDefaults(t *testing.T) {
	s := compile(t, corp, Options{})
	p := s.Providers()[0]
	want := &token.Remote{Discovery: true, Issuer: "https://id.example.com", Interval: 10 * time.Minute, MinInterval: 10 * time.Second, StaleFor: 24 * time.Hour}
	if diff := cmp.Diff(want, p.Remote); diff != "" {
		t.Errorf("remote (-want +got):\n%s", diff)
	}
	if p.Name != "ClusterIdentityProvider/corp" || p.ClockSkew != 30*time.Second || p.MaxTokenAge != 0 || p.Algorithms != token.Asymmetric {
		t.Errorf("got %+v", p)
	}
	if !slices.Equal(p.TokenTypes, []string{"at+jwt", "jwt"}) || !slices.Equal(p.Sources, []token.Source{{Header: "authorization", Scheme: "Bearer"}}) {
		t.Errorf("got %q, %v", p.TokenTypes, p.Sources)
	}
	for want, got := range map[string]token.ClaimPath{"aud": p.AudienceClaim, "sub": p.Subject, "scope": p.Scopes, "roles": p.Roles, "groups": p.Groups} {
		if got.String() != want {
			t.Errorf("claim %q, want %q", got, want)
		}
	}
}

// TestProviderKeys gives each place that keys may come from.
func TestProviderKeys(t *testing.T) {
	jwks, pemText := testKey(t)
	refs := "kind: ConfigMap\nmetadata: {name: keys}\ndata: {jwks: " + quote(jwks) + ", pem: " + quote(pemText) + "}\n---\n" +
		"kind: Secret\nmetadata: {name: keys}\nstringData: {jwks: " + quote(jwks) + ", raw: " + strings.Repeat("s", 32) + `, oct: '{"keys":[{"kty":"oct","kid":"h","k":"` + base64.RawURLEncoding.EncodeToString(make([]byte, 32)) + `"}]}'}` + "\n---\n"
	for _, tt := range []struct {
		name, spec string
		ids        []string // of keys that came with the object; nil for keys that are fetched
		keys       int
		url        string
	}{
		{name: "remote", spec: `keys: {remote: {url: "https://id.example.com/keys"}}`, url: "https://id.example.com/keys"},
		{name: "remote, http for development", spec: `allowHTTP: true, keys: {remote: {url: "http://localhost:1/keys"}}`, url: "http://localhost:1/keys"},
		{name: "inline", spec: "keys: {inline: " + quote(jwks) + "}", ids: []string{"one"}, keys: 1},
		{name: "pem", spec: "keys: {pem: [" + quote(pemText) + "]}", keys: 1},
		{name: "config map", spec: "keys: {configMapKeyRef: {name: keys, key: jwks}}", ids: []string{"one"}, keys: 1},
		{name: "config map, PEM", spec: "keys: {configMapKeyRef: {name: keys, key: pem}}", keys: 1},
		{name: "secret", spec: "keys: {secretKeyRef: {name: keys, key: jwks}}", ids: []string{"one"}, keys: 1},
		{name: "secret, HMAC, raw", spec: "algorithms: [HS256], keys: {secretKeyRef: {name: keys, key: raw}}", keys: 1},
		{name: "secret, HMAC, key set", spec: "algorithms: [HS256], keys: {secretKeyRef: {name: keys, key: oct}}", ids: []string{"h"}, keys: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := compile(t, refs+"kind: IdentityProvider\nmetadata: {name: p}\nspec: {issuer: 'https://id.example.com', audiences: [a], "+tt.spec+"}\n", Options{})
			p := s.Providers()[0]
			if tt.keys == 0 {
				if p.Static != nil || p.Remote == nil || p.Remote.URL != tt.url {
					t.Fatalf("got %+v", p)
				}
				return
			}
			if p.Remote != nil || p.Static == nil || p.Static.Len() != tt.keys || !slices.Equal(p.Static.KeyIDs(), tt.ids) {
				t.Fatalf("got %+v", p.Static)
			}
		})
	}
}

// asked is a provider with introspection; more is of its spec, and has the issuer where it is not empty.
func asked(introspection, more string) string {
	if more == "" {
		more = `issuer: "https://a"`
	}
	return more + `, audiences: [b], introspection: {` + introspection + `}`
}

// TestProviderProblems gives each mistake in a provider, with what its author is told.
func TestProviderProblems(t *testing.T) {
	jwks, _ := testKey(t)
	for _, tt := range []struct{ name, spec, want string }{
		{"no issuer", `issuer: "", audiences: [a]`, "spec.issuer: is missing"},
		{"no audience", `issuer: "https://a", audiences: []`, "spec.audiences: is missing"},
		{"audience twice", `issuer: "https://a", audiences: [b, b]`, "spec.audiences[1]"},
		{"issuer over http", `issuer: "http://a", audiences: [b]`, "must be https"},
		{"issuer with a query", `issuer: "https://a/?b=c", audiences: [b]`, "has no query"},
		{"issuer that is no URL", `issuer: corp, audiences: [b]`, "must be a URL"},
		{"two sources of keys", `issuer: "https://a", audiences: [b], keys: {discovery: {}, remote: {url: "https://a"}}`, "spec.keys: say exactly one"},
		{"no source of keys", `issuer: "https://a", audiences: [b], keys: {}`, "spec.keys: say exactly one"},
		{"remote over http", `issuer: a, audiences: [b], keys: {remote: {url: "http://a/keys"}}`, "spec.keys.remote.url"},
		{"remote with a user", `issuer: a, audiences: [b], keys: {remote: {url: "https://u:p@a/keys"}}`, "must not have a user"},
		{"inline that is no key set", `issuer: a, audiences: [b], keys: {inline: "{}"}`, "spec.keys.inline"},
		{"secret that is missing", `issuer: a, audiences: [b], keys: {secretKeyRef: {name: x, key: y}}`, "there is no Secret default/x"},
		{"key of a config map that is missing", `issuer: a, audiences: [b], keys: {configMapKeyRef: {name: empty, key: jwks}}`, `has no key "jwks"`},
		{"HMAC and a public key set", `issuer: a, audiences: [b], algorithms: [HS256], keys: {inline: ` + quote(jwks) + `}`, "need keys.secretKeyRef"},
		{"HMAC beside others", `issuer: a, audiences: [b], algorithms: [HS256, RS256], keys: {secretKeyRef: {name: s, key: short}}`, "may not stand beside others"},
		{"HMAC with a short secret", `issuer: a, audiences: [b], algorithms: [HS256], keys: {secretKeyRef: {name: s, key: short}}`, "spec.keys.secretKeyRef"},
		{"algorithm none", `issuer: "https://a", audiences: [b], algorithms: [none]`, "spec.algorithms[0]"},
		{"clock skew too large", `issuer: "https://a", audiences: [b], clockSkew: 2m`, "spec.clockSkew: \"2m\": must be at most 1m0s"},
		{"duration of another form", `issuer: "https://a", audiences: [b], maxTokenAge: 1.5h`, "must be whole numbers with units"},
		{"interval too short", `issuer: "https://a", audiences: [b], refresh: {interval: 1s}`, "must be at least 10s"},
		{"stale before it is fresh", `issuer: "https://a", audiences: [b], refresh: {interval: 2h, staleFor: 1h}`, "must be at least the interval"},
		{"no certificate", `issuer: "https://a", audiences: [b], tls: {caConfigMapKeyRef: {name: empty, key: ca}}`, "holds no certificate"},
		{"algorithms that are none", `issuer: "https://a", audiences: [b], algorithms: [none, RS257]`, "spec.algorithms[1]"},
		{"no algorithm", `issuer: "https://a", audiences: [b], algorithms: []`, "spec.algorithms: is missing"},
		{"no token type", `issuer: "https://a", audiences: [b], tokenTypes: []`, "spec.tokenTypes: is missing"},
		{"empty token type", `issuer: "https://a", audiences: [b], tokenTypes: [application/]`, "spec.tokenTypes[0]"},
		{"clock skew a bit too large", `issuer: "https://a", audiences: [b], clockSkew: 60s1ms`, "must be at most 1m0s"},
		{"interval a bit too short", `issuer: "https://a", audiences: [b], refresh: {interval: 9s999ms}`, "must be at least 10s"},
		{"header and cookie in one source", `issuer: "https://a", audiences: [b], tokenSources: [{header: {name: a}, cookie: {name: a}}]`, "say exactly one of header, cookie and queryParameter"},
		{"no place in a source", `issuer: "https://a", audiences: [b], tokenSources: [{}]`, "say exactly one of header, cookie and queryParameter"},
		{"Host as a header", `issuer: "https://a", audiences: [b], tokenSources: [{header: {name: Host}}]`, "can hold a token"},
		{"header that is none", `issuer: "https://a", audiences: [b], tokenSources: [{header: {name: "a b"}}]`, "can hold a token"},
		{"scheme that is none", `issuer: "https://a", audiences: [b], tokenSources: [{header: {name: a, scheme: "a b"}}]`, "must be the word in front"},
		{"remote without a host", `issuer: a, audiences: [b], keys: {remote: {url: "https:///keys"}}`, "must be a URL such as"},
		{"remote of another scheme", `issuer: a, audiences: [b], keys: {remote: {url: "ftp://a/keys"}}`, "must be a URL such as"},
		{"remote that is opaque", `issuer: a, audiences: [b], keys: {remote: {url: "https:a"}}`, "must be a URL such as"},
		{"remote that is no URL", `issuer: a, audiences: [b], keys: {remote: {url: "https://a b/%zz"}}`, "must be a URL such as"},
		{"remote with a fragment", `issuer: a, audiences: [b], keys: {remote: {url: "https://a/keys#b"}}`, "must not have a user or a fragment"},
		{"two places in one source", `issuer: "https://a", audiences: [b], tokenSources: [{cookie: {name: a}, queryParameter: {name: a}}]`, "say exactly one of header, cookie and queryParameter"},
		{"source twice", `issuer: "https://a", audiences: [b], tokenSources: [{cookie: {name: a}}, {cookie: {name: a}}]`, "stands here twice"},
		{"cookie as a header", `issuer: "https://a", audiences: [b], tokenSources: [{header: {name: Cookie}}]`, "for a cookie write cookie"},
		{"cookie name", `issuer: "https://a", audiences: [b], tokenSources: [{cookie: {name: "a b"}}]`, "use letters"},
		{"claim path", `issuer: "https://a", audiences: [b], claimMappings: {roles: ` + strings.Repeat("a", 300) + `}`, "spec.claimMappings.roles"},
		{"validation rule", `issuer: "https://a", audiences: [b], claimValidationRules: [{expression: "request.method == 'GET'"}]`, "undeclared reference"},
		{"introspection without a client", asked(``, ""), "spec.introspection.clientID: is missing"},
		{"introspection without a secret", asked(`clientID: c`, ""), "spec.introspection.clientSecretRef: is missing"},
		{"introspection with a secret that is missing", asked(`clientID: c, clientSecretRef: {name: x, key: y}`, ""), "there is no Secret default/x"},
		{"introspection with an empty secret", asked(`clientID: c, clientSecretRef: {name: s, key: nothing}`, ""), "the secret is empty"},
		{"introspection with a secret and a key", asked(`clientID: c, clientSecretRef: {name: s, key: short}, privateKeySecretRef: {name: s, key: short}`, ""), "spec.introspection.privateKeySecretRef: goes with authMethod: PrivateKeyJWT only"},
		{"introspection with a key and a secret", asked(`clientID: c, authMethod: PrivateKeyJWT, clientSecretRef: {name: s, key: short}`, ""), "spec.introspection.privateKeySecretRef: is missing"},
		{"introspection with no key", asked(`clientID: c, authMethod: PrivateKeyJWT, privateKeySecretRef: {name: s, key: short}`, ""), "neither one private key in PEM nor a JWK"},
		{"introspection of other tokens", asked(`clientID: c, tokens: None, clientSecretRef: {name: s, key: short}`, ""), "spec.introspection.tokens"},
		{"introspection with another method", asked(`clientID: c, authMethod: None, clientSecretRef: {name: s, key: short}`, ""), "must be ClientSecretBasic"},
		{"introspection over http", asked(`clientID: c, endpoint: "http://a/i", clientSecretRef: {name: s, key: short}`, ""), "spec.introspection.endpoint"},
		{"introspection at an issuer that is no URL", asked(`clientID: c, clientSecretRef: {name: s, key: short}`, `keys: {remote: {url: "https://a/keys"}}, issuer: corp`), "spec.introspection.endpoint: is missing"},
		{"introspection at an issuer over http", asked(`clientID: c, clientSecretRef: {name: s, key: short}`, `keys: {remote: {url: "https://a/keys"}}, issuer: "http://a"`), "spec.issuer"},
		{"introspection that is remembered too long", asked(`clientID: c, clientSecretRef: {name: s, key: short}, cacheTTL: 2h`, ""), "must be at most 1h0m0s"},
		{"introspection that takes too long", asked(`clientID: c, clientSecretRef: {name: s, key: short}, timeout: 6s`, ""), "must be at most 5s"},
		{"introspection that takes no time", asked(`clientID: c, clientSecretRef: {name: s, key: short}, timeout: 1ms`, ""), "must be at least 10ms"},
		{"a scheme for proofs without them", `issuer: 'https://a', audiences: [b], tokenSources: [{header: {name: Authorization, scheme: dpop}}]`, "write senderConstraint: {dpop: {}}"},
		{"an unknown mode of bound tokens", `issuer: 'https://a', audiences: [b], senderConstraint: {mode: Always}`, "must be None, IfBound or Required"},
		{"proofs that nobody looks at", `issuer: 'https://a', audiences: [b], senderConstraint: {mode: None, dpop: {}}`, "spec.senderConstraint.dpop: goes with mode IfBound or Required"},
		{"proofs with a shared secret", `issuer: 'https://a', audiences: [b], senderConstraint: {dpop: {algorithms: [ES256, HS256]}}`, "spec.senderConstraint.dpop.algorithms[1]"},
		{"proofs of no algorithm", `issuer: 'https://a', audiences: [b], senderConstraint: {dpop: {algorithms: []}}`, "name at least one, or leave algorithms out"},
		{"proofs that last too long", `issuer: 'https://a', audiences: [b], senderConstraint: {dpop: {maxProofAge: 11m}}`, "must be at most 10m0s"},
		{"proofs that last no time", `issuer: 'https://a', audiences: [b], senderConstraint: {dpop: {maxProofAge: 1ms}}`, "must be at least 1s"},
		{"an unknown use of nonces", `issuer: 'https://a', audiences: [b], senderConstraint: {dpop: {nonce: Sometimes}}`, "must be None or Required"},
		{"introspection without limits", asked(`clientID: c, clientSecretRef: {name: s, key: short}, maxConcurrent: 0`, ""), "must be from 1 to 1024"},
		{"introspection with limits that are none", asked(`clientID: c, clientSecretRef: {name: s, key: short}, maxPerSecond: 1000000`, ""), "must be from 1 to 100000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, r := new(Compiler).Compile(parse(t, "kind: ConfigMap\nmetadata: {name: empty}\ndata: {ca: x}\n---\nkind: Secret\nmetadata: {name: s}\nstringData: {short: abc, nothing: \"\\n\"}\n---\n"+
				"kind: IdentityProvider\nmetadata: {name: p}\nspec: {"+tt.spec+"}\n"), Options{})
			if got := problemsOf(r, "p"); !slices.ContainsFunc(got, func(p string) bool { return strings.Contains(p, tt.want) }) {
				t.Errorf("problems %q, want %q", got, tt.want)
			}
			if len(s.Providers()) > 0 {
				t.Error("the provider is there all the same")
			}
			for _, p := range problemsOf(r, "p") {
				if strings.Contains(p, "abc") {
					t.Errorf("a Secret shows in %q", p)
				}
			}
		})
	}
}

// TestProviderSettings shows what a provider may say, up to its bounds.
func TestProviderSettings(t *testing.T) {
	s := compile(t, `
kind: IdentityProvider
metadata: {name: p}
spec:
  issuer: https://a
  audiences: [b]
  algorithms: [RS256, ES256]
  tokenTypes: [application/AT+JWT]
  clockSkew: 60s
  maxTokenAge: 1000h
  refresh: {interval: 10s, minInterval: 1s, staleFor: 10s}
  tokenSources: [{header: {name: X-Token}}, {header: {name: Authorization, scheme: Token}}, {cookie: {name: c}}, {queryParameter: {name: q}}]
`, Options{})
	p := s.Providers()[0]
	if p.ClockSkew != time.Minute || p.MaxTokenAge != 1000*time.Hour || p.Remote.Interval != 10*time.Second || p.Remote.StaleFor != 10*time.Second || p.Remote.MinInterval != time.Second {
		t.Errorf("got %+v, %+v", p, p.Remote)
	}
	if p.Algorithms == token.Asymmetric || p.Algorithms.Symmetric() || !slices.Equal(p.TokenTypes, []string{"at+jwt"}) {
		t.Errorf("got %v, %q", p.Algorithms, p.TokenTypes)
	}
	if want := []token.Source{{Header: "x-token"}, {Header: "authorization", Scheme: "Token"}, {Cookie: "c"}, {QueryParameter: "q"}}; !slices.Equal(p.Sources, want) {
		t.Errorf("sources %v", p.Sources)
	}
	compile(t, "kind: IdentityProvider\nmetadata: {name: p}\nspec: {issuer: 'https://a', audiences: [b], clockSkew: 0s, maxTokenAge: 1s}\n", Options{})
}

func TestIsSourceName(t *testing.T) {
	for s, want := range map[string]bool{
		"a": true, "z": true, "A": true, "Z": true, "0": true, "9": true, "_": true, ".": true, "-": true, "azAZ09_.-": true,
		"": false, " a": false, "a ": false, "/": false, ":": false, "@": false, "[": false, "`": false, "{": false, "é": false, "a;b": false, "a=b": false,
	} {
		if got := isSourceName(s); got != want {
			t.Errorf("%q: %t", s, got)
		}
	}
}

// TestAllowedNamespaces tells whom a provider of the cluster serves: with a selector only namespaces that are known, and
// have the labels.
func TestAllowedNamespaces(t *testing.T) {
	const namespaces = "kind: Namespace\nmetadata: {name: shop, labels: {team: shop}}\n---\nkind: Namespace\nmetadata: {name: dev}\n---\n"
	for _, tt := range []struct{ allowed, namespace, want string }{
		{"{from: All}", "shop", ""},
		{"{}", "unknown", ""},
		{"{from: Selector, selector: {matchLabels: {team: shop}}}", "shop", ""},
		{"{from: Selector, selector: {matchLabels: {team: shop}}}", "dev", "does not serve namespace"},
		{"{from: Selector, selector: {}}", "dev", ""},
		{"{from: Selector, selector: {}}", "unknown", "does not serve namespace"},
		{"{from: Selector}", "shop", "has problems of its own"},
		{"{from: All, selector: {}}", "shop", "has problems of its own"},
		{"{from: Same}", "shop", "has problems of its own"},
		{"{from: Selector, selector: {matchExpressions: [{key: a, operator: Like}]}}", "shop", "has problems of its own"},
	} {
		_, r := new(Compiler).Compile(parse(t, namespaces+strings.Replace(corp, "audiences: [orders-api]", "audiences: [orders-api], allowedNamespaces: "+tt.allowed, 1)+
			"kind: AuthPolicy\nmetadata: {name: p, namespace: "+tt.namespace+"}\nspec: {hosts: [a.com], identityProviders: [{kind: ClusterIdentityProvider, name: corp}], rules: [{name: r, access: Authenticated}]}\n"), Options{})
		got := problemsOf(r, "p")
		if tt.want == "" && len(got) > 0 || tt.want != "" && !slices.ContainsFunc(got, func(p string) bool { return strings.Contains(p, tt.want) }) {
			t.Errorf("%s, namespace %s: problems %q, want %q", tt.allowed, tt.namespace, got, tt.want)
		}
	}
}

// TestUndecodedProvider shows that a provider with a field that this version does not know is not believed, whatever else is
// wrong with it.
func TestUndecodedProvider(t *testing.T) {
	for _, audiences := range []string{"[b]", "[]"} {
		objs := parse(t, "kind: IdentityProvider\nmetadata: {name: p}\nspec: {issuer: 'https://a', audiences: "+audiences+"}\n")
		objs.Undecoded = map[ObjectRef][]UndecodedField{{v1alpha1.KindIdentityProvider, "default", "p"}: {{Path: "spec.revocation", Message: "is not known"}}}
		if s, r := new(Compiler).Compile(objs, Options{}); len(s.Providers()) > 0 || !slices.Contains(problemsOf(r, "p"), "spec.revocation: is not known") {
			t.Errorf("audiences %s: believed, or problems %q", audiences, problemsOf(r, "p"))
		}
	}
}

// TestBelieves shows that a rule believes an identity of its own providers only: the one that it knows, or the same
// compiled anew.
func TestBelieves(t *testing.T) {
	first, second := &token.Provider{Fingerprint: [32]byte{1}}, &token.Provider{Fingerprint: [32]byte{2}}
	r := &rule{providers: []trusted{{provider: &provider{token: first}}, {provider: &provider{token: second}}}}
	for name, tt := range map[string]struct {
		of   *token.Provider
		want *trusted
	}{
		"the first": {first, &r.providers[0]}, "the second": {second, &r.providers[1]}, "the second, compiled anew": {&token.Provider{Fingerprint: [32]byte{2}}, &r.providers[1]},
		"another": {&token.Provider{Fingerprint: [32]byte{3}}, nil}, "nobody": {nil, nil},
	} {
		if got := r.believes(&token.Identity{Provider: tt.of}); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestProviderProblemsFollow shows that a compile that knows a provider tells what has become of its key.
func TestProviderProblemsFollow(t *testing.T) {
	objs := parse(t, "kind: IdentityProvider\nmetadata: {name: p}\nspec: {issuer: 'https://a', audiences: [b], keys: {secretKeyRef: {name: s, key: k}}}\n")
	c := new(Compiler)
	for _, step := range []struct{ secret, want string }{
		{"", "there is no Secret default/s"},
		{"kind: Secret\nmetadata: {name: s}\n", `has no key "k"`},
		{"kind: Secret\nmetadata: {name: s}\nstringData: {k: ''}\n", "spec.keys.secretKeyRef: "},
		{"kind: Secret\nmetadata: {name: s}\nstringData: {k: '{\"keys\":[]}'}\n", "spec.keys.secretKeyRef: "},
		{"", "there is no Secret default/s"},
	} {
		objs.Secrets = parse(t, step.secret).Secrets
		if _, r := c.Compile(objs, Options{}); !slices.ContainsFunc(problemsOf(r, "p"), func(p string) bool { return strings.Contains(p, step.want) }) {
			t.Errorf("with %q: problems %q, want %q", step.secret, problemsOf(r, "p"), step.want)
		}
	}
}

// TestProviderFingerprint shows that whatever a provider is a function of changes its fingerprint, and nothing else does.
func TestProviderFingerprint(t *testing.T) {
	const text = "kind: IdentityProvider\nmetadata: {name: p}\nspec: {issuer: 'https://a', audiences: [b], algorithms: [HS256], keys: {secretKeyRef: {name: s, key: k}}}\n---\nkind: Secret\nmetadata: {name: s}\nstringData: {k: 0123456789abcdef0123456789abcdef, other: x}\n"
	print := func(text string) [32]byte { return compile(t, text, Options{}).Providers()[0].Fingerprint }
	first := print(text)
	if print(text) != first || print(strings.ReplaceAll(text, "other: x", "other: y")) != first {
		t.Error("changes though nothing does that it depends on")
	}
	for _, changed := range []string{
		strings.ReplaceAll(text, "abcdef}", "abcdeX}"),
		strings.ReplaceAll(text, "0123456789abcdef0", "1123456789abcdef0"),
		strings.ReplaceAll(text, "[b]", "[c]"),
		strings.ReplaceAll(text, "{name: p}", "{name: p, uid: u}"),
		strings.ReplaceAll(text, "{name: p}", "{name: q}"),
	} {
		if changed != text && print(changed) == first {
			t.Errorf("the same for %s", changed)
		}
	}
}

func TestEnvironmentIsSound(t *testing.T) {
	env := newEnvironment()
	if env.provider == nil || env.request == nil {
		t.Fatal("the declarations of variables do not compile")
	}
}

// TestCertificates shows that a provider takes the certificates of a ConfigMap, and tells one thing of one that is missing.
func TestCertificates(t *testing.T) {
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	form := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	const spec = "kind: IdentityProvider\nmetadata: {name: p}\nspec: {issuer: 'https://a', audiences: [b], tls: {caConfigMapKeyRef: {name: ca, key: ca.crt}}}\n"
	s := compile(t, spec+"---\nkind: ConfigMap\nmetadata: {name: ca}\ndata: {ca.crt: "+quote(text)+"}\n", Options{})
	if got := string(s.Providers()[0].Remote.RootCAs); got != text {
		t.Errorf("certificates %q", got)
	}
	_, r := new(Compiler).Compile(parse(t, spec), Options{})
	if got := problemsOf(r, "p"); len(got) != 1 || !strings.Contains(got[0], "there is no ConfigMap default/ca") {
		t.Errorf("problems %q", got)
	}
}

// TestSenderConstraintSettings shows what bound tokens a provider may ask for, and what it asks for where it says nothing.
func TestSenderConstraintSettings(t *testing.T) {
	for _, tt := range []struct {
		name, spec string
		mode       token.SenderMode
		dpop       *token.DPoP
	}{
		{"nothing", ``, token.SenderIfBound, nil},
		{"an empty one", `senderConstraint: {}`, token.SenderIfBound, nil},
		{"IfBound", `senderConstraint: {mode: IfBound}`, token.SenderIfBound, nil},
		{"Required", `senderConstraint: {mode: Required}`, token.SenderRequired, nil},
		{"None", `senderConstraint: {mode: None}`, token.SenderAny, nil},
		{"proofs", `senderConstraint: {dpop: {}}`, token.SenderIfBound, &token.DPoP{Algorithms: token.Asymmetric, MaxAge: time.Minute}},
		{"proofs, with every setting", `senderConstraint: {mode: Required, dpop: {algorithms: [ES256, EdDSA], maxProofAge: 10m, nonce: Required}}`,
			token.SenderRequired, &token.DPoP{Algorithms: token.NewAlgorithms(token.ES256, token.EdDSA), MaxAge: 10 * time.Minute, NonceRequired: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := compile(t, "kind: IdentityProvider\nmetadata: {name: p}\nspec: {issuer: 'https://a', audiences: [b], "+tt.spec+"}\n", Options{}).Providers()[0]
			if diff := cmp.Diff(tt.dpop, p.DPoP); p.Sender != tt.mode || diff != "" {
				t.Errorf("mode %d, proofs %s", p.Sender, diff)
			}
			if reads := slices.Contains(p.Sources, token.ProofSource()); reads != (tt.dpop != nil) || !slices.Contains(p.Sources, token.Source{Header: "authorization", Scheme: "Bearer"}) {
				t.Errorf("tokens may stand at %v", p.Sources)
			}
		})
	}
}
