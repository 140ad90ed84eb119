// Package paths holds no code, only tests: two oracles about what an application makes of a request that Sallyport has
// let in.
//
// The path oracle sends targets through a real Envoy, in each of its ways to normalize paths, to real servers, each of
// which says which resource it would serve. Nobody may reach a resource without the right to it, whatever the target.
// The request oracle reads what a real Envoy made of raw requests, kept in testdata: no way of delivering one request
// makes its verdict looser.
//
//	SALLYPORT_ENVOY=$PWD/bin/envoy SALLYPORT_SERVERS=$PWD/bin/servers go test ./test/paths
//
// Without SALLYPORT_ENVOY only the request oracle runs, on what is kept. nginx, httpd and Tomcat are taken from
// SALLYPORT_SERVERS, where "make servers" unpacks them; what is not there is skipped. SALLYPORT_PROVE is the number of
// targets in the long form; without it the tests take a slice that ends within seconds. SALLYPORT_VECTORS adds the
// targets of published tables.
package paths
