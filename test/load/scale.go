package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// openFor is how long an open loop runs at least.
const openFor = 10 * time.Second

// scale measures one server with the estate, tokens and flags that were asked for, and prints what it costs and holds.
func (b *bench) scale(ctx context.Context, out io.Writer, o *options) error {
	large := subject{estate: o.estate.complete(), flags: o.serve}
	plain, allowAll := subject{estate: estate{}.complete()}, subject{allowAll: true}
	s, err := b.server(ctx, large)
	if err != nil {
		return err
	}
	e := large.estate
	fmt.Fprintf(out, "%d hosts, %d policies, %d more rules on one host, %d tokens: ready after %.2f s\n",
		e.hosts, e.policies, e.rules, o.tokens, s.ready.Seconds())
	if err := b.tellMemory(ctx, out, s, "at rest"); err != nil {
		return err
	}
	shape := figure{of: large, connections: 2, inFlight: 16, tokens: o.tokens}
	list := []figure{shape, shape}
	list[0].name, list[0].against = "against allow-all, 16 in flight on 2", allowAll
	list[1].name, list[1].against, list[1].plainTokens = "against 1 host and 1000 tokens", plain, 1000
	if _, err := b.table(ctx, out, list); err != nil {
		return err
	}
	if err := b.tellMemory(ctx, out, s, "after that"); err != nil {
		return err
	}
	work, err := b.workload(e, o.tokens, false)
	if err != nil {
		return err
	}
	rate := o.rate
	for _, of := range []subject{large, allowAll} {
		if rate, err = b.poisson(ctx, out, of, work, rate); err != nil {
			return err
		}
	}
	return b.tellMemory(ctx, out, s, "at the end")
}

// poisson sends to the server of subject in an open loop, at rate, or where that is zero at half of what a closed loop
// gets through, and prints the latencies. It returns the rate.
func (b *bench) poisson(ctx context.Context, out io.Writer, of subject, work *workload, rate float64) (_ float64, err error) {
	d, err := b.driver(ctx, of, work, 4)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if rate == 0 {
		res, err := d.drive(&round{inFlight: 64, length: max(b.length, time.Second)})
		if err != nil {
			return 0, err
		}
		rate = float64(res.checks) / res.took.Seconds() / 2
	}
	res, err := d.drive(&round{rate: rate, length: max(openFor, b.length)})
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(out, "%s, Poisson, %.0f/s on 4 connections: %s\n", d.server.name, rate, res.tell())
	return rate, nil
}

// tell is a round of an open loop in words.
func (r *result) tell() string {
	share := func(n int64) float64 { return 100 * float64(n) / float64(max(1, r.started)) }
	return fmt.Sprintf("%.0f/s sent, %.0f/s decided, %.1f %% shed, %.1f %% timed out; latency p50 %s, p99 %s, p99.9 %s, most %s",
		float64(r.started)/r.took.Seconds(), float64(r.checks)/r.took.Seconds(), share(r.shed), share(r.late),
		brief(r.latency.quantile(0.5)), brief(r.latency.quantile(0.99)), brief(r.latency.quantile(0.999)), brief(r.latency.max))
}

func brief(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1000) }

// overload sends twice what the server gets through, and prints what becomes of it and of the server's memory.
func (b *bench) overload(ctx context.Context, out io.Writer, o *options) (err error) {
	of := subject{estate: o.estate.complete(), flags: o.serve}
	work, err := b.workload(of.estate, o.tokens, false)
	if err != nil {
		return err
	}
	b.timeout = 500 * time.Millisecond // what docs/envoy.md says
	d, err := b.driver(ctx, of, work, 4)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.warm(b.warmUp()); err != nil {
		return err
	}
	own, err := cpuTime(os.Getpid())
	if err != nil {
		return err
	}
	res, err := d.drive(&round{inFlight: 64, length: max(b.length, 2*time.Second)})
	if err != nil {
		return err
	}
	capacity := float64(res.checks) / res.took.Seconds()
	now, err := cpuTime(os.Getpid())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "closed loop, 64 in flight on 4 connections: %.0f/s, %.1f Checks to a write; the client takes %.1f µs of CPU by Check\n",
		capacity, float64(res.checks)/float64(res.writes), float64(now-own)/float64(res.checks)/1000)
	if err := b.tellMemory(ctx, out, d.server, "before"); err != nil {
		return err
	}
	for range 2 {
		res, err = d.drive(&round{rate: 2 * capacity, length: max(openFor, b.length)})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "twice that, Poisson, %.0f/s: %s\n", 2*capacity, res.tell())
		if err := b.tellMemory(ctx, out, d.server, "then"); err != nil {
			return err
		}
	}
	return nil
}

// tellMemory prints what s holds in memory, and how long its garbage collector stopped it.
func (b *bench) tellMemory(ctx context.Context, out io.Writer, s *server, when string) error {
	now, most, err := memory(s.pid())
	if err != nil {
		return err
	}
	text, err := s.get(ctx, "/metrics")
	if err != nil {
		return err
	}
	values := map[string]float64{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if number, err := strconv.ParseFloat(value, 64); err == nil {
			values[name] = number
		}
	}
	pause := func(q string) string {
		return brief(time.Duration(values[`go_gc_duration_seconds{quantile="`+q+`"}`] * float64(time.Second)))
	}
	hits, misses := values["sallyport_token_cache_hits_total"], values["sallyport_token_cache_misses_total"]
	fmt.Fprintf(out, "cache %s: %.0f tokens in %.0f MiB, %.1f %% of %.0f were found\n", when, values["sallyport_token_cache_entries"],
		values["sallyport_token_cache_bytes"]/(1<<20), 100*hits/max(1, hits+misses), hits+misses)
	fmt.Fprintf(out, "memory %s: %d MiB resident, %d MiB at most, %.0f MiB live heap; %.0f collections, pauses of %s in the middle, %s at most\n",
		when, now>>20, most>>20, values["go_memstats_heap_alloc_bytes"]/(1<<20), values["go_gc_duration_seconds_count"], pause("0.5"), pause("1"))
	return nil
}
