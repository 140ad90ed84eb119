package chart_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// cluster is an API server of the test's own, and its administrator.
type cluster struct {
	client.Client
	kubeconfig string
}

func startCluster(t *testing.T) cluster {
	t.Helper()
	assets := os.Getenv("SALLYPORT_KUBE_ASSETS")
	if assets == "" {
		t.Skip("SALLYPORT_KUBE_ASSETS does not name the folder of kube-apiserver and etcd; make test does")
	}
	env := &envtest.Environment{BinaryAssetsDirectory: assets, UseExistingCluster: new(bool), ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Minute}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	config, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := cluster{kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	if c.Client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.kubeconfig, env.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// helm runs helm against the cluster; an error ends the test.
func (c cluster) helm(t *testing.T, arguments ...string) {
	t.Helper()
	out, problems, err := helm(t, append(arguments, "--kubeconfig="+c.kubeconfig, "--namespace=sallyport")...)
	if err != nil {
		t.Fatalf("helm %q: %v\n%s%s", arguments, err, out, problems)
	}
}

// TestInstallUpgradeUninstall takes a release through its life in a real API server, with a policy that outlives it.
func TestInstallUpgradeUninstall(t *testing.T) {
	c := startCluster(t)
	c.helm(t, "install", "sallyport", chartDir, "--create-namespace", "--set=referenceNamespaces={default}")
	for _, o := range template(t, "referenceNamespaces={default}") {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(&o), &o.Unstructured); err != nil {
			t.Errorf("%s: %v", o.name(), err)
		}
	}
	c.checkRights(t)
	c.checkReadsIssuer(t, false)
	c.createPolicy(t)

	c.helm(t, "upgrade", "sallyport", chartDir, "--set=replicas=3,webhook.enabled=true,serviceAccountTokens=true")
	c.checkReadsIssuer(t, true)
	if got := c.replicas(t); got != 3 {
		t.Errorf("%d replicas after the upgrade", got)
	}
	c.checkPolicy(t, "after the upgrade")
	c.helm(t, "rollback", "sallyport", "1")
	if got := c.replicas(t); got != 2 {
		t.Errorf("%d replicas after the rollback", got)
	}

	c.helm(t, "uninstall", "sallyport")
	if err := c.Get(t.Context(), releaseKey, new(corev1.Service)); !apierrors.IsNotFound(err) {
		t.Errorf("the Service is still there: %v", err)
	}
	c.checkPolicy(t, "after the release")
	c.helm(t, "install", "sallyport", chartDir)
	c.checkPolicy(t, "after another release took the definitions over")
}

// TestRestrictedNamespaceTakesTheBase applies the kustomize base as kubectl does, with field validation Strict.
func TestRestrictedNamespaceTakesTheBase(t *testing.T) {
	c := startCluster(t)
	for _, text := range kustomize(t, root+"/config") {
		for _, o := range decode(t, text) {
			err := c.Create(t.Context(), &o.Unstructured, client.FieldValidation(metav1.FieldValidationStrict))
			if err != nil {
				t.Errorf("%s: %v", o.name(), err)
			}
		}
	}
}

var releaseKey = client.ObjectKey{Namespace: "sallyport", Name: "sallyport"}

func (c cluster) replicas(t *testing.T) int32 {
	t.Helper()
	var d appsv1.Deployment
	if err := c.Get(t.Context(), releaseKey, &d); err != nil {
		t.Fatal(err)
	}
	return *d.Spec.Replicas
}

// createPolicy waits until the definition is served, which is a moment after it is stored.
func (c cluster) createPolicy(t *testing.T) {
	t.Helper()
	p := &v1alpha1.AuthPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kept"}}
	p.Spec.Hosts = []string{"kept.example.com"}
	p.Spec.Rules = []v1alpha1.Rule{{Name: "all", Access: new(v1alpha1.AccessPublic)}}
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		err := c.Create(ctx, p.DeepCopy())
		return err == nil, client.IgnoreNotFound(err)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (c cluster) checkPolicy(t *testing.T, when string) {
	t.Helper()
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "kept"}, new(v1alpha1.AuthPolicy)); err != nil {
		t.Errorf("%s: %v", when, err)
	}
}

// checkReadsIssuer asks the API server whether the ServiceAccount by itself may read who issues tokens: not as one of all
// ServiceAccounts, whom this API server lets read it as most do.
func (c cluster) checkReadsIssuer(t *testing.T, want bool) {
	t.Helper()
	for _, path := range []string{"/.well-known/openid-configuration", "/openid/v1/jwks"} {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:                  "system:serviceaccount:sallyport:sallyport",
			NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: "get"},
		}}
		err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 10*time.Second, true, func(ctx context.Context) (bool, error) {
			review.ResourceVersion = ""
			err := c.Create(ctx, review)
			return review.Status.Allowed == want, err
		})
		if err != nil {
			t.Errorf("%s: allowed is %t (%v)", path, review.Status.Allowed, err)
		}
	}
}

// checkRights asks the API server what the ServiceAccount may do.
func (c cluster) checkRights(t *testing.T) {
	t.Helper()
	for _, tt := range []struct {
		authorizationv1.ResourceAttributes
		want bool
	}{
		{authorizationv1.ResourceAttributes{Group: "sallyport.dev", Resource: "authpolicies", Verb: "watch"}, true},
		{authorizationv1.ResourceAttributes{Group: "sallyport.dev", Resource: "authpolicies", Subresource: "status", Verb: "patch", Namespace: "shop"}, true},
		{authorizationv1.ResourceAttributes{Group: "sallyport.dev", Resource: "authpolicies", Verb: "update", Namespace: "shop"}, false},
		{authorizationv1.ResourceAttributes{Resource: "secrets", Verb: "list", Namespace: "sallyport"}, true},
		{authorizationv1.ResourceAttributes{Resource: "secrets", Verb: "list", Namespace: "default"}, true},
		{authorizationv1.ResourceAttributes{Resource: "secrets", Verb: "list", Namespace: "shop"}, false},
		{authorizationv1.ResourceAttributes{Resource: "secrets", Verb: "list"}, false},
		{authorizationv1.ResourceAttributes{Resource: "secrets", Verb: "update", Namespace: "sallyport", Name: "sallyport-webhook"}, false},
		{authorizationv1.ResourceAttributes{Resource: "configmaps", Verb: "update", Namespace: "sallyport", Name: "sallyport-keys"}, true},
		{authorizationv1.ResourceAttributes{Resource: "configmaps", Verb: "update", Namespace: "sallyport", Name: "other"}, false},
		{authorizationv1.ResourceAttributes{Group: "coordination.k8s.io", Resource: "leases", Verb: "update", Namespace: "sallyport", Name: "sallyport"}, true},
		{authorizationv1.ResourceAttributes{Resource: "pods", Verb: "list", Namespace: "sallyport"}, false},
	} {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: "system:serviceaccount:sallyport:sallyport", ResourceAttributes: &tt.ResourceAttributes,
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:sallyport", "system:authenticated"},
		}}
		// The authorizer sees new roles a moment after they are stored.
		err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 10*time.Second, true, func(ctx context.Context) (bool, error) {
			review.ResourceVersion = ""
			err := c.Create(ctx, review)
			return review.Status.Allowed == tt.want, err
		})
		if err != nil {
			t.Errorf("%+v: allowed is %t (%v)", tt.ResourceAttributes, review.Status.Allowed, err)
		}
	}
}
