package kube_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sallyport/sallyport/controller"
)

// TestFieldOfANewerVersionClosesItsRule lets the API server keep what this version does not know, as that of a newer CRD
// would.
func TestFieldOfANewerVersionClosesItsRule(t *testing.T) {
	c := startCluster(t)
	c.client = client.WithFieldValidation(c.client, "Ignore")
	ns := c.namespace(t)
	host := ns + ".example.com"
	crd := &apiextensionsv1.CustomResourceDefinition{}
	crd.Name = "authpolicies.sallyport.dev"
	patch := `[{"op":"add","path":"/spec/versions/0/schema/openAPIV3Schema/x-kubernetes-preserve-unknown-fields","value":true},
{"op":"add","path":"/spec/versions/0/schema/openAPIV3Schema/properties/spec/x-kubernetes-preserve-unknown-fields","value":true},
{"op":"add","path":"/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/rules/items/x-kubernetes-preserve-unknown-fields","value":true}]`
	if err := c.client.Patch(t.Context(), crd, client.RawPatch(types.JSONPatchType, []byte(patch))); err != nil {
		t.Fatal(err)
	}
	r := startReplica(t, c, ns, nil)
	two := publicPolicy("shop", host)
	two = strings.Replace(two, "rules: [{name: all, access: Public}]", `rules:
  - {name: new, matches: [{path: {value: /new}}], access: Public, requireMoon: Full}
  - {name: known, matches: [{path: {value: /known}}], access: Public}`, 1)
	c.waitUntil(t, "the field to be kept", func(ctx context.Context) error { // the new schema takes a moment
		c.apply(t, ns, two)
		if got := r.ask("https://" + host + "/new"); got != "NotCompiled" {
			return fmt.Errorf("/new is %s", got)
		}
		return nil
	})
	r.waitAsk(t, c, "https://"+host+"/known", "Public")
	got := c.waitCondition(t, policyNamed(ns, "shop"), "Accepted", "Invalid")
	if !strings.Contains(got.Message, "spec.rules[0].requireMoon") || !strings.Contains(got.Message, "unknown field") {
		t.Errorf("the condition says %q", got.Message)
	}
	// Outside of a rule it could mean something for every one.
	c.apply(t, ns, strings.Replace(two, "  hosts:", "  onlyOnMondays: true\n  hosts:", 1))
	r.waitAsk(t, c, "https://"+host+"/known", "NotCompiled")
	c.apply(t, ns, publicPolicy("shop", host))
	r.waitAsk(t, c, "https://"+host+"/known", "Public")
	c.waitCondition(t, policyNamed(ns, "shop"), "Accepted", "Accepted")
}

// gatewayCRDs are those of the Gateway API that is in go.mod.
func gatewayCRDs(t *testing.T) envtest.CRDInstallOptions {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, plural := range []string{"gateways", "httproutes", "grpcroutes"} {
		files = append(files, filepath.Join(strings.TrimSpace(string(dir)), "config", "crd", "standard", "gateway.networking.k8s.io_"+plural+".yaml"))
	}
	return envtest.CRDInstallOptions{Paths: files, ErrorIfPathMissing: true}
}

func TestGatewayAPIThatIsInstalledLater(t *testing.T) {
	c := startCluster(t)
	ns := c.namespace(t)
	r := startReplica(t, c, ns, nil)
	c.apply(t, ns, `apiVersion: sallyport.dev/v1alpha1
kind: AuthPolicy
metadata: {name: shop}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: shop}]
  rules: [{name: all, access: Public}]
`)
	p := policyNamed(ns, "shop")
	for range 2 {
		c.waitCondition(t, p, "ResolvedRefs", "RefNotFound")
		r.waitAsk(t, c, "https://shop.example.com/", "NoPolicy")
		crds, err := envtest.InstallCRDs(c.config, gatewayCRDs(t))
		if err != nil {
			t.Fatal(err)
		}
		c.apply(t, ns, `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: any
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{name: edge}]
  hostnames: [shop.example.com]
  rules: [{matches: [{path: {value: /}}]}]
`)
		c.waitCondition(t, p, "ResolvedRefs", "ResolvedRefs")
		r.waitAsk(t, c, "https://shop.example.com/", "Public")
		if len(p.Status.Ancestors) != 1 || p.Status.Ancestors[0].ControllerName != controller.ControllerName {
			t.Errorf("ancestors are %+v", p.Status.Ancestors)
		}
		if err := envtest.UninstallCRDs(c.config, envtest.CRDInstallOptions{CRDs: crds}); err != nil {
			t.Fatal(err)
		}
		c.waitUntil(t, "the CRDs to be gone", func(ctx context.Context) error {
			for _, crd := range crds {
				err := c.client.Get(ctx, client.ObjectKeyFromObject(crd), &apiextensionsv1.CustomResourceDefinition{})
				if client.IgnoreNotFound(err) != nil || err == nil {
					return errors.Join(fmt.Errorf("%s is there", crd.Name), err)
				}
			}
			return nil
		})
	}
}

