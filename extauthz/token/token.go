// Package token turns the bytes of a bearer token into a verified identity.
//
//	cred, err := token.Extract(request, providers)
//	// none shown: cred is zero
//	id, err := verifier.Verify(ctx, cred, providers)
//	// id.Subject, id.Scopes, id.Claim(path)
//
// Extract finds the one token that a request shows. Verify decides whether one of the trusted providers
// issued it for this audience and time. golang-jwt checks the signature itself, and go-jose decrypts; everything else
// that makes a token valid (RFC 7515, RFC 7516, RFC 7519, RFC 8725) is checked here, because what two parsers could read in two ways
// must be refused rather than guessed.
//
// The package does no I/O: keys come through a KeySource and the time through a function. It writes no log,
// and its errors never hold a byte of a token or a secret.
package token
