package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"

	"github.com/spf13/pflag"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sallyport/sallyport/controller"
	"github.com/sallyport/sallyport/extauthz/idp"
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

const (
	// namespaceFile is where Kubernetes tells a Pod its namespace.
	namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
	// defaultNamespace is that of the Helm chart.
	defaultNamespace = "sallyport"
)

// clusterFlags are the flags of serve that concern a cluster.
type clusterFlags struct {
	kubeconfig             string
	hostGrants             bool
	allowLoopbackProviders bool
	leaderElection         bool
	referenceNamespaces    []string
}

func (c *clusterFlags) register(f *pflag.FlagSet) {
	f.StringVar(&c.kubeconfig, "kubeconfig", "", "kubeconfig file of the cluster; without it the ServiceAccount of the Pod, then the file that KUBECONFIG names")
	f.BoolVar(&c.hostGrants, "host-grants", true, "in a cluster, a namespace may name only the hosts that its annotation sallyport.dev/hosts grants; false: the oldest policy has the host, as it always does with --from")
	f.BoolVar(&c.allowLoopbackProviders, "allow-loopback-providers", false, "in a cluster, providers may be on loopback addresses, as they always may with --from")
	f.BoolVar(&c.leaderElection, "leader-election", true, "in a cluster, agree with the other replicas on who writes status, by a Lease in the own namespace")
	f.StringSliceVar(&c.referenceNamespaces, "reference-namespaces", nil, "in a cluster, namespaces whose Secrets and ConfigMaps providers may refer to, beside the own one; * is every one")
}

// inCluster tells whether the objects come from a cluster.
func (s *serveFlags) inCluster() bool { return len(s.from) == 0 }

// settle gives the flags that nobody set the value that they have in a cluster, or in a folder.
func (s *serveFlags) settle() {
	if !s.inCluster() {
		s.hostGrants, s.allowLoopbackProviders = false, true
		return
	}
	if !s.isSet("scope-from-principal") {
		s.scopeFromPrincipal = true
	}
	if !s.isSet("namespace") {
		s.namespace = ownNamespace(namespaceFile)
	}
}

// ownNamespace is what the file says, else that of the chart.
func ownNamespace(file string) string {
	content, err := os.ReadFile(file)
	if name := strings.TrimSpace(string(content)); err == nil && name != "" {
		return name
	}
	return defaultNamespace
}

// restConfig is how to reach the cluster.
func restConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		if config, err := rest.InClusterConfig(); err == nil {
			return config, nil
		}
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules() // KUBECONFIG, then ~/.kube/config
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("no cluster is configured: run in a Pod, set --kubeconfig or KUBECONFIG, or serve a folder with --from DIR: %w", err)
	}
	return config, nil
}

// newCluster makes the part that follows the objects of a cluster.
func (s *service) newCluster(options policy.Options, snapshot *atomic.Pointer[policy.Snapshot]) error {
	config, err := restConfig(s.flags.kubeconfig)
	if err != nil {
		return usageError{err}
	}
	klog.SetLogger(s.log.V(1)) // the client's own log is for looking into faults
	ctrllog.SetLogger(s.log.V(1))
	config.UserAgent = "sallyport/" + version
	following := rest.CopyConfig(config)
	following.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &watches{next, func(resource string) { s.cluster.Unanswered(resource) }} // none before it runs
	})
	s.cluster, err = controller.NewCluster(controller.ClusterConfig{
		REST: following, Options: options, ReferenceNamespaces: s.flags.referenceNamespaces,
		Snapshot: snapshot, BeforePublish: s.prepare, Keys: s.keys.status, OnLead: s.keys.lead,
		Revocations: s.revocations.set, Logouts: s.revocations.cluster,
		WithoutElection: !s.flags.leaderElection, Log: s.log, Metrics: s.registry,
	})
	if err != nil {
		return err
	}
	s.keys.changed = s.cluster.KeysChanged
	if !s.flags.webhook.enabled() {
		return nil
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	s.webhook, err = newWebhook(webhookConfig{
		flags: &s.flags.webhook, namespace: options.OwnNamespace, client: clients, objects: s.cluster.Objects,
		referred: s.cluster.Referred, log: s.log, metrics: s.registry,
	})
	return err
}

// status is what the status of a provider says of its keys.
func (k *keys) status(p *token.Provider) controller.KeyStatus { return keyStatus(k.keeper.Status(p)) }

func keyStatus(s idp.Status) controller.KeyStatus {
	out := controller.KeyStatus{Ready: s.Ready, Stale: s.Stale, KeyIDs: s.KeyIDs, LastSuccess: s.LastSuccess}
	if s.Err != nil {
		out.Problem = s.Err.Error()
	}
	return out
}

// lead is told when this replica begins and ceases to write for all.
func (k *keys) lead(leading bool) {
	if k.state != nil {
		k.state.lead(leading)
	}
}
