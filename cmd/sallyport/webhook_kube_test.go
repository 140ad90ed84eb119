package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/controller"
)

const (
	kubeStart = 2 * time.Minute
	// wrongPolicy passes the schema of the CRD: only a compile knows that its expression is no CEL.
	wrongPolicy = `{"apiVersion":"sallyport.dev/v1alpha1","kind":"AuthPolicy","metadata":{"name":"wrong"},"spec":{"hosts":["a.example.com"],"rules":[{"name":"all","require":{"expressions":[{"expression":"claims.a =="}]}}]}}`
	rightPolicy = `{"apiVersion":"sallyport.dev/v1alpha1","kind":"AuthPolicy","metadata":{"name":"right"},"spec":{"hosts":["a.example.com"],"identityProviders":[{"name":"later"}],"rules":[{"name":"all","access":"Authenticated"}]}}`
)

var authPolicies = v1alpha1.GroupVersion.WithResource("authpolicies")

// warningTexts are what an API server has to say beside its answers. Safe for concurrent use.
type warningTexts struct {
	mu   sync.Mutex
	list []string
}

func (w *warningTexts) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, text)
}

func (w *warningTexts) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := strings.Join(w.list, "\n")
	w.list = nil
	return out
}

// startAPIServer starts a real API server with the CRDs; the config is that of an administrator.
func startAPIServer(t *testing.T) (*envtest.Environment, *rest.Config) {
	t.Helper()
	assets := os.Getenv("SALLYPORT_KUBE_ASSETS")
	if assets == "" {
		t.Skip("SALLYPORT_KUBE_ASSETS does not name the folder of kube-apiserver and etcd")
	}
	ctrllog.SetLogger(logr.Discard())
	env := &envtest.Environment{
		CRDDirectoryPaths: []string{filepath.Join("..", "..", "config", "crd")}, ErrorIfCRDPathMissing: true,
		UseExistingCluster: new(bool), ControlPlaneStartTimeout: kubeStart, ControlPlaneStopTimeout: time.Minute,
	}
	env.ControlPlane.Etcd = &envtest.Etcd{Path: filepath.Join(assets, "etcd")}
	env.ControlPlane.GetAPIServer().Path = filepath.Join(assets, "kube-apiserver")
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	config, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}
	return env, config
}

// replicaConfig is that of a user with the rights that the webhook needs, and no others.
func replicaConfig(t *testing.T, env *envtest.Environment, admin kubernetes.Interface) *rest.Config {
	t.Helper()
	user, err := env.AddUser(envtest.User{Name: "sallyport"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "sallyport"}}
	meta := metav1.ObjectMeta{Name: "sallyport-webhook"}
	_, err1 := admin.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{"admissionregistration.k8s.io"}, Resources: []string{"validatingwebhookconfigurations"}, ResourceNames: []string{"sallyport"}, Verbs: []string{"get", "update"},
	}}}, metav1.CreateOptions{})
	_, err2 := admin.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: meta.Name},
	}, metav1.CreateOptions{})
	_, err3 := admin.RbacV1().Roles(metav1.NamespaceDefault).Create(t.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create"}},
		{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"sallyport-webhook"}, Verbs: []string{"get", "update"}},
	}}, metav1.CreateOptions{})
	_, err4 := admin.RbacV1().RoleBindings(metav1.NamespaceDefault).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
	}, metav1.CreateOptions{})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	return user.Config()
}

func createConfiguration(t *testing.T, admin kubernetes.Interface, address string) {
	t.Helper()
	url, ignore, none := "https://"+address+controller.WebhookPath, admissionregistrationv1.Ignore, admissionregistrationv1.SideEffectClassNone
	timeout := int32(5)
	_, err := admin.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(), &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "sallyport"},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "validate.sallyport.dev", ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: &url},
			FailurePolicy: &ignore, SideEffects: &none, TimeoutSeconds: &timeout, AdmissionReviewVersions: []string{"v1"},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
				Rule: admissionregistrationv1.Rule{APIGroups: []string{"sallyport.dev"}, APIVersions: []string{"v1alpha1"},
					Resources: []string{"authpolicies", "identityproviders", "clusteridentityproviders", "tokenrevocations"}},
			}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// TestWebhookOfARealAPIServer: the certificate is Sallyport's own, made with the rights that the chart gives.
func TestWebhookOfARealAPIServer(t *testing.T) {
	env, config := startAPIServer(t)
	warned := &warningTexts{}
	config.WarningHandler = warned
	admin := kubernetes.NewForConfigOrDie(config)
	policies := dynamic.NewForConfigOrDie(config).Resource(authPolicies).Namespace(metav1.NamespaceDefault)
	create := func(text string) error {
		var o unstructured.Unstructured
		if err := o.UnmarshalJSON([]byte(text)); err != nil {
			t.Fatal(err)
		}
		_, err := policies.Create(t.Context(), &o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
		return err
	}
	address := freeAddress(t)
	createConfiguration(t, admin, address)
	if err := create(wrongPolicy); err != nil {
		t.Fatalf("got %v while Sallyport is away, want that it passes unchecked", err)
	}

	certificate, err := controller.NewWebhookCertificate(controller.WebhookCertificateConfig{
		Client:        kubernetes.NewForConfigOrDie(replicaConfig(t, env, admin)),
		Secret:        types.NamespacedName{Namespace: metav1.NamespaceDefault, Name: "sallyport-webhook"},
		Configuration: "sallyport", Names: []string{"127.0.0.1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	awaitWebhook(t, func(ctx context.Context) bool { // RBAC takes a moment to be seen
		err := certificate.Sync(ctx)
		if err != nil && !apierrors.IsForbidden(err) {
			t.Fatal(err)
		}
		return err == nil
	})
	dir := t.TempDir()
	secret, err := admin.CoreV1().Secrets(metav1.NamespaceDefault).Get(t.Context(), "sallyport-webhook", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.WriteFile(filepath.Join(dir, name), secret.Data[name], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("answers", func(t *testing.T) {
		startWebhook(t, webhookConfig{flags: &webhookFlags{address: address, certDir: dir}, objects: noObjects})
		awaitWebhook(t, func(context.Context) bool { err = create(wrongPolicy); return err != nil })
		var status *apierrors.StatusError
		if !errors.As(err, &status) || !apierrors.IsInvalid(err) || status.ErrStatus.Details == nil || len(status.ErrStatus.Details.Causes) != 1 ||
			status.ErrStatus.Details.Causes[0].Field != "spec.rules[0].require.expressions[0].expression" {
			t.Errorf("got %v, want that it is invalid, with the field as the cause", err)
		}
		if !strings.Contains(err.Error(), `admission webhook "validate.sallyport.dev" denied the request`) || !strings.Contains(err.Error(), "spec.rules[0].require.expressions[0].expression: Invalid value") {
			t.Errorf("got %v, want a message that names webhook and field", err)
		}
		warned.take()
		if err := create(rightPolicy); err != nil {
			t.Fatal(err)
		}
		if text := warned.take(); !strings.Contains(text, "spec.identityProviders[0].name: there is no IdentityProvider default/later") {
			t.Errorf("got the warnings %q, want one about the provider that is not there yet", text)
		}
	})
	if err := create(wrongPolicy); err != nil {
		t.Errorf("got %v after Sallyport has gone, want that it passes unchecked", err)
	}
}
