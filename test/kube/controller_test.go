package kube_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/controller"
	"github.com/sallyport/sallyport/extauthz/policy"
)

// replica is one Sallyport, without its server.
type replica struct {
	cluster  *controller.Cluster
	snapshot atomic.Pointer[policy.Snapshot]
	registry *prometheus.Registry
	end      func()
}

// startReplica runs a replica whose own namespace is ns, until the test ends.
func startReplica(t testing.TB, c *cluster, ns string, change func(*controller.ClusterConfig)) *replica {
	t.Helper()
	r := &replica{registry: prometheus.NewRegistry()}
	config := controller.ClusterConfig{
		REST: c.config, Options: policy.Options{OwnNamespace: ns}, Snapshot: &r.snapshot,
		LookInterval: 100 * time.Millisecond, WithoutElection: true, Metrics: r.registry,
	}
	if change != nil {
		change(&config)
	}
	var err error
	if r.cluster, err = controller.NewCluster(config); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.cluster.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	r.end = func() { cancel(); <-done }
	t.Cleanup(r.end)
	return r
}

// ask is what becomes of a GET without a token.
func (r *replica) ask(url string) string {
	s := r.snapshot.Load()
	if s == nil {
		return "not ready"
	}
	host, path, _ := strings.Cut(strings.TrimPrefix(url, "https://"), "/")
	req, reason := policy.NewRequest(policy.Input{Method: "GET", Scheme: "https", Host: host, Path: "/" + path})
	if reason != "" {
		return string(reason)
	}
	land := s.Lookup(req)
	return string(land.Decide(policy.Facts{Now: time.Now()}, policy.Facts{Now: time.Now()}).Reason)
}

// waitAsk waits until a replica answers as wanted.
func (r *replica) waitAsk(t testing.TB, c *cluster, url, want string) {
	t.Helper()
	c.waitUntil(t, url+" to be "+want, func(context.Context) error {
		if got := r.ask(url); got != want {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
}

// apply creates the objects of a YAML text, or updates them. ns is the namespace of those that name none.
func (c *cluster) apply(t testing.TB, ns, text string) {
	t.Helper()
	for _, doc := range strings.Split(text, "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &o.Object); err != nil {
			t.Fatal(err)
		}
		if o.GetNamespace() == "" && o.GetKind() != "ClusterIdentityProvider" {
			o.SetNamespace(ns)
		}
		// The status may be written between the two.
		err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
			before := &unstructured.Unstructured{}
			before.SetGroupVersionKind(o.GroupVersionKind())
			err := c.client.Get(context.Background(), client.ObjectKeyFromObject(o), before)
			if apierrors.IsNotFound(err) {
				return c.client.Create(context.Background(), o)
			}
			if err != nil {
				return err
			}
			o.SetResourceVersion(before.GetResourceVersion())
			return c.client.Update(context.Background(), o)
		})
		if err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
	}
}

// publicPolicy is one whose host answers "Public".
func publicPolicy(name, host string) string {
	return fmt.Sprintf(`apiVersion: sallyport.dev/v1alpha1
kind: AuthPolicy
metadata: {name: %s}
spec:
  hosts: [%s]
  rules: [{name: all, access: Public}]
`, name, host)
}

// waitCondition waits until a condition of an object has a reason, and is about its generation.
func (c *cluster) waitCondition(t testing.TB, o client.Object, kind, reason string) metav1.Condition {
	t.Helper()
	var out metav1.Condition
	c.waitUntil(t, fmt.Sprintf("%s of %s to be %s", kind, o.GetName(), reason), func(ctx context.Context) error {
		if err := c.client.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
			return err
		}
		found := meta.FindStatusCondition(conditionsOf(o), kind)
		if found == nil || found.Reason != reason || found.ObservedGeneration != o.GetGeneration() {
			return fmt.Errorf("conditions are %v", conditionsOf(o))
		}
		out = *found
		return nil
	})
	return out
}

func conditionsOf(o client.Object) []metav1.Condition {
	switch o := o.(type) {
	case *v1alpha1.AuthPolicy:
		return o.Status.Conditions
	case *v1alpha1.IdentityProvider:
		return o.Status.Conditions
	case *v1alpha1.ClusterIdentityProvider:
		return o.Status.Conditions
	case *v1alpha1.TokenRevocation:
		return o.Status.Conditions
	}
	return nil
}

func policyNamed(ns, name string) *v1alpha1.AuthPolicy {
	return &v1alpha1.AuthPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
}

