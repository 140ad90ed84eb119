// Package vectors holds no code, only tests: it runs published test vectors through package token.
//
// The Wycheproof vectors come with the module github.com/c2sp/wycheproof, which puts 100 MB into the binary of
// the one test package that imports it: this one. Those of the RFCs and of the JOSE cookbook lie in a folder
// that the environment variable SALLYPORT_VECTORS names; without it, their tests are skipped. The encrypted examples of
// RFC 7516 and RFC 7520, whose keys are published with them, are in testdata.
package vectors
