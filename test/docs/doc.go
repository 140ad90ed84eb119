// Package docs tests what README.md, docs and examples say: every manifest compiles, every table of the reference
// agrees with the code, every command of the tutorial runs, and every link leads somewhere. It holds tests only.
package docs
