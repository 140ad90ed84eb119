package controller

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/revocation"
)

// PublisherConfig is what a Publisher needs. List and Snapshot must be there.
type PublisherConfig struct {
	// List returns every object there is, such as Folder.Load. Its error keeps the last good snapshot.
	List func(context.Context) (*Listing, error)
	// Options of the compile.
	Options policy.Options
	// Snapshot is where the result is stored; nil in it until the first compile.
	Snapshot *atomic.Pointer[policy.Snapshot]
	// BeforePublish is handed each snapshot before it is in force, so that the keys of its providers are looked after
	// first; it may wait. May be nil.
	BeforePublish func(context.Context, *policy.Snapshot)
	// Revocations get what the objects revoke, before the snapshot is in force; nil: they are left out.
	Revocations *revocation.Set
	// OnPublish is handed what is in force, once it is. May be nil.
	OnPublish func(Published)
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Log gets each problem when it appears and when it is gone. The zero Logger discards.
	Log logr.Logger
	// Metrics is where the metrics of the snapshot are registered; nil: nowhere.
	Metrics prometheus.Registerer
}

// Published is a snapshot that is in force, with what it was made of and what the compile had to say. Not to be written.
type Published struct {
	Listing  *Listing
	Snapshot *policy.Snapshot
	Report   policy.Report
}

// Publisher puts objects into force: it lists and compiles them, and publishes the snapshot. Between two times it keeps
// only what the compiler can reuse, and which problems the log has. Not for concurrent use.
type Publisher struct {
	config   PublisherConfig
	compiler policy.Compiler
	metrics  *metrics

	failed, errors, warnings problemLog
	revocations              revocations

	working sync.Mutex // held while something is being published
}

// NewPublisher checks config. The error says what is missing, or that a metric is registered already.
func NewPublisher(config PublisherConfig) (*Publisher, error) {
	if config.List == nil || config.Snapshot == nil {
		return nil, errors.New("a publisher needs List and Snapshot")
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	m, err := newMetrics(config.Metrics)
	if err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	return &Publisher{config: config, metrics: m, revocations: revocations{set: config.Revocations}}, nil
}

// Publish puts the objects that there are now into force. On an error, which is that of List or a fault of the compiler,
// and is logged already, the last snapshot stays.
func (p *Publisher) Publish(ctx context.Context) error {
	p.working.Lock()
	defer p.working.Unlock()
	listing, err := p.list(ctx)
	if err != nil {
		return err
	}
	snapshot, report, err := p.compile(listing)
	if err != nil {
		return err
	}
	if p.config.BeforePublish != nil {
		p.config.BeforePublish(ctx, snapshot)
	}
	p.revocations.update(&listing.Objects, p.config.Options, p.config.Now())
	p.config.Snapshot.Store(snapshot)
	p.report(listing, snapshot, report)
	return nil
}

// yield waits until nothing is being published: what is not urgent leaves the processors to it. Safe for concurrent use.
func (p *Publisher) yield() {
	p.working.Lock()
	p.working.Unlock() //nolint:staticcheck // there is nothing to do but to wait
}

func (p *Publisher) list(ctx context.Context) (*Listing, error) {
	listing, err := p.config.List(ctx)
	if err != nil && ctx.Err() != nil {
		return nil, err // the program ends
	}
	p.failed.update(listingProblems(err), func(problem string) {
		message := "Objects cannot be read, the last good set stays in force"
		if p.config.Snapshot.Load() == nil {
			message = "Objects cannot be read"
		}
		p.config.Log.Error(nil, message, "problem", problem)
	}, func(problem string) {
		p.config.Log.Info("Mended", "problem", problem)
	})
	if err != nil {
		p.metrics.failures.Inc()
	}
	return listing, err
}

// listingProblems are the errors of a listing, one by one.
func listingProblems(err error) []told {
	if err == nil {
		return nil
	}
	var files FileErrors
	if !errors.As(err, &files) {
		return []told{{err.Error(), err.Error()}}
	}
	out := make([]told, len(files))
	for i, e := range files {
		out[i] = told{e.File + "\n" + e.Field + "\n" + e.Message, e.Error()}
	}
	return out
}

// compile compiles the objects. A fault in that is an error: whoever may write a policy must not be able to end every
// replica with one that nobody foresaw.
func (p *Publisher) compile(listing *Listing) (_ *policy.Snapshot, _ policy.Report, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			p.compiler = policy.Compiler{} // what it kept may be half made
			p.metrics.failures.Inc()
			err = fmt.Errorf("compiling the objects met a fault of Sallyport's, please report it: %v", fault)
			p.config.Log.Error(err, "Objects cannot be compiled, the last good set stays in force", "stack", string(debug.Stack()))
		}
	}()
	level := 1
	if p.config.Snapshot.Load() == nil {
		level = 0 // at start somebody may be waiting
	}
	p.config.Log.V(level).Info("Compiling", "objects", listing.Len(), "files", listing.Files)
	start := p.config.Now()
	snapshot, report := p.compiler.Compile(listing.Objects, p.config.Options)
	took := p.config.Now().Sub(start)
	p.metrics.duration.Observe(took.Seconds())
	p.config.Log.V(1).Info("Compiled", "duration", took.String())
	return snapshot, report, nil
}

func (p *Publisher) report(listing *Listing, snapshot *policy.Snapshot, report policy.Report) {
	stats := snapshot.Stats()
	p.metrics.published(p.config.Now(), stats, &report)
	var errs, warnings []told
	for _, problem := range Problems(listing, report) {
		t := told{problem.Object.String() + "\n" + problem.Field + "\n" + problem.Message, problem.String()}
		if problem.Severity == policy.SeverityError {
			errs = append(errs, t)
		} else {
			warnings = append(warnings, t)
		}
	}
	mended := func(problem string) { p.config.Log.Info("Mended", "problem", problem) }
	p.errors.update(errs, func(problem string) {
		p.config.Log.Error(nil, "Does not compile, and refuses", "problem", problem)
	}, mended)
	p.warnings.update(warnings, func(problem string) {
		p.config.Log.Info("May not mean what it seems to", "problem", problem)
	}, mended)
	p.config.Log.Info("In force", "policies", stats.Policies, "rules", stats.Rules, "hosts", stats.Hosts, "providers", stats.Providers)
	if p.config.OnPublish != nil {
		p.config.OnPublish(Published{listing, snapshot, report})
	}
}
