package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// edgeConnections is how many clients there are, with one request in flight each.
const edgeConnections = 16

// passage is a way that is open, and what was measured on it.
type passage struct {
	way
	envoy, server *server // server: nil where Envoy asks none
	crowd         *crowd
	beside        *passage // that it is held against; nil: none, for it is held against itself

	edge, behind, both []float64 // CPU by request in microseconds: of Envoy, of the server, of both; a value for each round
	ratios             []float64 // of both, to those of the round of beside that came right before
	perSecond          []float64 // requests a second with all connections
	typical            []float64 // latency of one in flight, the median of each round
	alone              histogram // the same latencies, of all rounds
}

// measureBehind measures the ways whose names contain what the options say, and those that they are held against, in turns,
// and prints the table.
func (b *bench) measureBehind(ctx context.Context, out io.Writer, o *options, tokens int) (err error) {
	list := slices.DeleteFunc(ways(tokens), func(w way) bool {
		return !slices.Contains([]string{noneWay, nativeWay, recommendedWay}, w.name) && !strings.Contains(w.name, o.only)
	})
	passages, err := b.openWays(ctx, list, tokens)
	defer func() {
		for _, p := range passages {
			err = errors.Join(err, p.crowd.close())
		}
	}()
	if err != nil {
		return err
	}
	if err := b.takeTurns(ctx, passages); err != nil {
		return err
	}
	tellPassages(out, passages)
	return nil
}

// takeTurns sends rounds through all passages, each one right after a round of what it is held against.
func (b *bench) takeTurns(ctx context.Context, passages []*passage) error {
	for _, p := range passages {
		p.beside = named(passages, p.against)
		if err := p.crowd.warm(b.warmUp()); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	for range b.rounds {
		for _, p := range passages {
			if p == p.beside {
				continue
			}
			before, err := b.pass(ctx, p.beside)
			if err != nil {
				return err
			}
			after, err := b.pass(ctx, p)
			if err != nil {
				return err
			}
			p.ratios = append(p.ratios, after/before)
		}
	}
	return nil
}

func named(passages []*passage, name string) *passage {
	return passages[slices.IndexFunc(passages, func(p *passage) bool { return p.name == name })]
}

// openWays starts what the ways in list need, and connects.
func (b *bench) openWays(ctx context.Context, list []way, tokens int) (passages []*passage, err error) {
	if err := pinSelf(b.all); err != nil {
		return nil, err
	}
	work, err := newEdgeWorkload(b.minter, tokens)
	if err = errors.Join(err, pinSelf(b.clientCPUs)); err != nil {
		return nil, err
	}
	var bootstraps []string
	for _, w := range list {
		if !slices.Contains(bootstraps, w.more) {
			bootstraps = append(bootstraps, w.more)
		}
	}
	for i, more := range bootstraps {
		var these []*passage
		var filters []wayFilters
		for _, w := range list {
			if w.more != more {
				continue
			}
			p := &passage{way: w}
			if w.filters.Server {
				if p.server, err = b.server(ctx, w.of); err != nil {
					return passages, err
				}
				p.filters.Address = p.server.address
			}
			these, filters = append(these, p), append(filters, p.filters)
		}
		envoy, addresses, err := b.startEnvoy(ctx, fmt.Sprintf("envoy-%d", i), filters, more)
		if err != nil {
			return passages, err
		}
		b.servers[subject{alone: "Envoy " + more}] = envoy
		for n, p := range these {
			p.envoy = envoy
			// A Check that Envoy gives up, after b.timeout, is to be seen as what it is: 503.
			open := p.of.allowAll || !p.filters.Native && !p.filters.Server
			if p.crowd, err = newCrowd(addresses[n], work, open, edgeConnections, 2*b.timeout); err != nil {
				return passages, err
			}
			passages = append(passages, p)
		}
	}
	return passages, nil
}

// pass sends one round with all connections, which tells the CPU time by request in microseconds, and a shorter one with
// one, for the latency.
func (b *bench) pass(ctx context.Context, p *passage) (float64, error) {
	cost, err := b.passBoth(p)
	if err = errors.Join(ctx.Err(), err); err != nil {
		return 0, fmt.Errorf("%s: %w", p.name, err)
	}
	return cost, nil
}

func (b *bench) passBoth(p *passage) (float64, error) {
	before, err := p.used()
	if err != nil {
		return 0, err
	}
	res, err := p.crowd.visit(&round{inFlight: edgeConnections, length: b.length})
	if err != nil {
		return 0, err
	}
	after, err := p.used()
	if err == nil && res.checks == 0 {
		err = errors.New("no request was answered")
	}
	if err != nil {
		return 0, err
	}
	by := float64(res.checks) * float64(time.Microsecond)
	edge, behind := float64(after[0]-before[0])/by, float64(after[1]-before[1])/by
	p.edge, p.behind, p.both = append(p.edge, edge), append(p.behind, behind), append(p.both, edge+behind)
	p.perSecond = append(p.perSecond, float64(res.checks)/res.took.Seconds())
	res, err = p.crowd.visit(&round{inFlight: 1, length: b.length / 2})
	if err != nil {
		return 0, err
	}
	p.typical = append(p.typical, float64(res.latency.quantile(0.5)))
	p.alone.merge(&res.latency)
	return edge + behind, nil
}

// used is the CPU time of Envoy and of the server.
func (p *passage) used() (both [2]time.Duration, err error) {
	if both[0], err = cpuTime(p.envoy.pid()); err == nil && p.server != nil {
		both[1], err = cpuTime(p.server.pid())
	}
	return both, err
}

// tellPassages prints the table, and whether the recommended way is within Envoy's own filters, which is the goal.
func tellPassages(out io.Writer, passages []*passage) {
	none := named(passages, noneWay)
	const format = "%-36s %6s %6s %6s  %-20s %6s  %8s %8s\n"
	beside := ""
	for _, p := range passages {
		if p.against != beside {
			beside = p.against
			fmt.Fprintf(out, format, "CPU by request in µs", "Envoy", "server", "both", "of "+beside, "1/s", "p50", "p99")
		}
		p50, p99 := brief(time.Duration(median(p.typical))), brief(p.alone.quantile(0.99))
		if p != none {
			p50 = added(median(p.typical) - median(none.typical))
			p99 = added(float64(p.alone.quantile(0.99) - none.alone.quantile(0.99)))
		}
		fmt.Fprintf(out, format, p.name, micros(p.edge), micros(p.behind), micros(p.both), p.tellRatio(),
			fmt.Sprintf("%.0f", median(p.perSecond)), p50, p99)
	}
	fmt.Fprintln(out, "In parentheses: the middle half of the ratios. p50 and p99: of one request in flight; with a sign, on top of no authorization.")
	verdict := "met"
	if median(named(passages, recommendedWay).ratios) > 1 {
		verdict = "FALLS SHORT"
	}
	fmt.Fprintf(out, "Goal: %s costs no more than %s: %s\n", recommendedWay, nativeWay, verdict)
}

func (p *passage) tellRatio() string {
	if len(p.ratios) == 0 {
		return "1"
	}
	low, high := middleHalf(p.ratios)
	return fmt.Sprintf("%.2f  (%.2f … %.2f)", median(p.ratios), low, high)
}

func micros(values []float64) string { return fmt.Sprintf("%.1f", median(values)) }

func added(d float64) string { return fmt.Sprintf("%+.2f ms", d/float64(time.Millisecond)) }
