// Package oracle holds no code, only tests: a second evaluator of policies, written from the words of the concepts page
// and naive on purpose, and a comparison of it with package policy on policies and requests that are drawn.
//
// It tries every rule one by one, looks nothing up and keeps nothing, and shares no code with package policy but the
// types of the API and the claims of a token. The number of requests that are compared is what fits into a few seconds;
// the environment variable SALLYPORT_ORACLE_PAIRS says another.
package oracle
