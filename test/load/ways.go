package main

import "strings"

// Names of the ways that others are held against.
const (
	noneWay        = "no authorization"
	nativeWay      = "jwt_authn and rbac"
	recommendedWay = "Sallyport as recommended"
)

// What docs/envoy.md recommends, and a list of the headers that Sallyport reads for the policy of the run.
const (
	allowedHeaders = "allowed_headers: {patterns: [{exact: authorization}, {exact: accept}, {exact: content-type}, {exact: origin}, " +
		"{exact: access-control-request-method}, {exact: x-forwarded-for}]}"
	rawHeaders = "encode_raw_headers: true"
)

// way is one way through Envoy: a listener whose filters authorize as they say.
type way struct {
	name    string
	against string // the way that comes right before it in each turn, and that it is held against
	filters wayFilters
	of      subject // that ext_authz asks, where it asks one
	more    string  // of the bootstrap; another one is another Envoy
}

// wayFilters is what the template of Envoy's configuration reads.
type wayFilters struct {
	Native    bool     // jwt_authn and rbac
	CacheSize int      // of the tokens that jwt_authn keeps, by worker; 0: none
	Server    bool     // ext_authz
	Address   string   // of its server; filled in when that runs
	Authz     []string // further fields of ext_authz, a line each
	Google    bool     // google_grpc in place of envoy_grpc
	GRPC      string   // further fields of envoy_grpc
	HTTP2     string   // http2_protocol_options of its cluster
}

// ways lists them all: first those that the question is about, held against Envoy's own filters, and then what one change
// to the recommended configuration costs or saves.
func ways(tokens int) []way {
	// A core that others have for a tenth of a second is no overload that a verdict may depend on.
	sallyport := subject{estate: estate{}.complete(), unix: true}
	allowAll := subject{allowAll: true, unix: true}
	tcp := func(s subject) subject { s.unix = false; return s }
	recommended := wayFilters{Authz: []string{rawHeaders}}
	list := []way{
		{name: noneWay},
		{name: nativeWay, filters: wayFilters{Native: true}},
		{name: nativeWay + ", tokens cached", filters: wayFilters{Native: true, CacheSize: 2 * tokens}},
		{name: "allow-all, Envoy's defaults, TCP", of: tcp(allowAll)},
		{name: "allow-all as recommended", of: allowAll, filters: recommended},
		{name: "Sallyport, Envoy's defaults, TCP", of: tcp(sallyport)},
		{name: recommendedWay, of: sallyport, filters: recommended},
	}
	for i := range list {
		list[i].against = nativeWay
	}
	for _, change := range changes() {
		w := way{name: "… " + change.name, against: recommendedWay, of: sallyport, filters: recommended}
		w.filters.Authz = append([]string(nil), recommended.Authz...)
		change.edit(&w)
		list = append(list, w)
	}
	for i := range list {
		list[i].filters.Server = list[i].of != (subject{})
	}
	return list
}

// change is one change to the recommended configuration.
type change struct {
	name string
	edit func(*way)
}

func changes() []change {
	field := func(text string) func(*way) {
		return func(w *way) { w.filters.Authz = append(w.filters.Authz, text) }
	}
	bootstrap := func(lines ...string) func(*way) {
		return func(w *way) { w.more = strings.Join(lines, "\n") }
	}
	return []change{
		{"the same again", func(*way) {}},
		{"over TCP", func(w *way) { w.of.unix = false }},
		{"allowed_headers", field(allowedHeaders)},
		{"headers not raw", func(w *way) { w.filters.Authz = nil }},
		{"four streams to a connection", func(w *way) { w.filters.HTTP2 = "max_concurrent_streams: 4" }},
		{"google_grpc", func(w *way) { w.filters.Google = true }},
		{"skip_envoy_headers", func(w *way) { w.filters.GRPC = "skip_envoy_headers: true" }},
		{"metadata of two claims", func(w *way) { w.of.estate.metadata = true }},
		{"no ingestion of metadata", field("enable_dynamic_metadata_ingestion: false")},
		{"two upstream headers", func(w *way) { w.of.estate.upstream = true }},
		{"these and clear_route_cache", func(w *way) {
			w.of.estate.upstream = true
			w.filters.Authz = append(w.filters.Authz, "clear_route_cache: true")
		}},
		{"no charge_cluster_response_stats", field("charge_cluster_response_stats: false")},
		{"a stat_prefix", field("stat_prefix: sallyport")},
		{"an Envoy of its own", bootstrap("stats_flush_interval: 5s")}, // Envoy's default: nothing but the process differs
		{"… without times of the upstream", bootstrap("stats_config: {stats_matcher: {exclusion_list: {patterns: [{suffix: rq_time}]}}}")},
		{"… without any statistics", bootstrap("stats_config: {stats_matcher: {reject_all: true}}")},
	}
}
