// Package oracle holds no code, only tests: a second evaluator of policies, written from the words of DESIGN and of the
// Gateway API and naive on purpose, and a comparison of it with package policy on objects and requests that are drawn.
//
// It tries every rule one by one, looks nothing up and keeps nothing, and shares no code with package policy but the
// types of the API and the claims of a token. It has three parts and a joint, to be read beside the text. The numbers are
// lines of code, without comments: each part can be read at one sitting, and all together have 1580.
//
//	oracle_test.go   the joint, 180: one rule of meaning; Levels, and how their answers join; DryRun; preflight
//
//	Which rule a request lands on (§2), the path (§4, step 3), 370
//	land_test.go     patterns that decide, methods, headers, query
//	path_test.go     how a path and a pattern are read
//
//	What a rule asks for (§2), the token and the order of refusals (§4, steps 4 to 11), 460
//	require_test.go  requirements, expressions, and what does not compile
//	token_test.go    whose tokens are believed, from, and which refusal is said
//
//	Who may speak for a request (§2), 570
//	consent_test.go  Consent: grants, and whose a host is
//	attach_test.go   Scope and Levels: the places that a request could be meant for, precedence of routes
//	listen_test.go   listeners, and the routes that they admit
//	route_test.go    what a match of an HTTPRoute or GRPCRoute says
//
// Where DESIGN is silent, these readings are taken. Whose namespace names nothing under a wildcard that it was granted
// reserves nothing by it where a proxy states its scope; an exact grant does. Without a scope either does, and a policy of
// the owner that is tried out is one. On each port the listener with the closest host name takes the request. A
// match ranks by the host name that the route writes and by what the listener leaves of it: both are meant. What cannot be
// told (a regular expression, values that stand there twice, which kind of route is rejected) is meant beside what is
// sure. So are a protocol, a type or a way to choose namespaces that nobody knows, and every port by which a request may come
// to a Service. ListenerSets are not read: any route that may come by one is meant. Required is asked at a Gateway whatever
// its listeners take. A level of which nothing fits that is enforced counts as none. Where several levels refuse, each
// refusal is right; where they allow, the first rule of each may be named.
//
// The comparison runs over as many pairs as fit into a few seconds. The environment variable SALLYPORT_PROVE says another
// number, and go test -v prints pairs, differences and seconds:
//
//	SALLYPORT_PROVE=1000000 go test -v -timeout 1h -run Differential ./test/oracle
package oracle
