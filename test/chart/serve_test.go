package chart_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// TestPodServesWithTheRightsOfTheChart runs the binary as the kubelet would, with the arguments of the chart and a token of
// the chart's ServiceAccount: a right that is missing, or a flag that is wrong, fails here.
func TestPodServesWithTheRightsOfTheChart(t *testing.T) {
	binary := sallyport(t)
	c := startCluster(t)
	c.helm(t, "install", "sallyport", chartDir, "--create-namespace", "--set=webhook.enabled=true")
	c.grantHost(t, "kept.example.com")
	p := startPod(t, c, binary, containerOf(t, template(t, "webhook.enabled=true")).Args)

	p.eventually(t, "it is ready", func(ctx context.Context) bool { return answers(ctx, "http://"+p.admin+"/readyz") })
	c.createPolicy(t)
	p.eventually(t, "the policy is in force, and its status says so", func(ctx context.Context) bool {
		var policy v1alpha1.AuthPolicy
		err := c.Get(ctx, client.ObjectKey{Namespace: "default", Name: "kept"}, &policy)
		return err == nil && meta.IsStatusConditionTrue(policy.Status.Conditions, "Programmed")
	})
	p.eventually(t, "the Lease is held", func(ctx context.Context) bool {
		var lease coordinationv1.Lease
		return c.Get(ctx, releaseKey, &lease) == nil && lease.Spec.HolderIdentity != nil && *lease.Spec.HolderIdentity != ""
	})
	p.eventually(t, "the webhook has the authority of a certificate that was made", func(ctx context.Context) bool {
		var webhook admissionregistrationv1.ValidatingWebhookConfiguration
		err := c.Get(ctx, client.ObjectKey{Name: "sallyport-webhook"}, &webhook)
		return err == nil && len(webhook.Webhooks[0].ClientConfig.CABundle) > 0
	})
	p.stop(t)
	if log := p.log.String(); strings.Contains(log, "forbidden") {
		t.Errorf("a right is missing:\n%s", log)
	}
}

// eventually waits until something holds. A process that ends meanwhile ends the test.
func (p *pod) eventually(t *testing.T, what string, holds func(context.Context) bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		select {
		case err := <-p.done:
			return false, errors.Join(errors.New("it has ended"), err)
		default:
			return holds(ctx), nil
		}
	})
	if err != nil {
		t.Fatalf("waiting until %s: %v", what, err)
	}
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) { return holds(), nil })
	if err != nil {
		t.Fatalf("waiting until %s: %v", what, err)
	}
}

// grantHost lets the namespace default name a host.
func (c cluster) grantHost(t *testing.T, host string) {
	t.Helper()
	namespace := &corev1.Namespace{}
	if err := c.Get(t.Context(), client.ObjectKey{Name: "default"}, namespace); err != nil {
		t.Fatal(err)
	}
	namespace.Annotations = map[string]string{"sallyport.dev/hosts": host}
	if err := c.Update(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
}

func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// metric tells whether a pod shows a line among its metrics.
func (p *pod) metric(ctx context.Context, line string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+"/metrics", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return err == nil && strings.Contains("\n"+string(text), "\n"+line+"\n")
}

// pod is a process in a pod's stead.
type pod struct {
	cmd         *exec.Cmd
	grpc, admin string // addresses
	log         *lockedBuffer
	done        chan error
}

// startPod starts the binary. Only addresses differ from the pod's, and where it finds the API server; of an argument
// that stands there twice, the last counts.
func startPod(t *testing.T, c cluster, binary string, arguments []string, more ...string) *pod {
	t.Helper()
	p := &pod{grpc: freeAddress(t), admin: freeAddress(t), log: new(lockedBuffer), done: make(chan error, 1)}
	own := []string{"--kubeconfig=" + c.kubeconfigOfPod(t), "--grpc-address=" + p.grpc, "--admin-address=" + p.admin}
	if slices.ContainsFunc(arguments, func(a string) bool { return strings.HasPrefix(a, "--webhook-address=") }) {
		own = append(own, "--webhook-address="+freeAddress(t))
	}
	arguments = slices.Concat(arguments, own, more)
	p.cmd = exec.Command(binary, arguments...)
	p.cmd.Env = []string{"SALLYPORT_NAMESPACE=sallyport", "PATH=" + os.Getenv("PATH")}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it has ended already where the test went well
		if t.Failed() {
			t.Logf("%q\n%s", p.cmd.Args, p.log)
		}
	})
	return p
}

// stop ends it as the kubelet does.
func (p *pod) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.done:
		if err != nil {
			t.Errorf("ends with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("does not end within its grace")
	}
}

// kill ends it as a crash does.
func (p *pod) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-p.done; err == nil {
		t.Error("it had ended by itself")
	}
}

// kubeconfigOfPod has a token of the chart's ServiceAccount, and no other credential.
func (c cluster) kubeconfigOfPod(t *testing.T) string {
	t.Helper()
	account := &corev1.ServiceAccount{}
	account.Namespace, account.Name = releaseKey.Namespace, releaseKey.Name
	request := &authenticationv1.TokenRequest{}
	if err := c.SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.LoadFromFile(c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for name := range config.AuthInfos {
		config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: request.Status.Token}
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// lockedBuffer is a buffer that a process writes while the test reads.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
