package envoy

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/cmd/demo"
)

const (
	// startWithin bounds the start of one part, and patience every wait for something that is bound to happen.
	startWithin = time.Minute
	patience    = 20 * time.Second
	// authzTimeout is far above Envoy's 200 ms, so that no verdict of these tests depends on a busy machine.
	authzTimeout = 10 * time.Second
)

// binary is the path in the environment variable name; the test is skipped where there is none.
func binary(t *testing.T, name string) string {
	t.Helper()
	bin := os.Getenv(name)
	if bin == "" {
		t.Skipf("%s names no binary; make test does", name)
	}
	return bin
}

func startIssuer(t *testing.T) *demo.Issuer {
	t.Helper()
	issuer, err := demo.StartIssuer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Close() }) // a refused connection of a fetch in flight is no fault
	return issuer
}

func startUpstream(t *testing.T) *demo.Upstream {
	t.Helper()
	upstream, err := demo.StartUpstream()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = upstream.Close() }) // a connection that Envoy still holds is cut
	return upstream
}

// startSallyport runs "sallyport serve" over folder until the test ends, which must be a clean end.
func startSallyport(t *testing.T, config demo.SallyportConfig) *demo.Sallyport {
	t.Helper()
	config.Bin = binary(t, "SALLYPORT_BIN")
	ctx, cancel := context.WithTimeout(t.Context(), startWithin)
	defer cancel()
	s, err := demo.StartSallyport(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		select {
		case <-s.Done():
			return // the test has ended it, and has seen how
		default:
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("Sallyport's log ends with:\n%s", tail(s.Log(), 30))
		}
	})
	return s
}

// startEnvoy runs Envoy until the test ends, which must be a clean end.
func startEnvoy(t *testing.T, config demo.EnvoyConfig) *demo.Envoy {
	t.Helper()
	config.Bin = binary(t, "SALLYPORT_ENVOY")
	config.ShowDecision = true
	if config.Authz.Timeout == 0 {
		config.Authz.Timeout = authzTimeout
	}
	ctx, cancel := context.WithTimeout(t.Context(), startWithin)
	defer cancel()
	e, err := demo.StartEnvoy(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Envoy's log ends with:\n%s", tail(e.Log(), 15))
		}
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// world is one of each part.
type world struct {
	issuer    *demo.Issuer
	upstream  *demo.Upstream
	sallyport *demo.Sallyport
	folder    string // of the policies
}

// newWorld starts an issuer, an application and a Sallyport over the files of testdata that are named. Envoys are the
// test's to start, with edge.
func newWorld(t *testing.T, files []string, args ...string) *world {
	t.Helper()
	binary(t, "SALLYPORT_ENVOY")
	binary(t, "SALLYPORT_BIN")
	w := &world{issuer: startIssuer(t), upstream: startUpstream(t), folder: t.TempDir()}
	for _, name := range files {
		w.write(t, name, testdata(t, name))
	}
	w.sallyport = startSallyport(t, demo.SallyportConfig{From: []string{w.folder}, Args: args})
	return w
}

// edge starts an Envoy between clients and the application, which asks the Sallyport of w.
func (w *world) edge(t *testing.T, config demo.EnvoyConfig) *demo.Envoy {
	t.Helper()
	config.Upstream = w.upstream.Address()
	if config.Authz.Address == "" {
		config.Authz.Address = w.sallyport.GRPCAddress()
	}
	return startEnvoy(t, config)
}

// write puts a file of objects into the folder, as a rename does: at once.
func (w *world) write(t *testing.T, name, content string) {
	t.Helper()
	replaceFile(t, filepath.Join(w.folder, name), w.fill(content))
}

// fill puts the URL of the issuer in place of ${ISSUER}.
func (w *world) fill(content string) string {
	return strings.ReplaceAll(content, "${ISSUER}", w.issuer.URL())
}

// token is one for alice at the audience shop, with claims added or replaced; nil takes a claim out.
func (w *world) token(t *testing.T, claims map[string]any, opts ...demo.TokenOption) string {
	t.Helper()
	return mint(t, w.issuer, claims, opts...)
}

func mint(t *testing.T, issuer *demo.Issuer, claims map[string]any, opts ...demo.TokenOption) string {
	t.Helper()
	all := map[string]any{"sub": "alice", "aud": "shop"}
	maps.Copy(all, claims)
	signed, err := issuer.Token(all, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// replaceFile puts content in place of a file at once, by a rename.
func replaceFile(t *testing.T, name, content string) {
	t.Helper()
	next := name + ".next"
	if err := os.WriteFile(next, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, name); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until ok is true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("after %s still not: %s", patience, what)
		}
	}
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
