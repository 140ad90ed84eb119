package chart_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/cmd/demo"
)

const (
	// briefly is the staleFor of the provider brief; the others' is an hour.
	briefly = 25 * time.Second
	// readyWithin bounds a start while providers are away: five seconds for their keys, and some for a busy machine.
	readyWithin = 15 * time.Second
)

// TestKeysOutliveTheirProvider ends and starts pods while the identity provider is away.
func TestKeysOutliveTheirProvider(t *testing.T) {
	c := startCluster(t)
	c.helm(t, "install", "sallyport", chartDir, "--create-namespace", "--set=allowLoopbackProviders=true")
	issuer, err := demo.StartIssuer()
	if err != nil {
		t.Fatal(err)
	}
	c.grantHost(t, "*.example.com")
	for name, staleFor := range map[string]time.Duration{"lasting": time.Hour, "brief": briefly, "moved": time.Hour, "anew": time.Hour} {
		c.applyObject(t, providerOf(issuer, name, staleFor, "10s"))
		c.applyObject(t, policyOf(name))
	}
	all := map[string]any{"sub": "alice", "aud": "shop"}
	token, stranger := mint(t, issuer, all), mint(t, issuer, all, demo.WithHeader("kid", "nobody"))
	arguments := containerOf(t, template(t, "allowLoopbackProviders=true")).Args
	start := func() *pod { return startPod(t, c, sallyport(t), arguments) }

	// The leader ends before it had a quiet moment to save: it does so on its way out.
	first := start()
	for _, name := range []string{"lasting", "brief", "moved", "anew"} {
		first.waitFor(t, name, token, "Allowed")
	}
	first.eventually(t, "it leads", func(ctx context.Context) bool { return first.metric(ctx, "sallyport_leader 1") })
	first.stop(t)
	if diff := cmp.Diff([]string{"anew", "brief", "lasting", "moved"}, names(c.kept(t))); diff != "" {
		t.Fatalf("kept (-want +got):\n%s", diff)
	}

	// The provider goes away. One object is edited, one is made anew: the kept keys are not theirs.
	if err := issuer.Close(); err != nil {
		t.Fatal(err)
	}
	holdPort(t, strings.TrimPrefix(issuer.URL(), "http://"))
	c.applyObject(t, providerOf(issuer, "moved", time.Hour, "11s"))
	if err := c.Delete(t.Context(), &v1alpha1.IdentityProvider{ObjectMeta: metaOf("anew")}); err != nil {
		t.Fatal(err)
	}
	c.applyObject(t, providerOf(issuer, "anew", time.Hour, "10s"))

	begun := time.Now()
	second := start()
	second.eventually(t, "it is ready", func(ctx context.Context) bool { return answers(ctx, "http://"+second.admin+"/readyz") })
	if took := time.Since(begun); took > readyWithin {
		t.Errorf("ready after %s", took)
	}
	for name, want := range map[string]string{"lasting": "Allowed", "brief": "Allowed", "moved": "KeysUnavailable", "anew": "KeysUnavailable"} {
		if got := second.ask(t, name, token); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := second.ask(t, "lasting", stranger); got != "UnknownKey" {
		t.Errorf("a key that nobody knows: %s", got)
	}

	// It crashes. What was kept is none the younger for it: in time the keys of brief are too old.
	second.kill(t)
	third := start()
	third.waitFor(t, "brief", token, "KeysUnavailable")
	if got := third.ask(t, "lasting", token); got != "Allowed" {
		t.Errorf("after a crash: %s", got)
	}
	third.eventually(t, "it leads", func(ctx context.Context) bool { return third.metric(ctx, "sallyport_leader 1") })

	// Another takes over, which has fetched nothing either. It keeps what there is.
	before := c.kept(t)["lasting"]
	fourth := start()
	fourth.waitFor(t, "lasting", token, "Allowed")
	third.kill(t)
	fourth.eventually(t, "it leads, and has saved", func(ctx context.Context) bool {
		return fourth.metric(ctx, "sallyport_leader 1") && slices.Equal(names(c.kept(t)), []string{"lasting"})
	})
	if after := c.kept(t)["lasting"]; after.Sub(before).Abs() > time.Second {
		t.Errorf("the keys were fetched at %s, and later at %s", before, after)
	}
	if got := fourth.ask(t, "lasting", token); got != "Allowed" {
		t.Errorf("after the hand-over: %s", got)
	}
}

// holdPort keeps the port of a server that is gone, and cuts every connection, so that no other test's server gets it.
func holdPort(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
}

// providerOf is one of its own place, which is another's as soon as a time in it is another.
func providerOf(issuer *demo.Issuer, name string, staleFor time.Duration, interval string) string {
	return fmt.Sprintf(`apiVersion: sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: %s, namespace: default}
spec:
  issuer: %s
  allowHTTP: true
  audiences: [shop]
  keys: {remote: {url: "%s?%s"}}
  refresh: {interval: %s, minInterval: 1s, staleFor: %s}
`, name, issuer.URL(), issuer.JWKSURL(), name, interval, staleFor)
}

// policyOf lets whoever has a token of a provider in to the host that is called after it.
func policyOf(provider string) string {
	return fmt.Sprintf(`apiVersion: sallyport.dev/v1alpha1
kind: AuthPolicy
metadata: {name: %s, namespace: default}
spec: {hosts: [%[1]s.example.com], identityProviders: [{name: %[1]s}], rules: [{name: all, access: Authenticated}]}
`, provider)
}

func mint(t *testing.T, issuer *demo.Issuer, claims map[string]any, options ...demo.TokenOption) string {
	t.Helper()
	signed, err := issuer.Token(claims, options...)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// ask is the reason of the answer to a Check of the host that is called after a provider.
func (p *pod) ask(t *testing.T, name, token string) string {
	t.Helper()
	conn, err := grpc.NewClient(p.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	resp, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: http.MethodGet, Host: name + ".example.com", Path: "/", Scheme: "https",
			Headers: map[string]string{"authorization": "Bearer " + token},
		}},
	}})
	if err != nil {
		return err.Error() // not ready yet
	}
	return resp.GetDynamicMetadata().GetFields()["reason"].GetStringValue()
}

// waitFor waits until a pod answers with a reason.
func (p *pod) waitFor(t *testing.T, name, token, reason string) {
	t.Helper()
	p.eventually(t, name+" is "+reason, func(context.Context) bool { return p.ask(t, name, token) == reason })
}

// kept are the times at which the keys in the ConfigMap were fetched, by the name of their provider.
func (c cluster) kept(t *testing.T) map[string]time.Time {
	t.Helper()
	var held corev1.ConfigMap
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "sallyport", Name: "sallyport-keys"}, &held); err != nil {
		t.Fatal(err)
	}
	var state struct {
		State struct {
			Remotes []struct {
				Providers []string
				Fetched   time.Time
			}
		}
	}
	if err := json.Unmarshal([]byte(held.Data["keys.json"]), &state); err != nil {
		t.Fatalf("%v\n%s", err, held.Data)
	}
	out := map[string]time.Time{}
	for _, r := range state.State.Remotes {
		out[r.Providers[0][len("IdentityProvider/default/"):]] = r.Fetched
	}
	return out
}

func names(kept map[string]time.Time) []string { return slices.Sorted(maps.Keys(kept)) }

func metaOf(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "default", Name: name}
}