func TestTwoReplicasHandOver(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	host := ns + ".example.com"
	elect := func(config *controller.ClusterConfig) { config.WithoutElection = false }
	first := startReplica(t, c, ns, elect)
	leads := func(r *replica, want bool) func(context.Context) error {
		return func(context.Context) error {
			if got := r.cluster.Leading(); got != want {
				return fmt.Errorf("leading is %t", got)
			}
			return nil
		}
	}
	c.waitUntil(t, "the first to lead", leads(first, true))
	second := startReplica(t, c, ns, elect)
	c.apply(t, ns, publicPolicy("shop", host))
	first.waitAsk(t, c, "https://"+host+"/", "Public")
	second.waitAsk(t, c, "https://"+host+"/", "Public")
	c.waitCondition(t, policyNamed(ns, "shop"), "Programmed", "Programmed")
	if second.cluster.Leading() {
		t.Error("both lead")
	}
	c.apply(t, ns, publicPolicy("steady", "steady."+host))
	steady := policyNamed(ns, "steady")
	c.waitCondition(t, steady, "Programmed", "Programmed")
	version, said := steady.ResourceVersion, steady.Status

	// Somebody takes the Lease away: the first goes on to serve, and only does not write.
	lease := &coordinationv1.Lease{}
	if err := c.client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "sallyport"}, lease); err != nil {
		t.Fatal(err)
	}
	thief := "thief"
	lease.Spec.HolderIdentity = &thief
	if err := c.client.Update(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	c.waitUntil(t, "the first to lead no more", leads(first, false))
	c.apply(t, ns, strings.Replace(publicPolicy("shop", host), "Public", "Denied", 1))
	first.waitAsk(t, c, "https://"+host+"/", "Denied")
	second.waitAsk(t, c, "https://"+host+"/", "Denied")
	either := func(context.Context) error {
		if !first.cluster.Leading() && !second.cluster.Leading() {
			return fmt.Errorf("nobody leads")
		}
		return nil
	}
	c.waitUntil(t, "somebody to lead again", either) // once the Lease has run out
	c.waitCondition(t, policyNamed(ns, "shop"), "Programmed", "Programmed")

	leader, other := first, second
	if second.cluster.Leading() {
		leader, other = second, first
	}
	leader.end()
	c.waitUntil(t, "the other to lead", leads(other, true))
	c.apply(t, ns, publicPolicy("shop", host))
	other.waitAsk(t, c, "https://"+host+"/", "Public")
	c.waitCondition(t, policyNamed(ns, "shop"), "Programmed", "Programmed")

	// Whoever leads says the same of what nobody edited, so that it stands there since when it is so.
	if err := c.client.Get(t.Context(), client.ObjectKeyFromObject(steady), steady); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(said, steady.Status); diff != "" || steady.ResourceVersion != version {
		t.Errorf("resourceVersion was %s, is %s; status (-before +after the hand-over):\n%s", version, steady.ResourceVersion, diff)
	}
}

func TestOutageOfTheAPIServerChangesNoVerdict(t *testing.T) {
	c := startCluster(t)
	ns := c.namespace(t)
	r := startReplica(t, c, ns, nil)
	c.apply(t, ns, publicPolicy("open", "open.example.com"))
	c.apply(t, ns, strings.Replace(publicPolicy("closed", "closed.example.com"), "Public", "Denied", 1))
	want := map[string]string{"https://open.example.com/": "Public", "https://closed.example.com/": "Denied", "https://other.example.com/": "NoPolicy"}
	for url, reason := range want {
		r.waitAsk(t, c, url, reason)
	}
	var asked, wrong atomic.Int64
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			for url, reason := range want {
				asked.Add(1)
				if got := r.ask(url); got != reason {
					wrong.Add(1)
				}
			}
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	c.crashAPIServer(t)
	late := startReplica(t, c, ns, nil) // a pod that starts meanwhile
	asked.Store(0)
	c.waitUntil(t, "requests during the outage, and the last contact to grow old", func(context.Context) error {
		contact := r.metric(t, "sallyport_cluster_contact_timestamp_seconds")
		age := time.Since(time.UnixMicro(int64(contact * 1e6)))
		if n := asked.Load(); n < 1000 || contact == 0 || age < 2*time.Second {
			return fmt.Errorf("there were %d, the contact was %s ago", n, age)
		}
		return nil
	})
	if late.snapshot.Load() != nil {
		t.Error("a replica that has seen nothing has a snapshot")
	}
	c.startAPIServer(t)
	c.apply(t, ns, publicPolicy("later", "later.example.com"))
	r.waitAsk(t, c, "https://later.example.com/", "Public")
	for url, reason := range want {
		late.waitAsk(t, c, url, reason)
	}
	close(stop)
	<-done
	if wrong.Load() > 0 {
		t.Errorf("%d of %d verdicts were wrong", wrong.Load(), asked.Load())
	}
}

// crashAPIServer ends the API server at once. Asked to stop, it would first serve its watches for a minute.
func (c *cluster) crashAPIServer(t *testing.T) {
	t.Helper()
	_, port, _ := strings.Cut(strings.TrimPrefix(c.config.Host, "https://"), ":")
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for _, file := range files {
		args, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(args), "kube-apiserver") || !strings.Contains(string(args), "--secure-port="+strings.Trim(port, "/")+"\x00") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err == nil {
			killed++
		}
	}
	if killed == 0 {
		t.Fatal("no API server runs on port " + port)
	}
	c.stopAPIServer(t)
}

// metric is the sum of a metric over its labels.
func (r *replica) metric(t testing.TB, name string) (sum float64) {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}
