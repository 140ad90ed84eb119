package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
)

// testService is a service that does not listen.
func testService(t *testing.T, objects string, args ...string) *service {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.yaml"), []byte(objects), 0o644); err != nil {
		t.Fatal(err)
	}
	var flags serveFlags
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	flags.register(set)
	if err := set.Parse(append([]string{"--from", dir}, args...)); err != nil {
		t.Fatal(err)
	}
	s, err := newService(&flags, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.keys.keeper.Close)
	t.Cleanup(s.tracing.close)
	return s
}

func TestMetricsAreDocumented(t *testing.T) {
	var have []string
	for _, s := range []*service{
		testService(t, "", "--shared-store=unix:///nowhere", "--backchannel-logout-address=127.0.0.1:0", "--tracing"), clusterService(t, "--webhook-address=127.0.0.1:9443"),
	} {
		have = append(have, metricNames(s.registry)...)
	}
	slices.Sort(have)
	have = slices.Compact(have)
	doc, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(sallyport_[a-z_]+)` \\|").FindAllSubmatch(doc, -1) {
		documented = append(documented, string(m[1]))
	}
	slices.Sort(documented)
	if diff := cmp.Diff(documented, have); diff != "" {
		t.Errorf("(-documented +registered)\n%s", diff)
	}
}

// metricNames are those of a registry.
func metricNames(registry *prometheus.Registry) (out []string) {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		registry.Describe(descs)
	}()
	named := regexp.MustCompile(`fqName: "(sallyport_[a-z_]+)"`)
	for d := range descs {
		if m := named.FindStringSubmatch(d.String()); m != nil {
			out = append(out, m[1])
		}
	}
	return out
}

// provider is an IdentityProvider whose keys nobody serves: nothing listens on port 1.
func provider(name, url string) string {
	return "---\napiVersion: sallyport.dev/v1alpha1\nkind: IdentityProvider\nmetadata: {name: " + name + "}\n" +
		"spec: {issuer: \"" + url + "\", allowHTTP: true, audiences: [a]}\n"
}

func TestKeysAreCountedByProvider(t *testing.T) {
	s := testService(t, provider("one", "http://127.0.0.1:1")+provider("two", "http://127.0.0.1:1/two"))
	if err := s.publisher.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"IdentityProvider/default/one ConnectionFailed", "IdentityProvider/default/two ConnectionFailed"}
	awaitFetches(t, s, want)
	// The series of a provider go with it.
	if err := os.WriteFile(filepath.Join(s.flags.from[0], "p.yaml"), []byte(provider("one", "http://127.0.0.1:1")), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.publisher.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitFetches(t, s, want[:1])
}

// awaitFetches waits until the counter has these labels: an attempt is counted a moment after its keys can be had.
func awaitFetches(t *testing.T, s *service, want []string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		diff := cmp.Diff(want, fetches(t, s))
		switch {
		case diff == "":
			return
		case time.Now().After(deadline):
			t.Fatalf("(-want +got)\n%s", diff)
		}
		runtime.Gosched()
	}
}

// fetches are the labels of the counter of fetches.
func fetches(t *testing.T, s *service) (out []string) {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "sallyport_key_fetches_total" {
				out = append(out, m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue())
			}
		}
	}
	return out
}

func TestFromEnvironment(t *testing.T) {
	environment := map[string]string{
		"SALLYPORT_FROM": "a,b", "SALLYPORT_GATEWAY_PRINCIPALS": "spiffe://x/y,spiffe://x/z", "SALLYPORT_GRPC_ADDRESS": ":1",
		"SALLYPORT_ADMIN_ADDRESS": ":2", "SALLYPORT_DRAIN_TIMEOUT": "3s", "SALLYPORT_DRY_RUN": "true", "SALLYPORT_LOG_LEVEL": "",
	}
	lookup := func(name string) (string, bool) { v, ok := environment[name]; return v, ok }
	var flags serveFlags
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	flags.register(set)
	if err := set.Parse([]string{"--admin-address", ":3"}); err != nil {
		t.Fatal(err)
	}
	if err := fromEnvironment(set, lookup); err != nil {
		t.Fatal(err)
	}
	got := []any{flags.from, flags.gatewayPrincipals, flags.grpcAddress, flags.adminAddress, flags.drainTimeout.String(), flags.dryRun, flags.logLevel}
	want := []any{[]string{"a", "b"}, []string{"spiffe://x/y", "spiffe://x/z"}, ":1", ":3", "3s", true, "info"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	environment["SALLYPORT_MAX_IN_FLIGHT"] = "many"
	if err := fromEnvironment(set, lookup); !errors.As(err, new(usageError)) {
		t.Errorf("got %v, want a usage error", err)
	}
}

// TestServeFlags holds on to the names that people and charts use.
func TestServeFlags(t *testing.T) {
	var got []string
	serveCommand().Flags().VisitAll(func(f *pflag.Flag) { got = append(got, f.Name) })
	want := []string{
		"admin-address", "allow-loopback-providers", "answer-cache-bytes",
		"backchannel-logout-address", "backchannel-logout-tls-cert-file", "backchannel-logout-tls-key-file", "client-address", "client-ca-file", "client-certificate", "cluster-domain", "dpop-nonce-key-file", "drain-delay", "drain-timeout", "dry-run", "from",
		"gateway-principals", "grpc-address", "host-grants", "kubeconfig", "leader-election", "log-format", "log-level",
		"max-in-flight", "namespace", "proof-bytes", "public-scheme", "reference-namespaces", "require-scope", "revocations-stale-after", "scope-from-principal",
		"shared-store", "shared-store-ca-file", "shared-store-password-file", "shared-store-timeout", "state-dir",
		"tls-cert-file", "tls-key-file", "token-cache-bytes", "tracing", "trust-domain", "webhook-address", "webhook-cert-dir",
		"webhook-configuration", "webhook-service", "xfcc-trusted-hops", "xff-trusted-hops",
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestExecuteWithoutCommand(t *testing.T) {
	if code := execute(context.Background(), nil); code != 2 {
		t.Errorf("got exit code %d, want 2", code)
	}
}
