package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/controller"
	"github.com/sallyport/sallyport/extauthz/idp"
)

// kubeconfigFile is one of a cluster that nobody runs.
const kubeconfigFile = `apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
users: [{name: none, user: {}}]
current-context: none
`

// clusterService is a service of a cluster that nobody runs, and does not listen.
func clusterService(t *testing.T, args ...string) *service {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, []byte(kubeconfigFile), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := newService(parseServe(t, append([]string{"--kubeconfig", file}, args...)...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.keys.keeper.Close)
	return s
}

func parseServe(t *testing.T, args ...string) *serveFlags {
	t.Helper()
	flags := new(serveFlags)
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	flags.register(set)
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	return flags
}

func TestDefaultsOfACluster(t *testing.T) {
	type settled struct {
		HostGrants, Loopback, FromPrincipal bool
		Namespace                           string
	}
	for _, tt := range []struct {
		name string
		args []string
		want settled
	}{
		{name: "cluster", want: settled{HostGrants: true, FromPrincipal: true, Namespace: "sallyport"}},
		{name: "cluster, all said", args: []string{"--host-grants=false", "--allow-loopback-providers", "--scope-from-principal=false", "--namespace", "own"},
			want: settled{Loopback: true, Namespace: "own"}},
		{name: "folder", args: []string{"--from", "."}, want: settled{Loopback: true, Namespace: "default"}},
		{name: "folder, all said", args: []string{"--from", ".", "--host-grants", "--allow-loopback-providers=false", "--scope-from-principal", "--namespace", "own"},
			want: settled{Loopback: true, FromPrincipal: true, Namespace: "own"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := parseServe(t, tt.args...)
			f.settle()
			got := settled{f.hostGrants, f.allowLoopbackProviders, f.scopeFromPrincipal, f.namespace}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestOwnNamespace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "namespace")
	if got := ownNamespace(file); got != "sallyport" {
		t.Errorf("without the file: %q", got)
	}
	if err := os.WriteFile(file, []byte("infra\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := ownNamespace(file); got != "infra" {
		t.Errorf("with the file: %q", got)
	}
}

func TestServeWithoutAClusterIsAUsageError(t *testing.T) {
	t.Setenv("KUBECONFIG", "")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if _, err := newService(parseServe(t), io.Discard); !errors.As(err, new(usageError)) {
		t.Errorf("got %v, want a usage error", err)
	}
}

func TestClusterServiceWatchesNoFolder(t *testing.T) {
	s := clusterService(t)
	if s.cluster == nil || s.folder != nil || s.publisher != nil {
		t.Errorf("got %+v", s)
	}
	if _, _, ready := s.cluster.Objects(); ready {
		t.Error("there are objects before the cluster was asked")
	}
}

// TestAPIServerOfACluster: idp is told where the API server is, and in a folder that there is none.
func TestAPIServerOfACluster(t *testing.T) {
	s := clusterService(t)
	api, err := s.apiServer()
	if err != nil || api.URL.String() != "http://127.0.0.1:1/" && api.URL.String() != "http://127.0.0.1:1" || api.Transport == nil {
		t.Errorf("got %+v, %v", api, err)
	}
	if api, err := (&service{flags: parseServe(t, "--from", ".")}).apiServer(); api != nil || err != nil {
		t.Errorf("in a folder: %+v, %v", api, err)
	}
}

func TestKeyStatus(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	failed := &idp.FetchError{Reason: idp.Timeout, Document: "key set"}
	got := keyStatus(idp.Status{Ready: true, Stale: true, KeyIDs: []string{"a"}, LastSuccess: now, Err: failed})
	want := controller.KeyStatus{Ready: true, Stale: true, KeyIDs: []string{"a"}, LastSuccess: now, Problem: failed.Error()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
