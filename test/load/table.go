package main

import (
	"context"
	"fmt"
	"io"
)

// sizes are what makes a run long or short.
type sizes struct {
	tokens int // distinct ones, of the warm figures
	cold   int // tokens of one round, each seen once
	hosts  int // of the figure with many
}

// figures is the table of what a Check may cost. Its first lines are against allow-all; where before is the binary of
// another Sallyport, they are against that one, and have no gates.
func figures(size sizes, before string) []figure {
	plain := subject{estate: estate{}.complete()}
	measure := subject{allowAll: true}
	cold := plain
	cold.alone = "cold" // its cache fills with tokens that nobody needs again
	list := []figure{
		{name: "warm, 16 in flight on 2 connections", connections: 2, inFlight: 16, gate: 0.40, goal: 0.33},
		{name: "warm, 64 in flight on 4 connections", connections: 4, inFlight: 64, gate: 0.40, goal: 0.33},
		{name: "warm, one in flight", connections: 1, inFlight: 1, gate: 0.70, goal: 0.60},
		{name: "warm, 16 connections with one each", connections: 16, inFlight: 16, gate: 0.60, goal: 0.50},
		{name: "cold RS256 tokens, 16 on 2", of: cold, connections: 2, inFlight: 16, tokens: size.cold, once: true, gate: 2.0, goal: 1.6},
	}
	for i := range list {
		if list[i].tokens == 0 {
			list[i].of, list[i].tokens = plain, size.tokens
		}
		list[i].against = measure
		if before != "" {
			list[i].against = list[i].of
			list[i].against.binary = before
			list[i].gate, list[i].goal = 0, 0
		}
	}
	many := subject{estate: estate{hosts: size.hosts}.complete()}
	list = append(list, figure{
		name: fmt.Sprintf("%d hosts against 1 host", size.hosts), of: many, against: plain,
		connections: 2, inFlight: 16, tokens: size.tokens, gate: 1.2, goal: 1.1,
	})
	return append(list, extras(plain, size.tokens)...)
}

// extras are what each feature costs on top.
func extras(plain subject, tokens int) []figure {
	with := func(change func(*subject)) subject {
		s := plain
		change(&s)
		return s
	}
	parents := with(func(s *subject) { s.parents = true }) // as an Envoy with a tracer sends, whoever reads it
	list := []figure{
		{name: "metrics, scraped each second", of: with(func(s *subject) { s.scraped = true }), goal: 1.05},
		{name: "log at its default level", against: with(func(s *subject) { s.flags = "--log-level error" }), goal: 1.05},
		{name: "a traceparent with each Check", of: parents},
		{name: "tracing, one Check in a hundred sampled", of: with(func(s *subject) { s.parents, s.traced = true, true }), against: parents, goal: 1.05},
		{name: "two upstream headers", of: with(func(s *subject) { s.estate.upstream = true }), goal: 1.05},
		{name: "dynamic metadata of two claims", of: with(func(s *subject) { s.estate.metadata = true }), goal: 1.05},
		{name: "a CEL expression", of: with(func(s *subject) { s.estate.cel = true })},
		{name: "TLS", of: with(func(s *subject) { s.tls = true })},
	}
	for i := range list {
		f := &list[i]
		f.connections, f.inFlight, f.tokens, f.extra = 2, 16, tokens, true
		if f.of == (subject{}) {
			f.of = plain
		}
		if f.against == (subject{}) {
			f.against = plain
		}
	}
	return list
}

// table measures list, prints it as it goes, and returns the names of the figures that fall short of their gates.
func (b *bench) table(ctx context.Context, out io.Writer, list []figure) (short []string, err error) {
	const format = "%-40s %9s %9s %8s  %-15s %-6s %-6s %-6s %s\n"
	fmt.Fprintf(out, format, "CPU of the server by Check", "µs", "against", "ratio", "middle half", "floor", "gate", "goal", "")
	for _, f := range list {
		c, err := b.compare(ctx, f)
		if err != nil {
			return short, err
		}
		ratio := median(c.ratios)
		low, high := middleHalf(c.ratios)
		mark := f.mark(ratio)
		if mark == fallsShort {
			short = append(short, f.name)
		}
		tell := f.tell()
		fmt.Fprintf(out, format, f.name, fmt.Sprintf("%.2f", median(c.of)), fmt.Sprintf("%.2f", median(c.against)), tell(ratio),
			tell(low)+" … "+tell(high), bound(c.floor()), tell(f.gate), tell(f.goal), mark)
	}
	return short, nil
}

// fallsShort marks a figure that misses its gate.
const fallsShort = "FALLS SHORT"

// mark says what ratio is to f.
func (f *figure) mark(ratio float64) string {
	switch {
	case f.gate > 0 && ratio > f.gate:
		return fallsShort
	case f.goal > 0 && ratio <= f.goal:
		return "goal"
	case f.gate > 0:
		return "gate"
	}
	return ""
}

// tell writes a ratio of f, or one to hold it against.
func (f *figure) tell() func(ratio float64) string {
	if f.extra {
		return percent
	}
	return bound
}

// floor is what grpc-go alone costs against allow-all, 0 where it was not measured.
func (c *comparison) floor() float64 {
	if len(c.bare) == 0 {
		return 0
	}
	return median(c.bare) / median(c.against)
}

func bound(ratio float64) string {
	if ratio == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", ratio)
}

func percent(ratio float64) string {
	if ratio == 0 {
		return "-"
	}
	return fmt.Sprintf("%+.1f %%", 100*(ratio-1))
}
