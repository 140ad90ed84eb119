package chart_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/cmd/demo"
)

const (
	// replicas are those of the chart; a rollout starts as many anew.
	replicas = 2
	// orders is the host that the example is about.
	orders = "orders.example.com"
)

// hour is a cluster with what stands around it: an identity provider, an application, and an Envoy in front of that.
type hour struct {
	cluster
	issuer  *demo.Issuer
	app     *demo.Upstream
	edge    *edge
	sockets []string // where Envoy looks for pods; the next rollout's are the first that are free
	pods    []*pod   // every one that was started
	rolled  int      // rollouts so far
}

func newHour(t *testing.T) *hour {
	t.Helper()
	sallyport(t) // skips where it is not there
	h := &hour{}
	var err error
	if h.issuer, err = demo.StartIssuer(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.issuer.Close() }) // a fetch in flight that is refused is no fault
	if h.app, err = demo.StartUpstream(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.app.Close() }) // a connection that Envoy still holds is cut
	folder, err := os.MkdirTemp("", "sp")   // the path of a socket is at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	for i := range 2 * replicas {
		h.sockets = append(h.sockets, filepath.Join(folder, strconv.Itoa(i)))
	}
	h.edge = startEdge(t, h.app.Address(), h.sockets)
	h.cluster = startCluster(t)
	return h
}

// roll does what the Deployment's controller and the kubelet do: pod by pod it starts one as the Deployment has it now,
// and once that is ready, and asked, ends an old one.
func (h *hour) roll(t *testing.T) {
	t.Helper()
	var d appsv1.Deployment
	if err := h.Get(t.Context(), releaseKey, &d); err != nil {
		t.Fatal(err)
	}
	if *d.Spec.Replicas != replicas {
		t.Fatalf("the chart has %d replicas", *d.Spec.Replicas)
	}
	for i := range replicas {
		p := startPod(t, h.cluster, sallyport(t), d.Spec.Template.Spec.Containers[0].Args, "--grpc-address=unix://"+h.sockets[h.rolled*replicas+i])
		h.pods = append(h.pods, p)
		p.eventually(t, "it is ready", func(ctx context.Context) bool { return answers(ctx, "http://"+p.admin+"/readyz") })
		if h.rolled == 0 {
			eventually(t, "Envoy asks it", func() bool { return h.edge.healthy(t, strconv.Itoa(i+1)) })
			continue
		}
		eventually(t, "Envoy asks it too", func() bool { return h.edge.healthy(t, strconv.Itoa(replicas+1)) })
		h.pods[len(h.pods)-1-replicas].stop(t)
		eventually(t, "Envoy has turned away from the old one", func() bool { return h.edge.healthy(t, strconv.Itoa(replicas)) })
	}
	h.rolled++
}

// stop ends the pods of the last rollout.
func (h *hour) stop(t *testing.T) {
	t.Helper()
	for _, p := range h.pods[len(h.pods)-replicas:] {
		p.stop(t)
	}
}

// token is one for alice at the audience of the example, with claims added or replaced.
func (h *hour) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"sub": "alice", "aud": "orders-api"}
	maps.Copy(all, claims)
	signed, err := h.issuer.Token(all)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// request is one to the host of the example, and what should become of it.
type request struct {
	name, method, path, token string
	header                    http.Header

	status int
	reason string // of a refusal, as the log has it
	user   string // that the application sees; "": none
}

// reply is what became of a request.
type reply struct {
	status int
	reason string
	echo   demo.Echo // of the application, where it was reached
}

// send sends one through Envoy. The reason of a refusal is looked up as docs/operating.md says: by the id of the
// decision, in the log.
func (h *hour) send(t *testing.T, r request) reply {
	t.Helper()
	method := r.method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+h.edge.address+r.path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = orders
	maps.Copy(req.Header, r.header)
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := reply{status: resp.StatusCode}
	if id := resp.Header.Get("x-sallyport-decision-id"); id != "" {
		eventually(t, "the log tells of decision "+id, func() bool { out.reason = h.reasonOf(id); return out.reason != "" })
	}
	if out.status == http.StatusOK {
		if err := json.Unmarshal(body, &out.echo); err != nil {
			t.Fatalf("%v\n%s", err, body)
		}
	}
	return out
}

// reasonOf is what the logs of the pods say of a decision; "": nothing yet.
func (h *hour) reasonOf(id string) string {
	for _, p := range h.pods {
		for line := range strings.Lines(p.log.String()) {
			var entry struct{ DecisionID, Reason string }
			if strings.Contains(line, id) && json.Unmarshal([]byte(line), &entry) == nil && entry.DecisionID == id {
				return entry.Reason
			}
		}
	}
	return ""
}

