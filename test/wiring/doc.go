// Package wiring holds the manifests that users copy against what others publish: each object of examples that belongs to
// Envoy Gateway, Istio, Contour or the Gateway API against its CustomResourceDefinition, and what the chart renders
// against those of cert-manager and the Prometheus operator, and against Pod Security. It is a module of its own, since
// Sallyport itself needs none of these: make test runs it beside the others. It holds tests only.
package wiring
