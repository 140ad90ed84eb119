package kube_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// serviceAccount is the way in of a ServiceAccount that is there, with a token of an hour.
func (c *cluster) serviceAccount(t *testing.T, namespace, name string) *rest.Config {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	request := &authenticationv1.TokenRequest{}
	if err := c.client.SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatalf("asking for a token of %s/%s: %v", namespace, name, err)
	}
	config := rest.AnonymousClientConfig(c.config)
	config.BearerToken = request.Status.Token
	return config
}

// kubeconfig writes a file for --kubeconfig and KUBECONFIG.
func (c *cluster) kubeconfig(t *testing.T, config *rest.Config) string {
	t.Helper()
	file := api.NewConfig()
	file.Clusters["test"] = &api.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	file.AuthInfos["test"] = &api.AuthInfo{
		Token: config.BearerToken, ClientCertificateData: config.CertData, ClientKeyData: config.KeyData,
	}
	file.Contexts["test"] = &api.Context{Cluster: "test", AuthInfo: "test"}
	file.CurrentContext = "test"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*file, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// clientOf is a client with the scheme of c.client.
func (c *cluster) clientOf(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	other, err := client.New(config, client.Options{Scheme: c.client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return other
}

func TestServiceAccountMayWhatItsRoleSays(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	named := metav1.ObjectMeta{Namespace: ns, Name: "reader"}
	for _, o := range []client.Object{
		&corev1.ServiceAccount{ObjectMeta: named},
		&rbacv1.Role{ObjectMeta: named, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"authpolicies"}, Verbs: []string{"list"},
		}}},
		&rbacv1.RoleBinding{
			ObjectMeta: named,
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: ns, Name: "reader"}},
		},
	} {
		c.create(t, o)
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig(t, c.serviceAccount(t, ns, "reader")))
	if err != nil {
		t.Fatal(err)
	}
	reader := c.clientOf(t, config)
	// The API server's own look at roles may lag a moment behind what it has answered.
	c.waitFor(t, "policies to be read", func(ctx context.Context) error {
		return reader.List(ctx, &v1alpha1.AuthPolicyList{}, client.InNamespace(ns))
	})
	if err := reader.List(t.Context(), &v1alpha1.AuthPolicyList{}); !apierrors.IsForbidden(err) {
		t.Errorf("policies of every namespace: %v, want forbidden", err)
	}
	if err := reader.List(t.Context(), &corev1.SecretList{}, client.InNamespace(ns)); !apierrors.IsForbidden(err) {
		t.Errorf("secrets: %v, want forbidden", err)
	}
}

func TestAdministratorsKubeconfigWorks(t *testing.T) {
	c := sharedCluster(t)
	path := c.kubeconfig(t, c.config)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file %v, %v: want mode 0600, it holds a key", info, err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.clientOf(t, config).List(t.Context(), &corev1.SecretList{}); err != nil {
		t.Error(err)
	}
}
