package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/spf13/pflag"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// running is serve, from its flags to its end.
type running struct {
	socket string
	out    lockedBuffer
	stop   func()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func startServe(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{socket: filepath.Join(t.TempDir(), "s")}
	var flags serveFlags
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	flags.register(set)
	if err := set.Parse(append(args, "--grpc-address", "unix://"+r.socket, "--admin-address", "127.0.0.1:0")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		if err := serve(ctx, &flags, &r.out); err != nil {
			t.Error(err)
		}
	})
	r.stop = sync.OnceFunc(func() { cancel(); group.Wait() })
	t.Cleanup(r.stop)
	return r
}

// ask returns the HTTP status of the answer to a request that shows bearer, once there is one; 200 stands for allowed.
func (r *running) ask(t *testing.T, bearer string) int {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+r.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	req := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{
			Method: http.MethodGet, Host: "a.com", Path: "/", Scheme: "https",
			Headers: map[string]string{"authorization": "Bearer " + bearer},
		},
	}}}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; <-tick.C {
		resp, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), req)
		if err == nil {
			if resp.GetStatus().GetCode() == 0 {
				return http.StatusOK
			}
			return int(resp.GetDeniedResponse().GetStatus().GetCode())
		}
		if time.Now().After(deadline) { // an error is "not ready yet"
			t.Fatalf("no answer: %v\n%s", err, r.out.String())
		}
	}
}

// sign returns a token of the rack's provider.
func (r *rack) sign(t *testing.T) string {
	t.Helper()
	unsigned := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": r.URL, "aud": "api", "sub": "ann", "exp": time.Now().Add(time.Hour).Unix(),
	})
	unsigned.Header["kid"] = "k"
	signed, err := unsigned.SignedString(r.private)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// objects returns a folder with the rack's provider and a policy that needs a token of it.
func (r *rack) objects(t *testing.T, keys string) string {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf(`apiVersion: sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: corp}
spec: {issuer: %q, allowHTTP: true, audiences: [api], keys: {remote: {url: %q}}}
---
apiVersion: sallyport.dev/v1alpha1
kind: AuthPolicy
metadata: {name: p}
spec: {hosts: [a.com], identityProviders: [{name: corp}], rules: [{name: all, access: Authenticated}]}
`, r.URL, keys)
	if err := os.WriteFile(filepath.Join(dir, "p.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestServeKeepsKeysOverARestart runs the whole server, over and over, while the identity provider goes away.
func TestServeKeepsKeysOverARestart(t *testing.T) {
	r := newRack(t)
	bearer := r.sign(t)
	from, state := r.objects(t, r.URL+"/keys"), filepath.Join(t.TempDir(), "state")

	first := startServe(t, "--from", from, "--state-dir", state)
	if got := first.ask(t, bearer); got != http.StatusOK {
		t.Fatalf("%d while the provider is there\n%s", got, first.out.String())
	}
	first.stop() // before the settle has passed: the keys are saved at the end
	r.Close()

	for range 2 { // the second is a restart from what was restored
		again := startServe(t, "--from", from, "--state-dir", state)
		if got := again.ask(t, bearer); got != http.StatusOK {
			t.Fatalf("%d after a restart while the provider is away\n%s", got, again.out.String())
		}
		forger := &rack{Server: r.Server}
		forger.turn(t)
		if got := again.ask(t, forger.sign(t)); got != http.StatusUnauthorized {
			t.Errorf("%d for a token of another key, want 401", got)
		}
		again.stop()
		if !strings.Contains(again.out.String(), "Keys restored") {
			t.Errorf("log tells nothing of it:\n%s", again.out.String())
		}
	}
	if got := startServe(t, "--from", from).ask(t, bearer); got != http.StatusServiceUnavailable {
		t.Errorf("%d without a state, want 503", got)
	}
	// The same issuer, with its keys elsewhere: they are not those of the state.
	moved := startServe(t, "--from", r.objects(t, r.URL+"/moved"), "--state-dir", state)
	if got := moved.ask(t, bearer); got != http.StatusServiceUnavailable {
		t.Errorf("%d for a provider that has moved, want 503", got)
	}
	moved.stop()
	// What is damaged is loud, and not fatal.
	if err := os.WriteFile(filepath.Join(state, keyFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := startServe(t, "--from", from, "--state-dir", state)
	if got := damaged.ask(t, bearer); got != http.StatusServiceUnavailable {
		t.Errorf("%d with a damaged state, want 503", got)
	}
	if !strings.Contains(damaged.out.String(), "Kept keys are ignored") {
		t.Errorf("log tells nothing of the damage:\n%s", damaged.out.String())
	}
}

func TestServeRefusesAStateDirOfOthers(t *testing.T) {
	state := t.TempDir()
	if err := os.Chmod(state, 0o777); err != nil {
		t.Fatal(err)
	}
	code := execute(t.Context(), []string{"serve", "--from", t.TempDir(), "--state-dir", state})
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}

// TestStateDirIsForFolders holds on to the two places where keys are kept.
func TestStateDirIsForFolders(t *testing.T) {
	if code := execute(t.Context(), []string{"serve", "--state-dir", t.TempDir()}); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
}
