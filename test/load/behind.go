package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// Names of the ways that others are held against, and of the one that the documentation recommends.
const (
	noneWay        = "no authorization"
	nativeWay      = "jwt_authn and rbac"
	recommendedWay = "Sallyport as recommended"
)

// edgeConnections is how many clients there are, with one request in flight each.
const edgeConnections = 16

// allowedHeaders is the field of ext_authz, with what Sallyport reads for the policy of the run. docs/envoy.md recommends it.
const allowedHeaders = "allowed_headers: {patterns: [{exact: authorization}, {exact: content-type}, {exact: origin}, " +
	"{exact: access-control-request-method}, {exact: accept}, {exact: x-forwarded-for}]}"

// ways lists them all. The first three and the recommended one are the question; each further one changes one thing.
func ways(tokens int) []way {
	sallyport := subject{estate: estate{}.complete()}
	allowAll := subject{allowAll: true}
	unix := func(s subject) subject { s.unix = true; return s }
	metadata := func(s subject) subject { s.estate.metadata = true; return s }
	raw := "encode_raw_headers: true"
	list := []way{
		{name: noneWay},
		{name: nativeWay, way: wayFilters{Native: true}},
		{name: nativeWay + ", tokens cached", way: wayFilters{Native: true, CacheSize: 2 * tokens}},
		{name: "allow-all, Envoy's defaults", of: allowAll},
		{name: "allow-all, as recommended", of: unix(allowAll), way: wayFilters{Authz: []string{allowedHeaders, raw}}},
		{name: "Sallyport, Envoy's defaults", of: sallyport},
		{name: recommendedWay, of: unix(sallyport), way: wayFilters{Authz: []string{allowedHeaders, raw}}},
	}
	change := func(name string, edit func(*way)) {
		w := way{name: "… " + name, of: unix(sallyport), way: wayFilters{Authz: []string{allowedHeaders, raw}}}
		edit(&w)
		list = append(list, w)
	}
	field := func(text string) func(*way) {
		return func(w *way) { w.way.Authz = append(w.way.Authz, text) }
	}
	change("the same again", func(*way) {})
	change("over TCP", func(w *way) { w.of.unix = false })
	change("all headers", func(w *way) { w.way.Authz = []string{raw} })
	change("headers not raw", func(w *way) { w.way.Authz = []string{allowedHeaders} })
	change("four streams to a connection", func(w *way) { w.way.HTTP2 = "max_concurrent_streams: 4" })
	change("dynamic metadata of claims", func(w *way) { w.of = metadata(w.of) })
	change("no dynamic metadata taken", field("enable_dynamic_metadata_ingestion: false"))
	change("no statistics of answers", field("charge_cluster_response_stats: false"))
	change("a stat_prefix", field("stat_prefix: sallyport"))
	change("include_peer_certificate", field("include_peer_certificate: true"))
	change("metadata_context_namespaces", field("metadata_context_namespaces: [envoy.filters.http.jwt_authn, envoy.filters.http.rbac]"))
	change("clear_route_cache", field("clear_route_cache: true"))
	change("with_request_body", field("with_request_body: {max_request_bytes: 4096, allow_partial_message: true}"))
	change("skip_envoy_headers", func(w *way) { w.way.GRPC = "skip_envoy_headers: true" })
	change("no statistics of Envoy", func(w *way) { w.more = "stats_config: {stats_matcher: {reject_all: true}}" })
	for i := range list {
		w := &list[i]
		w.way.Server = w.of != (subject{})
	}
	return list
}

// passage is a way that is open, and what was measured on it.
type passage struct {
	way
	envoy, server *server // server: nil where Envoy asks none
	crowd         *crowd

	edge, behind, cpu  []float64 // CPU by request in microseconds: of Envoy, of the server, of both; a value for each round
	perSecond, typical []float64 // requests a second with all connections; latency of one in flight, the median of each round
	alone              histogram // latencies of one in flight
}

// behind measures all ways whose names contain only, and those that they are held against, in turns, and prints the table.
// It returns false where the recommended one costs more than Envoy's own filters.
func (b *bench) behind(ctx context.Context, out io.Writer, tokens int, only string) (_ bool, err error) {
	list := ways(tokens)
	list = slices.DeleteFunc(list, func(w way) bool {
		return !slices.Contains([]string{noneWay, nativeWay, recommendedWay}, w.name) && !strings.Contains(w.name, only)
	})
	passages, err := b.openWays(ctx, list, tokens)
	defer func() {
		for _, p := range passages {
			err = errors.Join(err, p.crowd.close())
		}
	}()
	if err != nil {
		return false, err
	}
	for _, p := range passages {
		if err := p.crowd.warm(b.warmUp()); err != nil {
			return false, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	for n := range b.rounds {
		if n%2 == 1 { // there and back, so that what drifts meets all alike
			slices.Reverse(passages)
		}
		for _, p := range passages {
			if err := errors.Join(ctx.Err(), b.pass(p)); err != nil {
				return false, fmt.Errorf("%s: %w", p.name, err)
			}
		}
		if n%2 == 1 {
			slices.Reverse(passages)
		}
	}
	return tellPassages(out, passages), nil
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
			if w.way.Server {
				if p.server, err = b.server(ctx, w.of); err != nil {
					return passages, err
				}
				p.way.way.Address = p.server.address
			}
			these, filters = append(these, p), append(filters, p.way.way)
		}
		envoy, addresses, err := b.startEnvoy(ctx, fmt.Sprintf("envoy-%d", i), filters, more)
		if err != nil {
			return passages, err
		}
		b.servers[subject{alone: "Envoy " + more}] = envoy
		for n, p := range these {
			p.envoy = envoy
			open := p.of.allowAll || !p.way.way.Native && !p.way.way.Server
			if p.crowd, err = newCrowd(addresses[n], work, open, edgeConnections, b.timeout); err != nil {
				return passages, err
			}
			passages = append(passages, p)
		}
	}
	return passages, nil
}

