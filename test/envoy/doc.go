// Package envoy holds the tests with real parts: a client, a real Envoy, the built binary "sallyport serve", an issuer
// and an application that says what it received. It has no code of its own.
//
//	SALLYPORT_ENVOY=bin/envoy SALLYPORT_BIN=bin/sallyport go test ./test/envoy
//
// Without these two variables the tests are skipped; make test sets them. SALLYPORT_VECTORS names a folder of published
// path vectors, which some tests read where they lie. Everything listens on loopback, on ports that the system picks.
package envoy
