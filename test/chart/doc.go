// Package chart tests the Helm chart, the kustomize base and the image: every combination of values renders objects that
// an API server takes, the rights are those that docs/install.md lists and no more, what is misspelt is refused, chart and
// base say the same, and two builds of the image are one. TestFirstHour is the whole of it: install, apply, ask through
// Envoy, edit, upgrade, uninstall. It holds tests only.
//
// The tests run the programs that the environment names (SALLYPORT_HELM, SALLYPORT_KO, SALLYPORT_BIN, SALLYPORT_ENVOY,
// SALLYPORT_KUBE_ASSETS) and are skipped without.
package chart
