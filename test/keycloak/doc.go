// Package keycloak holds the tests with a real identity provider: Keycloak, from its published distribution, with the
// realm of examples/keycloak/realm.json and the objects of docs/keycloak.md, behind a real Envoy and the built binary
// "sallyport serve". It has no code of its own.
//
//	SALLYPORT_KEYCLOAK=$PWD/bin/keycloak SALLYPORT_ENVOY=$PWD/bin/envoy SALLYPORT_BIN=$PWD/bin/sallyport go test ./test/keycloak
//
// "make keycloak" installs it; without these variables the tests are skipped. Keycloak is started once, by the first test
// that asks for it, over TLS with a certificate authority of the test's own. Everything listens on loopback.
package keycloak
