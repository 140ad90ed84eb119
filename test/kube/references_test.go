package kube_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestOtherSecretsTakeNoMemory starts a replica in a namespace with five hundred Secrets that no provider names, ten
// megabytes in sum: it reads the one that is named, and of the others keeps no more than that they are there.
func TestOtherSecretsTakeNoMemory(t *testing.T) {
	const (
		others = 500
		each   = 10 << 10 // of data, and as much in an annotation
		most   = 4 << 10  // that the replica may need for one
	)
	c := sharedCluster(t)
	empty, full := c.namespace(t), c.namespace(t)
	var group sync.WaitGroup
	for worker := range 10 {
		group.Go(func() {
			for i := range others / 10 {
				s := &corev1.Secret{
					ObjectMeta: metav1.ObjectMeta{
						Namespace: full, Name: fmt.Sprintf("other-%d-%d", worker, i), Labels: map[string]string{"a": strings.Repeat("b", 60)},
						Annotations: map[string]string{"kubectl.kubernetes.io/last-applied-configuration": strings.Repeat("x", each)},
					},
					Data: map[string][]byte{"a": make([]byte, each)},
				}
				if err := c.client.Create(t.Context(), s); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	took := map[string]int64{}
	for _, ns := range []string{empty, full} {
		c.apply(t, ns, keysOfConfigMap)
		c.apply(t, ns, configMapOfKeys)
		before := heapBytes()
		r := startReplica(t, c, ns, nil)
		c.waitUntil(t, "what the provider names", func(context.Context) error {
			if objects, _, there := r.cluster.Objects(); !there || len(objects.ConfigMaps) != 1 || len(objects.Secrets) != 0 {
				return fmt.Errorf("ConfigMaps %d, Secrets %d", len(objects.ConfigMaps), len(objects.Secrets))
			}
			return nil
		})
		took[ns] = heapBytes() - before
		r.end()
	}
	t.Logf("a replica takes %d KiB, beside %d Secrets %d KiB", took[empty]>>10, others, took[full]>>10)
	if more := took[full] - took[empty]; more > others*most {
		t.Errorf("%d Secrets of %d KiB that nobody names take %d KiB", others, 2*each>>10, more>>10)
	}
}

// heapBytes is what is reachable now.
func heapBytes() int64 {
	runtime.GC()
	runtime.GC() // what the first one only finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
