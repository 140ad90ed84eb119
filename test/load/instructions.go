package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// fewChecks and manyChecks are what two processes of one server answer. What the second one takes more is that of
	// Checks alone, with the garbage collection that they cause; start and warm-up are in both.
	fewChecks, manyChecks = 3000, 13000
	// slowTimeout is that of a Check under valgrind, which runs a server some fifty times slower.
	slowTimeout = time.Minute
	// countFile is in front of the process's id in the name of the file with its count.
	countFile = "instructions."
)

// instructionLines measures the warm ones of list in instructions, but for what goes by the clock, prints them, and returns the names of those that fall
// short of their gates. What counts is the server's own code, its runtime included, and not the kernel's: neither other
// processes nor a virtual machine change that.
func (b *bench) instructionLines(ctx context.Context, out io.Writer, list []figure, few, many int64) (short []string, err error) {
	for _, tool := range []string{"valgrind", "callgrind_control"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("counting instructions needs valgrind: %w", err)
		}
	}
	b.how.under = []string{"valgrind", "--tool=callgrind", "--quiet", "--callgrind-out-file=" + filepath.Join(b.dir, countFile+"%p")}
	b.how.variables = []string{"GODEBUG=asyncpreemptoff=1"} // valgrind does not get along with so many signals
	b.timeout = slowTimeout
	const format = "%-40s %9s %9s %8s  %-6s %-6s %-6s %s\n"
	fmt.Fprintf(out, format, "instructions of the server by Check", "", "against", "ratio", "floor", "gate", "goal", "")
	for _, f := range list {
		if f.once || f.of.scraped || f.of.estate.hosts != f.against.estate.hosts && !f.against.allowAll {
			continue
		}
		c, err := b.count(ctx, f, few, many)
		if err != nil {
			return short, fmt.Errorf("%s: %w", f.name, err)
		}
		ratio := c.ratios[0]
		mark := f.mark(ratio)
		if mark == fallsShort {
			short = append(short, f.name)
		}
		tell := f.tell()
		fmt.Fprintf(out, format, f.name, fmt.Sprintf("%.0f", c.of[0]), fmt.Sprintf("%.0f", c.against[0]),
			tell(ratio), bound(c.floor()), tell(f.gate), tell(f.goal), mark)
	}
	return short, nil
}

// count is what f costs in instructions by Check.
func (b *bench) count(ctx context.Context, f figure, few, many int64) (*comparison, error) {
	c := &comparison{}
	bare := f.against
	bare.bare = true
	for _, one := range []struct {
		of    subject
		costs *[]float64
	}{{f.of, &c.of}, {f.against, &c.against}, {bare, &c.bare}} {
		if one.of.bare && !one.of.allowAll {
			continue
		}
		var totals [2]int64
		for i, checks := range []int64{few, many} {
			total, err := b.instructionsOf(ctx, one.of, f, checks)
			if err != nil {
				return nil, err
			}
			totals[i] = total
		}
		*one.costs = append(*one.costs, float64(totals[1]-totals[0])/float64(many-few))
	}
	c.ratios = []float64{c.of[0] / c.against[0]}
	return c, nil
}

// instructionsOf starts a server of its own, sends checks, and returns what the process has executed until then.
func (b *bench) instructionsOf(ctx context.Context, of subject, f figure, checks int64) (_ int64, err error) {
	work, err := b.workload(f.of.estate, f.tokens, false)
	if err != nil {
		return 0, err
	}
	s, err := b.start(ctx, of)
	if err != nil {
		return 0, err
	}
	defer s.kill()
	d, err := newDriver(s, work, f.connections, b.timeout, b.tlsOf(of))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.warm(b.warmUp()); err != nil {
		return 0, err
	}
	if _, err := d.drive(&round{inFlight: f.inFlight, checks: checks}); err != nil {
		return 0, err
	}
	pid := strconv.Itoa(s.pid())
	if out, err := exec.CommandContext(ctx, "callgrind_control", "--dump", pid).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("asking valgrind for its count: %w: %s", err, out)
	}
	return readCount(filepath.Join(b.dir, countFile+pid+".1"))
}

// readCount reads the count in a file of callgrind.
func readCount(file string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if count, ok := strings.CutPrefix(line, "totals: "); ok {
			return strconv.ParseInt(strings.TrimSpace(count), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no total", file)
}

// kill ends the process without letting it clean up, and returns once it has ended.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.ended
}