// check sends requests and says which come out otherwise than they should.
func (h *hour) check(t *testing.T, requests []request) {
	t.Helper()
	for _, r := range requests {
		before := h.app.Requests()
		got := h.send(t, r)
		if got.status != r.status || got.reason != r.reason {
			t.Errorf("%s: status %d, reason %q; want %d, %q", r.name, got.status, got.reason, r.status, r.reason)
		}
		if reached := h.app.Requests() > before; reached != (r.status == http.StatusOK) {
			t.Errorf("%s: that the application was reached is %t", r.name, reached)
		}
		if user := strings.Join(got.echo.Headers["x-user"], " and "); user != r.user {
			t.Errorf("%s: the application sees the user %q, want %q", r.name, user, r.user)
		}
	}
}

// refused is the same request, that is to be refused.
func (r request) refused(status int, reason string) request {
	r.status, r.reason = status, reason
	return r
}

// becomes waits until a request comes out as it should, ten times in a row: whichever pod is asked.
func (h *hour) becomes(t *testing.T, what string, r request) {
	t.Helper()
	var last reply
	defer func() {
		if t.Failed() {
			t.Logf("%s: the last answer was %d, %s", what, last.status, last.reason)
		}
	}()
	eventually(t, what, func() bool {
		for range 10 {
			if last = h.send(t, r); last.status != r.status || last.reason != r.reason {
				return false
			}
		}
		return true
	})
}

// shows waits until kubectl get --all-namespaces shows this one line.
func (h *hour) shows(t *testing.T, resource, want string) {
	t.Helper()
	var last string
	defer func() {
		if t.Failed() {
			t.Logf("kubectl get %s showed %q last", resource, last)
		}
	}()
	eventually(t, "kubectl get "+resource+" shows "+want, func() bool { last = h.get(t, resource); return last == want })
}

// left is what there is in the namespace of the release that holds something, or could: kind, name and how many entries.
func (h *hour) left(t *testing.T) (out []string) {
	t.Helper()
	var secrets corev1.SecretList
	var configMaps corev1.ConfigMapList
	var leases coordinationv1.LeaseList
	for _, list := range []client.ObjectList{&secrets, &configMaps, &leases} {
		if err := h.List(t.Context(), list, client.InNamespace("sallyport")); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range secrets.Items {
		out = append(out, fmt.Sprintf("Secret %s with %d", s.Name, len(s.Data)))
	}
	for _, c := range configMaps.Items {
		out = append(out, fmt.Sprintf("ConfigMap %s with %d", c.Name, len(c.Data)))
	}
	for _, l := range leases.Items {
		out = append(out, "Lease "+l.Name)
	}
	return out
}

// checkLogs: no right was missing so far.
func (h *hour) checkLogs(t *testing.T) {
	t.Helper()
	for _, p := range h.pods {
		if strings.Contains(p.log.String(), "forbidden") {
			t.Errorf("a right is missing:\n%s", p.log)
		}
	}
}

// flow sends a request that is allowed over and over, side by side, until the function that it returns is called, which
// returns how many there were. One that is not allowed fails the test.
func (h *hour) flow(t *testing.T, r request) (end func() int64) {
	t.Helper()
	stop, n := make(chan struct{}), new(atomic.Int64)
	var walkers sync.WaitGroup
	for range 4 {
		walkers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+h.edge.address+r.path, nil)
				if err != nil {
					t.Error(err)
					return
				}
				req.Host = orders
				req.Header.Set("Authorization", "Bearer "+r.token)
				resp, err := http.DefaultClient.Do(req)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close() // it was read
				}
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("request %d: %v, %v", n.Load(), resp, err)
					return
				}
				n.Add(1)
			}
		})
	}
	return func() int64 { close(stop); walkers.Wait(); return n.Load() }
}

// applyObject is kubectl apply --server-side of one object.
func (c cluster) applyObject(t *testing.T, document string) {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(document), &o.Object); err != nil {
		t.Fatalf("%v\n%s", err, document)
	}
	// A definition is served a moment after it is stored.
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(o.DeepCopy()), client.FieldOwner("kubectl"))
		return err == nil, client.IgnoreNotFound(err)
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, document)
	}
}

// get is what kubectl get --all-namespaces shows, without namespace and age: each row on a line, its cells with a space
// between.
func (c cluster) get(t *testing.T, resource string) string {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.APIPath, config.GroupVersion, config.NegotiatedSerializer = "/apis", &v1alpha1.GroupVersion, scheme.Codecs.WithoutConversion()
	asking, err := rest.RESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	data, err := asking.Get().Resource(resource).SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").
		Do(t.Context()).Raw()
	var table metav1.Table
	if err == nil {
		err = json.Unmarshal(data, &table)
	}
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, row := range table.Rows {
		var cells []string
		for i, cell := range row.Cells {
			if column := table.ColumnDefinitions[i]; column.Priority == 0 && column.Name != "Age" {
				cells = append(cells, fmt.Sprint(cell))
			}
		}
		rows = append(rows, strings.Join(cells, " "))
	}
	return strings.Join(rows, "\n")
}
