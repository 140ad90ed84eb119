package kube_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

const (
	root           = "../.."
	assetsVariable = "SALLYPORT_KUBE_ASSETS"
	logVariable    = "SALLYPORT_KUBE_LOG"
	startTimeout   = 2 * time.Minute // a machine that builds something else beside is slow
)

// cluster is an API server with its etcd and our CRDs.
type cluster struct {
	env    *envtest.Environment
	dir    string // everything of it: certificates, data, log
	guard  *guard
	log    *os.File     // of the API server
	config *rest.Config // of an administrator
	client client.Client

	stopped   sync.Once
	stopError error
}

// clusters are those of this process, to be stopped when it ends.
var clusters struct {
	sync.Mutex
	all []*cluster
}

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	// The children have process groups of their own, which Ctrl-C does not reach.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		stopAll()
		os.Exit(1)
	}()
	code := m.Run()
	stopAll()
	os.Exit(code)
}

func stopAll() {
	clusters.Lock()
	defer clusters.Unlock()
	for _, c := range clusters.all {
		if err := c.stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

var startShared = sync.OnceValues(func() (*cluster, error) { return newCluster(os.Getenv(assetsVariable)) })

// sharedCluster is the cluster that tests share. Skips where the binaries are not named.
func sharedCluster(t *testing.T) *cluster {
	t.Helper()
	assetsDir(t)
	c, err := startShared()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// startCluster starts a cluster that the test has to itself, and stops it when the test ends.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	c, err := newCluster(assetsDir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func assetsDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv(assetsVariable)
	if dir == "" {
		t.Skipf("%s does not name the folder of kube-apiserver and etcd, which make kube builds", assetsVariable)
	}
	return dir
}

func newCluster(assets string) (_ *cluster, err error) {
	c := &cluster{env: &envtest.Environment{
		CRDDirectoryPaths:        []string{filepath.Join(root, "config", "crd")},
		ErrorIfCRDPathMissing:    true,
		UseExistingCluster:       new(bool), // never one that the environment names
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  time.Minute,
	}}
	if err = c.prepare(assets); err != nil {
		return nil, err
	}
	clusters.Lock()
	clusters.all = append(clusters.all, c)
	clusters.Unlock()
	if err = c.start(); err != nil {
		return nil, fmt.Errorf("starting a cluster: %w; the API server's log ends with\n%s", err, c.logEnd())
	}
	return c, nil
}

// prepare makes the cluster's folder, with what stands in it, and the guard over it.
func (c *cluster) prepare(assets string) (err error) {
	if c.dir, err = os.MkdirTemp("", "sallyport-kube-"); err != nil {
		return err
	}
	if c.guard, err = startGuard(c.dir); err != nil {
		return err
	}
	if err = c.openLog(); err != nil {
		return err
	}
	c.env.ControlPlane.Etcd = &envtest.Etcd{DataDir: filepath.Join(c.dir, "data")}
	server := c.env.ControlPlane.GetAPIServer()
	server.CertDir, server.Out, server.Err = c.dir, c.log, c.log
	if server.Path, err = guarded(c.dir, filepath.Join(assets, "kube-apiserver")); err != nil {
		return err
	}
	c.env.ControlPlane.Etcd.Path, err = guarded(c.dir, filepath.Join(assets, "etcd"))
	return err
}

// openLog lets the API server write into the file that a variable names, or into one that goes with the cluster.
func (c *cluster) openLog() (err error) {
	path := cmp.Or(os.Getenv(logVariable), filepath.Join(c.dir, "kube-apiserver.log"))
	c.log, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return err
}

// logEnd is the end of the API server's log.
func (c *cluster) logEnd() string {
	const most = 4 << 10
	text, err := os.ReadFile(c.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

func (c *cluster) start() error {
	known := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, apiextensionsv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(known); err != nil {
			return err
		}
	}
	var err error
	if c.config, err = c.env.Start(); err != nil {
		return err
	}
	plain, err := client.New(c.config, client.Options{Scheme: known})
	if err != nil {
		return err
	}
	c.client = client.WithFieldValidation(plain, metav1.FieldValidationStrict)
	return nil
}

// stop ends everything and leaves nothing behind. It may be called again.
func (c *cluster) stop() error {
	c.stopped.Do(func() {
		c.stopError = errors.Join(c.env.Stop(), os.RemoveAll(c.dir), c.log.Close(), c.guard.release())
	})
	return c.stopError
}

// stopAPIServer ends the API server; etcd keeps what there is. Not for the shared cluster.
func (c *cluster) stopAPIServer(t *testing.T) {
	t.Helper()
	server := c.env.ControlPlane.APIServer
	if err := errors.Join(server.Stop(), os.Remove(server.Path+".pid")); err != nil {
		t.Fatal(err)
	}
}

// startAPIServer starts it again, at the same address and with the same certificates, and returns once it is ready.
func (c *cluster) startAPIServer(t *testing.T) {
	t.Helper()
	server := c.env.ControlPlane.APIServer
	server.Args = nil //nolint:staticcheck // deprecated, but Start leaves the flags there and would give them twice
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	c.waitFor(t, "the API server to be ready", func(ctx context.Context) error {
		return c.client.List(ctx, &v1alpha1.AuthPolicyList{})
	})
}

// waitFor asks until done returns nil; after a minute the test fails with its last error.
func (c *cluster) waitFor(t *testing.T, what string, done func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	await(ctx, t, what, done)
}

// waitUntil is waitFor for benchmarks too, and gives up after 20 seconds.
func (c *cluster) waitUntil(t testing.TB, what string, done func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	await(ctx, t, what, done)
}

// await asks until done returns nil; when ctx ends the test fails with its last error.
func await(ctx context.Context, t testing.TB, what string, done func(context.Context) error) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := done(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waiting for %s: %v", what, err)
		case <-tick.C:
		}
	}
}
