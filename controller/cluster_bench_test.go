package controller

import (
	stdjson "encoding/json"
	"fmt"
	"sync/atomic"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

// declaredPolicy is a policy as an informer hands it out.
func declaredPolicy(tb testing.TB, name, spec string) *declared[v1alpha1.AuthPolicy] {
	tb.Helper()
	d := new(declared[v1alpha1.AuthPolicy])
	text := fmt.Sprintf(`{"apiVersion":"sallyport.dev/v1alpha1","kind":"AuthPolicy","metadata":{"namespace":"shop","name":%q,"uid":%q,"generation":1,"resourceVersion":"1"},"spec":%s}`, name, name, spec)
	if err := stdjson.Unmarshal([]byte(text), d); err != nil {
		tb.Fatal(err)
	}
	return d
}

// unconnected is a cluster whose API server nobody asks, with the kinds that a test fills itself.
func unconnected(tb testing.TB) (*Cluster, *store) {
	tb.Helper()
	c, err := NewCluster(ClusterConfig{
		REST: &rest.Config{Host: "http://127.0.0.1:1"}, Snapshot: new(atomic.Pointer[policy.Snapshot]),
		Options: policy.Options{OwnNamespace: "sallyport"},
	})
	if err != nil {
		tb.Fatal(err)
	}
	s := newStore(c.objectChanged, c.objectTouched)
	s.complete()
	c.stores = map[schema.GroupVersionKind]*store{v1alpha1.GroupVersion.WithKind(v1alpha1.KindAuthPolicy): s}
	return c, s
}

// BenchmarkPublishAfterAnEdit is the time from the event of one edit to its snapshot, among ten thousand policies.
func BenchmarkPublishAfterAnEdit(b *testing.B) {
	c, s := unconnected(b)
	spec := func(i int, access string) string {
		return fmt.Sprintf(`{"hosts":["p%d.example.com"],"rules":[{"name":"all","access":%q}]}`, i, access)
	}
	for i := range 10_000 {
		s.put(declaredPolicy(b, fmt.Sprintf("p%d", i), spec(i, "Public")))
	}
	if err := c.publisher.Publish(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.put(declaredPolicy(b, "p1", spec(1, []string{"Public", "Denied"}[i%2])))
		if err := c.publisher.Publish(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