// pass sends one round with all connections, which tells the CPU time, and a shorter one with one, for the latency.
func (b *bench) pass(p *passage) error {
	before, err := p.used()
	if err != nil {
		return err
	}
	res, err := p.crowd.visit(&round{inFlight: edgeConnections, length: b.length})
	if err != nil {
		return err
	}
	after, err := p.used()
	if err == nil && res.checks == 0 {
		err = errors.New("no request was answered")
	}
	if err != nil {
		return err
	}
	by := float64(res.checks) * float64(time.Microsecond)
	edge, behind := float64(after[0]-before[0])/by, float64(after[1]-before[1])/by
	p.edge, p.behind, p.cpu = append(p.edge, edge), append(p.behind, behind), append(p.cpu, edge+behind)
	p.perSecond = append(p.perSecond, float64(res.checks)/res.took.Seconds())
	res, err = p.crowd.visit(&round{inFlight: 1, length: b.length / 2})
	if err != nil {
		return err
	}
	p.typical = append(p.typical, float64(res.latency.quantile(0.5)))
	p.alone.merge(&res.latency)
	return nil
}

// used is the CPU time of Envoy and of the server.
func (p *passage) used() (both [2]time.Duration, err error) {
	if both[0], err = cpuTime(p.envoy.pid()); err == nil && p.server != nil {
		both[1], err = cpuTime(p.server.pid())
	}
	return both, err
}

// tellPassages prints the table, and tells whether the recommended way is within Envoy's own filters.
func tellPassages(out io.Writer, passages []*passage) bool {
	find := func(name string) *passage {
		return passages[slices.IndexFunc(passages, func(p *passage) bool { return p.name == name })]
	}
	none, native, recommended := find(noneWay), find(nativeWay), find(recommendedWay)
	const format = "%-33s %7s %7s %7s  %-22s %-22s %6s  %8s %8s\n"
	fmt.Fprintf(out, format, "CPU by request in µs", "Envoy", "server", "both", "of jwt_authn and rbac", "of the recommended", "1/s", "p50", "p99")
	for _, p := range passages {
		p50, p99 := "", ""
		if p == none {
			p50, p99 = brief(time.Duration(median(p.typical))), brief(p.alone.quantile(0.99))
		} else {
			p50 = "+" + brief(time.Duration(median(differences(p.typical, none.typical))))
			p99 = fmt.Sprintf("%+.2f ms", (p.alone.quantile(0.99)-none.alone.quantile(0.99)).Seconds()*1000)
		}
		fmt.Fprintf(out, format, p.name, micros(p.edge), micros(p.behind), micros(p.cpu), against(p, native), against(p, recommended),
			fmt.Sprintf("%.0f", median(p.perSecond)), p50, p99)
	}
	fmt.Fprintln(out, "p50 and p99 are of one request in flight; those with a sign come on top of no authorization.")
	return median(quotients(recommended.cpu, native.cpu)) <= 1
}

func micros(values []float64) string { return fmt.Sprintf("%.1f", median(values)) }

// against is the median of what p costs beside other, with the range.
func against(p, other *passage) string {
	if p == other {
		return "1"
	}
	ratios := quotients(p.cpu, other.cpu)
	return fmt.Sprintf("%.2f  (%.2f … %.2f)", median(ratios), slices.Min(ratios), slices.Max(ratios))
}

// quotients are those of rounds of the same turn.
func quotients(of, against []float64) []float64 {
	ratios := make([]float64, len(of))
	for i := range of {
		ratios[i] = of[i] / against[i]
	}
	return ratios
}

func differences(of, against []float64) []float64 {
	list := make([]float64, len(of))
	for i := range of {
		list[i] = of[i] - against[i]
	}
	return list
}

// measureBehind prints the table of what stands behind an Envoy.
func (b *bench) measureBehind(ctx context.Context, o *options, tokens int) error {
	within, err := b.behind(ctx, os.Stdout, tokens, o.only)
	if err != nil || within || o.quick {
		return err
	}
	return errors.New("the recommended configuration costs more than Envoy's own filters")
}
