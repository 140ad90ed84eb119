package controller

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// discovered are the kinds that an API server tells of.
type discovered struct {
	discovery.ServerResourcesInterface
	kinds func() []string
}

func (d discovered) ServerResourcesForGroupVersion(gv string) (*metav1.APIResourceList, error) {
	kinds := d.kinds()
	if gv != v1alpha1.GroupVersion.String() || len(kinds) == 0 {
		return nil, apierrors.NewNotFound(schema.GroupResource{}, gv)
	}
	out := &metav1.APIResourceList{}
	for _, k := range kinds {
		out.APIResources = append(out.APIResources, metav1.APIResource{Kind: k})
	}
	return out, nil
}

var ourKinds = []string{v1alpha1.KindAuthPolicy, v1alpha1.KindIdentityProvider, v1alpha1.KindClusterIdentityProvider, v1alpha1.KindTokenRevocation}

// TestFirstLookWaitsForOurKinds: an API server that has just started, or a definition that has just been applied, must not
// make a replica ready that knows of no policy. The Gateway API is waited for by nobody.
func TestFirstLookWaitsForOurKinds(t *testing.T) {
	for _, tt := range []struct {
		name    string
		after   time.Duration // our kinds are there
		took    time.Duration
		watched bool
	}{
		{"at once", 0, 0, true},
		{"after a moment", 2500 * time.Millisecond, 3 * time.Second, true},
		{"never", time.Hour, absences * DefaultLookInterval, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := unconnected(t)
				clear(c.stores)
				begin := time.Now()
				c.discovery = discovered{kinds: func() []string {
					if time.Since(begin) < tt.after {
						return nil
					}
					return ourKinds
				}}
				if err := c.firstLook(t.Context()); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begin); took != tt.took {
					t.Errorf("took %s, want %s", took, tt.took)
				}
				for _, kind := range ourKinds {
					if got := c.store(v1alpha1.GroupVersion.WithKind(kind)) != nil; got != tt.watched {
						t.Errorf("%s is watched: %t", kind, got)
					}
				}
			})
		})
	}
}

// TestAKindIsGoneOnlyAfterAWhile: of several API servers one may not know it yet, and each that is asked counts.
func TestAKindIsGoneOnlyAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := unconnected(t)
		clear(c.stores)
		there := ourKinds
		c.discovery = discovered{kinds: func() []string { return there }}
		look := func() bool {
			t.Helper()
			if err := c.look(t.Context()); err != nil {
				t.Fatal(err)
			}
			return c.store(v1alpha1.GroupVersion.WithKind(v1alpha1.KindAuthPolicy)) != nil
		}
		if !look() {
			t.Fatal("it is not watched")
		}
		there = slices.DeleteFunc(slices.Clone(ourKinds), func(k string) bool { return k == v1alpha1.KindAuthPolicy })
		for range 10 {
			if !look() {
				t.Fatal("ten looks in one moment are taken for a while")
			}
		}
		time.Sleep(DefaultLookInterval) // time of the bubble
		there = ourKinds
		look()
		there = nil
		time.Sleep(DefaultLookInterval)
		if !look() {
			t.Fatal("an absence that was over still counts")
		}
		time.Sleep(absences * DefaultLookInterval)
		if look() {
			t.Error("it is still watched")
		}
	})
}
