package controller

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

func keyStateMap(data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sallyport", Name: KeyStateName, Annotations: map[string]string{"of": "somebody"}},
		Data:       data,
	}
}

func TestKeyState(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "configmaps"}, KeyStateName, errors.New("changed"))
	tests := []struct {
		name   string
		before *corev1.ConfigMap
		fail   []error // of the first writes
		loads  string
		writes int
		want   map[string]string
		err    bool
	}{
		{name: "there is none yet", writes: 1, want: map[string]string{"keys.json": "new"}},
		{name: "there is one", before: keyStateMap(map[string]string{"keys.json": "old"}), loads: "old", writes: 1, want: map[string]string{"keys.json": "new"}},
		{name: "it is empty", before: keyStateMap(nil), writes: 1, want: map[string]string{"keys.json": "new"}},
		{
			name: "what else is in it stays", before: keyStateMap(map[string]string{"note": "mine", "keys.json": "old"}), loads: "old",
			writes: 1, want: map[string]string{"note": "mine", "keys.json": "new"},
		},
		{name: "it is the same", before: keyStateMap(map[string]string{"keys.json": "new"}), loads: "new", want: map[string]string{"keys.json": "new"}},
		{
			name: "another leader was there in between", before: keyStateMap(map[string]string{"keys.json": "old"}), loads: "old",
			fail: []error{conflict, conflict}, writes: 3, want: map[string]string{"keys.json": "new"},
		},
		{
			name: "and made it", fail: []error{apierrors.NewAlreadyExists(schema.GroupResource{Resource: "configmaps"}, KeyStateName)},
			writes: 2, want: map[string]string{"keys.json": "new"},
		},
		{
			name: "the API server refuses", before: keyStateMap(map[string]string{"keys.json": "old"}), loads: "old",
			fail: []error{errors.New("forbidden")}, writes: 1, want: map[string]string{"keys.json": "old"}, err: true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			writes := 0
			try := func(write func() error) error {
				if writes++; writes <= len(tt.fail) {
					return tt.fail[writes-1]
				}
				return write()
			}
			builder := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
				Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
					return try(func() error { return c.Create(ctx, o, opts...) })
				},
				Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
					return try(func() error { return c.Update(ctx, o, opts...) })
				},
			})
			if tt.before != nil {
				builder.WithObjects(tt.before)
			}
			s := &KeyState{client: builder.Build(), namespace: "sallyport"}
			if data, err := s.Load(t.Context()); string(data) != tt.loads || err != nil || (data == nil) != (tt.loads == "") {
				t.Errorf("Load = %q, %v, want %q", data, err, tt.loads)
			}
			var seen []string
			err := s.Save(t.Context(), func(held []byte) ([]byte, error) {
				seen = append(seen, string(held))
				return []byte("new"), nil
			})
			if (err != nil) != tt.err {
				t.Errorf("Save: %v, want error %t", err, tt.err)
			}
			if want := slices.Repeat([]string{tt.loads}, max(tt.writes, 1)); !slices.Equal(seen, want) {
				t.Errorf("change saw %q, want %q", seen, want)
			}
			held, err := s.get(t.Context())
			if err != nil || held == nil {
				t.Fatalf("%v, %v", held, err)
			}
			if diff := cmp.Diff(tt.want, held.Data); diff != "" || writes != tt.writes {
				t.Errorf("%d writes, want %d; data (-want +got):\n%s", writes, tt.writes, diff)
			}
			if tt.before != nil && held.Annotations["of"] != "somebody" {
				t.Error("the annotation is gone")
			}
		})
	}
}

// always is a change that makes data of whatever was there.
func always(data []byte) func([]byte) ([]byte, error) {
	return func([]byte) ([]byte, error) { return data, nil }
}

func TestKeyStateIsBounded(t *testing.T) {
	s := &KeyState{client: fake.NewClientBuilder().Build(), namespace: "sallyport"}
	if err := s.Save(t.Context(), always(make([]byte, KeyStateLimit+1))); err == nil {
		t.Error("saved more than the limit")
	}
	refuses := errors.New("no")
	if err := s.Save(t.Context(), func([]byte) ([]byte, error) { return nil, refuses }); !errors.Is(err, refuses) {
		t.Errorf("Save = %v, want the error of change", err)
	}
	if data, err := s.Load(t.Context()); data != nil || err != nil {
		t.Errorf("Load = %d bytes, %v, want none", len(data), err)
	}
}

func TestNewKeyStateChecksItsConfig(t *testing.T) {
	if _, err := NewKeyState(nil, "sallyport"); err == nil {
		t.Error("made one without a cluster")
	}
	if _, err := NewKeyState(&rest.Config{}, ""); err == nil {
		t.Error("made one without a namespace")
	}
}

// TestKeyStateInACluster keeps as much as it may in a real API server, with no right but those that it needs.
func TestKeyStateInACluster(t *testing.T) {
	assets := os.Getenv("SALLYPORT_KUBE_ASSETS")
	if assets == "" {
		t.Skip("SALLYPORT_KUBE_ASSETS names no folder with kube-apiserver and etcd")
	}
	cluster := &envtest.Environment{BinaryAssetsDirectory: assets}
	admin, err := cluster.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	const namespace, user = "default", "sallyport"
	allowKeyState(t, admin, namespace, user)
	someone, err := cluster.AddUser(envtest.User{Name: user}, nil)
	if err != nil {
		t.Fatal(err)
	}
	first, err := NewKeyState(someone.Config(), namespace)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := first.Load(t.Context()); data != nil || err != nil {
		t.Fatalf("Load of nothing = %q, %v", data, err)
	}
	full := []byte(strings.Repeat(`"`, KeyStateLimit)) // each of which JSON escapes on the way
	second, err := NewKeyState(someone.Config(), namespace)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]byte{[]byte("small"), full, []byte("small again")} {
		if err := first.Save(t.Context(), always(want)); err != nil {
			t.Fatal(err)
		}
		if data, err := second.Load(t.Context()); !bytes.Equal(data, want) || err != nil {
			t.Errorf("Load = %d bytes, %v, want %d", len(data), err, len(want))
		}
		first, second = second, first
	}
	elsewhere, err := NewKeyState(someone.Config(), "kube-system")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := elsewhere.Load(t.Context()); !apierrors.IsForbidden(err) {
		t.Errorf("Load where there is no right to = %v, want forbidden", err)
	}
}

// allowKeyState grants user what a KeyState does. Creating cannot be limited to a name: RBAC does not know it yet.
func allowKeyState(t *testing.T, admin *rest.Config, namespace, user string) {
	t.Helper()
	c, err := client.New(admin, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "keys"}
	for _, o := range []client.Object{
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"create"}},
			{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{KeyStateName}, Verbs: []string{"get", "update"}},
		}},
		&rbacv1.RoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "keys"},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		},
	} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}
