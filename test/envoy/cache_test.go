package envoy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sallyport/sallyport/cmd/demo"
)

// TestEditsVoidTheCache changes what a token is verified by after the token was good, and so is in the cache: the next
// request is judged by what holds now.
func TestEditsVoidTheCache(t *testing.T) {
	w := newWorld(t, []string{"provider.yaml"})
	e := w.edge(t, demo.EnvoyConfig{})
	good := testdata(t, "provider.yaml")
	token := w.token(t, nil)
	reason := func() string {
		return do(t, e.Address(), call{host: "shop.test", target: "/", token: token}).reason()
	}
	for _, test := range []struct{ name, old, new, want string }{
		{"another audience", "audiences: [shop]", "audiences: [bank]", "InvalidAudience"},
		{"another algorithm", "clockSkew: 0s", "algorithms: [ES256]", "AlgorithmNotAllowed"},
		{"another type", "clockSkew: 0s", "tokenTypes: [JWT]", "InvalidTokenType"},
		{"a claim to validate", "clockSkew: 0s", `claimValidationRules: [{expression: "claims.sub == 'bob'"}]`, "ClaimValidationFailed"},
		{"another claim for the subject", "clockSkew: 0s", "claimMappings: {subject: client_id}", "InvalidSubject"},
		{"an age", "clockSkew: 0s", "maxTokenAge: 10m", "TokenTooOld"},
		{"another issuer", "issuer: ${ISSUER}", "issuer: ${ISSUER}/x", "UntrustedIssuer"},
		{"another requirement", "values: [alice]", "values: [bob]", "InsufficientClaims"},
		{"another place for tokens", "clockSkew: 0s", "tokenSources: [{cookie: {name: c}}]", "MissingToken"},
		{"no such provider", "name: plain, namespace: shop", "name: other, namespace: shop", "NotCompiled"},
		{"its keys elsewhere", "clockSkew: 0s", `keys: {inline: '{"keys":[]}'}`, "NotCompiled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !strings.Contains(good, test.old) {
				t.Fatalf("there is no %q to replace", test.old)
			}
			w.write(t, "provider.yaml", good)
			eventually(t, "the token is good", func() bool { return reason() == "Allowed" })
			w.write(t, "provider.yaml", strings.Replace(good, test.old, test.new, 1))
			last := ""
			defer func() {
				if last != test.want {
					t.Errorf("the last reason was %s, want %s", last, test.want)
				}
			}()
			eventually(t, "the edit is in force", func() bool { last = reason(); return last == test.want })
		})
	}
}

// TestCachedTokenExpires shows that a token in the cache is good no longer than it says.
func TestCachedTokenExpires(t *testing.T) {
	w := newWorld(t, []string{"provider.yaml"})
	e := w.edge(t, demo.EnvoyConfig{})
	expiry := time.Now().Add(3 * time.Second).Truncate(time.Second)
	token := w.token(t, map[string]any{"exp": expiry.Unix()})
	reason := func() string {
		return do(t, e.Address(), call{host: "shop.test", target: "/", token: token}).reason()
	}
	if got := reason(); got != "Allowed" {
		t.Fatalf("before its time: %s", got)
	}
	eventually(t, "the token has expired", func() bool {
		before := time.Now()
		got := reason()
		if got == "Allowed" && !before.Before(expiry) {
			t.Errorf("allowed %s after it has expired", time.Since(expiry))
		}
		return got == "TokenExpired" || t.Failed()
	})
	if early := time.Until(expiry); early > 0 {
		t.Errorf("refused %s before it expires", early)
	}
}

