package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	sallyport, allowall string
	before              string
	envoy               string
	rounds              int
	length              time.Duration
	quick               bool
	only                string

	estate   estate
	tokens   int
	rate     float64
	serve    string
	overload bool
	counts   bool // instructions
	scale    bool // something of another size than the table's was asked for
}

func parse(args []string) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.StringVar(&o.sallyport, "sallyport", "bin/sallyport", "the Sallyport to measure")
	flags.StringVar(&o.allowall, "allowall", "bin/allowall", "the server to hold it against")
	flags.StringVar(&o.before, "before", "", "hold the lines with gates against this other Sallyport in place of allow-all, to see what a change does")
	flags.StringVar(&o.envoy, "envoy", "", "measure behind this Envoy, with both of them, and beside Envoy's own filters")
	flags.IntVar(&o.rounds, "rounds", 100, "rounds of each server")
	flags.DurationVar(&o.length, "length", 100*time.Millisecond, "how long a round is")
	flags.BoolVar(&o.quick, "quick", false, "a few short rounds, to see that everything works; gates are shown, and decide nothing")
	flags.BoolVar(&o.counts, "instructions", false, "count the instructions of the warm figures, which no other process changes; slow, and needs valgrind")
	flags.StringVar(&o.only, "only", "", "measure only figures whose names contain this")
	flags.IntVar(&o.estate.hosts, "hosts", 1, "instead of the table, measure a server with that many hosts")
	flags.IntVar(&o.estate.policies, "policies", 1, "… that many policies, each with a host of its own")
	flags.IntVar(&o.estate.rules, "rules", 0, "… that many more rules on one host, which all requests are for")
	flags.IntVar(&o.tokens, "tokens", 1000, "… that many distinct tokens")
	flags.Float64Var(&o.rate, "rate", 0, "… and its latency at that many Checks a second; 0: at half of what it gets through")
	flags.StringVar(&o.serve, "serve", "", "… with these flags of sallyport serve")
	flags.BoolVar(&o.overload, "overload", false, "… and send it twice what it gets through")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	flags.Visit(func(f *flag.Flag) {
		o.scale = o.scale || slices.Contains([]string{"hosts", "policies", "rules", "tokens", "rate", "serve"}, f.Name)
	})
	if o.rounds < 1 || o.length <= 0 || o.tokens < 1 || o.rate < 0 {
		return nil, errors.New("rounds, length and tokens are more than zero, and rate is not less")
	}
	return o, nil
}

func run(ctx context.Context, args []string) (err error) {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	size := sizes{tokens: 1000, cold: 700, hosts: 10000}
	if o.quick {
		o.rounds = 2
		size = sizes{tokens: 200, cold: 500, hosts: 500}
	}
	b, err := newBench(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close(), os.RemoveAll(b.dir)) }()
	switch {
	case o.envoy != "":
		return b.measureBehind(ctx, os.Stdout, o, size.tokens)
	case o.overload:
		return b.overload(ctx, os.Stdout, o)
	case o.scale:
		return b.scale(ctx, os.Stdout, o)
	}
	return b.measure(ctx, o, size)
}

// measure prints the table.
func (b *bench) measure(ctx context.Context, o *options, size sizes) error {
	var list []figure
	for _, f := range figures(size, o.before) {
		if strings.Contains(f.name, o.only) {
			list = append(list, f)
		}
	}
	if len(list) == 0 {
		return fmt.Errorf("no figure has %q in its name", o.only)
	}
	var short []string
	var err error
	if o.counts {
		short, err = b.instructionLines(ctx, os.Stdout, list, fewChecks, manyChecks)
	} else {
		short, err = b.table(ctx, os.Stdout, list)
	}
	if err != nil || o.quick || len(short) == 0 {
		return err
	}
	return fmt.Errorf("short of the gate: %s", strings.Join(short, "; "))
}

func newBench(o *options) (*bench, error) {
	b := &bench{
		sallyport: o.sallyport, allowall: o.allowall, envoy: o.envoy, rounds: o.rounds, length: o.length, quick: o.quick, timeout: 5 * time.Second,
		servers: map[subject]*server{}, workloads: map[workKey]*workload{},
	}
	var err error
	if b.all, err = cores(); err != nil {
		return nil, err
	}
	b.serverCPUs, b.clientCPUs = b.all[:1], b.all[1:]
	if len(b.clientCPUs) == 0 {
		fmt.Fprintln(os.Stderr, "load: there is one core only, so the client takes time from the servers: expect more noise")
		b.clientCPUs = b.all
	}
	if b.minter, err = newMinter(); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "sallyport-load-"); err != nil {
		return nil, err
	}
	if b.certificate, err = newCertificate(b.dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(b.dir))
	}
	return b, pinSelf(b.clientCPUs)
}
