// Package kube holds the tests with a real Kubernetes API server and etcd, both built from their Go modules (make kube).
// It has no code of its own.
//
//	make kube
//	SALLYPORT_KUBE_ASSETS=$PWD/bin go test ./test/kube
//
// Without that variable the tests that need a cluster are skipped; make test sets it. SALLYPORT_KUBE_LOG names a file to
// which the API server's log is written. Everything listens on loopback, on ports that the system picks.
//
// A test of this package begins with
//
//	c := sharedCluster(t)   // started by the first test that asks, stopped after the last
//	ns := c.namespace(t)    // fresh, and the test's own
//
// and talks to it through c.client (whose scheme knows the core kinds, CRDs and ours, and which has unknown fields
// refused), c.config, or the file that c.kubeconfig writes. The CRDs in config/crd are installed. A test that stops the
// API server, or that needs cluster-wide objects of its own, takes startCluster(t) instead, which costs a few seconds.
//
// No controller runs beside the API server. So a Namespace has no default ServiceAccount, and one that is deleted would
// be Terminating for ever: c.deleteNamespace does what the namespace controller does. Deployments make no Pods, Services
// no endpoints, and what an owner leaves behind stays.
package kube