func TestPolicyIsInForceAndHasItsStatus(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	host := ns + ".example.com"
	r := startReplica(t, c, ns, nil)
	c.apply(t, ns, publicPolicy("shop", host))
	r.waitAsk(t, c, "https://"+host+"/", "Public")
	p := policyNamed(ns, "shop")
	c.waitCondition(t, p, "Accepted", "Accepted")
	c.waitCondition(t, p, "Programmed", "Programmed")
	if p.Status.Rules != 1 || len(p.Status.Hosts) != 1 || p.Status.Hosts[0] != host {
		t.Errorf("status is %+v", p.Status)
	}
	// Nothing more is written while nothing changes.
	version := p.ResourceVersion
	c.apply(t, ns, publicPolicy("other", "other."+host))
	c.waitCondition(t, policyNamed(ns, "other"), "Programmed", "Programmed")
	if err := c.client.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil || p.ResourceVersion != version {
		t.Errorf("resourceVersion was %s, is %s (%v)", version, p.ResourceVersion, err)
	}
	// An edit is in force, and its status is about it.
	c.apply(t, ns, strings.Replace(publicPolicy("shop", host), "Public", "Denied", 1))
	r.waitAsk(t, c, "https://"+host+"/", "Denied")
	c.waitCondition(t, p, "Programmed", "Programmed")
	// So is its end.
	if err := c.client.Delete(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	r.waitAsk(t, c, "https://"+host+"/", "NoPolicy")
	c.waitUntil(t, "an event", func(ctx context.Context) error {
		var events corev1.EventList
		if err := c.client.List(ctx, &events, client.InNamespace(ns)); err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.InvolvedObject.Name == "shop" && e.Reason == "Programmed" {
				return nil
			}
		}
		return fmt.Errorf("there are %d others", len(events.Items))
	})
}

const keysOfConfigMap = `apiVersion: sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: corp}
spec:
  issuer: https://id.example.com
  audiences: [shop]
  keys: {configMapKeyRef: {name: corp-keys, key: jwks.json}}
`

const configMapOfKeys = `apiVersion: v1
kind: ConfigMap
metadata: {name: corp-keys}
data:
  jwks.json: '{"keys":[{"kty":"EC","crv":"P-256","kid":"one","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}'
`

func TestReferencesThatComeAndGo(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	startReplica(t, c, ns, nil)
	idp := &v1alpha1.IdentityProvider{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "corp"}}
	keys := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "corp-keys"}}
	c.apply(t, ns, keysOfConfigMap)
	c.apply(t, ns, strings.Replace(publicPolicy("shop", ns+".example.com"), "access: Public",
		"require: {scopes: [a]}", 1)+"  identityProviders: [{name: corp}]\n")
	p := policyNamed(ns, "shop")
	for range 2 {
		if got := c.waitCondition(t, idp, "KeysReady", "KeysUnavailable"); !strings.Contains(got.Message, "there is no ConfigMap "+ns+"/corp-keys") {
			t.Errorf("KeysReady says %q", got.Message)
		}
		c.waitCondition(t, p, "ResolvedRefs", "RefInvalid")
		c.apply(t, ns, configMapOfKeys)
		c.waitCondition(t, idp, "KeysReady", "KeysReady")
		c.waitCondition(t, p, "ResolvedRefs", "ResolvedRefs")
		c.waitUntil(t, "the id of the key", func(ctx context.Context) error {
			if err := c.client.Get(ctx, client.ObjectKeyFromObject(idp), idp); err != nil || len(idp.Status.KeyIDs) != 1 {
				return errors.Join(fmt.Errorf("ids are %v", idp.Status.KeyIDs), err)
			}
			return nil
		})
		// Another content of the same name.
		c.apply(t, ns, strings.Replace(configMapOfKeys, `"kid":"one"`, `"kid":"two"`, 1))
		c.waitUntil(t, "the id of the other key", func(ctx context.Context) error {
			if err := c.client.Get(ctx, client.ObjectKeyFromObject(idp), idp); err != nil || idp.Status.KeyIDs[0] != "two" {
				return errors.Join(fmt.Errorf("ids are %v", idp.Status.KeyIDs), err)
			}
			return nil
		})
		if err := c.client.Delete(t.Context(), keys.DeepCopy()); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.client.Delete(t.Context(), idp); err != nil {
		t.Fatal(err)
	}
	c.waitCondition(t, p, "ResolvedRefs", "RefNotFound")
}

func TestReferenceToANamespaceThatIsNotRead(t *testing.T) {
	c := sharedCluster(t)
	own, ns, read := c.namespace(t), c.namespace(t), c.namespace(t)
	startReplica(t, c, own, func(config *controller.ClusterConfig) { config.ReferenceNamespaces = []string{read} })
	for _, ns := range []string{ns, read} {
		c.apply(t, ns, keysOfConfigMap)
		c.apply(t, ns, configMapOfKeys)
	}
	accepted := &v1alpha1.IdentityProvider{ObjectMeta: metav1.ObjectMeta{Namespace: read, Name: "corp"}}
	c.waitCondition(t, accepted, "KeysReady", "KeysReady")
	// Both ConfigMaps are there by now: it is the right to read that one provider lacks, and its status says so.
	refused := &v1alpha1.IdentityProvider{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "corp"}}
	got := c.waitCondition(t, refused, "KeysReady", "KeysUnavailable")
	for _, want := range []string{"spec.keys.configMapKeyRef.name", "referenceNamespaces"} {
		if !strings.Contains(got.Message, want) {
			t.Errorf("KeysReady lacks %q: %s", want, got.Message)
		}
	}
}
