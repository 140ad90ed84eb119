package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// bench holds what a run needs, and the servers that run. It belongs to one goroutine.
type bench struct {
	sallyport, allowall string // binaries
	envoy               string // the same, where one is needed
	dir                 string // for policies and certificates
	serverCPUs          []int
	clientCPUs          []int
	all                 []int
	rounds              int
	length              time.Duration
	how                 how  // servers are run
	quick               bool // to see that everything works, not what it costs
	timeout             time.Duration

	minter      *minter
	certificate *certificate
	collector   *collector // nil: nobody has needed one yet
	servers     map[subject]*server
	workloads   map[workKey]*workload
}

// subject is a server with its settings.
type subject struct {
	allowAll bool
	bare     bool // of allowAll: it does not decode
	estate   estate
	flags    string // of serve, with spaces between
	tls      bool
	unix     bool   // listens on a Unix socket
	scraped  bool   // its metrics are fetched each second
	parents  bool   // each Check belongs to a trace; one in sampledEvery is sampled
	traced   bool   // and the server makes a span of that one
	binary   string // another Sallyport than the one that is measured; "": that one
	alone    string // a subject of another name is another process
}

type workKey struct {
	hosts, rules, tokens int
	once                 bool
}

func (b *bench) close() error {
	var failed []error
	for _, s := range b.servers {
		failed = append(failed, s.stop())
	}
	if b.collector != nil {
		failed = append(failed, b.collector.stop())
	}
	return errors.Join(failed...)
}

// server is the running one of subject; it is started if need be.
func (b *bench) server(ctx context.Context, of subject) (*server, error) {
	if s := b.servers[of]; s != nil {
		return s, nil
	}
	s, err := b.start(ctx, of)
	if err == nil {
		b.servers[of] = s
	}
	return s, err
}

func (b *bench) start(ctx context.Context, of subject) (*server, error) {
	address := ""
	if of.unix {
		address = unixScheme + filepath.Join(b.dir, fmt.Sprintf("grpc-%d.sock", len(b.servers)))
	}
	if of.allowAll {
		return startAllowAll(ctx, b.allowall, address, of.bare, b.serverCPUs, b.how)
	}
	dir := filepath.Join(b.dir, fmt.Sprintf("policies-%d", len(b.servers)))
	if err := of.estate.write(dir, b.minter.jwks()); err != nil {
		return nil, err
	}
	args := strings.Fields(of.flags)
	if of.tls {
		args = append(args, "--tls-cert-file", b.certificate.chainFile, "--tls-key-file", b.certificate.keyFile)
	}
	how := b.how
	if of.traced {
		if b.collector == nil {
			c, err := startCollector()
			if err != nil {
				return nil, err
			}
			b.collector = c
		}
		args, how.variables = append(args, "--tracing"), append(slices.Clip(how.variables), b.collector.environment(b.how.under == nil)...)
	}
	s, err := startSallyport(ctx, cmp.Or(of.binary, b.sallyport), dir, address, b.serverCPUs, how, args...)
	if err == nil {
		s.parents = of.parents
	}
	return s, err
}

// workload is the one for estate and tokens; it is made if need be, on all cores.
func (b *bench) workload(e estate, tokens int, once bool) (*workload, error) {
	key := workKey{e.hosts, e.rules, tokens, once}
	if w := b.workloads[key]; w != nil {
		return w, nil
	}
	if err := pinSelf(b.all); err != nil {
		return nil, err
	}
	w, err := newWorkload(b.minter, e, tokens, once)
	if err == nil && !once { // those that are used once are of no use to others
		b.workloads[key] = w
	}
	return w, errors.Join(err, pinSelf(b.clientCPUs))
}

// driver connects to the server of subject.
func (b *bench) driver(ctx context.Context, of subject, work *workload, connections int) (*driver, error) {
	s, err := b.server(ctx, of)
	if err != nil {
		return nil, err
	}
	return newDriver(s, work, connections, b.timeout, b.tlsOf(of))
}

// tlsOf is what a client of the server of subject needs; nil: clear text.
func (b *bench) tlsOf(of subject) *tls.Config {
	if of.tls {
		return b.certificate.client()
	}
	return nil
}

// costOf sends one round, and returns the CPU time of the server by Check in microseconds.
func costOf(d *driver, r *round) (float64, error) {
	before, err := cpuTime(d.server.pid())
	if err != nil {
		return 0, err
	}
	res, err := d.drive(r)
	if err != nil {
		return 0, err
	}
	after, err := cpuTime(d.server.pid())
	if err == nil && res.checks == 0 {
		err = errors.New("no Check was answered")
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", d.server.name, err)
	}
	return float64(after-before) / float64(res.checks) / float64(time.Microsecond), nil
}

// warm sends checks, and at least each token and each host once, unless tokens are to be seen once only, or by a server that
// looks at none: while it saw a million of them, the connections to the other one would be idle for so long that it closes
// them.
func (d *driver) warm(checks int) error {
	if !d.work.once && !d.allowAll {
		checks = max(checks, len(d.work.tokens), d.work.hosts)
	}
	d.inOrder = true
	defer func() { d.inOrder = false }()
	_, err := d.drive(&round{inFlight: 32, checks: int64(checks)})
	return err
}
