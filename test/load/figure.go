package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// figure is one line of the table: what a Check costs one server against another.
type figure struct {
	name        string
	of, against subject
	connections int
	inFlight    int
	tokens      int // distinct ones; with once: of each round
	plainTokens int // those of against, where it has its own estate; 0: as many
	once        bool
	gate, goal  float64 // the ratio may be this at most; 0: none
	extra       bool    // to be told as a percentage on top
}

// comparison is what came of a figure: costs in microseconds by Check, and the ratios of rounds that followed each other.
type comparison struct {
	of, against, ratios []float64
	// bare are the costs of grpc-go alone, where against is allow-all.
	bare []float64
}

// compare runs rounds of both in turns, A B A B, after a warm-up of both. Where against is allow-all, a round of the bare
// one follows each of it.
func (b *bench) compare(ctx context.Context, f figure) (_ *comparison, err error) {
	c := &comparison{}
	turns, err := b.turns(ctx, f, c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	defer func() {
		for _, turn := range turns {
			err = errors.Join(err, turn.d.close())
		}
	}()
	for _, turn := range turns {
		if err := turn.d.warm(b.warmUp()); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	if f.of.scraped {
		stop := scrape(ctx, turns[0].d.server)
		defer func() { err = errors.Join(err, stop()) }()
	}
	for range b.rounds {
		for _, turn := range turns {
			r := &round{inFlight: f.inFlight, length: b.length}
			if f.once {
				r.length, r.checks = 0, int64(f.tokens)
			}
			cost, err := costOf(turn.d, r)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
			*turn.costs = append(*turn.costs, cost)
		}
	}
	c.ratios = adjacent(c.of, c.against)
	return c, nil
}

// turn is the server whose round is next, and where its costs go.
type turn struct {
	d     *driver
	costs *[]float64
}

// turns are those of each round of f, that of f.of first.
func (b *bench) turns(ctx context.Context, f figure, c *comparison) ([]turn, error) {
	of, against, err := b.drivers(ctx, f)
	if err != nil {
		return nil, err
	}
	turns := []turn{{of, &c.of}, {against, &c.against}}
	if !f.against.allowAll {
		return turns, nil
	}
	bare := f.against
	bare.bare = true
	d, err := b.driver(ctx, bare, against.work, f.connections)
	if err != nil {
		return nil, errors.Join(err, of.close(), against.close())
	}
	return append(turns, turn{d, &c.bare}), nil
}

// drivers are those of the two servers of f.
func (b *bench) drivers(ctx context.Context, f figure) (of, against *driver, err error) {
	tokens := f.tokens
	if f.once {
		tokens = f.tokens*b.rounds + b.warmUp()
	}
	work, err := b.workload(f.of.estate, tokens, f.once)
	if err != nil {
		return nil, nil, err
	}
	if of, err = b.driver(ctx, f.of, work, f.connections); err != nil {
		return nil, nil, err
	}
	if f.plainTokens > 0 {
		tokens = f.plainTokens
	}
	if !f.against.allowAll && !f.once {
		work, err = b.workload(f.against.estate, tokens, false)
	}
	if err == nil {
		against, err = b.driver(ctx, f.against, work, f.connections)
	}
	if err != nil {
		return nil, nil, errors.Join(err, of.close())
	}
	return of, against, nil
}

// warmUp is how many Checks come before the first round at least.
func (b *bench) warmUp() int {
	if b.quick {
		return 500
	}
	return 5000
}

// adjacent lists the ratios of rounds that followed each other directly, in the order a b a b.
func adjacent(of, against []float64) []float64 {
	var ratios []float64
	for i := range against {
		ratios = append(ratios, of[i]/against[i])
		if i+1 < len(of) {
			ratios = append(ratios, of[i+1]/against[i])
		}
	}
	return ratios
}

// median is the middle of values, or the mean of the two in the middle.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return math.NaN()
	}
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// middleHalf is between which bounds the middle half of values lies; there is one at least.
func middleHalf(values []float64) (low, high float64) {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/4], sorted[len(sorted)-1-len(sorted)/4]
}

// scrape fetches the metrics of s each second, as a Prometheus in a hurry does; the function that it returns ends that.
func scrape(ctx context.Context, s *server) func() error {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error)
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			_, err := s.get(ctx, "/metrics")
			if ctx.Err() != nil {
				err = nil
			}
			if err != nil || ctx.Err() != nil {
				done <- err
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	return func() error {
		cancel()
		return <-done
	}
}