// TestKeysInFiles changes a Secret and a ConfigMap that hold keys: at once only the new ones count.
func TestKeysInFiles(t *testing.T) {
	binary(t, "SALLYPORT_ENVOY")
	binary(t, "SALLYPORT_BIN")
	w := &world{issuer: startIssuer(t), upstream: startUpstream(t), folder: t.TempDir()}
	secrets := []string{"a secret of the first generation, long enough", "a secret of the second generation, long enough"}
	write := func(secret string) {
		set, err := json.Marshal(map[string]any{"keys": keysOf(t, w.issuer)})
		if err != nil {
			t.Fatal(err)
		}
		w.write(t, "secret.yaml", strings.NewReplacer("${SECRET}", "'"+secret+"'", "${JWKS}", string(set)).Replace(testdata(t, "secret.yaml")))
	}
	write(secrets[0])
	w.sallyport = startSallyport(t, demo.SallyportConfig{From: []string{w.folder}})
	e := w.edge(t, demo.EnvoyConfig{})
	reason := func(token string) string {
		return do(t, e.Address(), call{host: "shop.test", target: "/", token: token}).reason()
	}
	shared := func(secret string) string {
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
			"iss": "https://shared.test", "sub": "alice", "aud": "shop", "exp": time.Now().Add(time.Hour).Unix(),
		}).SignedString([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	old := w.token(t, nil)
	for name, token := range map[string]string{"secret": shared(secrets[0]), "key set": old} {
		if got := reason(token); got != "Allowed" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := reason(shared(secrets[1])); got != "InvalidSignature" {
		t.Errorf("the secret that is not there yet: %s", got)
	}
	if err := w.issuer.Rotate(); err != nil {
		t.Fatal(err)
	}
	write(secrets[1])
	eventually(t, "the new secret counts", func() bool { return reason(shared(secrets[1])) == "Allowed" })
	for name, test := range map[string]struct{ token, want string }{
		"the old secret":  {shared(secrets[0]), "InvalidSignature"},
		"the old key set": {old, "UnknownKey"},
		"the new key set": {w.token(t, nil), "Allowed"},
	} {
		if got := reason(test.token); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// TestProviderEditedUnderLoad edits what has nothing to do with whether a token is good: nobody is refused meanwhile.
func TestProviderEditedUnderLoad(t *testing.T) {
	w := newWorld(t, []string{"provider.yaml"})
	e := w.edge(t, demo.EnvoyConfig{Concurrency: 2})
	token := w.token(t, nil)
	var answers atomic.Int64
	var walkers sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		walkers.Go(func() {
			if err := w.flow(e.Address(), token, stop, &answers); err != nil {
				t.Error(err)
			}
		})
	}
	for i, edit := range []string{
		"refresh: {interval: 11m}", "refresh: {staleFor: 1h}", "clockSkew: 10s", "audiences: [shop, bank]", "algorithms: [RS256]",
		"keys: {discovery: {}}", "keys: {remote: {url: \"${ISSUER}/jwks\"}}",
	} {
		old := "clockSkew: 0s"
		if strings.HasPrefix(edit, "audiences") {
			old = "audiences: [shop]"
		}
		edited := strings.Replace(testdata(t, "provider.yaml"), old, edit, 1)
		if old != "clockSkew: 0s" {
			edited = strings.Replace(edited, "{name: plain}]", "{name: plain, audiences: [shop]}]", 1)
		}
		said := strings.Count(w.sallyport.Log(), "In force")
		w.write(t, "provider.yaml", edited)
		eventually(t, "the edit is in force", func() bool { return strings.Count(w.sallyport.Log(), "In force") > said })
		want := answers.Load() + 50
		eventually(t, "requests flow", func() bool { return answers.Load() >= want || t.Failed() })
		if t.Failed() {
			t.Errorf("after edit %d, %s", i, edit)
			break
		}
	}
	close(stop)
	walkers.Wait()
}

// TestFolderOfLinks swaps all files at once, as Kubernetes does with a ConfigMap that is mounted: the folder holds
// links, which lead through one link that is replaced.
func TestFolderOfLinks(t *testing.T) {
	w := newWorld(t, nil)
	p := &painter{w: w}
	mount := func(generation string, colour int) {
		folder := filepath.Join(w.folder, generation)
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		content := strings.ReplaceAll(testdata(t, "reload.yaml"), "${COLOUR}", colours[colour])
		replaceFile(t, filepath.Join(folder, "gate.yaml"), w.fill(content))
		if err := os.Symlink(generation, filepath.Join(w.folder, "..next")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(w.folder, "..next"), filepath.Join(w.folder, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	mount("..1", 0)
	if err := os.Symlink("..data/gate.yaml", filepath.Join(w.folder, "gate.yaml")); err != nil {
		t.Fatal(err)
	}
	p.address = w.edge(t, demo.EnvoyConfig{}).Address()
	p.tokens = [2]string{w.token(t, map[string]any{"scope": "red"}), w.token(t, map[string]any{"scope": "blue"})}
	p.settle(t, 0)
	mount("..2", 1)
	p.settle(t, 1)
	if err := os.RemoveAll(filepath.Join(w.folder, "..1")); err != nil {
		t.Fatal(err)
	}
	mount("..3", 0)
	p.settle(t, 0)
}
