package policy

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
		{"introspection with another method", asked(`clientID: c, authMethod: None, clientSecretRef: {name: s, key: short}`, ""), "must be ClientSecretBasic"},
		{"introspection over http", asked(`clientID: c, endpoint: "http://a/i", clientSecretRef: {name: s, key: short}`, ""), "spec.introspection.endpoint"},
		{"introspection at an issuer that is no URL", asked(`clientID: c, clientSecretRef: {name: s, key: short}`, `keys: {remote: {url: "https://a/keys"}}, issuer: corp`), "spec.introspection.endpoint: is missing"},
		{"introspection at an issuer over http", asked(`clientID: c, clientSecretRef: {name: s, key: short}`, `keys: {remote: {url: "https://a/keys"}}, issuer: "http://a"`), "spec.issuer"},
		{"introspection that is remembered too long", asked(`clientID: c, clientSecretRef: {name: s, key: short}, cacheTTL: 2h`, ""), "must be at most 1h0m0s"},
		{"introspection that takes too long", asked(`clientID: c, clientSecretRef: {name: s, key: short}, timeout: 6s`, ""), "must be at most 5s"},
		{"introspection that takes no time", asked(`clientID: c, clientSecretRef: {name: s, key: short}, timeout: 1ms`, ""), "must be at least 10ms"},
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
