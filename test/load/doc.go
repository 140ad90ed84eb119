// Command load measures what a Check costs the server: CPU time of the process, user and system, by Check, beside a
// server that allows everything and looks at nothing, in turns. Its client speaks HTTP/2 and batches its writes as a
// worker of Envoy does, and holds every verdict against the one that is due. It is a module of its own, so that
// Sallyport does not carry what only this needs: make bench-load runs it, and docs/performance.md tells what it prints.
package main
